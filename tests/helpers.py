"""What the tests of the core share: groups, every kind of convolution, random inputs and random module states."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import attentive_gconv as ag

IDENTITY, HALF_TURN = ((1, 0), (0, 1)), ((-1, 0), (0, -1))
FLIP_Y, FLIP_X = ((-1, 0), (0, 1)), ((1, 0), (0, -1))

# groups that a user could make: one mirroring, half turns and mirrorings, and mirrorings along the diagonals
PM = ag.FiniteGroup("pm", [IDENTITY, FLIP_X], quadrature_weight=0.5)
P2MM = ag.FiniteGroup("p2mm", [IDENTITY, FLIP_Y, HALF_TURN, FLIP_X])
CM = ag.FiniteGroup("cm", [IDENTITY, ((0, 1), (1, 0))])

NAMED = ["z2", "p4", "p4m"]
GROUPS = [*(ag.group(name) for name in NAMED), PM, P2MM, CM]


def group_id(group: ag.FiniteGroup) -> str:
    return group.name


class Kind(NamedTuple):
    """A convolution layer with the options that choose its attention."""

    name: str
    layer: type[nn.Module]
    options: dict[str, Any]

    @property
    def lifting(self) -> bool:
        return not self.layer.over_group

    @property
    def plain(self) -> bool:
        return self.layer in (ag.nn.LiftingConv2d, ag.nn.GroupConv2d)

    @property
    def full(self) -> bool:
        return self.layer in (ag.nn.AttentiveLiftingConv2d, ag.nn.AttentiveGroupConv2d)


_PARTS = {"": {}, "_channel": {"spatial": False}, "_spatial": {"channel": False}}
_CO_ATTENTION = {"channel": False, "statistics": (), "spatial_kernel_size": 1}
KINDS = [
    Kind("lifting", ag.nn.LiftingConv2d, {}),
    Kind("group", ag.nn.GroupConv2d, {}),
    *(Kind(f"full_lifting{name}", ag.nn.AttentiveLiftingConv2d, options) for name, options in _PARTS.items()),
    *(Kind(f"full_group{name}", ag.nn.AttentiveGroupConv2d, options) for name, options in _PARTS.items()),
    *(Kind(f"input_lifting{name}", ag.nn.InputAttentiveLiftingConv2d, options) for name, options in _PARTS.items()),
    *(Kind(f"input_group{name}", ag.nn.InputAttentiveGroupConv2d, options) for name, options in _PARTS.items()),
    Kind("rx_lifting", ag.nn.InputAttentiveLiftingConv2d, _CO_ATTENTION),
    Kind("rx_group", ag.nn.InputAttentiveGroupConv2d, _CO_ATTENTION),
]
KIND = {kind.name: kind for kind in KINDS}


def kind_id(kind: Kind) -> str:
    return kind.name


def build(kind: Kind, group: str | ag.FiniteGroup, *args: Any, **options: Any) -> nn.Module:
    """A layer of this kind in float64, in a random state: ``build(kind, "p4", 3, 2, kernel_size=3, padding=1)``."""
    return randomise_(kind.layer(group, *args, **{"dtype": torch.float64, **kind.options, **options}))


def maps(group: str | ag.FiniteGroup, channels: int, *size: int, lifting: bool = False, batch: int = 2) -> Tensor:
    """Random input in float64: maps on the group, or planar ones for a lifting layer."""
    order = () if lifting else (ag.group(group).order,)
    return torch.randn(batch, channels, *order, *size, dtype=torch.float64)


@torch.no_grad()
def randomise_(module: nn.Module) -> nn.Module:
    """Fill everything that has a symmetric or constant initial value: biases, affine parameters, running statistics."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.weight.uniform_(-2, 2)
            part.running_mean.normal_()
            part.running_var.uniform_(0.2, 3)
        if isinstance(getattr(part, "bias", None), Tensor):
            part.bias.normal_()
    return module


@torch.no_grad()
def open_gates_(module: nn.Module) -> nn.Module:
    """No hidden unit of a channel attention is off on every input: the maximum over positions passes its relu."""
    for name, parameter in module.named_parameters():
        if name.endswith("weight_fc1"):
            parameter.abs_()
    return module


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected value."""
    assert actual.shape == expected.shape
    return float((actual - expected).detach().abs().max() / expected.detach().abs().max())


def call(layer: nn.Module, names: list[str]) -> Callable[..., Tensor]:
    """The layer as a function of its input and the parameters of these names, for gradcheck."""
    return lambda x, *values: torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))
