"""Every layer is equivariant to rounding: every element of every group, random weights, biases and statistics."""

import pytest
import torch

import attentive_gconv as ag
from attentive_gconv.testing import assert_equivariant
from helpers import GROUPS, KIND, KINDS, build, group_id, kind_id, maps, randomise_

# (Y, X), kernel size, stride, padding, dilation with which every element maps the sampling grid to itself: on each side
# (size + 2·padding - dilation·(kernel - 1) - 1) is a multiple of the stride
GEOMETRIES = [
    ((7, 7), 3, 1, 0, 1),
    ((6, 6), 3, 1, 1, 1),
    ((6, 9), 3, 1, 1, 1),
    ((7, 9), 3, 2, 1, 1),
    ((6, 8), 2, 2, 0, 1),
    ((9, 9), 4, 3, 2, 2),
    ((7, 6), 1, 1, 0, 1),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("group", GROUPS, ids=group_id)
@pytest.mark.parametrize("kind", ["lifting", "group"])
def test_convolutions(kind, group, geometry):
    size, kernel_size, stride, padding, dilation = geometry
    layer = build(KIND[kind], group, 3, 2, kernel_size, stride, padding, dilation, bias=True)
    assert_equivariant(layer, group, maps(group, 3, *size, lifting=kind == "lifting"))


@pytest.mark.parametrize("size", [(6, 6), (7, 7), (6, 9)], ids=str)
@pytest.mark.parametrize("group", GROUPS, ids=group_id)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.plain], ids=kind_id)
def test_attentive_convolutions(kind, group, size):
    layer = build(kind, group, 3, 2, 3, padding=1, bias=True)
    assert_equivariant(layer, group, maps(group, 3, *size, lifting=kind.lifting))


@pytest.mark.parametrize("geometry", [((7, 9), 3, 2, 1, 1), ((6, 8), 2, 2, 0, 1), ((9, 9), 4, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("kind", ["full_lifting", "full_group", "input_lifting", "input_group"])
def test_attentive_convolutions_with_strides(kind, geometry):
    size, kernel_size, stride, padding, dilation = geometry
    options = {"spatial_kernel_size": 5, "spatial_dilation": 2, "ratio": 3}
    layer = build(KIND[kind], "p4m", 3, 2, kernel_size, stride, padding, dilation, bias=True, **options)
    assert_equivariant(layer, "p4m", maps("p4m", 3, *size, lifting=KIND[kind].lifting))


def batch_norm(channels: int) -> torch.nn.Module:
    return randomise_(ag.nn.GroupBatchNorm2d(channels, eps=2e-5, dtype=torch.float64))


@pytest.mark.parametrize("group", GROUPS, ids=group_id)
@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (lambda group: batch_norm(3), (5, 6)),
        (lambda group: ag.nn.SpatialMaxPool2d(2), (6, 8)),
        (lambda group: ag.nn.SpatialMaxPool2d(3, 2, 1), (7, 9)),
        (lambda group: ag.nn.SpatialAvgPool2d(2), (6, 8)),
        (lambda group: ag.nn.SpatialAvgPool2d(3, 2), (7, 5)),
        (lambda group: ag.nn.SpatialAvgPool2d(3, 1, 1, ceil_mode=True), (7, 4)),
        (lambda group: ag.nn.GroupMaxPool(), (5, 6)),
        (lambda group: ag.nn.GroupMeanPool(), (5, 6)),
        (lambda group: ag.nn.ChannelAttention(group, 3, dtype=torch.float64), (5, 6)),
        (lambda group: ag.nn.SpatialAttention(group, dilation=2, dtype=torch.float64), (5, 6)),
        (lambda group: ag.nn.InputAttention(group, 3, dtype=torch.float64), (5, 6)),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_other_layers_on_maps_on_the_group(layer, size, group):
    assert_equivariant(layer(group), group, maps(group, 3, *size))


@pytest.mark.parametrize("group", GROUPS, ids=group_id)
@pytest.mark.parametrize(
    "layer",
    [
        lambda group: ag.nn.SpatialMaxPool2d(2),
        lambda group: ag.nn.SpatialAvgPool2d(2),
        lambda group: ag.nn.ChannelAttention(group, 3, over_group=False, dtype=torch.float64),
        lambda group: ag.nn.PlanarSpatialAttention(group, dilation=2, dtype=torch.float64),
        lambda group: ag.nn.InputAttention(group, 3, over_group=False, dtype=torch.float64),
    ],
)
def test_other_layers_on_planar_maps(layer, group):
    assert_equivariant(layer(group), group, maps(group, 3, 6, 8, lifting=True))


@pytest.mark.parametrize("group", GROUPS, ids=group_id)
def test_batch_norm_in_training_mode_is_equivariant_too(group):
    """Its statistics are those of the whole orbit's map, which L_h only permutes."""
    layer, x = batch_norm(3).train(), maps(group, 3, 5, 6)
    out = layer(x)
    for h in range(group.order):
        torch.testing.assert_close(layer(group.act(h, x)), group.act(h, out), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["p4", "p4m"])
def test_gradients_are_equivariant(name):
    """The gradient of an invariant loss moves with the input."""
    group = ag.group(name)
    layer = build(KIND["full_group"], group, 3, 2, 3, padding=1)
    x = maps(group, 3, 6, 6)

    def gradient(f: torch.Tensor) -> torch.Tensor:
        f = f.clone().requires_grad_()
        return torch.autograd.grad(layer(f).pow(2).sum(), f)[0]

    straight = gradient(x)
    for h in range(group.order):
        torch.testing.assert_close(gradient(group.act(h, x)), group.act(h, straight), rtol=1e-10, atol=1e-10)


def test_translation():
    """Away from the border, and at shifts by the stride, the layers also commute with translations."""
    for kind in (kind for kind in KINDS if kind.plain):
        layer = build(kind, "p4m", 2, 2, 3, stride=2)
        x = torch.nn.functional.pad(maps("p4m", 2, 5, 5, lifting=kind.lifting), (4, 4, 4, 4))
        shifted = x.roll((2, -2), (-2, -1))
        torch.testing.assert_close(layer(shifted), layer(x).roll((1, -1), (-2, -1)))
