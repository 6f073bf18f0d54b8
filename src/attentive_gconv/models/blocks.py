"""Building blocks of the model families: convolutions with attention, norms, initial weights, the check of sizes."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.lookup import find
from attentive_gconv.nn.arguments import one_of
from attentive_gconv.nn.attention import BAM, CBAM, ResidualAttention, SqueezeExcite
from attentive_gconv.nn.attentive_conv import AttentiveGroupConv2d, AttentiveLiftingConv2d
from attentive_gconv.nn.conv import GroupConv2d, GroupConvolution, LiftingConv2d
from attentive_gconv.nn.input_attentive_conv import InputAttentiveGroupConv2d, InputAttentiveLiftingConv2d
from attentive_gconv.nn.norm import GroupBatchNorm2d
from attentive_gconv.nn.pooling import SpatialMaxPool2d, blurred_max_pool


@dataclass(frozen=True)
class Attention:
    """A kind of attention: its layer classes and their options."""

    lifting: Callable[..., nn.Module]
    group: Callable[..., nn.Module]
    options: dict[str, Any]
    description: str
    has_ratio: bool = True
    has_kernel: bool = True


def _attended(attend: type[nn.Module], convolve: type[GroupConvolution]) -> Callable[..., nn.Module]:
    """A published attention module on the input, followed by a convolution.

    ``wscale`` scales the initial weights of the convolution alone; those of the module are as published.
    """

    def layer(
        group: FiniteGroup,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        padding: int,
        wscale: float,
        **options: Any,
    ) -> nn.Module:
        attention = attend(group, in_channels, over_group=convolve.over_group, **options)
        convolution = convolve(group, in_channels, out_channels, kernel_size, padding=padding, wscale=wscale)
        return nn.Sequential(OrderedDict(attention=attention, convolution=convolution))

    return layer


def _published(attend: type[nn.Module], description: str, *, has_kernel: bool = False, **options: Any) -> Attention:
    lifting, group = _attended(attend, LiftingConv2d), _attended(attend, GroupConv2d)
    return Attention(lifting, group, options, description, has_kernel=has_kernel)


_FULL = (AttentiveLiftingConv2d, AttentiveGroupConv2d)
_INPUT = (InputAttentiveLiftingConv2d, InputAttentiveGroupConv2d)

ATTENTION: dict[str, Attention] = {
    "none": Attention(LiftingConv2d, GroupConv2d, {}, "no attention", has_ratio=False, has_kernel=False),
    "full": Attention(*_FULL, {}, "full attention, channel and spatial (α)"),
    "full_channel": Attention(*_FULL, {"spatial": False}, "full channel attention (α_CH)", has_kernel=False),
    "full_spatial": Attention(*_FULL, {"channel": False}, "full spatial attention (α_SP)", has_ratio=False),
    "input": Attention(*_INPUT, {}, "input attention, channel and spatial (α_F)"),
    "input_channel": Attention(*_INPUT, {"spatial": False}, "input channel attention", has_kernel=False),
    "input_spatial": Attention(*_INPUT, {"channel": False}, "input spatial attention", has_ratio=False),
    "co_attention": Attention(
        *_INPUT,
        {"channel": False, "statistics": (), "spatial_kernel_size": 1},
        "co-attention (2020) on the input (α_RX)",
        has_ratio=False,
        has_kernel=False,
    ),
    "se": _published(SqueezeExcite, "squeeze-and-excitation on the input"),
    "cbam": _published(CBAM, "CBAM on the input", has_kernel=True),
    "bam": _published(BAM, "BAM on the input"),
    # one scale: the networks' maps are as small as those of the published network's last stage, which has one
    "residual": _published(ResidualAttention, "residual attention on the input", depth=1),
}


attention_kind = one_of(*ATTENTION)

POOLS: dict[str, Callable[[], nn.Module]] = {"max": lambda: SpatialMaxPool2d(2), "blur": blurred_max_pool}
pool_kind = one_of(*POOLS)


def convolution(
    group: FiniteGroup,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    attention: str,
    lifting: bool = False,
    padding: int = 0,
    wscale: float = 1.0,
    ratio: int | None = 2,
    spatial_kernel_size: int = 7,
    spatial_dilation: int = 1,
) -> nn.Module:
    """Create a lifting or group convolution with a kind of attention, a name in `ATTENTION`.

    Args:
        group, in_channels, out_channels, kernel_size, padding, wscale: of the convolution.
        attention: a kind of `ATTENTION`. Kinds without channel (spatial) attention ignore its options below.
        lifting: whether the input is a planar map.
        ratio: reduction of the channel attention in group layers; None is ``in_channels // 2``, as in the paper's
            ResNet and DenseNet. Lifting layers, which see few channels, have 1 in every network of the paper.
        spatial_kernel_size, spatial_dilation: of the spatial attention.

    Raises:
        ValueError: if the attention is unknown; the message offers the nearest.
    """
    kind = find("attention", attention, ATTENTION)
    options = dict(kind.options)
    if kind.has_ratio:
        options["ratio"] = 1 if lifting else max(1, in_channels // 2) if ratio is None else ratio
    if kind.has_kernel:
        options.update(spatial_kernel_size=spatial_kernel_size, spatial_dilation=spatial_dilation)
    layer = kind.lifting if lifting else kind.group
    return layer(group, in_channels, out_channels, kernel_size, padding=padding, wscale=wscale, **options)


def batch_norm(channels: int) -> GroupBatchNorm2d:
    """Batch normalisation with the paper's epsilon."""
    return GroupBatchNorm2d(channels, eps=2e-5)


def check_images(x: Tensor, group: FiniteGroup, *, smallest: int, multiple: int) -> None:
    """Raise ValueError unless a network takes images of this size.

    Args:
        x: the images.
        group: the network's group. With the trivial group any size from the smallest on is allowed.
        smallest: the least side for which the network's last map is not empty.
        multiple: sides that are multiples of it are even wherever the network pools by 2 x 2. An odd side there would
            leave out the last row or column, but never the first, and break equivariance.

    Raises:
        ValueError: if x is no batch of images, too small, or of a size that breaks equivariance.
    """
    if x.dim() != 4:
        raise ValueError(f"the network takes images (B, C, Y, X), got shape {tuple(x.shape)}")
    height, width = x.shape[-2:]
    if min(height, width) < smallest:
        raise ValueError(
            f"images of {height} x {width} are too small for the network, nothing would be left to average; the least "
            f"side is {smallest}: enlarge the images"
        )
    if group.order > 1 and (height % multiple or width % multiple):
        near = " x ".join(str(max(smallest, round(side / multiple) * multiple)) for side in (height, width))
        raise ValueError(
            f"images of {height} x {width} have a side that is no multiple of {multiple}: 2 x 2 pooling would leave "
            f"out a border and break equivariance to {group.name!r}; crop, pad or resize them, for example to {near}"
        )


@torch.no_grad()
def normal_convolutions_(model: nn.Module, *, gain: float | None = None, std: float | None = None) -> None:
    """Draw every kernel anew, in place, as in the planar networks: N(0, gain / fan_in), or N(0, std²)."""
    for layer in model.modules():
        if isinstance(layer, GroupConvolution):
            fan_in = layer.weight[0].numel()
            layer.weight.normal_(0, std if std is not None else ((gain or 1.0) / fan_in) ** 0.5)
