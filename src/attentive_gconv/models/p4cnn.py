"""The rotated-MNIST family: z2cnn, p4cnn and its controls, and the α-, α_CH-, α_SP-, α_F- and α_RX-networks.

    c1 3x3, BN, relu, dropout · c2 3x3, BN, relu · 2x2 max-pool · c3 … c6 3x3, each BN, relu, dropout · c7 4x4 → classes
    · maximum over the group

One class body: the group, the attention and the width are its parameters.

Source: Cohen & Welling, ICML 2016, §8.1, https://arxiv.org/abs/1602.07576 (the network); Romero et al., ICML 2020,
https://arxiv.org/abs/2002.03830 and its released code (attention: ratio 2, in c1 1; 7x7; α_F dilated by 4 in c1).
"""

from torch import Tensor, nn

from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.models.blocks import attention_kind, convolution, normal_convolutions_
from attentive_gconv.models.registry import register
from attentive_gconv.nn import Dropout, GroupBatchNorm2d, GroupMaxPool, SpatialMaxPool2d
from attentive_gconv.nn.arguments import checked

SIDE = 28


class RotMNISTNet(nn.Module):
    """The seven-layer network of the rotated-MNIST experiments.

    Args:
        group: the group.
        attention: a kind of `attentive_gconv.models.blocks.ATTENTION`.
        channels: the width of every layer.
        num_classes, in_channels: classes, and channels of the images.
        dropout: probability of dropout.
        ratio: reduction of the channel attention, from c2 on.
        first_dilation: dilation of the spatial attention in c1.
        normal_init: draw the kernels from N(0, 1 / fan_in), as the planar network does, instead of U(-s, s).

    Shape:
        ``(B, in_channels, 28, 28)`` -> logits ``(B, num_classes)``.

    Raises:
        ValueError: if the images are not 28 x 28, or an argument is out of range.
    """

    @checked(attention=attention_kind)
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
    ) -> None:
        super().__init__()
        self.group = find_group(group)
        for i in range(1, 8):
            layer = convolution(
                self.group,
                in_channels if i == 1 else channels,
                num_classes if i == 7 else channels,
                4 if i == 7 else 3,
                attention=attention,
                lifting=i == 1,
                ratio=1 if i == 1 else ratio,
                spatial_dilation=first_dilation if i == 1 else 1,
            )
            self.add_module(f"c{i}", layer)
            if i < 7:
                self.add_module(f"bn{i}", GroupBatchNorm2d(channels, eps=2e-5))
        self.dropout = Dropout(dropout)
        self.pool = SpatialMaxPool2d(2)
        self.over_group = GroupMaxPool()
        if normal_init:
            normal_convolutions_(self, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images."""
        if x.dim() != 4 or tuple(x.shape[-2:]) != (SIDE, SIDE):
            raise ValueError(
                f"the rotated-MNIST networks take images (B, C, {SIDE}, {SIDE}), got {tuple(x.shape)}; resize them"
            )
        for i in range(1, 7):
            x = self.get_submodule(f"bn{i}")(self.get_submodule(f"c{i}")(x)).relu()
            x = self.pool(x) if i == 2 else self.dropout(x)
        logits: Tensor = self.over_group(self.get_submodule("c7")(x)).flatten(1)
        return logits


def _register(name: str, parameters: int, description: str, **defaults: object) -> None:
    register(
        name,
        RotMNISTNet,
        image_shape=(1, SIDE, SIDE),
        num_classes=10,
        defaults=defaults,
        family="rot-mnist",
        parameters=parameters,
        description=description,
    )


_register("z2cnn", 21_620, "planar CNN", group="z2", channels=20, normal_init=True)
_register("p4cnn", 24_610, "p4-CNN", group="p4")
_register("big11_p4cnn", 29_051, "p4-CNN with 11 channels", group="p4", channels=11)
_register("big15_p4cnn", 50_415, "p4-CNN with 15 channels", group="p4", channels=15)
_register("big19_p4cnn", 77_539, "p4-CNN with 19 channels", group="p4", channels=19)
_register("alpha_p4cnn", 73_130, "p4-CNN with full attention", group="p4", attention="full")
_register("alpha_ch_p4cnn", 48_630, "p4-CNN with full channel attention", group="p4", attention="full_channel")
_register("alpha_sp_p4cnn", 49_110, "p4-CNN with full spatial attention", group="p4", attention="full_spatial")
_register("alpha_f_p4cnn", 29_462, "p4-CNN with input attention", group="p4", attention="input", first_dilation=4)
_register("alpha_rx_p4cnn", 24_851, "p4-CNN with the co-attention of 2020", group="p4", attention="co_attention")
