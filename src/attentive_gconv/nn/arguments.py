"""Declarative checks of the arguments of layers and models.

One name means one thing in every constructor of the library, so that one table says what each argument may be. The
decorator `checked` applies it: an argument without a check is refused when the class is defined.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from torch import nn

from attentive_gconv.functional.fast.dispatch import BACKENDS, METHODS
from attentive_gconv.functional.gating import COMBINATIONS, GATES
from attentive_gconv.groups import group as find_group
from attentive_gconv.nn import checks

Check = Callable[[str, Any], Any]
P = ParamSpec("P")
T = TypeVar("T")

ORDERS = ("channel_first", "spatial_first", "parallel")
# the most padding that a mode allows, relative to the side of the map
PADDING_MODES = {"zeros": math.inf, "reflect": -1, "replicate": math.inf, "circular": 0}


def one_of(*names: str) -> Check:
    """Check for one of these names."""
    return lambda name, value: checks.known(name, value, dict.fromkeys(names))


def optional(check: Check) -> Check:
    """The check, with None allowed. A default of None needs no such check."""
    return lambda name, value: None if value is None else check(name, value)


def at_most(largest: int) -> Check:
    """Check for an integer from one up to this number."""
    return lambda name, value: checks.integer(name, value, most=largest)


def instance_of(kind: type) -> Check:
    """Check for an object of a class."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise checks.refusal(name, value, f"must be of the class {kind.__module__}.{kind.__qualname__}")
        return value

    return check


def maps_of(kind: type[nn.Module], *others: type) -> Check:
    """Check for attention maps by name, modules of this kind or objects of the other classes."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise checks.refusal(name, value, "must be a dict of attention maps by name")
        for key, attention in value.items():
            if not isinstance(attention, (kind, *others)):
                wanted = f"nn.Module of the class {kind.__name__}" if kind is not nn.Module else "nn.Module"
                raise checks.refusal(name, value, f"must hold modules: {key!r} is no {wanted}")
        return value

    return check


CHECKS: dict[str, Check] = {
    "group": lambda name, value: find_group(value),
    "subgroup": checks.other_group,
    **dict.fromkeys(("in_channels", "out_channels", "channels", "num_features"), checks.integer),
    # 0 for a network without a classifier
    "num_classes": lambda name, value: checks.integer(name, value, least=0),
    **dict.fromkeys(("groups", "ratio", "depth", "spatial_dilation", "first_dilation"), checks.integer),
    "kernel_size": checks.square,
    "spatial_kernel_size": checks.odd,
    "stride": checks.pair,
    "scale_factor": checks.pair,
    "dilation": checks.pair,
    "padding": checks.padding,
    "padding_mode": one_of(*PADDING_MODES),
    **dict.fromkeys(("bias", "norm", "over_group", "channel", "spatial", "normal_init", "standardize"), checks.flag),
    **dict.fromkeys(("ceil_mode", "inplace", "affine", "track_running_stats", "recompute"), checks.flag),
    **dict.fromkeys(("wscale", "eps"), checks.positive_number),
    **dict.fromkeys(("p", "momentum"), checks.probability),
    **dict.fromkeys(("dropout", "input_dropout"), checks.probability_below_one),
    "statistics": checks.statistics,
    "combination": one_of(*COMBINATIONS),
    "gate": one_of(*GATES),
    "order": one_of(*ORDERS),
    "method": one_of(*METHODS),
    "backend": one_of(*BACKENDS),
    "memory_budget": at_most(2**62),
    "num_blocks": at_most(1000),
    "device": checks.device,
    "dtype": checks.dtype,
}


def checked(**checks_here: Check) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator that checks a constructor's arguments before it runs, and converts them to plain Python values.

    None is allowed where it is the default. If memory does not suffice, the error names the sizes.

    Args:
        **checks_here: checks that replace those of the table `CHECKS`.

    Raises:
        TypeError: when the function is defined, if one of its arguments has no check.

    Example:
        >>> @checked(channels=at_most(8))
        ... def width(channels):
        ...     return channels
        >>> width(9)
        Traceback (most recent call last):
        ...
        ValueError: `channels` (=9) must be an integer of at least 1 and at most 8
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)
        parameters = {name: parameter for name, parameter in signature.parameters.items() if name != "self"}
        table = {name: check for name, check in {**CHECKS, **checks_here}.items() if name in parameters}
        if missing := parameters.keys() - table.keys():
            raise TypeError(f"no check is declared for {sorted(missing)} of {function.__qualname__}")

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                bound = None
            if bound is None:
                return function(*args, **kwargs)  # Python says which argument is missing or unknown
            for name, value in bound.arguments.items():
                if name in table and not (value is None and parameters[name].default is None):
                    bound.arguments[name] = table[name](name, value)
            try:
                return function(*bound.args, **bound.kwargs)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                raise _too_large(function.__qualname__, bound.arguments) from error

        return wrapper

    return decorate


def _is_out_of_memory(error: Exception) -> bool:
    """Whether main memory ran out; errors of accelerators are left unchanged."""
    said = ("can't allocate memory", "not enough memory", "Storage size calculation overflowed")
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)


def _too_large(name: str, arguments: dict[str, Any]) -> ValueError:
    of_size = {key: value for key, value in arguments.items() if isinstance(value, int) and value > 1}
    sizes = ", ".join(f"`{key}` (={value})" for key, value in of_size.items())
    owner = name.removesuffix(".__init__")
    return ValueError(f"{owner} does not fit into memory with {sizes}: make them smaller, or make it on device='meta'")
