"""The VGG family, for images of your own: vgg6, its p4m form, and the α_F-network. It is ours, not the paper's.

    stages of (depth - 1) times (3x3, BN, relu), then 3x3, 2x2 max-pool, BN, relu · mean over space · dropout
    · c_out 1x1 → classes · mean over the group

A stage halves the map, so large images soon cost little and the last map sees all of the image. One class body: the
group, the attention, the widths and the depth of the stages are its parameters. With ``standardize``, each image x
becomes (x - mean(x)) / sqrt(var(x) + 1e-5) first, over its channels and pixels. No rotation or mirroring changes mean
and variance, so equivariance holds; the network no longer sees brightness and contrast.

Source: Simonyan & Zisserman, ICLR 2015, https://arxiv.org/abs/1409.1556 (stages of 3x3 convolutions, each with a
max-pool at its end). Deviation: batch norm, after the pool where there is one; a mean over space instead of three fully
connected layers; one convolution a stage by default.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.models.blocks import POOLS, attention_kind, batch_norm, check_images, convolution, pool_kind
from attentive_gconv.models.image_classifier import ImageClassifier
from attentive_gconv.nn import Dropout, GroupMeanPool
from attentive_gconv.nn.arguments import checked
from attentive_gconv.nn.checks import integer, refusal

MOST_STAGES = 16


def _widths(name: str, value: Any) -> tuple[int, ...]:
    """The widths, if there is at least one stage."""
    if not isinstance(value, tuple | list) or not 1 <= len(value) <= MOST_STAGES:
        raise refusal(name, value, f"must be 1 to {MOST_STAGES} widths, one a stage, as (6, 12, 24)")
    return tuple(integer(name, width) for width in value)


class VGG(ImageClassifier):
    """Stages of convolutions, each with a max-pool at its end, for images of your own.

    Args:
        group: the group.
        attention: a kind of `attentive_gconv.models.blocks.ATTENTION`.
        channels: the width of each stage.
        depth: convolutions in each stage.
        num_classes: number of classes; 0 for no classifier.
        in_channels: channels of the images.
        dropout: probability of dropout before the classifier.
        standardize: whether each image is first standardised by its own mean and standard deviation, over all its
            channels and pixels.
        ratio: reduction of the channel attention, except in c1; None is half the layer's input channels.
        pool: ``"max"``, or ``"blur"`` for the anti-aliased form, see `attentive_gconv.nn.SpatialBlurPool2d`.

    Shape:
        ``(B, in_channels, Y, X)`` -> logits ``(B, num_classes)``. Sides that are multiples of 2^len(channels) (32),
        and for the trivial group any from there on. Intermediate maps: after each stage.

    Raises:
        ValueError: if an argument is out of range, or the images are too small or of sides that break equivariance.

    Source:
        Simonyan & Zisserman, ICLR 2015, https://arxiv.org/abs/1409.1556; Romero et al., ICML 2020 (attention).

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.models.VGG("p4m", attention="input", channels=(4, 8, 8))(torch.randn(2, 3, 24, 40)).shape
        torch.Size([2, 2])
    """

    classifier = ("c_out",)

    @checked(attention=attention_kind, channels=_widths, pool=pool_kind)
    def __init__(
        self,
        group: str | FiniteGroup = "p4m",
        attention: str = "none",
        channels: Sequence[int] = (6, 12, 24, 24, 24),
        depth: int = 1,
        num_classes: int = 2,
        in_channels: int = 3,
        dropout: float = 0.0,
        standardize: bool = False,
        ratio: int | None = None,
        pool: str = "max",
    ) -> None:
        super().__init__()
        self.group = find_group(group)
        self.depth = depth
        self.standardize = standardize
        self._convolution = partial(convolution, self.group, attention=attention, ratio=ratio)
        widths = [in_channels, *(width for width in channels for _ in range(depth))]
        for i, (before, width) in enumerate(pairwise(widths), 1):
            self.add_module(f"c{i}", self._convolution(before, width, 3, lifting=i == 1, padding=1))
            self.add_module(f"bn{i}", batch_norm(width))
        stages = enumerate(channels, 1)
        self._describe(channels[-1], *((f"bn{depth * stage}", width, 2**stage) for stage, width in stages))
        self.reset_classifier(num_classes)
        self.pool = POOLS[pool]()
        self.dropout = Dropout(dropout)
        self.over_group = GroupMeanPool()

    def _check(self, x: Tensor) -> None:
        side = 2 ** len(self.feature_info)
        check_images(x, self.group, smallest=side, multiple=side)

    def _stage(self, number: int, x: Tensor) -> Tensor:
        if number == 0 and self.standardize:
            x = F.layer_norm(x, x.shape[1:])
        last = self.depth * (number + 1)
        for i in range(last - self.depth + 1, last + 1):
            x = self.get_submodule(f"c{i}")(x)
            x = self.get_submodule(f"bn{i}")(self.pool(x) if i == last else x).relu()
        return x

    def _pool(self, x: Tensor) -> Tensor:
        return x.mean((-3, -2, -1))

    def _classify(self, x: Tensor) -> Tensor:
        x = self.dropout(x.mean((-2, -1), keepdim=True))
        logits: Tensor = self.over_group(self.get_submodule("c_out")(x)).flatten(1)
        return logits

    def _new_classifier(self, num_classes: int) -> list[nn.Module]:
        return [self._convolution(self.num_features, num_classes, 1)]
