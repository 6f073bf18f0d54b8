"""The All-CNN-C family for CIFAR-10: allcnnc, its p4 and p4m forms, and their α-, α_CH-, α_SP- and α_F-networks.

    dropout · c1 c2 3x3 → n · c3 3x3 → n, 2x2 max-pool, dropout · c4 c5 3x3 → 2n · c6 3x3 → 2n, 2x2 max-pool, dropout
    · c7 3x3 → 2n · c8 1x1 → 2n · c9 1x1 → classes · mean over the group and space

Every convolution is followed by BN and relu, c9 too; after the pooling where there is one, before the dropout.
One class body: the group, the attention and the width n are its parameters.

Source: Springenberg et al., "Striving for Simplicity", ICLR 2015 workshop, https://arxiv.org/abs/1412.6806 (the
network; its strides are stride 1 and a max-pool here, for equivariance on even sides); Cohen & Welling, ICML 2016, §8.2
(the group form); Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830 (attention: ratio 16, in c1 1; 7x7).
"""

from functools import partial

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
from attentive_gconv.nn import Dropout
from attentive_gconv.nn.arguments import checked

POOLED = (3, 6)
# the layers of each intermediate map
STAGES = ((1, 2), (3, 4, 5), (6, 7, 8))


class AllCNNC(ImageClassifier):
    """The nine-layer all-convolutional network of the CIFAR-10 experiments.

    Args:
        group: the group.
        attention: a kind of `attentive_gconv.models.blocks.ATTENTION`.
        channels: n, the width of c1 to c3; the later layers have 2n.
        num_classes: number of classes; 0 for no classifier.
        in_channels: channels of the images.
        input_dropout, dropout: probabilities of dropout on the images, and after c3 and c6.
        ratio: reduction of the channel attention, from c2 on.
        normal_init: draw the kernels from N(0, 0.05²), as the planar network does, instead of U(-s, s).
        pool: ``"max"``, or ``"blur"`` for the anti-aliased form, see `attentive_gconv.nn.SpatialBlurPool2d`.

    Shape:
        ``(B, in_channels, Y, X)`` -> logits ``(B, num_classes)``. The paper's images are 32 x 32; any sides that are
        multiples of 4 will do, and for the trivial group any of at least 4. Intermediate maps: after c2, c5 and c8.

    Raises:
        ValueError: if an argument is out of range, or the images are too small or of sides that break equivariance.

    Source:
        Springenberg et al., ICLR 2015 workshop, https://arxiv.org/abs/1412.6806; Romero et al., ICML 2020.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> ag.models.AllCNNC("p4", channels=4)(torch.randn(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    classifier = ("c9", "bn9")

    @checked(attention=attention_kind, pool=pool_kind)
    def __init__(
        self,
        group: str | FiniteGroup = "p4",
        attention: str = "none",
        channels: int = 48,
        num_classes: int = 10,
        in_channels: int = 3,
        input_dropout: float = 0.2,
        dropout: float = 0.5,
        ratio: int = 16,
        normal_init: bool = False,
        pool: str = "max",
    ) -> None:
        super().__init__()
        self.group = find_group(group)
        self._convolution = partial(convolution, self.group, attention=attention, wscale=0.035, ratio=ratio)
        widths = [in_channels, *[channels] * 3, *[2 * channels] * 5]
        for i in range(1, 9):
            kernel_size = 3 if i <= 7 else 1
            layer = self._convolution(widths[i - 1], widths[i], kernel_size, lifting=i == 1, padding=kernel_size // 2)
            self.add_module(f"c{i}", layer)
            self.add_module(f"bn{i}", batch_norm(widths[i]))
        self._describe(2 * channels, ("bn2", channels, 1), ("bn5", 2 * channels, 2), ("bn8", 2 * channels, 4))
        self.reset_classifier(num_classes)
        self.input_dropout = Dropout(input_dropout)
        self.dropout = Dropout(dropout)
        self.pool = POOLS[pool]()
        if normal_init:
            self._normal = {"std": 0.05}
            normal_convolutions_(self, **self._normal)

    def _check(self, x: Tensor) -> None:
        check_images(x, self.group, smallest=4, multiple=4)

    def _stage(self, number: int, x: Tensor) -> Tensor:
        x = self.input_dropout(x) if number == 0 else x
        for i in STAGES[number]:
            x = self._layer(i, x)
        return x

    def _layer(self, i: int, x: Tensor) -> Tensor:
        x = self.get_submodule(f"c{i}")(x)
        if i in POOLED:
            x = self.pool(x)
        x = self.get_submodule(f"bn{i}")(x).relu()
        return self.dropout(x) if i in POOLED else x

    def _pool(self, x: Tensor) -> Tensor:
        return x.mean((-3, -2, -1))

    def _classify(self, x: Tensor) -> Tensor:
        return self._pool(self._layer(9, x))

    def _new_classifier(self, num_classes: int) -> list[nn.Module]:
        return [self._convolution(self.num_features, num_classes, 1), batch_norm(num_classes)]
