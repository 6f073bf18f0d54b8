r"""Published attention modules, equivariant to every group, composed of the library's maps.

    SqueezeExcite      α_C, mean                          x ↦ α_C·x
    CBAM               α_C then α_X, mean and maximum     x ↦ α_X·(α_C·x)
    BAM                σ(ℓ_C + ℓ_X)                       x ↦ x + α·x
    ResidualAttention  soft mask M                        x ↦ x + M·x
    CoAttention        α_X of all channels, 1x1           x ↦ x - α_X·x

Each is a special case of attention α(g, g~) that does not depend on the output g, see docs/explanation/theory.md. With
the trivial group they are the published modules; with any other they are equivariant to it. They follow or precede any
group convolution, and a planar map (``over_group=False``) may be the input of a lifting layer.
"""

from typing import Any

import torch

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.nn.arguments import at_most, checked, one_of
from attentive_gconv.nn.attention.base import Attend, ParallelAttention, in_order
from attentive_gconv.nn.attention.channel import NORMS, ChannelAttention
from attentive_gconv.nn.attention.network import MOST_HALVINGS, ContextAttention, SoftMask
from attentive_gconv.nn.attention.spatial import spatial_attention
from attentive_gconv.nn.checks import integer


class SqueezeExcite(Attend):
    """Squeeze-and-excitation: channel attention from mean values.

    Args:
        group: the group of the map.
        channels: C.
        ratio: the hidden layer has ``C // ratio`` channels.
        over_group: whether the input is a map on the group or a planar map.
        bias: whether the two layers have one; the paper's formula has none, timm's `SEModule` has.
        combination: ``"multiply"`` (published), ``"amplify"`` or ``"suppress"``.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same; planar ``(B, C, Y, X)`` -> the same.

    Raises:
        ValueError: if the ratio exceeds the channels, on an unknown combination, or inputs of another shape.

    Source:
        Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018, §3, https://arxiv.org/abs/1709.01507.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.SqueezeExcite("p4m", channels=8, ratio=4)(torch.randn(2, 8, 8, 9, 9)).shape
        torch.Size([2, 8, 8, 9, 9])
    """

    @checked()
    def __init__(
        self,
        group: str | FiniteGroup,
        channels: int,
        ratio: int = 16,
        *,
        over_group: bool = True,
        bias: bool = False,
        combination: str = "multiply",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        made: dict[str, Any] = {"over_group": over_group, "device": device, "dtype": dtype}
        excite = ChannelAttention(group, channels, ratio, statistics=("mean",), bias=bias, **made)
        super().__init__({"channel_attention": excite}, combination)


class CBAM(Attend):
    """The convolutional block attention module: channel, then spatial attention.

    Args:
        group: the group of the map.
        channels: C.
        ratio: the hidden layer of the channel attention has ``C // ratio`` channels.
        spatial_kernel_size, spatial_dilation: of the spatial attention; the size is odd.
        over_group: whether the input is a map on the group or a planar map.
        bias: whether the two layers of the channel attention have one.
        norm: whether the logits of the spatial attention are batch-normalised. The paper's formulas have neither bias
            nor norm, its released code both; timm's `CbamModule` has the norm and, unless asked, no bias.
        order: ``"channel_first"`` (published), ``"spatial_first"`` or ``"parallel"``.
        combination: ``"multiply"`` (published), ``"amplify"`` or ``"suppress"``.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same; planar ``(B, C, Y, X)`` -> the same.

    Raises:
        ValueError: if the ratio exceeds the channels, on unknown names, or inputs of another shape.

    Source:
        Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018, §3, https://arxiv.org/abs/1807.06521.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.CBAM("p4", channels=8, ratio=4)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    @checked()
    def __init__(
        self,
        group: str | FiniteGroup,
        channels: int,
        ratio: int = 16,
        spatial_kernel_size: int = 7,
        spatial_dilation: int = 1,
        *,
        over_group: bool = True,
        bias: bool = False,
        norm: bool = False,
        order: str = "channel_first",
        combination: str = "multiply",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        made: dict[str, Any] = {"over_group": over_group, "device": device, "dtype": dtype}
        what = ChannelAttention(group, channels, ratio, bias=bias, **made)
        where = spatial_attention(group, spatial_kernel_size, spatial_dilation, channels=channels, norm=norm, **made)
        super().__init__(in_order(what, where, order), combination)


class BAM(Attend):
    """The bottleneck attention module: channel and spatial attention side by side, in one gate.

    Args:
        group: the group of the map.
        channels: C.
        ratio: hidden layers have ``C // ratio`` channels, in both branches.
        dilation: of the spatial branch's 3x3 convolutions.
        over_group: whether the input is a map on the group or a planar map.
        norm: batch normalisation in both branches: ``"output"`` (the paper's formulas), ``"hidden"`` (its released
            code) or ``"none"``.
        combination: ``"amplify"`` (published), ``"multiply"`` or ``"suppress"``.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same; planar ``(B, C, Y, X)`` -> the same.

    Raises:
        ValueError: if the ratio exceeds the channels, on unknown names, or inputs of another shape.

    Source:
        Park et al., "BAM: Bottleneck Attention Module", BMVC 2018, §3, https://arxiv.org/abs/1807.06514.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.BAM("p4", channels=8, ratio=4)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
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
        combination: str = "amplify",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        made: dict[str, Any] = {"over_group": over_group, "norm": norm, "device": device, "dtype": dtype}
        what = ChannelAttention(group, channels, ratio, statistics=("mean",), bias=True, **made)
        where = ContextAttention(group, channels, ratio, dilation, **made)
        both = ParallelAttention({"channel_attention": what, "spatial_attention": where})
        super().__init__({"parallel_attention": both}, combination)


class ResidualAttention(Attend):
    """Residual attention: a soft mask M from a bottom-up, top-down network, x + M·x.

    The trunk branch of the paper is whatever layer comes before.

    Args:
        group: the group of the map.
        channels: C.
        ratio: the bottlenecks of the mask's residual units have ``C // ratio`` channels.
        depth: how often the mask branch halves the map.
        over_group: whether the input is a map on the group or a planar map.
        gate: ``"sigmoid"``, ``"channel_norm"`` or ``"spatial_norm"``, the paper's mixed, channel and spatial attention.
        combination: ``"amplify"`` (published), ``"multiply"`` (the paper's "naive" control) or ``"suppress"``.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same; planar ``(B, C, Y, X)`` -> the same.

    Raises:
        ValueError: if the ratio exceeds the channels, on unknown names, or inputs of another shape.

    Source:
        Wang et al., "Residual Attention Network for Image Classification", CVPR 2017, §3,
        https://arxiv.org/abs/1704.06904.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.ResidualAttention("p4", channels=8)(torch.randn(2, 8, 4, 9, 9)).shape
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
        combination: str = "amplify",
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        made: dict[str, Any] = {"over_group": over_group, "device": device, "dtype": dtype}
        super().__init__({"mask": SoftMask(group, channels, ratio, depth, gate=gate, **made)}, combination)


class CoAttention(Attend):
    """Co-attention of 2020, in the form the attentive networks' authors compare with (α_RX): every channel, 1x1.

    Args:
        group: the group of the map.
        channels: C.
        over_group: whether the input is a map on the group or a planar map.
        combination: ``"suppress"`` (as compared), ``"multiply"`` or ``"amplify"``.
        wscale: of the initial kernel, as in `SpatialAttention`.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same; planar ``(B, C, Y, X)`` -> the same.

    Raises:
        ValueError: on an unknown combination, or inputs of another shape.

    Source:
        Romero & Hoogendoorn, "Co-Attentive Equivariant Neural Networks", ICLR 2020, https://arxiv.org/abs/1911.07849,
        as re-implemented in the released code of Romero et al., ICML 2020.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.CoAttention("p4", channels=8)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    @checked()
    def __init__(
        self,
        group: str | FiniteGroup,
        channels: int,
        *,
        over_group: bool = True,
        combination: str = "suppress",
        wscale: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        made: dict[str, Any] = {"over_group": over_group, "wscale": wscale, "device": device, "dtype": dtype}
        where = spatial_attention(group, 1, channels=channels, statistics=(), **made)
        super().__init__({"spatial_attention": where}, combination)
