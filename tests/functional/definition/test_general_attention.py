"""The attentive convolution with any map: every form of attention in the library is one of its special cases."""

import pytest
import torch
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.functional import attentive_conv2d_general, patches
from helpers import NAMED, maps, relative_error

CHANNELS, WIDTH, SIDE = 4, 3, 6
GEOMETRIES = [
    {"padding": 1},
    {"stride": 2, "padding": 0},
    {"stride": (1, 2), "padding": (2, 1), "dilation": (1, 2)},
]
PUBLISHED = {
    "se": (ag.nn.SqueezeExcite, {"ratio": 2}),
    "cbam": (ag.nn.CBAM, {"ratio": 2}),
    "bam": (ag.nn.BAM, {"ratio": 2, "dilation": 1}),
    "residual": (ag.nn.ResidualAttention, {"ratio": 2}),
    "co_attention": (ag.nn.CoAttention, {}),
    "input": (ag.nn.InputAttention, {}),
    "spatial_first": (ag.nn.InputAttention, {"order": "spatial_first"}),
}


def kept(module: ag.nn.Attend, x: Tensor) -> Tensor:
    """What a module's combination keeps of its input: (s + a·α)(g~)."""
    rule = ag.functional.COMBINATIONS[module.combination]
    return (rule.skip + rule.attended * module.suppression_map(x)).expand_as(x)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_map_of_ones_gives_the_group_convolution(name, geometry):
    x = maps(name, CHANNELS, SIDE, SIDE + 1)
    layer = ag.nn.GroupConv2d(name, CHANNELS, WIDTH, 3, dtype=torch.float64, **geometry)
    out = attentive_conv2d_general(x, layer.kernel(), torch.ones((), dtype=torch.float64), **geometry)
    torch.testing.assert_close(out, layer(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("lifting", [True, False])
def test_full_attention_is_a_map_that_every_tap_shares(name, lifting):
    layer_type = ag.nn.AttentiveLiftingConv2d if lifting else ag.nn.AttentiveGroupConv2d
    layer = layer_type(name, CHANNELS, WIDTH, 3, padding=1, dtype=torch.float64)
    x = maps(name, CHANNELS, SIDE, SIDE, lifting=lifting)
    channel, spatial = layer.suppression_maps(x)
    alpha = (1 - channel * spatial)[:, :, :, :, :, None, None]
    seen = x.unsqueeze(2) if lifting else x
    out = attentive_conv2d_general(seen, layer.kernel(), alpha, padding=1)
    assert relative_error(out, layer(x)) < 1e-12


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("method", PUBLISHED)
@pytest.mark.parametrize("lifting", [True, False])
def test_earlier_attention_is_a_map_of_the_input_place_alone(method, name, lifting):
    attend, options = PUBLISHED[method]
    module = attend(name, CHANNELS, over_group=not lifting, dtype=torch.float64, **options).eval()
    convolve = ag.nn.LiftingConv2d if lifting else ag.nn.GroupConv2d
    layer = convolve(name, CHANNELS, WIDTH, 3, padding=1, dtype=torch.float64)
    x = maps(name, CHANNELS, SIDE, SIDE, lifting=lifting)
    seen, alpha = x, kept(module, x)
    if lifting:
        seen, alpha = seen.unsqueeze(2), alpha.unsqueeze(2)
    out = attentive_conv2d_general(seen, layer.kernel(), patches(alpha, 3, padding=1)[:, None, None], padding=1)
    assert relative_error(out, layer(module(x))) < 1e-12


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("method", PUBLISHED)
def test_each_map_keeps_the_condition_of_the_theorem(method, name):
    """A map α(g~) of the input place alone: A[L_g f](g~) = A[f](g⁻¹g~)."""
    attend, options = PUBLISHED[method]
    module = attend(name, CHANNELS, dtype=torch.float64, **options).eval()
    x = maps(name, CHANNELS, SIDE, SIDE)
    ag.testing.assert_equivariant(lambda f: module.suppression_map(f).expand_as(f), name, x)


@pytest.mark.parametrize("name", ["p4", "p4m"])
def test_a_map_that_violates_the_condition_breaks_the_convolution(name):
    """α of the place within the kernel, the same for every h: a mask that does not turn with the kernel."""
    kernel = ag.nn.GroupConv2d(name, 2, 2, 3, dtype=torch.float64).kernel()
    mask = torch.rand(3, 3, dtype=torch.float64)[:, :, None, None]
    turned = torch.stack([ag.group(name).act_on_plane(h, mask[..., 0, 0]) for h in range(ag.group(name).order)])
    turned = turned[:, None, None, :, :, None, None]
    x = maps(name, 2, SIDE, SIDE)
    errors = ag.check_equivariance(lambda f: attentive_conv2d_general(f, kernel, mask), name, x)
    assert errors[1:].min() > 1e-2
    ag.testing.assert_equivariant(lambda f: attentive_conv2d_general(f, kernel, turned), name, x)
