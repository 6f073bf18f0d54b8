"""C_1 … C_16 and D_1 … D_16: axioms, generators, subgroups, what is exact, and the action that interpolates."""

import copy
import math
import pickle
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck

import attentive_gconv as ag
from attentive_gconv.groups import ApproximateGroupWarning, finite, interpolation

NAMES = [f"{family}{n}" for family in "cd" for n in range(1, 17)]
HALF = 0.5**0.5
EIGHTH = ((HALF, -HALF), (HALF, HALF))

names = st.sampled_from(NAMES)


@st.composite
def name_and_elements(draw: st.DrawFn, count: int) -> tuple[str, list[int]]:
    name = draw(names)
    return name, [draw(st.integers(0, ag.group(name).order - 1)) for _ in range(count)]


def reference(name: str, i: int, j: int) -> int:
    """The product by arithmetic modulo N: element (m, a) rotates a times, then mirrors if m."""
    n = int(name[1:])
    (m, a), (k, b) = divmod(i, n), divmod(j, n)
    # M^m R^a M^k R^b = M^(m+k) R^(±a + b), as M turns rotations around
    return (m + k) % 2 * n + (-a + b if k else a + b) % n


@given(name_and_elements(3))
def test_tables_are_those_of_arithmetic_modulo_n(drawn):
    name, (a, b, c) = drawn
    group = ag.group(name)
    assert group.order == int(name[1:]) * (1 if name[0] == "c" else 2)
    assert group.product(a, b) == reference(name, a, b)
    assert group.product(group.product(a, b), c) == group.product(a, group.product(b, c))
    assert group.product(a, 0) == group.product(0, a) == a
    assert group.product(a, group.inverse(a)) == group.product(group.inverse(a), a) == 0


@given(names)
def test_one_rotation_and_one_mirroring_generate_it(name):
    group, n = ag.group(name), int(name[1:])
    generators = [1] * (n > 1) + [n] * (name[0] == "d")
    reached, waiting = {0}, [0]
    while waiting:
        for generator in generators:
            if (product := group.product(generator, waiting[-1])) not in reached:
                reached.add(product)
                waiting.insert(0, product)
        waiting.pop()
    assert reached == set(range(group.order))


@given(name_and_elements(2))
def test_action_on_the_group_axis_is_a_homomorphism(drawn):
    name, (a, b) = drawn
    group = ag.group(name)
    f = torch.arange(2.0 * group.order).view(1, 2, group.order, 1, 1)
    assert torch.equal(group.act(a, group.act(b, f)), group.act(group.product(a, b), f))


@given(st.sampled_from("cd"), st.integers(1, 16), st.integers(1, 16))
def test_restriction_to_subgroups(family, n, m):
    """C_n contains C_d for each divisor d, with the same matrices, products, actions and integral."""
    d = math.gcd(n, m)
    group, wanted = ag.group(f"{family}{n}"), ag.group(f"{family}{d}")
    elements = [half * n + j * (n // d) for half in range(2 if family == "d" else 1) for j in range(d)]
    found = group.subgroup(elements)
    assert (found.name, found.product_table) == (wanted.name, wanted.product_table)
    for a, b in zip(found.matrices, wanted.matrices, strict=True):
        torch.testing.assert_close(torch.tensor(a), torch.tensor(b), rtol=0, atol=1e-12, check_dtype=False)
    assert d == 1 or found.quadrature_weight == pytest.approx(wanted.quadrature_weight, rel=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_exact(name):
    group, n = ag.group(name), int(name[1:])
    shared = math.gcd(n, 4)
    assert group.exact.name == ag.group(f"{name[0]}{shared}").name
    assert group.is_exact == (n in (1, 2, 4)) == (group.exact is group)
    x = torch.randn(2, 5, 5)
    for h in group.exact_elements:
        moved = group.act_on_plane(h, x)
        assert torch.equal(moved.flatten().sort().values, x.flatten().sort().values)
    for h, (k, r) in enumerate(group.factors):
        assert group.product(k, r) == h
        assert k in group.exact_elements
    assert len(group.representatives) * len(group.exact_elements) == group.order


def test_names_of_the_grid_are_the_same_groups():
    assert [ag.group(name) for name in ("c1", "c4", "d4")] == [ag.group(name) for name in ("z2", "p4", "p4m")]
    assert ag.group("c8").exact == ag.group("p4")
    assert ag.group("d16").exact == ag.group("p4m")


def test_element_names():
    assert [ag.group("c16").element_name(h) for h in (1, 2, 15)] == ["22.5°", "45°", "337.5°"]
    assert [ag.group("d7").element_name(h) for h in (0, 1, 8)] == ["0°", "51.4°", "m·51.4°"]


def smooth(side: int, channels: int = 2, turned: float = 0.0) -> torch.Tensor:
    """Gaussian spots, some pixels wide, turned by an angle: samples of the same continuous image."""
    generator = torch.Generator().manual_seed(1)
    spots = 0.18 * side * (2 * torch.rand(5 * channels, 2, generator=generator, dtype=torch.float64) - 1)
    cosine, sine = math.cos(turned), math.sin(turned)
    spots = spots @ torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64).T
    line = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    distance = (line[:, None] - spots[:, 0, None, None]) ** 2 + (line - spots[:, 1, None, None]) ** 2
    weights = torch.rand(5 * channels, 1, 1, generator=generator, dtype=torch.float64)
    return (weights * torch.exp(-distance / 8)).view(channels, 5, side, side).sum(1)


@pytest.mark.parametrize("name", ["c3", "c8", "c16", "d5"])
def test_interpolated_rotations_are_those_of_the_continuous_image(name):
    group, x = ag.group(name), smooth(29)
    for h in range(int(name[1:])):
        expected = smooth(29, turned=2 * math.pi * h / int(name[1:]))
        error = (group.act_on_plane(h, x) - expected).abs().max() / expected.abs().max()
        assert error < 0.01


@given(name_and_elements(2))
def test_action_on_planes_is_nearly_a_homomorphism(drawn):
    name, (a, b) = drawn
    group, x = ag.group(name), smooth(25)
    twice, once = group.act_on_plane(a, group.act_on_plane(b, x)), group.act_on_plane(group.product(a, b), x)
    exact = {a, b} & set(group.exact_elements)
    assert (twice - once).abs().max() < (1e-12 if exact else 0.03)


def test_interpolation_is_exact_for_quadratic_planes_and_zero_outside():
    group = ag.group("c8")
    line = torch.arange(21, dtype=torch.float64) - 10
    y, x = line[:, None], line[None]
    turned_y, turned_x = HALF * (y + x), HALF * (x - y)  # the inverse of the rotation by 45°
    moved = group.act_on_plane(1, 1 + 2 * y - x + 0.3 * y * x + 0.1 * x**2)
    expected = 1 + 2 * turned_y - turned_x + 0.3 * turned_y * turned_x + 0.1 * turned_x**2
    inside = y**2 + x**2 < 8**2
    torch.testing.assert_close(moved[inside], expected[inside], rtol=0, atol=1e-12)
    assert group.act_on_plane(1, torch.ones(21, 21))[0, 0] == 0


def test_action_is_differentiable():
    x = torch.randn(1, 4, 5, dtype=torch.float64, requires_grad=True)
    act = lambda x: ag.group("c8").act_on_plane(3, x)
    assert gradcheck(act, x)
    assert gradgradcheck(act, x)
    assert act(x).shape == x.shape


def test_integers_are_not_interpolated():
    group, x = ag.group("c8"), torch.arange(9).view(3, 3)
    assert torch.equal(group.act_on_plane(2, x), torch.rot90(x))
    with pytest.raises(TypeError, match=r"x has dtype torch\.int64: .* needs floating-point values; convert them"):
        group.act_on_plane(1, x)


def test_half_precision_and_the_meta_device():
    group = ag.group("c8")
    assert group.act_on_plane(1, torch.ones(5, 5, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert group.act_on_plane(1, torch.ones(5, 5, device="meta")).shape == (5, 5)


@pytest.mark.parametrize("mode", [torch.inference_mode, FakeTensorMode])
def test_tables_made_under_a_mode_serve_outside_of_it(mode):
    interpolation._taps.cache_clear()
    with mode():
        ag.group("c8").act_on_plane(1, torch.ones(5, 5, dtype=torch.float64))
    x = torch.ones(5, 5, dtype=torch.float64, requires_grad=True)
    ag.group("c8").act_on_plane(1, x).sum().backward()
    assert x.grad[2, 2] > 0.9


def test_a_group_of_ones_own():
    wanted = [ag.group("d8").matrices[i] for i in (0, 9)]  # one mirroring, along an axis of 22.5°
    with pytest.raises(ValueError, match=r"does not map the square pixel grid .* or give interpolate=True"):
        ag.FiniteGroup("mine", wanted)
    group = ag.FiniteGroup("mine", wanted, interpolate=True)
    assert (group.order, group.exact_elements, group.product(1, 1)) == (2, (0,), 0)
    assert group == copy.deepcopy(group) == pickle.loads(pickle.dumps(group))
    with pytest.raises(ValueError, match="no rotation or mirroring: its columns must be orthogonal"):
        ag.FiniteGroup("mine", [((1, 0), (0, 1)), ((1, 1), (0, 1))], interpolate=True)
    with pytest.raises(ValueError, match="no rotation or mirroring: its columns must be orthogonal"):
        ag.FiniteGroup("mine", [((1, 0), (0, 1)), ((1, math.nan), (0, 1))], interpolate=True)
    with pytest.raises(ValueError, match="not closed: the product of elements 1 and 1"):
        ag.FiniteGroup("mine", [((1, 0), (0, 1)), EIGHTH], interpolate=True)
    with pytest.raises(ValueError, match="not closed"):
        ag.group("c8").subgroup([0, 1])


def test_what_is_approximate_is_said_once(monkeypatch):
    monkeypatch.setattr(finite, "_WARNED", set())
    with pytest.warns(ApproximateGroupWarning, match="group 'c6' is approximate: of its 6 elements only 0°, 180° map"):
        ag.group("c6")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("c6", "c2", "c4", "d4", "p4m"):
            ag.group(name)


USERS = {
    "group": lambda: ag.group("c6"),
    "own group": lambda: ag.FiniteGroup("mine", [ag.group("d8").matrices[i] for i in (0, 9)], interpolate=True),
    "subgroup": lambda: ag.group("d16").subgroup([0, 2, 4, 6, 8, 10, 12, 14]),
    "network": lambda: ag.create_model("p4cnn", group="c6", channels=2),
    "named network": lambda: ag.create_model("c8cnn"),
    "layer": lambda: ag.nn.LiftingConv2d("c6", 1, 2, 3),
    "keyword": lambda: ag.nn.AttentiveGroupConv2d(group="c6", in_channels=2, out_channels=2, kernel_size=3),
    "attention": lambda: ag.nn.InputAttention("c6", 2),
    "published attention": lambda: ag.nn.CBAM("c6", 4, ratio=2),
    "restriction": lambda: ag.nn.GroupRestriction("d6", "c6"),
    "check": lambda: ag.check_equivariance(torch.nn.ReLU(), "c6", torch.randn(1, 1, 6, 5, 5)),
}


@pytest.mark.parametrize("make", USERS.values(), ids=USERS)
def test_the_warning_points_to_the_line_of_the_user(make, monkeypatch):
    monkeypatch.setattr(finite, "_WARNED", set())
    with pytest.warns(ApproximateGroupWarning) as said:
        make()
    lines = {(warning.filename, warning.lineno) for warning in said}
    assert lines == {(__file__, make.__code__.co_firstlineno)}
