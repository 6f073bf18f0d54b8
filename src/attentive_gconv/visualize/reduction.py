r"""Reduction of attention maps to maps on the group: the factor that an attention module keeps.

An attention module multiplies a response f (or its input) by the factor

    kept = s + a·α        1 - α where the module suppresses (the paper), α where it multiplies, 1 + α where it amplifies

so that high values are what the network attends to. For channel or spatial attention alone it is the factor that this
map would keep without the other; for a whole module, α = α_X·α_C, and

    full attention    kept[b,o,h,c,h',y,x]  →  mean or max over o, c and one of the poses h, h'
    input attention   kept[b,c,h,y,x]       →  mean or max over c

The mean over c needs no 7-D tensor, mean_c(s + a α_X α_C) = s + a·α_X·mean_c α_C; nor does the maximum. Reductions are
over whole axes, on which the group acts trivially or by a permutation, so the reduced map is an equivariant map on the
group.

Source: Romero et al., ICML 2020, §4-6, https://arxiv.org/abs/2002.03830. The choice of axes is ours; the
paper does not state it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attentive_gconv.functional import COMBINATIONS, Combination, SuppressionMaps
from attentive_gconv.lookup import find
from attentive_gconv.nn import Attend, AttentiveGroupConv2d, AttentiveLiftingConv2d

FullAttention = AttentiveLiftingConv2d | AttentiveGroupConv2d

REDUCTIONS = {"mean": "mean", "max": "maximum", "none": "no reduction"}
POSES = {"input": "pose h' of the input", "output": "pose h of the output"}
ALPHA = Combination(0.0, 1.0)
# the axes of the maps of full attention
OUTPUT, POSE, CHANNEL, INPUT_POSE = 1, 2, 3, 4


@dataclass(frozen=True)
class View:
    """Reduction of attention maps; the arguments are those of `attentive_gconv.attention_maps`."""

    parts: bool = True
    reduction: str = "mean"
    pose: str = "input"
    kept: bool = True

    def __post_init__(self) -> None:
        find("reduction", self.reduction, REDUCTIONS)
        find("pose", self.pose, POSES)

    def maps_of(self, name: str, module: nn.Module, x: Tensor) -> dict[str, Tensor]:
        """The maps of an attention module for an input, by the names of the modules that compute them."""
        if isinstance(module, Attend):
            return self._of_attend(name, module, x)
        assert isinstance(module, FullAttention)
        with torch.autocast(x.device.type, enabled=False):
            return self._of_full(name, module, x)

    def _rule(self, module: Attend | FullAttention) -> Combination:
        return COMBINATIONS[module.combination] if self.kept else ALPHA

    def _of_attend(self, name: str, module: Attend, x: Tensor) -> dict[str, Tensor]:
        rule = self._rule(module)
        if self.parts:
            return {join(name, part): factor(rule, alpha) for part, alpha in module.suppression_maps(x).items()}
        kept = factor(rule, module.suppression_map(x))
        return {name: kept if self.reduction == "none" else _REDUCE[self.reduction](kept, (1,), keepdim=True)}

    def _of_full(self, name: str, layer: FullAttention, x: Tensor) -> dict[str, Tensor]:
        # α is computed in the weights' dtype, as the streaming form does under autocast
        x, rule = x.to(layer.weight.dtype), self._rule(layer)
        if self.parts:

            def shown(maps: SuppressionMaps) -> dict[str, Tensor]:
                named = {join(name, f"{part}_attention"): alpha for part, alpha in maps._asdict().items()}
                return {key: factor(rule, alpha) for key, alpha in named.items() if alpha is not None}

        elif self.reduction == "none":

            def shown(maps: SuppressionMaps) -> dict[str, Tensor]:
                return {name: factor(rule, _product(maps.spatial, maps.channel))}

        else:
            reduce = _REDUCE[self.reduction]
            # if the module suppresses, the largest factor belongs to the smallest α
            highest = reduce if self.reduction == "mean" or rule.attended > 0 else torch.amin

            def shown(maps: SuppressionMaps) -> dict[str, Tensor]:
                channel = None if maps.channel is None else highest(maps.channel, (CHANNEL,), keepdim=True)
                return {name: factor(rule, _product(maps.spatial, channel))}

        if self.reduction == "none":
            return shown(layer.suppression_maps(x))
        return self._reduced(layer, x, shown)

    def _reduced(
        self, layer: FullAttention, x: Tensor, shown: Callable[[SuppressionMaps], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Reduce the maps over output channels and a pose, tile by tile, to ``(B, C or 1, |H|, Y, X)``."""
        to_input = self.pose == "input" and layer.over_group
        dropped = POSE if to_input else INPUT_POSE
        rows: dict[int, dict[str, Tensor]] = {}
        for images, outputs, maps in layer.suppression_map_tiles(x):
            row = rows.setdefault(images.start, {})
            share = len(range(layer.out_channels)[outputs]) / layer.out_channels
            for key, value in shown(maps).items():
                if self.reduction == "mean":
                    piece = value.mean((OUTPUT, dropped)) * share
                    row[key] = row[key] + piece if key in row else piece
                else:
                    piece = value.amax((OUTPUT, dropped))
                    row[key] = torch.maximum(row[key], piece) if key in row else piece
        whole = {key: torch.cat([row[key] for row in rows.values()]) for key in next(iter(rows.values()))}
        # the remaining axes are (B, C, |H'|, Y, X) or (B, |H|, C, Y, X)
        return whole if to_input else {key: value.transpose(1, 2) for key, value in whole.items()}


_REDUCE: dict[str, Callable[..., Tensor]] = {"mean": torch.mean, "max": torch.amax}


def factor(rule: Combination, alpha: Tensor) -> Tensor:
    """The factor that multiplies f, for a map α."""
    return rule.skip + rule.attended * alpha


def _product(first: Tensor | None, second: Tensor | None) -> Tensor:
    if first is None or second is None:
        alone = second if first is None else first
        assert alone is not None
        return alone
    return first * second


def join(name: str, part: str) -> str:
    """The name of a submodule; the model itself has the empty name."""
    return f"{name}.{part}" if name else part
