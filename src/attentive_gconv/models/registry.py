"""The models by name: `list_models`, `create_model`."""

import difflib
import fnmatch
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from attentive_gconv.lookup import find
from attentive_gconv.models.pretrained import load_pretrained


@dataclass(frozen=True)
class ModelEntry:
    """A named model: a class body, the options that make the variant, and what is known of it.

    ``parameters`` is the exact number of learned values with the defaults; ``image_shape`` is (C, Y, X).
    """

    name: str
    family: str
    build: Callable[..., nn.Module]
    defaults: dict[str, Any]
    image_shape: tuple[int, int, int]
    num_classes: int
    parameters: int
    description: str


_ENTRIES: dict[str, ModelEntry] = {}


def register(*entries: ModelEntry) -> None:
    """Add models to the registry.

    Raises:
        ValueError: if a name is taken.
    """
    for entry in entries:
        if entry.name in _ENTRIES:
            raise ValueError(f"a model named {entry.name!r} is registered already")
        _ENTRIES[entry.name] = entry


def list_models(pattern: str = "*") -> list[str]:
    """The names that match a shell pattern.

    Example:
        >>> import attentive_gconv as ag
        >>> ag.list_models("alpha_*_p4cnn")
        ['alpha_ch_p4cnn', 'alpha_f_p4cnn', 'alpha_rx_p4cnn', 'alpha_sp_p4cnn']
    """
    return sorted(name for name in _ENTRIES if fnmatch.fnmatchcase(name, pattern))


def model_entry(name: str) -> ModelEntry:
    """What the registry holds of a model.

    Raises:
        ValueError: if the name is unknown; the message offers the nearest.
    """
    return find("model", name, _ENTRIES)


def create_model(name: str, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """A model, with new weights or with those that come with the package.

    Args:
        name: one of `list_models`.
        pretrained: take the weights of `list_pretrained`, which were trained on the re-made rot-MNIST; the model is
            then in eval mode. What its images must look like stands in the card, see `docs/reference/models.md`.
        **options: arguments of the family's class that differ from the named variant's, such as ``num_classes``,
            ``in_channels``, ``channels``, ``group`` or ``attention``.

    Raises:
        ValueError: if the name is unknown, a value is out of range, or pretrained weights are missing or do not fit.
        ImportError: if pretrained weights are wanted without safetensors.
        TypeError: if the family has no such option; the message names those it has.

    Example:
        >>> import torch, attentive_gconv as ag
        >>> model = ag.create_model("alpha_f_p4cnn", num_classes=4, in_channels=3)
        >>> model(torch.randn(2, 3, 28, 28)).shape
        torch.Size([2, 4])
    """
    entry = model_entry(name)
    known = inspect.signature(entry.build).parameters
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise TypeError(f"model {name!r} has no option {option!r}: {hint}it has {', '.join(known)}")
    model = entry.build(**{**entry.defaults, **options})
    return load_pretrained(name, model) if pretrained else model
