"""What the model families share: one factory for every kind of convolution, and the planar initial weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.lookup import find
from attentive_gconv.nn.attentive import (
    AttentiveGroupConv2d,
    AttentiveLiftingConv2d,
    InputAttentiveGroupConv2d,
    InputAttentiveLiftingConv2d,
)
from attentive_gconv.nn.convolution import GroupConv2d, GroupConvolution, LiftingConv2d


@dataclass(frozen=True)
class Attention:
    """A kind of attention: the classes of its layers and the options that set it apart."""

    lifting: type[nn.Module]
    group: type[nn.Module]
    options: dict[str, Any]
    description: str
    has_ratio: bool = True
    has_kernel: bool = True


_FULL = (AttentiveLiftingConv2d, AttentiveGroupConv2d)
_INPUT = (InputAttentiveLiftingConv2d, InputAttentiveGroupConv2d)

ATTENTION: dict[str, Attention] = {
    "none": Attention(LiftingConv2d, GroupConv2d, {}, "no attention", has_ratio=False, has_kernel=False),
    "full": Attention(*_FULL, {}, "full attention, channel and spatial (α)"),
    "full_channel": Attention(*_FULL, {"spatial": False}, "full channel attention (α_CH)", has_kernel=False),
    "full_spatial": Attention(*_FULL, {"channel": False}, "full spatial attention (α_SP)", has_ratio=False),
    "input": Attention(*_INPUT, {}, "attention on the input, channel and spatial (α_F)"),
    "input_channel": Attention(*_INPUT, {"spatial": False}, "channel attention on the input", has_kernel=False),
    "input_spatial": Attention(*_INPUT, {"channel": False}, "spatial attention on the input", has_ratio=False),
    "co_attention": Attention(
        *_INPUT,
        {"channel": False, "statistics": (), "spatial_kernel_size": 1},
        "co-attention of 2020 on the input (α_RX)",
        has_ratio=False,
        has_kernel=False,
    ),
}


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
    ratio: int = 2,
    spatial_kernel_size: int = 7,
    spatial_dilation: int = 1,
) -> nn.Module:
    """A lifting or group convolution with the kind of attention that `ATTENTION` names.

    Raises:
        ValueError: if the attention is unknown; the message offers the nearest.
    """
    kind = find("attention", attention, ATTENTION)
    options = dict(kind.options)
    if kind.has_ratio:
        options["ratio"] = ratio
    if kind.has_kernel:
        options.update(spatial_kernel_size=spatial_kernel_size, spatial_dilation=spatial_dilation)
    layer = kind.lifting if lifting else kind.group
    return layer(group, in_channels, out_channels, kernel_size, padding=padding, wscale=wscale, **options)


@torch.no_grad()
def normal_convolutions_(model: nn.Module, *, gain: float | None = None, std: float | None = None) -> None:
    """Initial weights of the planar networks: N(0, gain / fan_in), or N(0, std²), for every convolution's kernel."""
    for layer in model.modules():
        if isinstance(layer, GroupConvolution):
            fan_in = layer.weight[0].numel()
            layer.weight.normal_(0, std if std is not None else ((gain or 1.0) / fan_in) ** 0.5)
