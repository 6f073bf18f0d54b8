"""Mappings, as they come out of YAML, to checked dataclasses and back."""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

from attentive_gconv.lookup import find
from attentive_gconv.training.config import ConfigError, ModelConfig, TrainConfig

T = TypeVar("T")


def config_from_mapping(settings: Mapping[str, Any]) -> TrainConfig:
    """The typed config of nested settings.

    Raises:
        ValueError: on an unknown field; the message offers the nearest.
        ConfigError: on a missing field, a wrong type or a value out of range.

    Example:
        >>> settings = {"dataset": {"name": "digits"}, "model": {"name": "p4cnn"}, "epochs": 2, "batch_size": 8}
        >>> config_from_mapping(settings).optimizer.lr
        0.001
    """
    return dataclass_from_mapping(TrainConfig, settings)


def config_to_mapping(config: TrainConfig) -> dict[str, Any]:
    """The nested settings of a config: plain values, as `config_from_mapping` reads them."""
    settings = _plain(dataclasses.asdict(config))
    options = settings["model"].pop("options")
    settings["model"].update(options)
    return settings


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value


def dataclass_from_mapping(cls: type[T], settings: Any, path: str = "") -> T:
    """A frozen dataclass from plain values, every one checked against the type of its field.

    Args:
        cls: the dataclass; its fields are scalars, literals, tuples, dicts of plain values and further dataclasses.
        settings: its values by field.
        path: the dotted field that holds it, for the messages.

    Raises:
        ValueError: on an unknown field; the message offers the nearest.
        ConfigError: on a missing field or a wrong type.
    """
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{path or 'the recipe'} (={settings!r}) must be a section, i.e. `name: value` pairs")
    settings = dict(settings)
    if cls is ModelConfig:
        # the section holds the name and, beside it, whatever options the network takes
        options = {key: _option(value, f"{path}.{key}") for key, value in settings.items() if key != "name"}
        settings = {key: value for key, value in settings.items() if key == "name"}
        settings["options"] = options
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
        return dict(value)
    if hint is float and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if type(value) is not hint or hint is float:
        raise ConfigError(f"{path} (={value!r}) must be {_in_words(hint)}")
    return value


def _in_words(hint: Any) -> str:
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a word"}
    return words.get(hint, str(hint))


def _option(value: Any, path: str) -> Any:
    """A value of the network's own options, whose types only the network knows: scalars and lists of them."""
    if isinstance(value, (list, tuple)):
        return [_option(entry, f"{path}[{i}]") for i, entry in enumerate(value)]
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ConfigError(f"{path} (={value!r}) must be a number, a word, true, false, null or a list of these")
