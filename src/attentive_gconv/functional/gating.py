r"""Statistics, gates and combination rules, which every attention shares.

    statistics   mean and maximum, over positions (channel attention) or over channels (spatial attention)
    gate         α from the logits that a gating network gives: the sigmoid, or one of the other `GATES`
    combination  f ↦ s·f + a·α·f: `SUPPRESS` (1 - α)f, `MULTIPLY` αf, `AMPLIFY` (1 + α)f

Sources: statistics after Woo et al., "CBAM", ECCV 2018, https://arxiv.org/abs/1807.06521; the residual branch
(1 - α) is Romero et al., ICML 2020, https://arxiv.org/abs/2002.03830, §5: there the maps *suppress*; the gates beside
the sigmoid are those of Wang et al., "Residual Attention Network", CVPR 2017, https://arxiv.org/abs/1704.06904, §3.2.
Where maxima tie, the gradient goes to the first one in memory order, in every implementation.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from attentive_gconv.lookup import find

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


def channel_norm(logits: Tensor) -> Tensor:
    """Gate over channels: logits divided by their Euclidean length at each position.

    Args:
        logits: ``(B, C, ...)``.

    Returns:
        The same shape; the squares over c sum to one at every position (0 where all logits are 0).

    Example:
        >>> channel_norm(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """
    return F.normalize(logits, dim=1)


def spatial_norm(logits: Tensor) -> Tensor:
    """Gate over positions: the sigmoid of logits standardised for each channel.

    Mean and variance are over all axes behind the channels, the group's among them: a map on G has one of each.

    Args:
        logits: ``(B, C, ...)``.

    Returns:
        The same shape, in (0, 1).

    Example:
        >>> spatial_norm(torch.tensor([[[2.0, 2.0, 2.0]]]))
        tensor([[[0.5000, 0.5000, 0.5000]]])
    """
    return torch.sigmoid(F.layer_norm(logits, logits.shape[2:]))


GATES: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "channel_norm": channel_norm,
    "spatial_norm": spatial_norm,
}


def position_statistics(f: Tensor, kinds: tuple[str, ...] = STATISTICS) -> list[Tensor]:
    """Statistics over positions, for channel attention.

    Args:
        f: ``(..., Y, X)``.
        kinds: any of ``"mean"`` and ``"max"``.

    Returns:
        One tensor ``(...)`` for each kind.

    Raises:
        ValueError: on another kind.

    Example:
        >>> [s.tolist() for s in position_statistics(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))]
        [3.0, 6.0]
    """
    flat = f.flatten(-2)
    return [_statistic(flat, kind, -1) for kind in kinds]


def channel_statistics(f: Tensor, dim: int, kinds: tuple[str, ...] = STATISTICS) -> Tensor:
    """Statistics over the channel axis, for spatial attention, stacked along that axis.

    Args:
        f: a signal with channels along ``dim``.
        dim: the channel axis.
        kinds: any of ``"mean"`` and ``"max"``.

    Returns:
        The signal with ``len(kinds)`` entries along ``dim``.

    Raises:
        ValueError: on another kind.

    Example:
        >>> channel_statistics(torch.tensor([[1.0, 3.0]]), dim=1)
        tensor([[2., 3.]])
    """
    return torch.stack([_statistic(f, kind, dim) for kind in kinds], dim)


def _statistic(f: Tensor, kind: str, dim: int) -> Tensor:
    if kind == "mean":
        return f.mean(dim)
    find("statistic", kind, dict.fromkeys(STATISTICS))
    # not amax, which would spread the gradient over tied elements: that of max goes to the first
    return f.max(dim).values


def channel_logits(
    statistics: Sequence[Tensor], first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]
) -> Tensor:
    """The two-layer gating network of every channel attention: W2·Σ_s relu(W1·s), before the sigmoid.

    W2 is linear, so that it is applied once, to the sum over the statistics.

    Args:
        statistics: tensors of one shape.
        first, second: the layers W1 and W2, as functions. A bias of ``second`` is added once, whatever the number
            of statistics.

    Returns:
        The output of ``second``.

    Example:
        >>> channel_logits([torch.ones(2), -torch.ones(2)], lambda s: 3 * s, lambda hidden: hidden.sum())
        tensor(6.)
    """
    hidden = [torch.relu(first(statistic)) for statistic in statistics]
    return second(sum(hidden[1:], hidden[0]))
