r"""Spatial attention: where to look, and in which pose.

    α_X = σ( N( q·Σ_{s,h'} s ⋆ (L_h ψ_X)[s,h'] + b ) )       s: statistics of x over channels, or the channels
                                                                themselves; [B, 1, |H|, Y, X]

For a planar map the statistics are lifted and the maximum over h is taken before the gate, so that α_X is a planar map
again. Bias and batch normalisation are one value for all of G.

Sources: Woo et al., "CBAM", ECCV 2018, https://arxiv.org/abs/1807.06521; the group form is Romero et al., ICML 2020,
https://arxiv.org/abs/2002.03830, where the paper's α_X has neither bias nor normalisation.
"""

from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional import SpatialGate, channel_statistics
from attentive_gconv.functional.gating import STATISTICS
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.nn.arguments import checked
from attentive_gconv.nn.attention.base import AttentionMap, check_map
from attentive_gconv.nn.checks import integer, odd
from attentive_gconv.nn.conv import GroupConv2d, GroupConvolution, LiftingConv2d
from attentive_gconv.nn.norm import GroupBatchNorm2d


class _SpatialAttention(AttentionMap, GroupConvolution):
    """Base class of spatial attention: statistics, a convolution to one channel, a gate."""

    @checked(kernel_size=odd, dilation=integer)
    def __init__(
        self,
        group: str | FiniteGroup,
        kernel_size: int = 7,
        dilation: int = 1,
        *,
        channels: int | None = None,
        statistics: tuple[str, ...] = STATISTICS,
        bias: bool = False,
        norm: bool = False,
        gate: str = "sigmoid",
        wscale: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        seen = len(statistics) if statistics else channels
        if seen is None:
            raise ValueError(
                "`channels` must be given when there are no `statistics`: the gate then sees every channel"
            )
        super().__init__(
            group,
            seen,
            1,
            kernel_size,
            padding="same",
            dilation=dilation,
            bias=bias,
            wscale=wscale,
            device=device,
            dtype=dtype,
        )
        self.channels = channels
        self.statistics = statistics
        self.norm = GroupBatchNorm2d(1, device=device, dtype=dtype) if norm else None
        self.use_gate(gate)

    def _convolve(self, x: Tensor) -> Tensor:
        """The logits on the group, ``(B, 1, |H|, Y, X)``."""
        check_map(self, self.group, self.channels, self.over_group, x)
        seen = channel_statistics(x, 1, self.statistics) if self.statistics else x
        logits = GroupConvolution.forward(self, seen)
        return logits if self.norm is None else self.norm(logits)

    def fused_weights(self, x: Tensor) -> SpatialGate | None:
        """Kernel and statistics; None without statistics, or with a bias, a norm or another gate."""
        plain = self.statistics and self.bias is None and self.norm is None and self.gate == "sigmoid"
        # a derived class may compute something else
        if not plain or type(self) not in (SpatialAttention, PlanarSpatialAttention):
            return None
        check_map(self, self.group, self.channels, self.over_group, x)
        weight = self.packed_samples("weight")
        return SpatialGate(weight, self.index("weight"), self.scale, self.statistics, self.dilation)

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        sees = f"statistics={self.statistics}" if self.statistics else f"channels={self.in_channels}"
        return f"{self.group.name!r}, {self.kernel_size}, dilation={self.dilation[0]}, {sees}, gate={self.gate!r}"


class SpatialAttention(_SpatialAttention, GroupConv2d):
    """Spatial attention on a map on the group: one value for each group element and position.

    Args:
        group: the group of the map.
        kernel_size: the side of the attention kernel, odd; its padding keeps the size.
        dilation: of the attention kernel.
        channels: C; needed only without statistics.
        statistics: over channels, any of ``"mean"`` and ``"max"``; ``()`` to see every channel itself.
        bias: one value, starting at zero.
        norm: batch normalisation of the logits, with one mean and variance.
        gate: a name of `attentive_gconv.functional.gating.GATES`.
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

    def logits(self, x: Tensor) -> Tensor:
        """The logits, ``(B, 1, |H|, Y, X)``."""
        return self._convolve(x)


class PlanarSpatialAttention(_SpatialAttention, LiftingConv2d):
    """Spatial attention on a planar map: the statistics are lifted, the maximum over h is the map.

    Args:
        group, kernel_size, dilation, channels, statistics, bias, norm, gate, wscale, device, dtype: as in
            `SpatialAttention`.

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

    def logits(self, x: Tensor) -> Tensor:
        """The logits, ``(B, 1, Y, X)``."""
        return self._convolve(x).max(2).values


def spatial_attention(
    group: str | FiniteGroup, *arguments: Any, over_group: bool, **options: Any
) -> SpatialAttention | PlanarSpatialAttention:
    """Spatial attention for maps on the group or planar ones; the further arguments are those of `SpatialAttention`."""
    return (SpatialAttention if over_group else PlanarSpatialAttention)(group, *arguments, **options)
