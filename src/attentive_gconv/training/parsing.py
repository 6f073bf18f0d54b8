"""Mappings, as they come out of YAML, to the settings of a run and back."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from attentive_gconv.settings import ConfigError, dataclass_from_mapping
from attentive_gconv.training.config import TrainConfig


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
    try:
        section = settings.get("model") if isinstance(settings, Mapping) else None
        if isinstance(section, Mapping):
            # the section holds the name and, beside it, whatever options the network takes
            options = {key: _option(value, f"model.{key}") for key, value in section.items() if key != "name"}
            name = {key: value for key, value in section.items() if key == "name"}
            settings = {**settings, "model": {**name, "options": options}}
        return dataclass_from_mapping(TrainConfig, settings)
    except RecursionError as error:
        raise ConfigError("the settings are nested too deeply, or hold themselves") from error


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


def _option(value: Any, path: str) -> Any:
    """A value of the network's own options, whose types only the network knows: scalars and lists of them."""
    if isinstance(value, (list, tuple)):
        return [_option(entry, f"{path}[{i}]") for i, entry in enumerate(value)]
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ConfigError(f"{path} (={value!r}) must be a number, a word, true, false, null or a list of these")
