"""Sizes along the two axes of a map, Y before X in every pair."""

from collections.abc import Sequence

Pair = tuple[int, int]


def pair(value: int | Pair) -> Pair:
    """(Y, X) from one integer or two.

    Example:
        >>> pair(3), pair((1, 2))
        ((3, 3), (1, 2))
    """
    return (value, value) if isinstance(value, int) else value


def three_pairs(sizes: Sequence[int]) -> tuple[Pair, Pair, Pair]:
    """Stride, padding and dilation from a list of numbers, as operators of PyTorch take them.

    Example:
        >>> three_pairs([2, 2, 1, 1, 1, 1])
        ((2, 2), (1, 1), (1, 1))
    """
    return (sizes[0], sizes[1]), (sizes[2], sizes[3]), (sizes[4], sizes[5])


def output_size(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """(Y', X'): the output size of a convolution.

    Example:
        >>> output_size((28, 28), (3, 3), stride=(1, 1), padding=(0, 0), dilation=(1, 1))
        (26, 26)
    """
    y, x = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return y, x
