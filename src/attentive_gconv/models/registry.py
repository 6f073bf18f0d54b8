"""Registry of networks by name: `register`, `list_models`, `build_model`. Listing names needs no PyTorch."""

import difflib
import fnmatch
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attentive_gconv.lookup import find
from attentive_gconv.models.catalogue import CATALOGUE
from attentive_gconv.models.model_entries import ModelEntry

if TYPE_CHECKING:
    from torch import nn

# names are used in run folders, weights files and shell patterns
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_ENTRIES: dict[str, ModelEntry] = {entry.name: entry for entry in CATALOGUE}


def register(
    name: str,
    build: "Callable[..., nn.Module]",
    *,
    image_shape: Sequence[int],
    num_classes: int,
    defaults: Mapping[str, Any] | None = None,
    family: str = "own",
    parameters: int | None = None,
    description: str = "",
) -> ModelEntry:
    """Register a network of your own under a name, for `create_model`, `list_models` and everything that takes names.

    A command of `agconv` knows it with ``--import MODULE``, the module that registers it.

    Args:
        name: letters, digits, ``_``, ``.`` and ``-``; not in use yet.
        build: class or function that returns an ``nn.Module``, images ``(B, C, Y, X)`` to logits ``(B, num_classes)``.
            Its arguments are the options of `create_model`; trainings give ``num_classes`` and ``in_channels``.
        image_shape: (C, Y, X) of its images.
        num_classes: number of logits with the defaults.
        defaults: arguments of ``build`` that make this variant.
        family: what its variants have in common, for lists.
        parameters: exact number of learned parameters with the defaults, for lists.
        description: one line for lists.

    Returns:
        The new entry of the registry.

    Raises:
        ValueError: if the name is taken or no name, or a number is out of range.
        TypeError: if ``build`` cannot be called, or has no argument of a name in ``defaults``.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> class Tiny(torch.nn.Module):
        ...     def __init__(self, group="p4", channels=4, num_classes=10, in_channels=1):
        ...         super().__init__()
        ...         self.lift = ag.nn.LiftingConv2d(group, in_channels, channels, 3)
        ...         self.last = ag.nn.AttentiveGroupConv2d(group, channels, num_classes, 3)
        ...
        ...     def forward(self, x):
        ...         return self.last(self.lift(x).relu()).amax((-3, -2, -1))
        >>> entry = ag.models.register(
        ...     "tiny_p4m", Tiny, image_shape=(1, 12, 12), num_classes=10, defaults={"group": "p4m"}
        ... )
        >>> ag.list_models("tiny*")
        ['tiny_p4m']
        >>> ag.create_model("tiny_p4m", num_classes=3)(torch.randn(2, 1, 12, 12)).shape
        torch.Size([2, 3])
    """
    shape = _checked_shape(name, build, image_shape, num_classes)
    entry = ModelEntry(
        name, build, MappingProxyType(dict(defaults or {})), shape, num_classes, family, parameters, description
    )
    _check_options(entry, entry.defaults)
    _ENTRIES[name] = entry
    return entry


def _checked_shape(name: str, build: object, image_shape: Sequence[int], num_classes: int) -> tuple[int, int, int]:
    """The image shape as a tuple, if all arguments are valid."""
    # imported here: lists of networks need no PyTorch
    from attentive_gconv.nn.checks import integer, refusal

    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"`name` (={name!r}) must be letters, digits, '_', '.' and '-', and begin with no sign")
    if name in _ENTRIES:
        raise ValueError(f"a model named {name!r} is registered already: take another name")
    if not callable(build):
        raise TypeError(f"`build` (={build!r}) must be a class or function that returns an nn.Module")
    integer("num_classes", num_classes)
    shape = tuple(image_shape) if isinstance(image_shape, Sequence) else ()
    if len(shape) != 3:
        raise refusal("image_shape", image_shape, "must be three positive integers (C, Y, X)")
    return (integer("image_shape", shape[0]), integer("image_shape", shape[1]), integer("image_shape", shape[2]))


def list_models(pattern: str = "*") -> list[str]:
    """Names of the registered networks that match a shell pattern.

    Example:
        >>> import attentive_gconv as ag
        >>> ag.list_models("alpha_*_p4cnn")
        ['alpha_ch_p4cnn', 'alpha_f_p4cnn', 'alpha_rx_p4cnn', 'alpha_sp_p4cnn']
    """
    return sorted(name for name in _ENTRIES if fnmatch.fnmatchcase(name, pattern))


def model_entry(name: str) -> ModelEntry:
    """Get the registry's entry of a network.

    Raises:
        ValueError: if the name is unknown; the message offers the nearest.
    """
    try:
        return find("model", name, _ENTRIES)
    except ValueError as error:
        raise ValueError(
            f"{error}. A network of your own is known once the module that registers it is imported (--import)"
        ) from None


def build_model(name: str, **options: Any) -> "nn.Module":
    """Create a network by name, with initial weights; `attentive_gconv.create_model` offers the shipped ones, too.

    Args:
        name: one of `list_models`.
        **options: arguments of the family's class that differ from the named variant's.

    Raises:
        ValueError: if the name is unknown, or a value is out of range.
        TypeError: if the family has no such option; the message names those it has.
    """
    entry = model_entry(name)
    _check_options(entry, options)
    return entry.build(**{**entry.defaults, **options})


def _check_options(entry: ModelEntry, options: Mapping[str, Any]) -> None:
    known = inspect.signature(entry.build).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return  # the function itself says what it takes
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TypeError(f"model {entry.name!r} has no option {option!r}: {hint}it has {', '.join(known)}")
