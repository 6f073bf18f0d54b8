"""Axioms, actions and conventions of the groups of the grid; refusal of what is no group, or none of the grid."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import attentive_gconv as ag
import naive
from helpers import GROUPS, HALF_TURN, IDENTITY, NAMED, PM, group_id

QUARTER_TURN = ((0, -1), (1, 0))


@st.composite
def group_and_elements(draw: st.DrawFn, count: int) -> tuple[ag.FiniteGroup, list[int]]:
    group = draw(st.sampled_from(GROUPS))
    return group, [draw(st.integers(0, group.order - 1)) for _ in range(count)]


sides = st.integers(1, 6)


@given(group_and_elements(3))
def test_axioms(drawn):
    group, (a, b, c) = drawn
    assert group.product(group.product(a, b), c) == group.product(a, group.product(b, c))
    assert group.product(a, 0) == group.product(0, a) == a
    assert group.product(a, group.inverse(a)) == group.product(group.inverse(a), a) == 0
    assert group.inverse(group.product(a, b)) == group.product(group.inverse(b), group.inverse(a))


@given(group_and_elements(1))
def test_rows_and_columns_of_the_product_table_are_permutations(drawn):
    group, (a,) = drawn
    everything = list(range(group.order))
    assert sorted(group.product(a, b) for b in everything) == everything
    assert sorted(group.product(b, a) for b in everything) == everything


@given(group_and_elements(2), sides, sides)
def test_actions_are_homomorphisms_with_inverses(drawn, height, width):
    group, (a, b) = drawn
    plane = torch.arange(height * width).view(1, 1, height, width)
    f = torch.arange(2 * group.order * height * width).view(1, 2, group.order, height, width)
    for act, x in ((group.act_on_plane, plane), (group.act, f)):
        assert torch.equal(act(a, act(b, x)), act(group.product(a, b), x))
        assert torch.equal(act(group.inverse(a), act(a, x)), x)
        assert torch.equal(act(0, x), x)


@given(group_and_elements(1), sides, sides)
def test_action_on_planes_moves_pixels_by_the_matrix(drawn, height, width):
    group, (h,) = drawn
    x = torch.arange(height * width).view(height, width)
    moved = group.act_on_plane(h, x)
    matrix = np.array(group.matrices[h])
    source, target = (np.array([(side - 1) / 2 for side in shape]) for shape in (x.shape, moved.shape))
    for place in np.ndindex(height, width):
        goal = matrix @ (np.array(place) - source) + target
        assert moved[tuple(goal.astype(int))] == x[place]


@pytest.mark.parametrize("name", NAMED)
def test_element_order_and_actions_are_those_of_rot90_and_flip(name):
    group = ag.group(name)
    assert (group.name, group.order) == (name, naive.ORDER[name])
    assert group.quadrature_weight == pytest.approx(naive.QUADRATURE[name], rel=1e-15)
    x, f = torch.randn(2, 3, 4, 6), torch.randn(2, 3, group.order, 5, 4)
    for h in range(group.order):
        assert torch.equal(group.act_on_plane(h, x), naive.move(h, x))
        assert torch.equal(group.act(h, f), naive.act(name, h, f))
        for other in range(group.order):
            assert group.product(h, other) == naive.product(name, h, other)
            assert group.product(group.inverse(h), other) == naive.relative(name, h, other)


def test_element_names():
    names = [ag.group("p4m").element_name(h) for h in range(8)]
    assert names == ["0°", "90°", "180°", "270°", "m·0°", "m·90°", "m·180°", "m·270°"]
    assert PM.element_name(1) == "m·180°"  # X reversed: a half turn, then Y reversed


@pytest.mark.parametrize("group", GROUPS, ids=group_id)
def test_groups_are_values(group):
    same = ag.FiniteGroup(group.name, np.array(group.matrices), group.quadrature_weight)
    assert same == group == copy.deepcopy(group) == pickle.loads(pickle.dumps(group))
    assert hash(same) == hash(group)
    assert repr(group) == f"FiniteGroup({group.name!r}, order={group.order})"
    assert group != ag.FiniteGroup("other", group.matrices, group.quadrature_weight)
    assert group != ag.FiniteGroup(group.name, group.matrices, 7.0)
    assert group != group.name


def test_look_up():
    assert ag.list_groups() == NAMED
    assert ag.group(PM) is PM
    assert ag.group("p4") == ag.group("p4")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("p4n", "unknown group 'p4n': did you mean 'p4'"),
        ("P4M", "did you mean 'p4m'"),
        (" p4", "did you mean 'p4'"),
        ("C4", "did you mean 'p4'"),
        ("D4", "did you mean 'p4m'"),
        ("C8", "did you mean 'c8'"),
        ("c0", "unknown group 'c0': Known are .* 'cN' and 'dN' for N from 1 to 360"),
        ("d-1", "unknown group 'd-1': Known are"),
        ("c08", "unknown group 'c08': did you mean 'c8'"),
        ("c361", "group 'c361' has more than 360 rotations; take fewer, such as 'c16'"),
        ("d400", "such as 'd16'"),
        ("C8 ", "did you mean 'c8'"),
        ("C_8", "did you mean 'c8'"),
        ("z8", "did you mean 'c8'"),
        ("cyclic8", "did you mean 'c8'"),
        ("dihedral8", "did you mean 'd8'"),
        ("c8v", "did you mean 'd8'"),
        ("p2", "did you mean 'c2'"),
        ("p5", "did you mean 'c5'"),
        ("p6m", "did you mean 'd6'"),
        ("so2", "did you mean 'c16'"),
        ("O(2)", "did you mean 'd16'"),
        ("so3", "unknown group 'so3': Known are"),
        ("mirror", r"unknown group 'mirror': Known are .* a network of your own \(--import\)"),
        ("nonsense", "Known are 'z2', 'p4', 'p4m'"),
        ("nonsense", r"FiniteGroup\(name, matrices\)"),
        ("", "unknown group ''"),
    ],
)
def test_unknown_names_are_refused_with_a_suggestion(name, message):
    with pytest.raises(ValueError, match=message) as caught:
        ag.group(name)
    if meant := re.search(r"did you mean '(.*?)'", str(caught.value)):
        ag.group(meant[1])


@pytest.mark.parametrize(("alias", "name"), [("c1", "z2"), ("p1", "z2"), ("c4", "p4"), ("d4", "p4m"), ("p4mm", "p4m")])
def test_other_names_of_the_same_groups(alias, name):
    assert ag.group(alias) == ag.group(name)
    assert ag.nn.LiftingConv2d(alias, 1, 2, 3).group.name == name


@pytest.mark.parametrize("name", [None, 4, ["p4"]])
def test_group_of_another_type_is_refused(name):
    with pytest.raises(TypeError, match=r"group \(=.*\) must be a name"):
        ag.group(name)


EIGHTH = 0.5**0.5


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ([IDENTITY, ((EIGHTH, -EIGHTH), (EIGHTH, EIGHTH))], "element 1 .* does not map the square pixel grid"),
        ([IDENTITY, ((0.999, 0), (0, 1))], "element 1 .* does not map"),
        ([IDENTITY, ((1, 1), (0, 1))], "element 1 .* does not map"),
        ([IDENTITY, ((2, 0), (0, 1))], "element 1 .* does not map"),
        ([IDENTITY, ((1, 0), (1, 0))], "element 1 .* does not map"),
        ([IDENTITY, ((float("nan"), 0), (0, 1))], "element 1 .* does not map"),
        ([IDENTITY, ((1, 0, 0), (0, 1, 0))], "element 1 .* must be a 2x2 matrix"),
        ([IDENTITY, ((1, 0),)], "element 1 .* must be a 2x2 matrix"),
        ([IDENTITY, None], "element 1 .* must be a 2x2 matrix of numbers, got None"),
        ([IDENTITY, ((1, 0), (0, "a"))], "element 1 .* must be a 2x2 matrix of numbers"),
        ([HALF_TURN, IDENTITY], "first element .* must be the identity"),
        ([], "first element .* must be the identity"),
        ([IDENTITY, HALF_TURN, HALF_TURN], "lists an element twice"),
        ([IDENTITY, QUARTER_TURN], r"not closed: the product of elements 1 and 1, \(\(-1, 0\), \(0, -1\)\)"),
    ],
)
def test_what_is_no_group_of_the_grid_is_refused(matrices, message):
    with pytest.raises(ValueError, match=message) as error:
        ag.FiniteGroup("mine", matrices)
    assert "'mine'" in str(error.value)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_quadrature_weight_is_refused(weight):
    with pytest.raises(ValueError, match=r"quadrature_weight \(=.*\) of group 'mine' must be positive and finite"):
        ag.FiniteGroup("mine", [IDENTITY], quadrature_weight=weight)


@pytest.mark.parametrize("element", [-1, 4, 99])
def test_missing_elements_are_refused(element):
    group = ag.group("p4")
    calls = [
        lambda: group.product(0, element),
        lambda: group.product(element, 0),
        lambda: group.inverse(element),
        lambda: group.permutation(element),
        lambda: group.element_name(element),
        lambda: group.act_on_plane(element, torch.zeros(2, 2)),
        lambda: group.act(element, torch.zeros(4, 2, 2)),
    ]
    for call in calls:
        with pytest.raises(IndexError, match=f"group 'p4' has the elements 0 to 3, got {element}"):
            call()


def test_fractions_are_no_elements():
    with pytest.raises(TypeError, match="integer"):
        ag.group("p4").product(1.5, 0)
    assert ag.group("p4").product(np.int64(1), torch.tensor(1)) == 2


def test_shapes_are_checked():
    group = ag.group("p4")
    with pytest.raises(ValueError, match=r"axes \(\.\.\., Y, X\), got shape \(3,\)"):
        group.act_on_plane(0, torch.zeros(3))
    for shape in [(1, 1, 3, 2, 2), (4, 2), (1, 4, 1, 2, 2)]:
        with pytest.raises(ValueError, match=r"\|H\|=4 for group 'p4'"):
            group.act(1, torch.zeros(shape))
