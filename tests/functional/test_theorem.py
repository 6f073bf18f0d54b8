"""The paper's theorem: attention keeps equivariance if and only if A[L_g f](g', g~) = A[f](g⁻¹g', g⁻¹g~).

Each attention below is a function of the responses f~ of a p4 or p4m convolution. Some keep the condition, some violate
it, each in its own way; `check_equivariance` must tell the two apart, and so must the condition itself.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import attentive_gconv as ag
from attentive_gconv.functional import (
    channel_statistics,
    channel_suppression_map,
    kernel_index,
    position_statistics,
    separate_responses,
    spatial_suppression_map,
    transform_kernel,
)
from helpers import maps, relative_error

CHANNELS, SIDE = 3, 6
Attention = Callable[[ag.FiniteGroup, Tensor], Tensor]


def left_translated(group: ag.FiniteGroup, weight: Tensor) -> Tensor:
    side = weight.shape[-1] if weight.dim() == 5 else None
    return transform_kernel(weight, kernel_index(group, side, over_group=True))


def the_same_for_every_h(group: ag.FiniteGroup, weight: Tensor) -> Tensor:
    return weight.unsqueeze(1).expand(-1, group.order, *weight.shape[1:])


def gate(transform: Callable[[ag.FiniteGroup, Tensor], Tensor]) -> Attention:
    def attention(group: ag.FiniteGroup, f: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        weights = torch.randn(2, 2, CHANNELS, CHANNELS, group.order, generator=generator, dtype=f.dtype)
        fc1, fc2 = (transform(group, weight) for weight in weights)
        return channel_suppression_map(position_statistics(f), fc1, fc2)[..., None, None]

    return attention


def spatial(transform: Callable[[ag.FiniteGroup, Tensor], Tensor]) -> Attention:
    def attention(group: ag.FiniteGroup, f: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        weight = torch.randn(2, 2, group.order, 5, 5, generator=generator, dtype=f.dtype)
        return spatial_suppression_map(channel_statistics(f, 3), transform(group, weight)).unsqueeze(3)

    return attention


def by_position(group: ag.FiniteGroup, f: Tensor) -> Tensor:
    return torch.linspace(0, 1, f.shape[-1], dtype=f.dtype).expand_as(f)


def by_output_pose(group: ag.FiniteGroup, f: Tensor) -> Tensor:
    return torch.linspace(0, 1, group.order, dtype=f.dtype).view(-1, 1, 1, 1, 1).expand_as(f)


def by_input_pose(group: ag.FiniteGroup, f: Tensor) -> Tensor:
    return torch.linspace(0, 1, group.order, dtype=f.dtype).view(-1, 1, 1).expand_as(f)


def by_relative_pose(group: ag.FiniteGroup, f: Tensor) -> Tensor:
    values = torch.linspace(0, 1, group.order, dtype=f.dtype)
    order = range(group.order)
    table = torch.stack([torch.stack([values[group.product(group.inverse(h), i)] for i in order]) for h in order])
    return table[:, None, :, None, None].expand_as(f)


def by_magnitude(group: ag.FiniteGroup, f: Tensor) -> Tensor:
    return torch.sigmoid(f.abs())


def by_rank_in_batch_of_poses(group: ag.FiniteGroup, f: Tensor) -> Tensor:
    return torch.softmax(f.cumsum(2), 2)  # a sum over the poses that come earlier in our list of elements


KEEP = {
    "channel gate": gate(left_translated),
    "spatial convolution": spatial(left_translated),
    "relative pose": by_relative_pose,
    "entrywise": by_magnitude,
}
VIOLATE = {
    "channel gate, not translated over h": gate(the_same_for_every_h),
    "spatial convolution, not translated over h": spatial(the_same_for_every_h),
    "position": by_position,
    "pose of the output": by_output_pose,
    "pose of the input": by_input_pose,
    "order of the elements": by_rank_in_batch_of_poses,
}


class Attentive(torch.nn.Module):
    """out[b,o,h] = Σ_{c,h'} A[f](h, h') f~, with any attention A."""

    def __init__(self, group: ag.FiniteGroup, attention: Attention) -> None:
        super().__init__()
        self.group, self.attention = group, attention
        weight = torch.randn(2, CHANNELS, group.order, 3, 3, dtype=torch.float64)
        self.kernel = left_translated(group, weight)

    def responses(self, x: Tensor) -> Tensor:
        return separate_responses(x, self.kernel, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        f = self.responses(x)
        return (self.attention(self.group, f) * f).sum((3, 4))


def condition_violated_by(module: Attentive, x: Tensor) -> float:
    """The largest deviation of A[L_g f](g', g~) from A[f](g⁻¹g', g⁻¹g~), over the elements g of H."""
    group = module.group
    before = module.attention(group, module.responses(x)).expand(-1, -1, -1, CHANNELS, -1, SIDE, SIDE)
    worst = 0.0
    for g in range(group.order):
        after = module.attention(group, module.responses(group.act(g, x)))
        moved = group.act(g, before)[:, :, group.permutation(g)]  # the grid and h', then h
        worst = max(worst, relative_error(after.expand_as(moved), moved))
    return worst


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("attention", KEEP)
def test_maps_that_keep_the_condition_pass(attention, name):
    module = Attentive(ag.group(name), KEEP[attention])
    x = maps(name, CHANNELS, SIDE, SIDE)
    assert condition_violated_by(module, x) < 1e-10
    ag.testing.assert_equivariant(module, name, x)


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("attention", VIOLATE)
def test_maps_that_violate_the_condition_are_caught(attention, name):
    module = Attentive(ag.group(name), VIOLATE[attention])
    x = maps(name, CHANNELS, SIDE, SIDE)
    assert condition_violated_by(module, x) > 1e-2
    errors = ag.check_equivariance(module, name, x)
    assert errors[0] == 0
    assert errors.max() > 1e-2
    with pytest.raises(AssertionError, match=f"not equivariant to {name!r}"):
        ag.testing.assert_equivariant(module, name, x)


@pytest.mark.parametrize("name", ["p4", "p4m"])
@pytest.mark.parametrize("lifting", [True, False])
def test_maps_of_the_layers_keep_the_condition(name, lifting):
    """Of full attention α_C and α_X: h, h' and the grid move with the input."""
    group = ag.group(name)
    layer_type = ag.nn.AttentiveLiftingConv2d if lifting else ag.nn.AttentiveGroupConv2d
    layer = layer_type(group, CHANNELS, 2, 3, padding=1, dtype=torch.float64)
    x = maps(name, CHANNELS, SIDE, SIDE, lifting=lifting)
    before = layer.suppression_maps(x)
    for g in range(group.order):
        after = layer.suppression_maps(ag.testing.act(group, g, x))
        for alpha, moved_alpha in zip(before, after, strict=True):
            moved = group.act_on_plane(g, alpha)[:, :, group.permutation(g)]
            if not lifting:
                moved = moved[..., group.permutation(g), :, :]
            assert relative_error(moved_alpha, moved) < 1e-10
