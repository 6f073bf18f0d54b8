"""Chunks of a batch and tiles of (samples, outputs) whose working memory fits a budget."""

from collections.abc import Iterator

DEFAULT_BUDGET = 64 << 20  # bytes


def fitting(count: int, bytes_each: int, budget: int) -> int:
    """The number of items, of ``count``, that fit a budget; at least one.

    Example:
        >>> fitting(10, 300, budget=1000), fitting(10, 3000, budget=1000)
        (3, 1)
    """
    return max(1, min(count, budget // max(1, bytes_each)))


def chunks(count: int, step: int) -> Iterator[slice]:
    """Consecutive ranges of at most ``step`` items.

    Example:
        >>> list(chunks(5, 2))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def tiles(samples: int, outputs: int, bytes_each: int, budget: int) -> Iterator[tuple[slice, slice]]:
    """Ranges of samples and of outputs that together fit a budget, outputs first; an empty batch is one range.

    Args:
        samples, outputs: the numbers of samples and outputs.
        bytes_each: working memory of one output of one sample.
        budget: bytes for a tile, which is at least one output of one sample.

    Example:
        >>> list(tiles(3, 2, bytes_each=1, budget=4))
        [(slice(0, 2, None), slice(0, 2, None)), (slice(2, 3, None), slice(0, 2, None))]
    """
    width = fitting(outputs, bytes_each, budget)
    for b in chunks(samples, fitting(samples, bytes_each * width, budget)) if samples else [slice(0, 0)]:
        for m in chunks(outputs, width):
            yield b, m
