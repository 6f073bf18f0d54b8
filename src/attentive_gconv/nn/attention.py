r"""Attention on a feature map: the input side of the α_F-networks, and its parts.

For a map x on the group ((L_h W) sums over c *and* h'; q is the quadrature weight):

    α_C = σ( W2*relu(W1*mean x) + W2*relu(W1*max x) )     mean and max over positions; [B, C, |H|, 1, 1]
    α_X = σ( q·Σ_{s,h'} s ⋆ (L_h ψ_X) )                   s: mean and max of α_C·x over c;  [B, 1, |H|, Y, X]

For a planar map (the input of a lifting layer) α_C is an ordinary two-layer gate on [B, C], and α_X lifts the
statistics and takes the maximum over h, so that both are planar maps again. The attended map is x - α_X·(α_C·x): the
maps suppress.

Source: Romero, Bekkers, Tomczak, Hoogendoorn, ICML 2020, §5.1 "input attention", https://arxiv.org/abs/2002.03830; its
released code for the order (channel first) and the planar case. With ``channel=False, statistics=(), kernel_size=1``
this is the co-attention of Romero & Hoogendoorn, ICLR 2020, https://arxiv.org/abs/1911.07849, as re-implemented there
(α_RX).
"""

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.functional import COMBINATIONS, channel_statistics, kernel_index, position_statistics
from attentive_gconv.functional.attention import STATISTICS
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.lookup import find
from attentive_gconv.nn.arguments import hidden_channels, odd, positive
from attentive_gconv.nn.convolution import GroupConv2d, GroupConvolution, LiftingConv2d
from attentive_gconv.nn.transformed import TransformedWeights


class ChannelAttention(TransformedWeights):
    """Channel attention on a feature map: one value for each channel and group element.

    Args:
        group: the group of the map.
        channels: C.
        ratio: the hidden layer has ``C // ratio`` channels.
        over_group: whether the map is one on the group or a planar one.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, C, |H|, 1, 1)``; planar ``(B, C, Y, X)`` -> ``(B, C, 1, 1)``. The weights are
        ``weight_fc1 (R, C, |H|)`` and ``weight_fc2 (C, R, |H|)``, R = C // ratio; planar without the last axis.

    Raises:
        ValueError: if the ratio exceeds the channels.

    Source:
        Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830; CBAM's channel gate made equivariant.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.ChannelAttention("p4", channels=8)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 1, 1])
    """

    weight_fc1: nn.Parameter
    weight_fc2: nn.Parameter

    def __init__(
        self,
        group: str | FiniteGroup,
        channels: int,
        ratio: int = 2,
        *,
        over_group: bool = True,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.group = find_group(group)
        self.channels = positive("channels", channels)
        self.over_group = over_group
        hidden = hidden_channels(channels, ratio)
        for name, shape in (("weight_fc1", (hidden, channels)), ("weight_fc2", (channels, hidden))):
            places = (self.group.order,) if over_group else ()
            weight = torch.empty((*shape, *places), device=device, dtype=dtype)
            if over_group:
                self.add_transformed_weight(name, weight, kernel_index(self.group, over_group=True).to(device))
            else:  # a planar map has no pose to compare: an ordinary gate
                self.register_parameter(name, nn.Parameter(weight))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights: Kaiming-uniform with a = √5."""
        for weight in (self.weight_fc1, self.weight_fc2):
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))

    def _matrix(self, name: str) -> Tensor:
        """The 1x1 group convolution as a matrix (out channel and h) x (in channel and h')."""
        if not self.over_group:
            return cast("Tensor", getattr(self, name))
        return self.transformed(name).flatten(2, 3).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The map α_C."""
        fc1, fc2 = self._matrix("weight_fc1"), self._matrix("weight_fc2")
        hidden = [torch.relu(F.linear(s.flatten(1), fc1)) for s in position_statistics(x)]
        return torch.sigmoid(F.linear(hidden[0] + hidden[1], fc2)).view(*x.shape[:-2], 1, 1)

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        return f"{self.group.name!r}, {self.channels}, hidden={self.weight_fc1.shape[0]}, over_group={self.over_group}"


class _SpatialAttention(GroupConvolution):
    """What the spatial attention of group and planar maps shares: statistics, a convolution to one channel, a gate."""

    def __init__(
        self,
        group: str | FiniteGroup,
        kernel_size: int = 7,
        dilation: int = 1,
        *,
        channels: int | None = None,
        statistics: tuple[str, ...] = STATISTICS,
        wscale: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not statistics and channels is None:
            raise ValueError(
                "`channels` must be given when there are no `statistics`: the gate then sees every channel"
            )
        if unknown := set(statistics) - set(STATISTICS):
            raise ValueError(f"`statistics` (={statistics}) must be among {STATISTICS}; unknown: {sorted(unknown)}")
        super().__init__(
            group,
            len(statistics) or channels or 0,
            1,
            odd("kernel_size", kernel_size),
            padding="same",
            dilation=dilation,
            wscale=wscale,
            device=device,
            dtype=dtype,
        )
        self.statistics = statistics

    def _logits(self, x: Tensor) -> Tensor:
        seen = channel_statistics(x, 1, self.statistics) if self.statistics else x
        return super().forward(seen)


class SpatialAttention(_SpatialAttention, GroupConv2d):
    """Spatial attention on a map on the group: one value for each group element and position.

    Args:
        group: the group of the map.
        kernel_size: the side of the attention kernel, odd; its padding keeps the size.
        dilation: of the attention kernel.
        channels: C; needed only without statistics.
        statistics: over channels, any of ``"mean"`` and ``"max"``; ``()`` to see every channel itself.
        wscale: the initial weights are U(-s, s), s = wscale / √(S·k²), S the number of statistics (or channels).
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, 1, |H|, Y, X)``; the kernel ``weight`` is ``(1, S, |H|, k, k)``.

    Raises:
        ValueError: on an even kernel, unknown statistics, or inputs that are no map on the group.

    Source:
        Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.SpatialAttention("p4")(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 1, 4, 9, 9])
    """

    def forward(self, x: Tensor) -> Tensor:
        """The map α_X."""
        return torch.sigmoid(self._logits(x))


class PlanarSpatialAttention(_SpatialAttention, LiftingConv2d):
    """Spatial attention on a planar map: the statistics are lifted, the maximum over h is the map.

    Args:
        group, kernel_size, dilation, channels, statistics, wscale, device, dtype: as in `SpatialAttention`.

    Shape:
        ``(B, C, Y, X)`` -> ``(B, 1, Y, X)``; the kernel ``weight`` is ``(1, S, k, k)``.

    Raises:
        ValueError: on an even kernel, unknown statistics, or inputs that are no planar map.

    Source:
        Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.PlanarSpatialAttention("p4")(torch.randn(2, 3, 9, 9)).shape
        torch.Size([2, 1, 9, 9])
    """

    def forward(self, x: Tensor) -> Tensor:
        """The map α_X."""
        return torch.sigmoid(self._logits(x).max(2).values)


class InputAttention(nn.Module):
    """Attention on a feature map: x ↦ x - α_X·(α_C·x), channel attention first.

    Args:
        group: the group.
        channels: C.
        over_group: whether the map is one on the group or a planar one.
        channel, spatial: which parts there are.
        ratio: of the channel attention; None is 2 on the group, and 1 for planar maps and single channels.
        kernel_size, dilation, statistics, wscale: of the spatial attention, see `SpatialAttention`.
        combination: ``"suppress"`` (the paper), ``"multiply"`` (α·x) or ``"amplify"`` (x + α·x).
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same; planar ``(B, C, Y, X)`` -> the same.

    Raises:
        ValueError: if neither part is wanted, on an unknown combination, or on arguments that a part refuses.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.InputAttention("p4", channels=8)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    def __init__(
        self,
        group: str | FiniteGroup,
        channels: int,
        *,
        over_group: bool = True,
        channel: bool = True,
        spatial: bool = True,
        ratio: int | None = None,
        kernel_size: int = 7,
        dilation: int = 1,
        statistics: tuple[str, ...] = STATISTICS,
        combination: str = "suppress",
        wscale: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_parts(channel, spatial, combination)
        self.combination = combination
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        ratio = default_ratio(channels, over_group) if ratio is None else ratio
        spatial_part = SpatialAttention if over_group else PlanarSpatialAttention
        self.channel_attention = (
            ChannelAttention(group, channels, ratio, over_group=over_group, **made) if channel else None
        )
        self.spatial_attention = (
            spatial_part(group, kernel_size, dilation, channels=channels, statistics=statistics, wscale=wscale, **made)
            if spatial
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attend."""
        attended = x
        if self.channel_attention is not None:
            attended = self.channel_attention(x) * x
        if self.spatial_attention is not None:
            attended = self.spatial_attention(attended) * attended
        return COMBINATIONS[self.combination].mix(x, attended)

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        return f"combination={self.combination!r}"


def default_ratio(channels: int, over_group: bool) -> int:
    """The reduction ratio where none is given: the paper's 2, or 1 for planar maps and single channels."""
    return 2 if over_group and channels > 1 else 1


def check_parts(channel: bool, spatial: bool, combination: str) -> None:
    """An error unless there is a part of attention and a known rule for how it acts."""
    if not (channel or spatial):
        raise ValueError("`channel` and `spatial` are both False: that is no attention; use the plain convolution")
    find("combination", combination, COMBINATIONS)
