"""Channel, spatial and network attention: options, values by their formulas, and equivariance of every variant."""

import pytest
import torch
import torch.nn.functional as F

import attentive_gconv as ag
from attentive_gconv.functional.gating import GATES
from helpers import maps

CHANNELS = 6
VARIANTS = {
    "mean": (ag.nn.ChannelAttention, {"statistics": ("mean",)}),
    "max": (ag.nn.ChannelAttention, {"statistics": ("max",)}),
    "bias": (ag.nn.ChannelAttention, {"bias": True}),
    "hidden norm": (ag.nn.ChannelAttention, {"bias": True, "norm": "hidden"}),
    "output norm": (ag.nn.ChannelAttention, {"bias": True, "norm": "output"}),
    "context": (ag.nn.ContextAttention, {"ratio": 2, "dilation": 2}),
    "context, hidden norm": (ag.nn.ContextAttention, {"ratio": 2, "norm": "hidden"}),
    "context, no norm": (ag.nn.ContextAttention, {"ratio": 2, "norm": "none"}),
    "soft mask": (ag.nn.SoftMask, {}),
    "deep soft mask": (ag.nn.SoftMask, {"depth": 3, "ratio": 2}),
    "channel_norm": (ag.nn.SoftMask, {"depth": 1, "gate": "channel_norm"}),
    "spatial_norm": (ag.nn.SoftMask, {"depth": 1, "gate": "spatial_norm"}),
}
SPATIAL = {
    "mean": {"statistics": ("mean",)},
    "every channel": {"statistics": (), "channels": CHANNELS, "kernel_size": 3},
    "bias and norm": {"bias": True, "norm": True},
    "dilated": {"dilation": 2},
}


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("over_group", [True, False])
@pytest.mark.parametrize("side", [7, 8])
def test_every_variant_is_equivariant(variant, name, over_group, side, trained):
    kind, options = VARIANTS[variant]
    x = maps(name, CHANNELS, side, side, lifting=not over_group)
    module = trained(kind(name, CHANNELS, over_group=over_group, **options), x)
    assert module(x).std() > 1e-4  # a constant would be equivariant, whatever the module does
    # as a map on the whole of x, because that is what L_h acts on
    ag.testing.assert_equivariant(lambda f: module(f).expand_as(f), name, x)


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("variant", SPATIAL)
@pytest.mark.parametrize("over_group", [True, False])
def test_every_variant_of_spatial_attention_is_equivariant(variant, name, over_group, trained):
    kind = ag.nn.SpatialAttention if over_group else ag.nn.PlanarSpatialAttention
    x = maps(name, CHANNELS, 8, 8, lifting=not over_group)
    module = trained(kind(name, **SPATIAL[variant]), x)
    assert module(x).std() > 1e-4
    ag.testing.assert_equivariant(module, name, x)


@pytest.mark.parametrize("norm", ["none", "hidden", "output"])
@pytest.mark.parametrize("statistics", [("mean",), ("max", "mean")])
def test_channel_attention_on_the_trivial_group_is_a_shared_perceptron(norm, statistics, trained):
    x = maps("z2", CHANNELS, 5, 6)
    module = trained(ag.nn.ChannelAttention("z2", CHANNELS, bias=True, norm=norm, statistics=statistics), x)

    def normalise(layer: torch.nn.Module | None, value: torch.Tensor) -> torch.Tensor:
        return value if layer is None else layer(value)

    logits = 0
    for kind in statistics:
        s = x[:, :, 0].mean((-2, -1)) if kind == "mean" else x[:, :, 0].amax((-2, -1))
        hidden = normalise(module.hidden_norm, s @ module.weight_fc1[..., 0].T + module.bias_fc1)
        logits = logits + hidden.relu() @ module.weight_fc2[..., 0].T + module.bias_fc2
    expected = normalise(module.output_norm, logits).sigmoid()
    torch.testing.assert_close(module(x)[:, :, 0, 0, 0], expected)


def test_norms_share_their_statistics_over_the_group():
    module = ag.nn.ChannelAttention("p4", CHANNELS, norm="output").double()
    x = maps("p4", CHANNELS, 5, 5, batch=6)
    logits = module.logits(x)[..., 0, 0]
    torch.testing.assert_close(logits.mean((0, 2)), torch.zeros(CHANNELS, dtype=torch.float64))
    torch.testing.assert_close(
        logits.var((0, 2), unbiased=False), torch.ones(CHANNELS, dtype=torch.float64), rtol=0.01, atol=0
    )
    assert logits.mean(0).abs().max() > 1e-3  # one pose alone is not standardised


def test_spatial_attention_with_bias_and_norm(trained):
    x = maps("z2", 3, 6, 6)[:, :, 0]
    module = trained(ag.nn.SpatialAttention("z2", 5, bias=True, norm=True), x.unsqueeze(2))
    seen = torch.stack([x.mean(1), x.amax(1)], 1)
    planes = F.conv2d(seen, module.weight[:, :, 0], module.bias, padding=2)
    norm = module.norm
    planes = (planes - norm.running_mean) / (norm.running_var + norm.eps).sqrt() * norm.weight + norm.bias
    torch.testing.assert_close(module(x.unsqueeze(2))[:, :, 0], planes.sigmoid())


@pytest.mark.parametrize("gate", GATES)
def test_every_part_takes_every_gate(gate):
    x = maps("p4", CHANNELS, 5, 5)
    for kind in (ag.nn.ChannelAttention, ag.nn.SoftMask):
        module = kind("p4", CHANNELS, gate=gate, dtype=torch.float64).eval()
        torch.testing.assert_close(module(x), GATES[gate](module.logits(x)))


@pytest.mark.parametrize("kind", [ag.nn.ContextAttention, ag.nn.SoftMask])
def test_networks_lift_a_planar_map_by_copies_and_take_the_maximum_over_poses(kind, trained):
    x = maps("p4m", CHANNELS, 7, 7, lifting=True)
    planar = trained(kind("p4m", CHANNELS, 2, over_group=False), x)
    lifted = kind("p4m", CHANNELS, 2).double().eval()
    lifted.load_state_dict(planar.state_dict())
    on_group = lifted.logits(torch.stack([x] * 8, 2))
    assert (on_group[:, :, 0] - on_group[:, :, 1]).abs().max() > 1e-3
    torch.testing.assert_close(planar(x), on_group.amax(2).sigmoid())


@pytest.mark.parametrize(("side", "pooled"), [(1, 1), (2, 1), (5, 3), (8, 4)])
def test_soft_masks_take_any_side(side, pooled):
    """Also a single pixel; what the units see is half the side, rounded up."""
    module = ag.nn.SoftMask("p4", CHANNELS, depth=1).eval()
    sides = []
    module.network[0].down.register_forward_hook(lambda _module, args, _out: sides.append(args[0].shape[-1]))
    assert module(torch.randn(2, CHANNELS, 4, side, side)).shape[-1] == side
    assert sides == [pooled]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ag.nn.ChannelAttention("p4", 3, 4), r"`ratio` \(=4\)"),
        (lambda: ag.nn.ChannelAttention("p4", 3, statistics=()), r"must name at least one"),
        (lambda: ag.nn.ChannelAttention("p4", 3, statistics="mean"), r"`statistics` \(='mean'\) must be a tuple"),
        (lambda: ag.nn.ChannelAttention("p4", 3, statistics=("mean", "mean")), r"different ones"),
        (lambda: ag.nn.ChannelAttention("p4", 3, statistics=("median",)), r"'median'"),
        (lambda: ag.nn.ChannelAttention("p4", 3, norm="batch"), r"unknown norm 'batch'"),
        (lambda: ag.nn.ChannelAttention("p4", 3, gate="softmax"), r"unknown gate 'softmax'"),
        (lambda: ag.nn.SpatialAttention("p4", 4), r"`kernel_size` \(=4\) must be odd"),
        (lambda: ag.nn.SpatialAttention("p4", statistics=()), r"`channels` must be given"),
        (lambda: ag.nn.ContextAttention("p4", 8, 16), r"`ratio` \(=16\)"),
        (lambda: ag.nn.ContextAttention("p4", 8, 2, 0), r"`dilation`"),
        (lambda: ag.nn.SoftMask("p4", 8, depth=0), r"`depth` \(=0\)"),
    ],
)
def test_refused_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
