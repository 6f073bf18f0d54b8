r"""Attention on a feature map in its standard form: its parts, and the definition.

    s = mean and max of x over positions        α_C = σ( W2·Σ relu(W1·s) )
    t = mean and max of α_C·x over channels     α_X = σ( t ⋆ ψ ), on a planar map σ( max over h )
    out = skip·x + attended·α_X·α_C·x

Source: Romero et al., ICML 2020, §5.1, https://arxiv.org/abs/2002.03830; the maps alone and with other combinations are
those of squeeze-and-excitation and CBAM. W1, W2 and ψ hold every transform of the weights.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.functional.filters import transform_kernel
from attentive_gconv.functional.gating import Combination, channel_statistics, position_statistics


@dataclass(frozen=True)
class ChannelGate:
    """The channel part: weights ``fc1 (R, C, |H|)`` and ``fc2 (C, R, |H|)`` with the table ``(|H|, |H|)`` of their
    transforms, on a planar map ``(R, C)`` and ``(C, R)`` without; the statistics that they see.
    """

    fc1: Tensor
    fc2: Tensor
    index: Tensor | None
    statistics: tuple[str, ...]

    def matrices(self) -> tuple[Tensor, Tensor]:
        """W1 ``(R·|H|, C·|H|)`` and W2 ``(C·|H|, R·|H|)``."""
        if self.index is None:
            return self.fc1, self.fc2
        first, second = (transform_kernel(w, self.index).flatten(2, 3).flatten(0, 1) for w in (self.fc1, self.fc2))
        return first, second


@dataclass(frozen=True)
class SpatialGate:
    """The spatial part: a kernel ``(1, S, |H|, k, k)``, on a planar map ``(1, S, k, k)``, with the table of its
    transforms, ``(|H|, |H|, k, k)`` or ``(|H|, k, k)``, and the factor of them; its statistics.
    """

    weight: Tensor
    index: Tensor
    scale: float
    statistics: tuple[str, ...]
    dilation: tuple[int, int]

    @property
    def padding(self) -> tuple[int, int]:
        """Padding that keeps the size."""
        y, x = (d * (self.weight.shape[-1] // 2) for d in self.dilation)
        return y, x

    def kernel(self) -> Tensor:
        """ψ as a kernel of `conv2d`: ``(|H|, S·|H|, k, k)`` or ``(|H|, S, k, k)``."""
        return transform_kernel(self.scale * self.weight, self.index)[0].flatten(1, -3)


@dataclass(frozen=True)
class Parts:
    """Both parts, None for one that is left out, of which there is one at most, and the rule that combines."""

    channel: ChannelGate | None
    spatial: SpatialGate | None
    combination: Combination

    def tensors(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The weights: both matrices, and the kernel."""
        fc1, fc2 = (None, None) if self.channel is None else (self.channel.fc1, self.channel.fc2)
        return fc1, fc2, None if self.spatial is None else self.spatial.weight

    def with_tensors(self, fc1: Any, fc2: Any, weight: Any) -> "Parts":
        """The same with other weights, in the order of `tensors`."""
        channel = self.channel and replace(self.channel, fc1=fc1, fc2=fc2)
        return Parts(channel, self.spatial and replace(self.spatial, weight=weight), self.combination)


def attend_definition(x: Tensor, parts: Parts) -> Tensor:
    """`attentive_gconv.functional.fast.input_attention.attend` as its formulas say."""
    attended, channel, spatial = x, parts.channel, parts.spatial
    if channel is not None:
        seen, (fc1, fc2) = position_statistics(x, channel.statistics), channel.matrices()
        first, *others = (F.linear(s.flatten(1), fc1).relu() for s in seen)
        attended = F.linear(sum(others, first), fc2).sigmoid().view(*x.shape[:-2], 1, 1) * x
    if spatial is not None:
        of_channels = channel_statistics(attended, 1, spatial.statistics).flatten(1, -3)
        logits = F.conv2d(of_channels, spatial.kernel(), None, 1, spatial.padding, spatial.dilation)
        logits = logits.unsqueeze(1) if x.dim() == 5 else logits.max(1, keepdim=True).values
        attended = logits.sigmoid() * attended
    return parts.combination.mix(x, attended)
