"""Checked dataclasses from the plain values of YAML and JSON, and the error of a setting that cannot be used.

Written by hand: pydantic would save twenty lines, because its errors would have to be translated into messages with a
remedy, and cost a compiled dependency and a quarter of a second at the start of every command.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from attentive_gconv.lookup import find

T = TypeVar("T")

# of an image, in pixels
LARGEST_SIDE = 4096


class ConfigError(ValueError):
    """A setting cannot be used; the message names the field, its value and the remedy."""


def dataclass_from_mapping(cls: type[T], settings: Any, path: str = "") -> T:
    """Make a frozen dataclass from plain values, each checked against the type of its field.

    Args:
        cls: the dataclass; its fields are scalars, literals, tuples, dicts of plain values and further dataclasses.
        settings: values by field.
        path: the dotted field that holds the settings, for messages.

    Raises:
        ValueError: on an unknown field; the message suggests the nearest name.
        ConfigError: on a missing field or a wrong type.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{path or 'the recipe'} (={settings!r}) must be a section, i.e. `name: value` pairs")
    settings = dict(settings)
    hints = typing.get_type_hints(cls)
    known = {entry.name: entry for entry in dataclasses.fields(cls)}  # type: ignore[arg-type]
    prefix = f"{path}." if path else ""
    for key in settings:
        find("field", f"{prefix}{key}", {f"{prefix}{name}": None for name in known})
    for name, entry in known.items():
        required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        if required and name not in settings:
            raise ConfigError(f"{prefix}{name} is missing: give it in the recipe or with --set {prefix}{name}=...")
    return cls(**{key: _convert(value, hints[key], prefix + str(key)) for key, value in settings.items()})


def _convert(value: Any, hint: Any, path: str) -> Any:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return dataclass_from_mapping(typing.cast(type, hint), value, path)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{path} (={value!r}) must be one of {', '.join(map(str, choices))}")
        return value
    if origin in (Union, types.UnionType):
        members = typing.get_args(hint)
        if value is None and type(None) in members:
            return None
        # the only unions in use are `X | None`
        return _convert(value, next(member for member in members if member is not type(None)), path)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{path} (={value!r}) must be a list, e.g. [1, 2]")
        return tuple(_convert(entry, typing.get_args(hint)[0], f"{path}[{i}]") for i, entry in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path} (={value!r}) must be a section, i.e. `name: value` pairs")
        return dict(value)
    if hint is float and type(value) in (int, float) and math.isfinite(number := _float(value)):
        return number
    if type(value) is not hint or hint is float:
        raise ConfigError(f"{path} (={value!r}) must be {_in_words(hint)}")
    return value


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf


def _in_words(hint: Any) -> str:
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a string"}
    return words.get(hint, str(hint))
