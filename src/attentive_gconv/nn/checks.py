"""Checks that the layers share: each error names the argument, its value and the remedy."""

import math
from collections.abc import Iterable
from numbers import Integral

from attentive_gconv.functional.geometry import Pair


def _is_count(value: object, minimum: int = 1) -> bool:
    """Whether this is an integer, of Python or NumPy, of at least the minimum."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= minimum


def positive(name: str, value: int) -> int:
    """The value, if it is an integer of at least one."""
    if not _is_count(value):
        raise ValueError(f"`{name}` (={value!r}) must be an integer of at least 1")
    return int(value)


def positive_number(name: str, value: float) -> float:
    """The value, if it is a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"`{name}` (={value!r}) must be a finite number above 0")
    return value


def pair(name: str, value: int | Pair, minimum: int = 1) -> Pair:
    """(Y, X) from one integer or two."""
    values = tuple(value) if isinstance(value, Iterable) else (value, value)
    if len(values) != 2 or not all(_is_count(v, minimum) for v in values):
        raise ValueError(f"`{name}` (={value!r}) must be an integer of at least {minimum}, or a pair of such (Y, X)")
    return (int(values[0]), int(values[1]))


def square(name: str, value: int | Pair) -> int:
    """The side of a square kernel."""
    height, width = pair(name, value)
    if height != width:
        raise ValueError(
            f"`{name}` (={value!r}) must be square, because the group's elements turn the kernel; pad the shorter side"
        )
    return height


def odd(name: str, value: int) -> int:
    """The side of a kernel that keeps the size of its map."""
    if positive(name, value) % 2 == 0:
        raise ValueError(f"`{name}` (={value}) must be odd, so that the attention map stays centred on its signal")
    return value


def explicit_padding(padding: int | Pair | str, kernel_size: int, dilation: Pair, stride: Pair) -> Pair:
    """Padding as numbers: ``"valid"`` and ``"same"`` as `conv2d` has them, where they keep equivariance."""
    if not isinstance(padding, str):
        return pair("padding", padding, minimum=0)
    if padding == "valid":
        return (0, 0)
    if padding != "same":
        raise ValueError(f"`padding` (={padding!r}) must be an integer, a pair of integers, 'same' or 'valid'")
    if stride != (1, 1):
        raise ValueError(f"`padding` (='same') needs stride 1, got stride (={stride}); give the padding as a number")
    extents = [d * (kernel_size - 1) for d in dilation]
    if any(extent % 2 for extent in extents):
        raise ValueError(
            f"`padding` (='same') of an even kernel_size (={kernel_size}) pads one side more than the other and breaks "
            "equivariance; use an odd kernel or give the padding as a number"
        )
    return (extents[0] // 2, extents[1] // 2)


def divides(name: str, channels: int, groups: int) -> None:
    """An error unless the channels split into that many groups."""
    if channels % groups:
        raise ValueError(f"`{name}` (={channels}) must be divisible by `groups` (={groups})")


def hidden_channels(channels: int, ratio: int) -> int:
    """The width of a gate's hidden layer, ``channels // ratio``."""
    positive("ratio", ratio)
    if channels // ratio < 1:
        raise ValueError(f"`ratio` (={ratio}) must not exceed the number of channels (={channels}) it reduces")
    return channels // ratio
