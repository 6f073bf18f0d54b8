"""The ResNet-44 family for CIFAR-10: resnet44, its p4m form, and the α_F-network.

    c1 3x3 · three stages of pre-activation blocks · BN, relu · mean over space · c_out 1x1 → classes
    · mean over the group

    block   x ↦ fiber(x) + c2(relu bn2 c1(relu bn1 x)), both 3x3. In the first block of the second and third stage
            fiber is a 1x1 convolution, and it and c1 are each followed by a 2x2 max-pool; elsewhere it is the identity

One class body: the group, the attention, the widths and the number of blocks are its parameters.

Source: He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016, https://arxiv.org/abs/1603.05027 (the
network; its strides are stride 1 and a max-pool here, for equivariance on even sides); Cohen & Welling, ICML 2016, §8.2
(the group form); Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830 (attention on every convolution: hidden
layers of width 2, 7x7).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.models.blocks import (
    POOLS,
    attention_kind,
    batch_norm,
    check_images,
    convolution,
    normal_convolutions_,
    pool_kind,
)
from attentive_gconv.models.image_classifier import ImageClassifier
from attentive_gconv.nn import GroupMeanPool
from attentive_gconv.nn.arguments import checked
from attentive_gconv.nn.checks import integer, refusal

# the names of the stages in the authors' checkpoints, by the side of the stage's maps for 32 x 32 images
STAGES = ("layers_nc32", "layers_nc16", "layers_nc8")


def _widths(name: str, value: Any) -> tuple[int, ...]:
    """The widths, if there is one for each stage."""
    if not isinstance(value, tuple | list) or len(value) != len(STAGES):
        raise refusal(name, value, f"must be {len(STAGES)} widths, one a stage, as (11, 23, 45)")
    return tuple(integer(name, width) for width in value)


class PreActivationBlock(nn.Module):
    """A residual block; one that downsamples halves the sides, and maps its input to the new width.

    Args:
        conv: makes a group convolution of (in_channels, out_channels, kernel_size).
        in_channels, out_channels: the widths, different only where the block downsamples.
        downsample: whether it does.
        pool: makes the pool of a block that does.
    """

    def __init__(
        self,
        conv: Callable[..., nn.Module],
        in_channels: int,
        out_channels: int,
        *,
        downsample: bool,
        pool: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.bn1 = batch_norm(in_channels)
        self.c1 = conv(in_channels, out_channels, 3, padding=1)
        self.bn2 = batch_norm(out_channels)
        self.c2 = conv(out_channels, out_channels, 3, padding=1)
        self.fiber_map = conv(in_channels, out_channels, 1) if downsample else nn.Identity()
        self.pool = pool() if downsample else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Sum of the skip path and the residual path."""
        residual = self.pool(self.c1(self.bn1(x).relu()))
        out: Tensor = self.pool(self.fiber_map(x)) + self.c2(self.bn2(residual).relu())
        return out


class ResNet(ImageClassifier):
    """The residual network of the CIFAR-10 experiments: 6·num_blocks + 2 convolutions deep, fiber maps not counted.

    Args:
        group: the group.
        attention: a kind of `attentive_gconv.models.blocks.ATTENTION`.
        channels: the widths of the three stages.
        num_blocks: blocks in each stage; 7 is ResNet-44.
        num_classes: number of classes; 0 for no classifier.
        in_channels: channels of the images.
        ratio: reduction of the channel attention, except in c1; None is half the layer's input channels.
        normal_init: draw the kernels from N(0, 2 / fan_in), as the planar network does, instead of U(-s, s).
        pool: ``"max"``, or ``"blur"`` for the anti-aliased form, see `attentive_gconv.nn.SpatialBlurPool2d`.

    Shape:
        ``(B, in_channels, Y, X)`` -> logits ``(B, num_classes)``. The paper's images are 32 x 32; any sides that are
        multiples of 4 will do, and for the trivial group any of at least 4. Intermediate maps: after each stage.

    Raises:
        ValueError: if an argument is out of range, or the images are too small or of sides that break equivariance.

    Source:
        He et al., ECCV 2016, https://arxiv.org/abs/1603.05027; Romero et al., ICML 2020.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.models.ResNet("p4", channels=(2, 4, 8), num_blocks=1)(torch.randn(2, 3, 16, 16)).shape
        torch.Size([2, 10])
    """

    classifier = ("c_out",)

    @checked(attention=attention_kind, pool=pool_kind, channels=_widths)
    def __init__(
        self,
        group: str | FiniteGroup = "p4m",
        attention: str = "none",
        channels: Sequence[int] = (11, 23, 45),
        num_blocks: int = 7,
        num_classes: int = 10,
        in_channels: int = 3,
        ratio: int | None = None,
        normal_init: bool = False,
        pool: str = "max",
    ) -> None:
        super().__init__()
        self.group = find_group(group)
        conv = self._convolution = partial(convolution, self.group, attention=attention, wscale=2**0.5, ratio=ratio)
        self.c1 = conv(in_channels, channels[0], 3, lifting=True, padding=1)
        before = channels[0]
        block = partial(PreActivationBlock, conv, pool=POOLS[pool])
        for number, (stage, width) in enumerate(zip(STAGES, channels, strict=True)):
            first = block(before, width, downsample=number > 0)
            others = (block(width, width, downsample=False) for _ in range(num_blocks - 1))
            self.add_module(stage, nn.Sequential(first, *others))
            before = width
        self.bn_out = batch_norm(before)
        self._describe(before, *((stage, channels[i], 2**i) for i, stage in enumerate(STAGES)))
        self.reset_classifier(num_classes)
        self.over_group = GroupMeanPool()
        if normal_init:
            self._normal = {"gain": 2.0}
            normal_convolutions_(self, **self._normal)

    def _check(self, x: Tensor) -> None:
        check_images(x, self.group, smallest=4, multiple=4)

    def _stage(self, number: int, x: Tensor) -> Tensor:
        out: Tensor = self.get_submodule(STAGES[number])(self.c1(x) if number == 0 else x)
        return out

    def _normalised(self, x: Tensor) -> Tensor:
        return self.bn_out(x).relu()  # type: ignore[no-any-return]

    def _pool(self, x: Tensor) -> Tensor:
        features: Tensor = self.over_group(x.mean((-2, -1), keepdim=True)).flatten(1)
        return features

    def _classify(self, x: Tensor) -> Tensor:
        logits: Tensor = self.over_group(self.get_submodule("c_out")(x.mean((-2, -1), keepdim=True))).flatten(1)
        return logits

    def _new_classifier(self, num_classes: int) -> list[nn.Module]:
        return [self._convolution(self.num_features, num_classes, 1)]
