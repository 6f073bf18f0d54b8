r"""Dropout with cheap random masks on CPUs.

    y = x·m / (1 - p'),  m ~ Bernoulli(1 - p'),  p' = round(2¹⁶ p) / 2¹⁶

On a CPU, `torch.nn.Dropout` spends most of its time on random numbers: one draw for each entry. Here 64 random bits
serve four entries, 16 bits each. The probability is therefore a multiple of 2⁻¹⁶; the scale uses the same p', so that
the expectation of y is x exactly.

Source: Srivastava et al., JMLR 15, 2014, https://jmlr.org/papers/v15/srivastava14a.html. Deviation: p is rounded to p',
by less than 10⁻⁵.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attentive_gconv.functional.fast import dispatch
from attentive_gconv.nn.arguments import checked

_LEVELS = 2**16


def random_mask(x: Tensor, p: float) -> Tensor:
    """Dropout mask, scaled: 0 with probability p', else 1 / (1 - p').

    Args:
        x: a CPU tensor, of which only shape and dtype are used.
        p: probability of 0, at least 0 and below 1 - 2⁻¹⁷.

    Returns:
        The shape and dtype of x.

    Example:
        >>> import torch
        >>> random_mask(torch.zeros(1000), 0.5).unique()
        tensor([0., 2.])
    """
    dropped = round(p * _LEVELS)
    # on the CPU, whatever the default device is
    bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device="cpu").random_(-(2**63), None)
    kept = bits.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _LEVELS // 2
    return kept.to(x.dtype).mul_(_LEVELS / (_LEVELS - dropped))


class Dropout(nn.Dropout):
    """Dropout whose masks are cheap to draw on CPUs; elsewhere it is `torch.nn.Dropout`.

    Like that, it draws from torch's default generator, so that `torch.manual_seed` makes it reproducible. Under
    `torch.compile`, `torch.export`, tracing, dispatch modes and the transforms of `torch.func`, and with
    ``inplace=True``, the masks are those of `torch.nn.functional.dropout`.

    Args:
        p: probability of an entry to be zeroed, rounded to a multiple of 2⁻¹⁶ on CPUs.
        inplace: as in `torch.nn.Dropout`.

    Shape:
        Any; the output has the input's shape.

    Raises:
        ValueError: if p is not between 0 and 1.

    Example:
        >>> import torch
        >>> layer = Dropout(0.25)
        >>> x = torch.ones(2, 8, 4, 6, 6)
        >>> layer(x).unique()
        tensor([0.0000, 1.3333])
        >>> torch.equal(layer.eval()(x), x)
        True
    """

    @checked()
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(p, inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Zero entries at random while training."""
        if not self.training or self.p == 0:
            return x
        cheap = x.device.type == "cpu" and not self.inplace and round(self.p * _LEVELS) < _LEVELS
        if not cheap or not dispatch.is_ordinary(x):
            return F.dropout(x, self.p, True, self.inplace)
        return x * random_mask(x, self.p)


class GroupDropout2d(nn.Dropout3d):
    """Equivariant dropout: whole channels of a map on the group are zeroed, in all poses and positions.

        y[b,c] = x[b,c]·m[b,c] / (1 - p),  m ~ Bernoulli(1 - p)

    A mask that is constant over the group and over space commutes with every L_h. The masks of `Dropout` are drawn for
    each entry, so that it is equivariant in distribution only.

    Args:
        p: probability of a channel to be zeroed.
        inplace: as in `torch.nn.Dropout3d`.

    Shape:
        ``(B, C, |H|, Y, X)`` -> the same.

    Raises:
        ValueError: if p is not between 0 and 1, or the input is no map on the group.

    Source:
        Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015,
        https://arxiv.org/abs/1411.4280, in its group form.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> y = ag.nn.GroupDropout2d(0.5)(torch.ones(1, 6, 4, 3, 3))
        >>> sorted({len(channel.unique()) for channel in y[0]})
        [1]
    """

    @checked()
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__(p, inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Zero channels at random while training."""
        if input.dim() != 5:
            raise ValueError(f"GroupDropout2d takes maps on the group (B, C, |H|, Y, X), got {tuple(input.shape)}")
        return super().forward(input)
