"""Sizes along the two axes of a map, Y before X in every pair."""

Pair = tuple[int, int]


def pair(value: int | Pair) -> Pair:
    """(Y, X) from one integer or two.

    Example:
        >>> pair(3), pair((1, 2))
        ((3, 3), (1, 2))
    """
    return (value, value) if isinstance(value, int) else value
