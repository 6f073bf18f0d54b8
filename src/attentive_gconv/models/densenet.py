"""The DenseNet family for PCam: densenet, its p4 and p4m forms, and their α_F-networks.

    c1 3x3 → n · num_blocks times (dense layer, transition) · dense layer · BN, relu · c_out 1x1 → classes · mean over
    space and the group

    dense       x ↦ [conv(relu bn x), x cropped by one pixel at each side], conv 3x3 → n, no padding
    transition  x ↦ conv(relu bn x), 1x1, width kept, 2x2 average-pool

No layer pads, so nothing tells the border from the middle. One class body: the group, the attention, the width n and
the number of blocks are its parameters.

Source: Veeling et al., "Rotation Equivariant CNNs for Digital Pathology", MICCAI 2018,
https://arxiv.org/abs/1806.03962 (the network); Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830 (attention on
every convolution: hidden layers of width 2; 7x7, in the last dense layer 5x5, in c_out 3x3; the dilations below).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.models.blocks import attention_kind, batch_norm, check_images, convolution, normal_convolutions_
from attentive_gconv.models.image_classifier import ImageClassifier
from attentive_gconv.nn import GroupMeanPool, SpatialAvgPool2d
from attentive_gconv.nn.arguments import at_most, checked
from attentive_gconv.nn.checks import integer, refusal

FIRST_DILATION = 4
# of the spatial attention in each (dense layer, transition), from the first to the last
DILATIONS = ((4, 4), (4, 4), (3, 3), (2, 1))


def _integers(name: str, value: Any) -> list[tuple[int, ...]]:
    """The dilations of the blocks, if they are integers; `_dilations` looks at their number."""
    if not isinstance(value, tuple | list) or not all(isinstance(each, tuple | list) for each in value):
        raise refusal(name, value, "must be one pair (dense, transition) for each block, as ((4, 4), (2, 1))")
    return [tuple(integer(name, dilation) for dilation in each) for each in value]


class _PreActivation(nn.Module):
    """Pre-activation: batch norm, relu, convolution."""

    def __init__(self, in_channels: int, conv: nn.Module) -> None:
        super().__init__()
        self.bn = batch_norm(in_channels)
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(self.bn(x).relu())
        return out


class DenseLayer(_PreActivation):
    """Dense layer: new channels, concatenated with the cropped input."""

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate new channels and input."""
        return torch.cat([super().forward(x), x[..., 1:-1, 1:-1]], 1)


class TransitionLayer(_PreActivation):
    """Transition layer: 1x1 convolution and 2x2 average-pool."""

    def __init__(self, in_channels: int, conv: nn.Module) -> None:
        super().__init__(in_channels, conv)
        self.pool = SpatialAvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and pool."""
        out: Tensor = self.pool(super().forward(x))
        return out


class DenseNet(ImageClassifier):
    """The densely connected network of the PCam experiments.

    Args:
        group: the group.
        attention: a kind of `attentive_gconv.models.blocks.ATTENTION`.
        channels: n, the width of the first layer, and by how much each dense layer widens the maps.
        num_blocks: pairs of a dense layer and a transition; each halves the maps.
        num_classes: number of classes; 0 for no classifier.
        in_channels: channels of the images.
        ratio: reduction of the channel attention, except in c1; None is half the layer's input channels.
        dilations: of the spatial attention, a pair (dense, transition) for each block; None takes the paper's
            ((4, 4), (4, 4), (3, 3), (2, 1)) as far as there are blocks, and 1 in blocks beyond the fourth.
        normal_init: draw the kernels from N(0, 2 / fan_in), as the planar network does, instead of U(-s, s).

    Shape:
        ``(B, in_channels, Y, X)`` -> logits ``(B, num_classes)``. The paper's images are 96 x 96; any sides that are
        multiples of 2^num_blocks (16) and at least 5·2^num_blocks (80) will do, and for the trivial group any from
        there on. Intermediate maps: after each dense layer.

    Raises:
        ValueError: if an argument is out of range, or the images are too small or of sides that break equivariance.

    Source:
        Veeling et al., MICCAI 2018, https://arxiv.org/abs/1806.03962; Romero et al., ICML 2020.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.models.DenseNet("p4", channels=4, num_blocks=2)(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 2])
    """

    classifier = ("c_out",)

    @checked(attention=attention_kind, num_blocks=at_most(16), dilations=_integers)
    def __init__(
        self,
        group: str | FiniteGroup = "p4m",
        attention: str = "none",
        channels: int = 9,
        num_blocks: int = 4,
        num_classes: int = 2,
        in_channels: int = 3,
        ratio: int | None = None,
        dilations: Sequence[Sequence[int]] | None = None,
        normal_init: bool = False,
    ) -> None:
        super().__init__()
        self.group = find_group(group)
        self.num_blocks = num_blocks
        conv: Callable[..., nn.Module] = partial(
            convolution, self.group, attention=attention, wscale=2**0.5, ratio=ratio
        )
        self._convolution = conv
        self.c1 = conv(in_channels, channels, 3, lifting=True, spatial_dilation=FIRST_DILATION)
        self.block_layers, self.trans_layers = nn.ModuleList(), nn.ModuleList()
        width = channels
        for dense, transition in _dilations(dilations, num_blocks):
            self.block_layers.append(DenseLayer(width, conv(width, channels, 3, spatial_dilation=dense)))
            width += channels
            self.trans_layers.append(TransitionLayer(width, conv(width, width, 1, spatial_dilation=transition)))
        self.block_layers.append(DenseLayer(width, conv(width, channels, 3, spatial_kernel_size=5)))
        width += channels
        self.bn_out = batch_norm(width)
        self._describe(width, *((f"block_layers.{i}", (i + 2) * channels, 2**i) for i in range(num_blocks + 1)))
        self.reset_classifier(num_classes)
        self.over_group = GroupMeanPool()
        if normal_init:
            self._normal = {"gain": 2.0}
            normal_convolutions_(self, **self._normal)

    def _check(self, x: Tensor) -> None:
        # a side s that leaves t pixels after the last transition is 2^num_blocks·(t + 2), and the last dense layer
        # needs three
        halvings = 2**self.num_blocks
        check_images(x, self.group, smallest=5 * halvings, multiple=halvings)

    def _stage(self, number: int, x: Tensor) -> Tensor:
        out: Tensor = self.block_layers[number](self.c1(x) if number == 0 else self.trans_layers[number - 1](x))
        return out

    def _normalised(self, x: Tensor) -> Tensor:
        return self.bn_out(x).relu()  # type: ignore[no-any-return]

    def _pool(self, x: Tensor) -> Tensor:
        features: Tensor = self.over_group(x).mean((-2, -1))
        return features

    def _classify(self, x: Tensor) -> Tensor:
        logits: Tensor = self.over_group(self.get_submodule("c_out")(x)).mean((-2, -1))
        return logits

    def _new_classifier(self, num_classes: int) -> list[nn.Module]:
        return [self._convolution(self.num_features, num_classes, 1, spatial_kernel_size=3)]


def _dilations(given: Sequence[Sequence[int]] | None, num_blocks: int) -> Sequence[Sequence[int]]:
    if given is None:
        return [*DILATIONS[:num_blocks], *[(1, 1)] * (num_blocks - len(DILATIONS))]
    if len(given) != num_blocks or any(len(pair) != 2 for pair in given):
        raise ValueError(
            f"`dilations` (={given!r}) must be one pair (dense, transition) for each of the num_blocks (={num_blocks})"
        )
    return given
