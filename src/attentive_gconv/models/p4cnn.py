"""The rotated-MNIST family: z2cnn, p4cnn and its controls, the α-, α_CH-, α_SP-, α_F- and α_RX-networks, c8cnn.

    c1 3x3, BN, relu, dropout · c2 3x3, BN, relu · 2x2 max-pool · c3 … c6 3x3, each BN, relu, dropout · c7 4x4 → classes
    · maximum over the group

One class body: the group, the attention, the widths and the pool are its parameters. Larger kernels are padded so that
maps have the sizes that 3x3 kernels leave. The C8-networks are ours: 5x5 kernels, which turn by 45° with half the error
of 3x3 ones, and a blurred max-pool, at the numbers of parameters of p4cnn and alpha_f_p4cnn.

Source: Cohen & Welling, ICML 2016, §8.1, https://arxiv.org/abs/1602.07576 (the network); Romero et al., ICML 2020,
https://arxiv.org/abs/2002.03830 and its released code (attention: ratio 2, in c1 1; 7x7; α_F dilated by 4 in c1).
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.models.blocks import (
    POOLS,
    attention_kind,
    batch_norm,
    convolution,
    normal_convolutions_,
    pool_kind,
)
from attentive_gconv.models.image_classifier import ImageClassifier
from attentive_gconv.nn import Dropout, GroupMaxPool
from attentive_gconv.nn.arguments import checked
from attentive_gconv.nn.checks import odd, refusal

SIDE = 28


def _kernel_size(name: str, value: Any) -> int:
    """The size, if it is odd and at least 3."""
    if (size := odd(name, value)) < 3:
        raise refusal(name, value, "must be at least 3, and odd")
    return size


class RotMNISTNet(ImageClassifier):
    """The seven-layer network of the rotated-MNIST experiments.

    Args:
        group: the group.
        attention: a kind of `attentive_gconv.models.blocks.ATTENTION`.
        channels: the width of every layer.
        num_classes: number of classes; 0 for no classifier.
        in_channels: channels of the images.
        dropout: probability of dropout.
        ratio: reduction of the channel attention, from c2 on.
        first_dilation: dilation of the spatial attention in c1.
        normal_init: draw the kernels from N(0, 1 / fan_in), as the planar network does, instead of U(-s, s).
        kernel_size: of c1 to c6, odd and at least 3; the padding keeps the sizes of the maps.
        pool: ``"max"``, or ``"blur"`` for the anti-aliased form, see `attentive_gconv.nn.SpatialBlurPool2d`.

    Shape:
        ``(B, in_channels, 28, 28)`` -> logits ``(B, num_classes)``. Intermediate maps: 24 x 24 after c2, 4 x 4 after
        c6.

    Raises:
        ValueError: if the images are not 28 x 28, or an argument is out of range.

    Source:
        Cohen & Welling, ICML 2016, §8.1, https://arxiv.org/abs/1602.07576; Romero et al., ICML 2020.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.models.RotMNISTNet("p4m", attention="input", channels=4)(torch.randn(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    classifier = ("c7",)

    @checked(attention=attention_kind, kernel_size=_kernel_size, pool=pool_kind)
    def __init__(
        self,
        group: str | FiniteGroup = "p4",
        attention: str = "none",
        channels: int = 10,
        num_classes: int = 10,
        in_channels: int = 1,
        dropout: float = 0.3,
        ratio: int = 2,
        first_dilation: int = 1,
        normal_init: bool = False,
        kernel_size: int = 3,
        pool: str = "max",
    ) -> None:
        super().__init__()
        self.group = find_group(group)
        self._convolution = partial(convolution, self.group, attention=attention)
        padding = (kernel_size - 3) // 2
        for i in range(1, 7):
            width = in_channels if i == 1 else channels
            options: dict[str, Any] = (
                {"lifting": True, "ratio": 1, "spatial_dilation": first_dilation} if i == 1 else {"ratio": ratio}
            )
            self.add_module(f"c{i}", self._convolution(width, channels, kernel_size, padding=padding, **options))
            self.add_module(f"bn{i}", batch_norm(channels))
        self._ratio = ratio
        self._describe(channels, ("bn2", channels, 1), ("bn6", channels, 2))
        self.reset_classifier(num_classes)
        self.dropout = Dropout(dropout)
        self.pool = POOLS[pool]()
        self.over_group = GroupMaxPool()
        if normal_init:
            self._normal = {"gain": 1.0}
            normal_convolutions_(self, **self._normal)

    def _check(self, x: Tensor) -> None:
        if x.dim() != 4 or tuple(x.shape[-2:]) != (SIDE, SIDE):
            raise ValueError(
                f"the rotated-MNIST networks take images (B, C, {SIDE}, {SIDE}), got {tuple(x.shape)}; resize them"
            )

    def _stage(self, number: int, x: Tensor) -> Tensor:
        x = x if number == 0 else self.pool(x)
        for i in (1, 2) if number == 0 else (3, 4, 5, 6):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"c{i}")(x)).relu()
            x = x if i == 2 else self.dropout(x)
        return x

    def _pool(self, x: Tensor) -> Tensor:
        features: Tensor = self.over_group(x).mean((-2, -1))
        return features

    def _classify(self, x: Tensor) -> Tensor:
        logits: Tensor = self.over_group(self.get_submodule("c7")(x)).flatten(1)
        return logits

    def _new_classifier(self, num_classes: int) -> list[nn.Module]:
        return [self._convolution(self.num_features, num_classes, 4, ratio=self._ratio)]
