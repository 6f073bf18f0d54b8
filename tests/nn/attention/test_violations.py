"""Planar attention put on maps of a group: which of its forms break equivariance, and which happen to keep it."""

import pytest
import torch
from torch import Tensor, nn

import attentive_gconv as ag
from helpers import maps

CHANNELS, SIDE = 4, 6


class Merged(nn.Module):
    """A planar module on (B, C·|H|, Y, X): every pose of every channel a channel of its own."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.flatten(1, 2)).view_as(x)


class PosewiseShared(nn.Module):
    """A planar module on (B·|H|, C, Y, X): the same one for every pose, which sees no other pose."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.transpose(1, 2).flatten(0, 1)).unflatten(0, x.shape[:3:2]).transpose(1, 2)


def planar(kind: type[nn.Module], channels: int) -> nn.Module:
    return kind("z2", channels, 2, over_group=False, dtype=torch.float64).eval()


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("kind", [ag.nn.SqueezeExcite, ag.nn.CBAM, ag.nn.BAM, ag.nn.ResidualAttention])
def test_planar_attention_over_merged_poses_breaks_equivariance(kind, name):
    """Weights of their own for each pose do not move when the poses do."""
    order = ag.group(name).order
    x = maps(name, CHANNELS, SIDE, SIDE)
    errors = ag.check_equivariance(Merged(planar(kind, CHANNELS * order)), name, x)
    assert errors[0] == 0
    assert errors[1:].min() > 1e-3
    ag.testing.assert_equivariant(kind(name, CHANNELS, 2, dtype=torch.float64), name, x)


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("kind", [ag.nn.CBAM, ag.nn.ResidualAttention])
def test_planar_kernels_shared_by_all_poses_break_equivariance(kind, name):
    """A kernel with spatial extent has to turn with its pose."""
    errors = ag.check_equivariance(PosewiseShared(planar(kind, CHANNELS)), name, maps(name, CHANNELS, SIDE, SIDE))
    assert errors[0] == 0
    assert errors[1:].min() > 1e-3


@pytest.mark.parametrize("name", ["p4", "p4m"])
def test_a_channel_gate_shared_by_all_poses_keeps_equivariance(name):
    """Without spatial extent, and blind to the other poses, it is the special case W(h⁻¹h') = 0 for h ≠ h'."""
    shared = planar(ag.nn.SqueezeExcite, CHANNELS)
    x = maps(name, CHANNELS, SIDE, SIDE)
    ag.testing.assert_equivariant(PosewiseShared(shared), name, x)
    special = ag.nn.SqueezeExcite(name, CHANNELS, 2, dtype=torch.float64)
    with torch.no_grad():
        for layer in ("weight_fc1", "weight_fc2"):
            weight = getattr(special.channel_attention, layer).zero_()
            weight[..., 0] = getattr(shared.channel_attention, layer)
    torch.testing.assert_close(special(x), PosewiseShared(shared)(x))


@pytest.mark.parametrize("name", ["p4", "p4m"])
def test_planar_attention_in_front_of_a_lifting_layer_breaks_equivariance(name):
    x = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64)
    lift = ag.nn.LiftingConv2d(name, 3, 2, 3, dtype=torch.float64)
    broken = nn.Sequential(ag.nn.CBAM("z2", 3, 1, over_group=False, dtype=torch.float64), lift)
    assert ag.check_equivariance(broken, name, x)[1:].min() > 1e-3
    sound = nn.Sequential(ag.nn.CBAM(name, 3, 1, over_group=False, dtype=torch.float64), lift)
    ag.testing.assert_equivariant(sound, name, x)
