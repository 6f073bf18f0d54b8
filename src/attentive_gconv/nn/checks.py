"""Checks of single arguments: each error names the argument, its value and the remedy.

A check takes the argument's name and value and returns the value, of its plain type, or raises ValueError. Which
argument has which check is declared in `attentive_gconv.nn.arguments`.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, cast

import numpy as np
import torch

from attentive_gconv.functional import geometry
from attentive_gconv.functional.gating import STATISTICS
from attentive_gconv.functional.geometry import Pair
from attentive_gconv.groups import FiniteGroup
from attentive_gconv.groups import group as find_group
from attentive_gconv.lookup import find

# larger numbers of channels or sides are typing errors, and tables of such sizes would fill the memory
LARGEST = 2**20
LARGEST_KERNEL = 1023


def shown(value: object) -> str:
    """A value for a message: on one line, cut to 80 characters."""
    try:
        text = repr(value)
    except Exception:  # an integer of too many digits, or a user's object whose repr fails
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:76]} ..."


def refusal(name: str, value: object, rule: str) -> ValueError:
    """The ValueError that every check raises: name and value of the argument, and the rule that it breaks."""
    return ValueError(f"`{name}` (={shown(value)}) {rule}")


def _as_integer(value: object) -> int | None:
    """The value as an int, if it is an integer of Python, NumPy or PyTorch; else None, also for booleans."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, torch.Tensor) and value.dtype == torch.bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def _range(least: int, most: int, values: Sequence[int | None]) -> str:
    above = any(value is not None and value > most for value in values)
    return f"must be an integer of at least {least}" + (f" and at most {most}" if above else "")


def integer(name: str, value: Any, least: int = 1, most: int = LARGEST) -> int:
    """The value, if it is an integer in this range."""
    number = _as_integer(value)
    if number is None or not least <= number <= most:
        raise refusal(name, value, _range(least, most, [number]))
    return number


def flag(name: str, value: Any) -> bool:
    """The value, if it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise refusal(name, value, "must be True or False")
    return bool(value)


def _as_number(value: object) -> float:
    """The value, if it is a real number; else NaN, which is in no range."""
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    try:
        return float(value) if is_number else math.nan  # type: ignore[arg-type]
    except OverflowError:
        return math.nan


def positive_number(name: str, value: Any) -> float:
    """The value, if it is a finite number above zero."""
    if not 0 < (number := _as_number(value)) < math.inf:
        raise refusal(name, value, "must be a finite number above 0")
    return number


def probability(name: str, value: Any) -> float:
    """The value, if it is a number from 0 to 1."""
    if not 0 <= (number := _as_number(value)) <= 1:
        raise refusal(name, value, "must be at least 0 and at most 1")
    return number


def probability_below_one(name: str, value: Any) -> float:
    """The value, if it is a number from 0 to 1, 1 excluded."""
    if not 0 <= (number := _as_number(value)) < 1:
        raise refusal(name, value, "must be at least 0 and below 1")
    return number


def known(name: str, value: Any, names: Mapping[str, object]) -> str:
    """The value, if it is one of the names; the error suggests the nearest ones."""
    find(name, value, names)
    return str(value)


def pair(name: str, value: Any, least: int = 1, most: int = LARGEST) -> int | Pair:
    """One integer, or two, (Y, X)."""
    several = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
    numbers = [_as_integer(side) for side in (value if several else (value, value))]
    if len(numbers) != 2 or any(number is None or not least <= number <= most for number in numbers):
        raise refusal(name, value, f"{_range(least, most, numbers)}, or a pair of such (Y, X)")
    height, width = cast("list[int]", numbers)
    return (height, width) if several else height


def padding_pair(name: str, value: Any) -> int | Pair:
    """One integer, or two, (Y, X), from zero on."""
    return pair(name, value, least=0)


def square(name: str, value: Any) -> int:
    """The side of a square kernel."""
    height, width = geometry.pair(pair(name, value, most=LARGEST_KERNEL))
    if height != width:
        raise refusal(name, value, "must be square, because the group's elements turn the kernel; pad the shorter side")
    return height


def odd(name: str, value: Any) -> int:
    """The side of a kernel that keeps the size of its map."""
    side = integer(name, value, most=LARGEST_KERNEL)
    if side % 2 == 0:
        raise refusal(name, value, "must be odd, so that the attention map stays centred on its signal")
    return side


def padding(name: str, value: Any) -> int | Pair | str:
    """Padding as `torch.nn.Conv2d` takes it."""
    if not isinstance(value, str):
        return padding_pair(name, value)
    if value not in ("same", "valid"):
        raise refusal(name, value, "must be an integer, a pair of integers, 'same' or 'valid'")
    return value


def other_group(name: str, value: Any) -> FiniteGroup:
    """The group, if there is one of this name."""
    try:
        return find_group(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` (={shown(value)}) is no group: {error}") from None


def statistics(name: str, value: Any) -> tuple[str, ...]:
    """The names of statistics as a tuple, if all are known and none is repeated."""
    names: list[Any] = list(value) if isinstance(value, tuple | list) else [None]
    if any(kind not in STATISTICS for kind in names) or len(set(names)) != len(names):
        raise refusal(name, value, f"must be a tuple of different ones among {STATISTICS}")
    return tuple(names)


def some_statistics(name: str, value: Any) -> tuple[str, ...]:
    """As `statistics`, for at least one name."""
    if not (names := statistics(name, value)):
        raise refusal(name, value, f"must name at least one of {STATISTICS}")
    return names


def device(name: str, value: Any) -> Any:
    """The value, if it is a device that tensors can be made on."""
    if isinstance(value, str | torch.device) or _as_integer(value) is not None:
        try:
            torch.empty(0, device=value)
            return value
        except Exception as error:  # each device type raises errors of its own
            reason = str(error).split("\n")[0]
            raise refusal(name, value, f"is no device that can be used here: {reason}") from None
    raise refusal(name, value, "must be a torch.device or the name of one, such as 'cpu' or 'cuda'")


def dtype(name: str, value: Any) -> torch.dtype:
    """The value, if parameters can have it: a floating-point dtype of at least 16 bits."""
    if not isinstance(value, torch.dtype) or not value.is_floating_point or value.itemsize < 2:
        raise refusal(name, value, "must be a floating-point dtype of at least 16 bits, such as torch.float32")
    return value


def explicit_padding(padding: int | Pair | str, kernel_size: int, dilation: Pair, stride: Pair) -> Pair:
    """Padding as numbers; ``"valid"`` and ``"same"`` as in `conv2d`, refused where they would break equivariance."""
    if not isinstance(padding, str):
        return geometry.pair(padding)
    if padding == "valid":
        return (0, 0)
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
    """Raise ValueError unless the channels split into that many groups."""
    if channels % groups:
        raise ValueError(f"`{name}` (={channels}) must be divisible by `groups` (={groups})")


def hidden_channels(channels: int, ratio: int) -> int:
    """The width of a gate's hidden layer, ``channels // ratio``."""
    if channels // ratio < 1:
        raise ValueError(f"`ratio` (={ratio}) must not exceed the number of channels (={channels}) it reduces")
    return channels // ratio
