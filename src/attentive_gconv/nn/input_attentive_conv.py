r"""Lifting and group convolution with input attention: the layers of the α_F-networks.

    out = conv( x - α_X·(α_C·x) )

α does not depend on the output and is computed once, on the input: its formulas are in `attentive_gconv.nn.attention`.

Source: Romero, Bekkers, Tomczak, Hoogendoorn, "Attentive Group Equivariant Convolutional Networks", ICML 2020, §5.1,
https://arxiv.org/abs/2002.03830.
"""

from typing import Any

import torch
from torch import Tensor

from attentive_gconv.functional.gating import STATISTICS
from attentive_gconv.functional.geometry import Pair
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.nn.arguments import checked
from attentive_gconv.nn.attention import InputAttention, check_parts
from attentive_gconv.nn.conv import GroupConv2d, GroupConvolution, LiftingConv2d


class _AttendedInput(GroupConvolution):
    """Base class of lifting and group convolution with input attention."""

    @checked()
    def __init__(
        self,
        group: str | FiniteGroup,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair | str = 0,
        dilation: int | Pair = 1,
        bias: bool = False,
        *,
        groups: int = 1,
        padding_mode: str = "zeros",
        channel: bool = True,
        spatial: bool = True,
        ratio: int | None = None,
        spatial_kernel_size: int = 7,
        spatial_dilation: int = 1,
        statistics: tuple[str, ...] = STATISTICS,
        combination: str = "suppress",
        wscale: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Make the convolution and its attention."""
        check_parts(
            *(channel, spatial, ratio),
            spatial_kernel_size=spatial_kernel_size,
            spatial_dilation=spatial_dilation,
            statistics=tuple(statistics),
        )
        super().__init__(
            *(group, in_channels, out_channels, kernel_size, stride, padding, dilation, bias),
            groups=groups,
            padding_mode=padding_mode,
            wscale=wscale,
            device=device,
            dtype=dtype,
        )
        self.attention = InputAttention(
            self.group,
            in_channels,
            over_group=self.over_group,
            channel=channel,
            spatial=spatial,
            ratio=ratio,
            kernel_size=spatial_kernel_size,
            dilation=spatial_dilation,
            statistics=statistics,
            combination=combination,
            wscale=wscale if spatial else 1.0,
            device=device,
            dtype=dtype,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Attend to the input, then convolve; ``(B, O, |H|, Y', X')``."""
        self.check_shape(x)
        return super().forward(self.attention(x))


class InputAttentiveLiftingConv2d(_AttendedInput, LiftingConv2d):
    """Lifting convolution with input attention: attention on the planar input map, then convolution.

    Args:
        group, in_channels, out_channels, kernel_size, stride, padding, dilation, bias, groups: as in `LiftingConv2d`.
        channel, spatial: whether there is channel attention, and spatial attention.
        ratio: of the channel attention; None is 1.
        spatial_kernel_size, spatial_dilation, statistics: of the spatial attention, see `SpatialAttention`.
        combination: ``"suppress"`` (the paper: x - α·x), ``"multiply"`` (α·x) or ``"amplify"`` (x + α·x).
        padding_mode, wscale, device, dtype: as in `LiftingConv2d`; the spatial attention pads with zeros, and wscale
            also scales its initial kernel.

    Shape:
        ``(B, C, Y, X)`` -> ``(B, O, |H|, Y', X')``.

    Raises:
        ValueError: on arguments or inputs of wrong type, size or shape; the message says which and what to do.

    Source:
        Romero et al., ICML 2020, §5.1, https://arxiv.org/abs/2002.03830.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> layer = ag.nn.InputAttentiveLiftingConv2d("p4m", 3, 8, kernel_size=3, spatial_dilation=4)
        >>> layer(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 8, 8, 30, 30])
    """


class InputAttentiveGroupConv2d(_AttendedInput, GroupConv2d):
    """Group convolution with input attention: attention on the input map, then convolution.

    Args:
        group, in_channels, out_channels, kernel_size, stride, padding, dilation, bias, groups: as in `GroupConv2d`.
        channel, spatial, ratio, spatial_kernel_size, spatial_dilation, statistics, combination, padding_mode, wscale,
        device, dtype:
            as in `InputAttentiveLiftingConv2d`; a ratio of None is 2, or 1 for a single channel.

    Shape:
        ``(B, C, |H|, Y, X)`` -> ``(B, O, |H|, Y', X')``.

    Raises:
        ValueError: on arguments or inputs of wrong type, size or shape; the message says which and what to do.

    Source:
        Romero et al., ICML 2020, §5.1, https://arxiv.org/abs/2002.03830.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> layer = ag.nn.InputAttentiveGroupConv2d("p4", 8, 8, kernel_size=3, ratio=4)
        >>> layer(torch.randn(2, 8, 4, 12, 12)).shape
        torch.Size([2, 8, 4, 10, 10])
    """
