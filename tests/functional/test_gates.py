"""The gates beside the sigmoid: values by their definition, and the equivariance of each."""

import pytest
import torch
import torch.nn.functional as F

import attentive_gconv as ag
from attentive_gconv.functional.gating import GATES, channel_norm, spatial_norm
from helpers import maps


def test_channel_norm_divides_by_the_length_over_channels():
    logits = maps("p4", 3, 4, 4)
    alpha = channel_norm(logits)
    torch.testing.assert_close(alpha * logits.square().sum(1, keepdim=True).sqrt(), logits)
    assert channel_norm(torch.zeros(1, 3, 2, 2)).eq(0).all()


def test_spatial_norm_standardises_each_channel_over_all_of_g():
    logits = maps("p4", 3, 4, 4)
    mean = logits.mean((2, 3, 4), keepdim=True)
    std = (logits - mean).square().mean((2, 3, 4), keepdim=True).add(1e-5).sqrt()
    torch.testing.assert_close(spatial_norm(logits), torch.sigmoid((logits - mean) / std))


@pytest.mark.parametrize("channels_last", [False, True])
def test_gates_take_planar_maps_too(channels_last):
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    if channels_last:
        logits = logits.to(memory_format=torch.channels_last)
    torch.testing.assert_close(GATES["channel_norm"](logits), F.normalize(logits, dim=1))
    assert GATES["spatial_norm"](logits).shape == logits.shape


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("gate", GATES)
def test_every_gate_is_equivariant(gate, name):
    ag.testing.assert_equivariant(GATES[gate], name, maps(name, 3, 5, 5))
