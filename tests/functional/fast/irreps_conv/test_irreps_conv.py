"""Group convolution by irreducible representations: values and gradients of the definition, all groups and sizes."""

import math
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.functional import group_conv2d, kernel_index, transform_kernel
from attentive_gconv.functional.fast.irreps_conv import ConvOptions, irreps_conv2d, takes_irreps
from attentive_gconv.functional.irreps import fourier_matrix, orbit_index, real_irreps
from grid_groups import TABLED, group_id

pytest.importorskip("numba")
from attentive_gconv.functional.fast.irreps_conv.irreps_packing import packing_of
from attentive_gconv.functional.fast.irreps_conv.tiling import Problem, plan_of

EXACT = 1e-12
# one group of each structure: kernels are compiled for each
COMPILED = ("cm across", "cmm", "p4", "p4m")


class Case(NamedTuple):
    geometry: ConvOptions
    batch: int
    channels: int
    outputs: int
    k: int
    sides: tuple[int, int]


@st.composite
def cases(draw: st.DrawFn, groups: tuple[str, ...] = tuple(TABLED)) -> Case:
    def two(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    group, k = TABLED[draw(st.sampled_from(groups))], draw(st.integers(1, 7))
    stride, dilation, padding = two(1, 3), two(1, 3), two(0, 4)
    least = [max(1, d * (k - 1) + 1 - 2 * p) for d, p in zip(dilation, padding, strict=True)]
    # among them outputs of one position, rows of many vectors, several tiles
    more = (draw(st.sampled_from((0, 1, 4, 11, 40))), draw(st.sampled_from((0, 1, 5, 12, 33))))
    sides = (least[0] + more[0], least[1] + more[1])
    geometry = ConvOptions(group, draw(st.sampled_from((1.0, 0.7))), stride, padding, dilation)
    return Case(geometry, draw(st.integers(1, 5)), draw(st.integers(1, 9)), draw(st.integers(1, 14)), k, sides)


def assert_equal(ours: Tensor, theirs: Tensor) -> None:
    """Up to rounding; what is zero everywhere, because all that is seen is padding, is zero."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= EXACT * theirs.abs().max()


def tensors_of(case: Case, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    order = case.geometry.group.order
    x = torch.randn(case.batch, case.channels, order, *case.sides, dtype=dtype, requires_grad=True)
    weight = torch.randn(case.outputs, case.channels, order, case.k, case.k, dtype=dtype, requires_grad=True)
    return x, weight


def definition(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvOptions) -> Tensor:
    kernel = transform_kernel(geometry.scale * weight, kernel_index(geometry.group, weight.shape[-1], over_group=True))
    return group_conv2d(x, kernel, bias, *geometry[2:])


def in_pytorch(x: Tensor, weight: Tensor, geometry: ConvOptions) -> Tensor:
    """The formulas of `attentive_gconv.functional.irreps`, for the whole map at once."""
    group, k = geometry.group, weight.shape[-1]
    orbit, poses = orbit_index(group, k), torch.arange(group.order)
    planes = F.unfold(x.flatten(1, 2), k, geometry.dilation, geometry.padding, geometry.stride)
    patches = planes.view(len(x), x.shape[1], group.order, k * k, -1)
    a = patches[:, :, poses, orbit]  # (B, C, t, s, P)
    w = geometry.scale * weight.flatten(3)[:, :, poses, orbit]  # (O, C, t, u)
    parts = []
    for irrep in real_irreps(group):
        rho = torch.tensor(irrep.matrices, dtype=x.dtype)
        left = torch.einsum("bctsp,sak->bctakp", a, rho[:, : irrep.rows])
        right = torch.einsum("octu,uek->octke", w, rho)
        product = torch.einsum("bctakp,octke->boaep", left, right)
        parts.append((irrep.dimension / group.order) ** 0.5 * product.flatten(2, 3))
    out = torch.einsum("borp,rg->bogp", torch.cat(parts, 2), fourier_matrix(group).to(x.dtype))
    stride, padding, dilation = geometry[2:]
    height = (x.shape[-2] + 2 * padding[0] - dilation[0] * (k - 1) - 1) // stride[0] + 1
    return out.unflatten(-1, (height, -1))


@given(cases())
@settings(max_examples=40)
def test_the_formulas_are_the_definition(case):
    x, weight = tensors_of(case)
    expected = definition(x, weight, None, case.geometry)
    assert_equal(in_pytorch(x, weight, case.geometry), expected)


@given(cases(COMPILED))
@settings(max_examples=40)
def test_the_kernels_are_the_definition(case):
    x, weight = tensors_of(case)
    bias = torch.randn(case.outputs, dtype=x.dtype, requires_grad=True)
    out, expected = (form(x, weight, bias, case.geometry) for form in (irreps_conv2d, definition))
    assert_equal(out, expected)
    grad = torch.randn_like(out)
    found, wanted = (torch.autograd.grad(y, (x, weight, bias), grad) for y in (out, expected))
    for ours, theirs in zip(found, wanted, strict=True):
        assert_equal(ours, theirs)


@given(cases(("p4m",)))
@settings(max_examples=20)
def test_single_precision(case):
    x, weight = tensors_of(case, torch.float32)
    exact = definition(x.double(), weight.double(), None, case.geometry)
    out = irreps_conv2d(x, weight, None, case.geometry)
    scale = math.sqrt(weight[0].numel()) * exact.detach().std().clamp(min=1)
    assert (out - exact).abs().max() < 1e-6 * scale


@pytest.mark.parametrize("group", [TABLED[name] for name in COMPILED], ids=group_id)
@pytest.mark.parametrize("k", [2, 3])
def test_equivariance(group, k):
    geometry = ConvOptions(group, 1.0, (1, 1), (1, 1), (1, 1))
    x, weight = tensors_of(Case(geometry, 2, 3, 4, k, (9, 9)))
    out = irreps_conv2d(x, weight, None, geometry)
    for g in range(group.order):
        moved = irreps_conv2d(group.act(g, x), weight, None, geometry)
        assert_equal(moved, group.act(g, out))


def plain_case(group: str = "p4m", sides: tuple[int, int] = (6, 7)) -> tuple[ConvOptions, Tensor, Tensor]:
    geometry = ConvOptions(TABLED[group], 1.0, (1, 1), (1, 1), (1, 1))
    return geometry, *tensors_of(Case(geometry, 2, 2, 3, 3, sides))


@pytest.mark.parametrize("threads", [1, 2])
def test_threads(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        geometry, x, weight = plain_case(sides=(32, 33))
        out, expected = (form(x, weight, None, geometry) for form in (irreps_conv2d, definition))
        found, wanted = (torch.autograd.grad(y.square().sum(), (x, weight)) for y in (out, expected))
    finally:
        torch.set_num_threads(before)
    for ours, theirs in zip((out, *found), (expected, *wanted), strict=True):
        assert_equal(ours, theirs)


def test_batch_size_changes_nothing():
    """Samples share tiles, and no numbers."""
    geometry, x, weight = plain_case(sides=(4, 4))
    x = torch.cat([x.detach()] * 9)
    whole = irreps_conv2d(x, weight, None, geometry)
    for sample in range(len(x)):
        torch.testing.assert_close(
            irreps_conv2d(x[sample : sample + 1], weight, None, geometry)[0], whole[sample], rtol=0, atol=0
        )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_does_not_vanish(value):
    """Where the definition is not finite, this is not either, in all poses of that position; the rest is unchanged."""
    geometry, x, weight = plain_case(sides=(9, 9))
    clean = irreps_conv2d(x, weight, None, geometry)
    with torch.no_grad():
        x[1, 0, 3, 4, 5] = value
    out, expected = irreps_conv2d(x, weight, None, geometry), definition(x, weight, None, geometry)
    touched = ~expected.isfinite()
    assert touched.any()
    assert not out[touched].isfinite().any()
    reached = touched.any(2, keepdim=True).expand_as(touched)
    torch.testing.assert_close(out[~reached], clean[~reached], rtol=0, atol=0)
    grad = torch.ones_like(out)
    dweight, expected_dweight = (torch.autograd.grad(y, weight, grad)[0] for y in (out, expected))
    assert not dweight[~expected_dweight.isfinite()].isfinite().any()
    dx = torch.autograd.grad(irreps_conv2d(x, weight, None, geometry), x, grad.index_fill(0, torch.tensor(1), value))[0]
    assert not dx[1].isfinite().any()
    assert dx[0].isfinite().all()


def test_infinities_in_the_weight():
    geometry, x, weight = plain_case()
    with torch.no_grad():
        weight[1, 0, 2, 1, 1] = math.inf
    out = irreps_conv2d(x, weight, None, geometry)
    assert not out[:, 1].isfinite().any()
    assert out[:, [0, 2]].isfinite().all()


@pytest.mark.parametrize("stride", [1, 2])
def test_derivatives_of_derivatives_and_many_gradients_at_once(stride):
    geometry = ConvOptions(ag.group("p4"), 0.5, (stride, stride), (1, 1), (1, 1))
    x, weight = tensors_of(Case(geometry, 1, 2, 2, 3, (3, 4)))
    bias = torch.randn(2, dtype=x.dtype, requires_grad=True)

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return irreps_conv2d(x, weight, bias, geometry)

    assert torch.autograd.gradcheck(function, (x, weight, bias), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, (x, weight, bias))


def test_only_what_needs_a_gradient_gets_one():
    geometry, x, weight = plain_case()
    irreps_conv2d(x.detach(), weight, None, geometry).sum().backward()
    assert weight.grad is not None
    irreps_conv2d(x, weight.detach(), None, geometry).sum().backward()
    assert x.grad is not None
    assert not irreps_conv2d(x.detach(), weight.detach(), None, geometry).requires_grad


def test_memory_layouts():
    """Maps whose channels lie innermost, and slices, are read as what they are."""
    geometry, x, weight = plain_case()
    expected = irreps_conv2d(x, weight, None, geometry)
    innermost = x.detach().permute(0, 3, 4, 1, 2).contiguous().permute(0, 3, 4, 1, 2)
    torch.testing.assert_close(irreps_conv2d(innermost, weight, None, geometry), expected, rtol=0, atol=0)
    wide = torch.cat([x.detach(), torch.full_like(x, math.nan)], -1)[..., : x.shape[-1]]
    torch.testing.assert_close(irreps_conv2d(wide, weight, None, geometry), expected, rtol=0, atol=0)


def test_where_it_can_run():
    geometry, x, weight = plain_case()
    assert takes_irreps("irreps", x, weight, None, geometry)
    assert not takes_irreps("expanded", x, weight, None, geometry)
    assert not takes_irreps("irreps", x.half(), weight.half(), None, geometry)
    assert not takes_irreps("irreps", x, weight.float(), None, geometry)
    assert not takes_irreps("irreps", x[:0], weight, None, geometry)
    assert not takes_irreps("irreps", x.to("meta"), weight.to("meta"), None, geometry)
    assert not takes_irreps("irreps", x, weight, None, geometry._replace(group=ag.group("z2")))
    with torch.autocast("cpu"):
        assert not takes_irreps("irreps", x.float(), weight.float(), None, geometry)


@given(cases(), st.sampled_from(("float32", "float64")))
@settings(max_examples=60)
def test_plans_cover_the_output_once(case, dtype):
    import numpy as np

    group, _, stride, padding, dilation = case.geometry
    out = [
        (side + 2 * p - d * (case.k - 1) - 1) // s + 1
        for side, s, p, d in zip(case.sides, stride, padding, dilation, strict=True)
    ]
    problem = Problem(
        group, case.channels, case.outputs, case.k, stride, padding, dilation, case.batch, *case.sides, *out
    )
    tiling, tables = plan_of(problem, np.dtype(dtype))
    assert tiling.rows * tiling.tiles_y >= out[0] > tiling.rows * (tiling.tiles_y - 1)
    groups_of_samples = tiling.tiles // tiling.tiles_y
    assert tiling.samples * groups_of_samples >= case.batch > tiling.samples * (groups_of_samples - 1)
    assert tiling.samples == 1 or tiling.tiles_y == 1
    assert tables.reads.max() + tiling.panels * tiling.panel <= (
        group.order * case.k * tiling.plane + tiling.panels * tiling.panel
    )
    assert tiling.block * tiling.blocks >= case.channels > tiling.block * (tiling.blocks - 1)


def test_tables_made_under_another_default_device() -> None:
    options, x, weight = plain_case()
    expected = definition(x, weight, None, options)
    wanted = torch.autograd.grad(expected.square().sum(), (x, weight))
    packing_of.cache_clear()
    try:
        with torch.device("meta"):
            out = irreps_conv2d(x, weight, None, options)
            found = torch.autograd.grad(out.square().sum(), (x, weight))
    finally:
        packing_of.cache_clear()
    for ours, theirs in zip((out, *found), (expected, *wanted), strict=True):
        assert_equal(ours, theirs)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3, 4, 9, 9), (5, 64, 4, 3, 3), None), r"`x` of shape \(2, 3, 4, 9, 9\) must be \(B, 64, 4, Y, X\)"),
        (((2, 3, 4, 9, 9), (5, 3, 4, 3, 3), (1,)), r"`bias` of shape \(1,\) must be \(5,\)"),
        (((2, 3, 8, 9, 9), (5, 3, 8, 3, 3), None), r"`weight` of shape \(5, 3, 8, 3, 3\) must be .* with \|H\| = 4"),
        (((2, 3, 4, 9, 9), (5, 3, 4, 3, 2), None), r"`weight` of shape \(5, 3, 4, 3, 2\) must be"),
    ],
)
def test_operands_that_do_not_fit_are_refused(shapes, message):
    """Compiled kernels read without bounds: a replaced weight must not lead them astray."""
    x, weight, bias = (None if shape is None else torch.randn(shape) for shape in shapes)
    options = ConvOptions(ag.group("p4"), 1.0, (1, 1), (1, 1), (1, 1))
    with pytest.raises(ValueError, match=message):
        irreps_conv2d(x, weight, bias, options)
