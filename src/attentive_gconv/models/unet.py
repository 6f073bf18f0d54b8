"""An attentive U-Net for segmentation: a logit for every class and pixel, equivariant to the group.

    encoder   depth + 1 levels of two 3x3 convolutions, each BN, relu; 2x2 max-pool between levels, widths n·2^level
    decoder   at each level: transposed convolution 2x2, stride 2 · concatenation with the encoder's map · two 3x3
              convolutions, each BN, relu
    head      1x1 group convolution → classes · mean over the group

Every 3x3 convolution can be attentive. The mean over the group makes a planar map that moves with the image.

Source: Ronneberger et al., "U-Net", MICCAI 2015, https://arxiv.org/abs/1505.04597. Deviations: padding 1, so that the
masks have the size of the images; batch normalisation; group convolutions, and attention on the input of each.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.models.blocks import attention_kind, convolution
from attentive_gconv.nn import (
    GroupBatchNorm2d,
    GroupConv2d,
    GroupConvTranspose2d,
    GroupDropout2d,
    GroupMeanPool,
    SpatialMaxPool2d,
)
from attentive_gconv.nn.arguments import at_most, checked
from attentive_gconv.nn.checks import integer


class _Level(nn.Sequential):
    """Two convolutions, each with batch norm and relu."""

    def __init__(self, first: nn.Module, second: nn.Module, channels: int) -> None:
        norms = [GroupBatchNorm2d(channels) for _ in range(2)]
        super().__init__(first, norms[0], nn.ReLU(), second, norms[1], nn.ReLU())


class UNet(nn.Module):
    """U-Net on a group, with attention.

    Args:
        group: the group.
        attention: a kind of `attentive_gconv.models.blocks.ATTENTION`.
        channels: n, the width of the first level; each further level has twice as many.
        depth: how often the maps are halved.
        num_classes, in_channels: classes, the background included, and channels of the images.
        dropout: probability of `GroupDropout2d` on the deepest map.
        ratio: reduction of the channel attention, except in the first convolution.
        spatial_kernel_size: of the spatial attention.

    Shape:
        ``(B, in_channels, Y, X)`` -> logits ``(B, num_classes, Y, X)``; the sides must be multiples of 2^depth.

    Raises:
        ValueError: if an argument is out of range, or the images have other sides.

    Source:
        Ronneberger et al., MICCAI 2015, https://arxiv.org/abs/1505.04597.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model = ag.models.UNet("p4m", channels=2, depth=1, num_classes=3).double()
        >>> images = torch.randn(2, 1, 16, 16, dtype=torch.float64)
        >>> model(images).shape
        torch.Size([2, 3, 16, 16])
        >>> ag.testing.assert_equivariant(model, "p4m", images)
    """

    @checked(attention=attention_kind, depth=at_most(10), num_classes=integer)
    def __init__(
        self,
        group: str | FiniteGroup = "p4m",
        attention: str = "input",
        channels: int = 8,
        depth: int = 2,
        num_classes: int = 2,
        in_channels: int = 1,
        dropout: float = 0.0,
        ratio: int = 2,
        spatial_kernel_size: int = 7,
    ) -> None:
        super().__init__()
        self.group = find_group(group)
        self.depth = depth
        options: dict[str, Any] = {"attention": attention, "ratio": ratio, "spatial_kernel_size": spatial_kernel_size}
        conv = partial(convolution, self.group, kernel_size=3, padding=1, wscale=2**0.5, **options)
        widths = [channels * 2**level for level in range(depth + 1)]
        self.down, self.up, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        before = in_channels
        for level, width in enumerate(widths):
            first = conv(in_channels=before, out_channels=width, lifting=level == 0)
            self.down.append(_Level(first, conv(in_channels=width, out_channels=width), width))
            before = width
        for width in reversed(widths[:-1]):
            self.up.append(GroupConvTranspose2d(self.group, 2 * width, width, 2, stride=2))
            first = conv(in_channels=2 * width, out_channels=width)
            self.decoder.append(_Level(first, conv(in_channels=width, out_channels=width), width))
        self.pool = SpatialMaxPool2d(2)
        self.dropout = GroupDropout2d(dropout)
        self.head = GroupConv2d(self.group, channels, num_classes, 1, bias=True)
        self.over_group = GroupMeanPool()

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, num_classes, Y, X)`` of images ``(B, in_channels, Y, X)``."""
        multiple = 2**self.depth
        if x.dim() != 4 or x.shape[-2] % multiple or x.shape[-1] % multiple or 0 in x.shape[-2:]:
            raise ValueError(
                f"the network takes images (B, C, Y, X) whose sides are multiples of {multiple}, got shape "
                f"{tuple(x.shape)}; crop, pad or resize them"
            )
        skipped = []
        for level, layers in enumerate(self.down):
            x = layers(x if level == 0 else self.pool(x))
            skipped.append(x)
        x = self.dropout(skipped.pop())
        for up, layers in zip(self.up, self.decoder, strict=True):
            x = layers(torch.cat([skipped.pop(), up(x)], 1))
        logits: Tensor = self.over_group(self.head(x))
        return logits
