r"""Attention maps from whole networks of group convolutions.

    context    1x1 C → R, 3x3, 3x3 (dilated), 1x1 R → 1            where to look, from a wide context (BAM)
    soft mask  pool, units, (the same one scale below), upsample   a value for every channel and position
               ..., then two 1x1 convolutions C → C                (residual attention)

A planar map is lifted by repeating it |H| times (the lifting convolution with a 1x1 kernel of 1), and the maximum of
the logits over h is planar again. Any network of equivariant layers gives an equivariant map in this way.

Sources: Park et al., "BAM: Bottleneck Attention Module", BMVC 2018, https://arxiv.org/abs/1807.06514; Wang et al.,
"Residual Attention Network for Image Classification", CVPR 2017, https://arxiv.org/abs/1704.06904. Deviations: the
soft mask's 3x3 max pooling of stride 2 is not symmetric on maps of even side and would break equivariance there; its
windows are 2x2 then. On odd sides they are the published ones.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.functional.fast.max_pool import max_pool2d
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.nn.arguments import at_most, checked, one_of
from attentive_gconv.nn.attention.base import AttentionMap, check_map
from attentive_gconv.nn.attention.channel import NORMS
from attentive_gconv.nn.checks import hidden_channels, integer
from attentive_gconv.nn.conv import GroupConv2d
from attentive_gconv.nn.norm import GroupBatchNorm2d

# sides of maps are below 2^20
MOST_HALVINGS = 20


class NetworkAttention(AttentionMap):
    """Base class of attention maps whose logits a network of group convolutions computes, the module `network`."""

    def __init__(self, group: FiniteGroup, channels: int, over_group: bool, gate: str, network: nn.Module) -> None:
        super().__init__()
        self.group = group
        self.channels = channels
        self.over_group = over_group
        self.use_gate(gate)
        self.network = network

    def logits(self, x: Tensor) -> Tensor:
        """The network's output; for a planar map its maximum over h."""
        check_map(self, self.group, self.channels, self.over_group, x)
        if self.over_group:
            return cast("Tensor", self.network(x))
        lifted = x.unsqueeze(2).expand(-1, -1, self.group.order, -1, -1)
        return cast("Tensor", self.network(lifted)).max(2).values

    def extra_repr(self) -> str:
        """The arguments, as `repr` shows them."""
        return f"{self.group.name!r}, {self.channels}, over_group={self.over_group}, gate={self.gate!r}"


class ContextAttention(NetworkAttention):
    """Spatial attention that looks far: a bottleneck of dilated convolutions, BAM's spatial branch.

    Args:
        group: the group of the map.
        channels: C.
        ratio: the bottleneck has ``C // ratio`` channels.
        dilation: of the 3x3 convolutions.
        over_group: whether the input is a map on the group or a planar map.
        norm: batch normalisation: ``"output"`` (of the logits), ``"hidden"`` (after each layer but the last) or
            ``"none"``.
        gate: a name of `attentive_gconv.functional.gating.GATES`.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, 1, |H|, Y, X)``; planar ``(B, C, Y, X)`` -> ``(B, 1, Y, X)``.

    Raises:
        ValueError: if the ratio exceeds the channels, on unknown names, or inputs of another shape.

    Source:
        Park et al., BMVC 2018, §3 "spatial attention branch", https://arxiv.org/abs/1807.06514; between the layers the
        rectification of its released code, which the formula leaves out.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.ContextAttention("p4", channels=8, ratio=2)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 1, 4, 9, 9])
    """

    @checked(dilation=integer, norm=one_of(*NORMS))
    def __init__(
        self,
        group: str | FiniteGroup,
        channels: int,
        ratio: int = 16,
        dilation: int = 4,
        *,
        over_group: bool = True,
        norm: str = "output",
        gate: str = "sigmoid",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        group = find_group(group)
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        hidden = hidden_channels(channels, ratio)
        layers: list[nn.Module] = []
        for width, side in ((channels, 1), (hidden, 3), (hidden, 3)):
            spread = dilation if side == 3 else 1
            layers.append(GroupConv2d(group, width, hidden, side, padding="same", dilation=spread, bias=True, **made))
            if norm == "hidden":
                layers.append(GroupBatchNorm2d(hidden, **made))
            layers.append(nn.ReLU())
        layers.append(GroupConv2d(group, hidden, 1, 1, bias=True, **made))
        if norm == "output":
            layers.append(GroupBatchNorm2d(1, **made))
        super().__init__(group, channels, over_group, gate, nn.Sequential(*layers))


class ResidualUnit(nn.Module):
    """A pre-activation bottleneck on maps on the group: x + W3*r(W2*r(W1*r(x))), r batch normalisation and relu.

    ``W1`` is 1x1, C → C // ratio; ``W2`` is 3x3; ``W3`` is 1x1, back to C.
    """

    def __init__(self, group: FiniteGroup, channels: int, ratio: int, **made: Any) -> None:
        super().__init__()
        hidden = hidden_channels(channels, ratio)
        self.body = nn.Sequential(
            *_activated(group, channels, hidden, 1, **made),
            *_activated(group, hidden, hidden, 3, **made),
            *_activated(group, hidden, channels, 1, **made),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, |H|, Y, X)`` -> the same."""
        return x + cast("Tensor", self.body(x))


class Hourglass(nn.Module):
    """Hourglass network: max pooling, residual units, the same one scale below, and bilinear upsampling.

    ``depth`` is the number of scales.
    """

    def __init__(self, group: FiniteGroup, channels: int, ratio: int, depth: int, **made: Any) -> None:
        super().__init__()
        self.down = ResidualUnit(group, channels, ratio, **made)
        self.up = ResidualUnit(group, channels, ratio, **made)
        self.skip = ResidualUnit(group, channels, ratio, **made) if depth > 1 else None
        self.below = Hourglass(group, channels, ratio, depth - 1, **made) if depth > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, |H|, Y, X)`` -> the same."""
        sides = x.shape[-2:]
        # windows of 3 (padded by 1) fit odd sides symmetrically, windows of 2 even ones
        odd = [side % 2 for side in sides]
        pooled = max_pool2d(x.flatten(1, 2), (2 + odd[0], 2 + odd[1]), (2, 2), (odd[0], odd[1]), False)
        f = self.down(pooled.unflatten(1, x.shape[1:3]))
        if self.skip is not None and self.below is not None:
            f = self.skip(f) + self.below(f)
        grown = F.interpolate(self.up(f).flatten(1, 2), size=sides, mode="bilinear", align_corners=False)
        out: Tensor = grown.unflatten(1, x.shape[1:3])
        return out


class SoftMask(NetworkAttention):
    """The mask branch of residual attention: a value for every channel, group element and position.

    Args:
        group: the group of the map.
        channels: C.
        ratio: the bottlenecks of the residual units have ``C // ratio`` channels.
        depth: how often the map is halved, at least once.
        over_group: whether the input is a map on the group or a planar map.
        gate: ``"sigmoid"``, ``"channel_norm"`` or ``"spatial_norm"``, the paper's mixed, channel and spatial attention.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` or ``(B, C, Y, X)`` -> the same.

    Raises:
        ValueError: if the ratio exceeds the channels, on an unknown gate, or inputs of another shape.

    Source:
        Wang et al., CVPR 2017, §3.1-3.2 and Figure 2, https://arxiv.org/abs/1704.06904; one residual unit a scale.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.SoftMask("p4", channels=8)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    @checked(depth=at_most(MOST_HALVINGS))
    def __init__(
        self,
        group: str | FiniteGroup,
        channels: int,
        ratio: int = 4,
        depth: int = 2,
        *,
        over_group: bool = True,
        gate: str = "sigmoid",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        group = find_group(group)
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        network = nn.Sequential(
            Hourglass(group, channels, ratio, depth, **made),
            *_activated(group, channels, channels, 1, **made),
            *_activated(group, channels, channels, 1, **made),
        )
        super().__init__(group, channels, over_group, gate, network)


def _activated(group: FiniteGroup, in_channels: int, out_channels: int, side: int, **made: Any) -> list[nn.Module]:
    """Batch normalisation, relu and a convolution that keeps the size."""
    convolution = GroupConv2d(group, in_channels, out_channels, side, padding="same", **made)
    return [GroupBatchNorm2d(in_channels, **made), nn.ReLU(), convolution]
