r"""Statistics, gates and combination rules of which every attention map of the library is made.

    statistics   mean and maximum, over positions (channel attention) or over channels (spatial attention)
    gate         a value in (0, 1) for each entry, from the logits that a gating network gives
    combination  f ↦ s·f + a·α·f: `SUPPRESS` (1 - α)f, `MULTIPLY` αf, `AMPLIFY` (1 + α)f

Sources: statistics after Woo et al., "CBAM", ECCV 2018, https://arxiv.org/abs/1807.06521; the residual branch
(1 - α) is Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830, §5: there the maps *suppress*.
Where maxima tie, the gradient goes to the first one in memory order, in every implementation.
"""

from typing import NamedTuple

import torch
from torch import Tensor

STATISTICS = ("mean", "max")


class Combination(NamedTuple):
    """How a map α acts on a signal f: ``skip·f + attended·α·f``."""

    skip: float
    attended: float

    def mix(self, f: Tensor, product: Tensor) -> Tensor:
        """Apply the rule to a signal f and the product α·f."""
        if self.skip == 0:
            return product if self.attended == 1 else self.attended * product
        skipped = f if self.skip == 1 else self.skip * f
        return torch.add(skipped, product, alpha=self.attended)


SUPPRESS = Combination(1.0, -1.0)
MULTIPLY = Combination(0.0, 1.0)
AMPLIFY = Combination(1.0, 1.0)
COMBINATIONS = {"suppress": SUPPRESS, "multiply": MULTIPLY, "amplify": AMPLIFY}


def position_statistics(f: Tensor, kinds: tuple[str, ...] = STATISTICS) -> list[Tensor]:
    """Statistics over positions, for channel attention.

    Args:
        f: ``(..., Y, X)``.
        kinds: any of ``"mean"`` and ``"max"``.

    Returns:
        One tensor ``(...)`` for each kind.

    Example:
        >>> [s.tolist() for s in position_statistics(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))]
        [3.0, 6.0]
    """
    flat = f.flatten(-2)
    # max(dim) and not amax: a tie's gradient then goes to one element, the first, and is not spread
    return [flat.mean(-1) if kind == "mean" else flat.max(-1).values for kind in kinds]


def channel_statistics(f: Tensor, dim: int, kinds: tuple[str, ...] = STATISTICS) -> Tensor:
    """Statistics over the channel axis, for spatial attention, stacked in its place.

    Args:
        f: a signal with channels along ``dim``.
        dim: the channel axis.
        kinds: any of ``"mean"`` and ``"max"``.

    Returns:
        The signal with ``len(kinds)`` entries along ``dim``.

    Example:
        >>> channel_statistics(torch.tensor([[1.0, 3.0]]), dim=1)
        tensor([[2., 3.]])
    """
    return torch.stack([f.mean(dim) if kind == "mean" else f.max(dim).values for kind in kinds], dim)
