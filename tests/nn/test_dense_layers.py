"""Layers for dense prediction: equivariance in float64, definitions, and what is refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import attentive_gconv as ag
from helpers import GROUPS, group_id

groups = pytest.mark.parametrize("group", GROUPS, ids=group_id)
NAMES = ("z2", "p4", "p4m")


def maps(group, channels=3, side=6, batch=2):
    return torch.randn(batch, channels, group.order, side, side, dtype=torch.float64)


GEOMETRIES = [(2, 2, 0, 1), (4, 2, 1, 1), (3, 1, 1, 1), (3, 3, 0, 2), (5, 2, 2, 1)]


@groups
@pytest.mark.parametrize(("kernel_size", "stride", "padding", "dilation"), GEOMETRIES)
def test_transposed_convolution_is_equivariant(group, kernel_size, stride, padding, dilation):
    layer = ag.nn.GroupConvTranspose2d(group, 3, 2, kernel_size, stride, padding, dilation, bias=True).double()
    nn.init.normal_(layer.bias)
    for side in (5, 6):
        ag.testing.assert_equivariant(layer, group, maps(group, side=side))


@pytest.mark.parametrize("name", NAMES)
def test_transposed_convolution_is_the_sum_of_the_formula(name):
    group = ag.group(name)
    layer, x = ag.nn.GroupConvTranspose2d(group, 2, 3, 3, stride=2, padding=1).double(), maps(group, 2, 4)
    expected = torch.zeros(2, 3, group.order, 7, 7, dtype=torch.float64)
    for h in range(group.order):
        turned = group.act(h, layer.weight)  # (O, C, |H|, k, k)
        for p in range(group.order):
            kernel = turned[:, :, p].transpose(0, 1)
            expected[:, :, h] += F.conv_transpose2d(x[:, :, p], kernel, stride=2, padding=1)
    torch.testing.assert_close(layer(x), group.quadrature_weight * expected)
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(x), layer(x))
    assert torch.autograd.gradcheck(layer, (maps(group, 2, 2, 1).requires_grad_(),))


@pytest.mark.parametrize("name", NAMES)
def test_transposed_convolution_on_the_trivial_group_is_torchs_and_keeps_the_scale(name):
    group = ag.group(name)
    layer = ag.nn.GroupConvTranspose2d(group, 3, 4, 2, stride=2, wscale=0.5)
    bound = 0.5 / (3 * 4 / 4) ** 0.5
    assert layer.weight.abs().max() <= bound
    assert layer.weight.abs().max() > 0.8 * bound
    if name == "z2":
        planar = nn.ConvTranspose2d(3, 4, 2, stride=2, bias=False)
        planar.weight.data = layer.weight[:, :, 0].transpose(0, 1).detach().clone()
        x = torch.randn(2, 3, 1, 5, 5)
        torch.testing.assert_close(layer(x)[:, :, 0], planar(x[:, :, 0]))


@groups
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("factor", [2, 3])
def test_upsampling_is_equivariant(group, mode, factor):
    layer = ag.nn.SpatialUpsample2d(factor, mode)
    x = maps(group, side=5)
    assert layer(x).shape == (2, 3, group.order, 5 * factor, 5 * factor)
    errors = ag.check_equivariance(layer, group, x)
    assert errors.max() == 0 if mode == "nearest" else errors.max() < 1e-14
    planar = x[:, :, 0]
    corners = None if mode == "nearest" else False
    torch.testing.assert_close(
        layer(planar), F.interpolate(planar, scale_factor=factor, mode=mode, align_corners=corners)
    )


@groups
@pytest.mark.parametrize("kind", [ag.nn.SpatialAdaptiveAvgPool2d, ag.nn.SpatialAdaptiveMaxPool2d])
def test_adaptive_pools_are_equivariant_for_all_sizes(group, kind):
    for side, size in ((7, 3), (10, 4), (5, 5), (3, 5), (9, 1)):
        assert kind(size)(maps(group, side=side)).shape == (2, 3, group.order, size, size)
        ag.testing.assert_equivariant(kind(size), group, maps(group, side=side))


@groups
@pytest.mark.parametrize("make", [lambda: ag.nn.GroupInstanceNorm2d(4, affine=True), lambda: ag.nn.GroupNorm2d(2, 4)])
def test_norms_are_equivariant_and_those_of_torch(group, make):
    layer, x = make().double(), maps(group, 4)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    ag.testing.assert_equivariant(layer, group, x)
    axes = (2, 3, 4) if isinstance(layer, nn.InstanceNorm3d) else (1, 2, 3, 4)
    y = x.unflatten(1, (-1, 1 if isinstance(layer, nn.InstanceNorm3d) else 2)).movedim(2, 2)
    y = x if isinstance(layer, nn.InstanceNorm3d) else y.flatten(0, 1)
    y = (y - y.mean(axes, keepdim=True)) / (y.var(axes, keepdim=True, unbiased=False) + layer.eps).sqrt()
    shape = (1, 4, 1, 1, 1)
    torch.testing.assert_close(layer(x), y.reshape(x.shape) * layer.weight.view(shape) + layer.bias.view(shape))


@groups
def test_dropout_takes_whole_channels_and_commutes_with_the_group(group):
    layer, x = ag.nn.GroupDropout2d(0.5).train(), maps(group, 64)
    for h in range(group.order):
        torch.manual_seed(1)
        straight = layer(x)
        torch.manual_seed(1)
        assert torch.equal(layer(group.act(h, x)), group.act(h, straight))
    kept = (straight != 0).flatten(2).double().mean(2)
    assert set(kept.flatten().tolist()) == {0.0, 1.0}
    assert 0.3 < kept.mean() < 0.7
    torch.testing.assert_close(straight[kept == 1], 2 * x[kept == 1])
    assert torch.equal(layer.eval()(x), x)


PAIRS = [("p4m", "p4"), ("p4m", "z2"), ("p4", "z2"), ("p4m", "p4m"), ("p4m", "pm"), ("p4m", "p2mm"), ("p4m", "cm")]
BY_NAME = {group.name: group for group in GROUPS}


@pytest.mark.parametrize(("name", "smaller"), PAIRS)
def test_restriction_is_equivariant_to_the_subgroup_and_loses_nothing(name, smaller):
    group, subgroup = BY_NAME[name], BY_NAME[smaller]
    layer, x = ag.nn.GroupRestriction(group, subgroup), maps(group)
    y = layer(x)
    index = group.order // subgroup.order
    assert y.shape == (2, 3 * index, subgroup.order, 6, 6)
    for h, matrix in enumerate(subgroup.matrices):
        moved = group.act(group.matrices.index(matrix), x)
        assert torch.equal(layer(moved), subgroup.act(h, y))
    # a permutation of each channel
    assert y.unflatten(1, (3, index)).flatten(2).sort()[0].equal(x.flatten(2).sort()[0])


def test_a_network_that_restricts_is_equivariant_to_the_subgroup_alone():
    net = nn.Sequential(
        ag.nn.LiftingConv2d("p4m", 1, 2, 3),
        ag.nn.GroupRestriction("p4m", "p4"),
        ag.nn.GroupConv2d("p4", 4, 2, 3),
        ag.nn.GroupMaxPool(),
    ).double()
    x = torch.randn(1, 1, 9, 9, dtype=torch.float64)
    ag.testing.assert_equivariant(net, "p4", x)
    assert ag.check_equivariance(net, "p4m", x).max() > 1e-3


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (
            lambda: ag.nn.GroupConvTranspose2d("p4", 3, 2, 2),
            (1, 3, 8, 4, 4),
            r"takes a map on the group \(B, 3, 4, Y, X\)",
        ),
        (lambda: ag.nn.GroupConvTranspose2d("p4", 3, 2, 2, padding=2), (1, 3, 4, 2, 2), "lower the padding"),
        (lambda: ag.nn.SpatialUpsample2d(2), (3, 4, 4), r"takes \(B, C, \|H\|, Y, X\)"),
        (lambda: ag.nn.SpatialAdaptiveAvgPool2d(2), (4, 4), r"takes \(B, C, \|H\|, Y, X\)"),
        (lambda: ag.nn.GroupRestriction("p4", "z2"), (1, 3, 8, 4, 4), r"takes maps on the group \(B, C, 4, Y, X\)"),
        (lambda: ag.nn.GroupNorm2d(1, 3), (1, 4, 8, 4, 4), r"takes maps on the group \(B, 3,"),
        (lambda: ag.nn.GroupInstanceNorm2d(3), (1, 3, 8, 4), r"takes maps on the group \(B, 3,"),
        (lambda: ag.nn.GroupDropout2d(), (1, 3, 4, 4), "takes maps on the group"),
    ],
)
def test_other_inputs_are_refused(make, shape, message):
    with pytest.raises(ValueError, match=message):
        make()(torch.randn(shape))


def test_what_is_no_subgroup_is_refused():
    with pytest.raises(ValueError, match=r"`subgroup` \(='p4m'\) is no subgroup of 'p4', which lacks m·0°"):
        ag.nn.GroupRestriction("p4", "p4m")
    with pytest.raises(ValueError, match=r"`num_channels` \(=5\) must be divisible by `num_groups` \(=2\)"):
        ag.nn.GroupNorm2d(2, 5)
