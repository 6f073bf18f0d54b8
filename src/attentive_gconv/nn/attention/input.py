r"""The attention of the α_F-networks: channel and spatial attention on the input of a convolution.

    u = α_C(x)·x,   out = x - α_X(u)·u        the maps suppress

Source: Romero, Bekkers, Tomczak, Hoogendoorn, ICML 2020, §5.1 "input attention", https://arxiv.org/abs/2002.03830; its
released code for the order (channel first) and the planar case.
"""

from typing import Any

import torch

from attentive_gconv.functional.gating import STATISTICS
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.nn.arguments import checked
from attentive_gconv.nn.attention.base import Attend, in_order
from attentive_gconv.nn.attention.channel import ChannelAttention
from attentive_gconv.nn.attention.spatial import spatial_attention
from attentive_gconv.nn.checks import integer, odd, refusal


class InputAttention(Attend):
    """Attention on a feature map: x ↦ x - α_X·(α_C·x), channel attention first.

    Args:
        group: the group.
        channels: C.
        over_group: whether the input is a map on the group or a planar map.
        channel, spatial: whether there is channel attention, and spatial attention.
        ratio: of the channel attention; None is 2 on the group, and 1 for planar maps and single channels.
        kernel_size, dilation, statistics, wscale: of the spatial attention, see `SpatialAttention`.
        combination: ``"suppress"`` (the paper), ``"multiply"`` (α·x) or ``"amplify"`` (x + α·x).
        order: ``"channel_first"`` (the paper), ``"spatial_first"``, or ``"parallel"``: both maps of x, one gate on
            the sum of their logits.
        device, dtype: of the parameters.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same; planar ``(B, C, Y, X)`` -> the same.

    Raises:
        ValueError: without channel and spatial attention, on an argument of the one that is left out, on an unknown
            combination or order, or on arguments out of range.

    Source:
        Romero et al., ICML 2020, §5.1, https://arxiv.org/abs/2002.03830.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.nn.InputAttention("p4", channels=8)(torch.randn(2, 8, 4, 9, 9)).shape
        torch.Size([2, 8, 4, 9, 9])
    """

    @checked(kernel_size=odd, dilation=integer)
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
        order: str = "channel_first",
        wscale: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        of_spatial = {"kernel_size": kernel_size, "dilation": dilation, "statistics": tuple(statistics)}
        check_parts(channel, spatial, ratio, **of_spatial, wscale=wscale)
        made: dict[str, Any] = {"over_group": over_group, "device": device, "dtype": dtype}
        ratio = default_ratio(channels, over_group) if ratio is None else ratio
        what = ChannelAttention(group, channels, ratio, **made) if channel else None
        made.update(channels=channels, statistics=statistics, wscale=wscale)
        where = spatial_attention(group, kernel_size, dilation, **made) if spatial else None
        super().__init__(in_order(what, where, order), combination)


def default_ratio(channels: int, over_group: bool) -> int:
    """The reduction ratio where none is given: the paper's 2, or 1 for planar maps and single channels."""
    return 2 if over_group and channels > 1 else 1


def check_parts(channel: bool, spatial: bool, ratio: int | None, **of_spatial: Any) -> None:
    """Check that there is channel or spatial attention, and no argument of one that is left out.

    Args:
        channel, spatial: whether there is channel attention, and spatial attention.
        ratio: of the channel attention; None where none is given.
        of_spatial: arguments of the spatial attention, under their names in the caller's signature.

    Raises:
        ValueError: if both are False, or an argument of one that is left out differs from its default.
    """
    if not (channel or spatial):
        raise ValueError("`channel` and `spatial` are both False: that is no attention; use the plain convolution")
    if not channel and ratio is not None:
        raise refusal("ratio", ratio, "is of the channel attention, which `channel` (=False) leaves out: omit it")
    for name, value in of_spatial.items():
        default = next(value for ending, value in _SPATIAL_DEFAULTS.items() if name.endswith(ending))
        if not spatial and value != default:
            raise refusal(name, value, "is of the spatial attention, which `spatial` (=False) leaves out: omit it")


_SPATIAL_DEFAULTS = {"kernel_size": 7, "dilation": 1, "statistics": STATISTICS, "wscale": 1.0}
