"""Convert the settings of a run from nested mappings, as YAML has them, and back."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from attentive_gconv.settings import ConfigError, dataclass_from_mapping
from attentive_gconv.training.config import ModelConfig, OptimizerConfig, ScheduleConfig, TrainConfig

# sections that hold further options of the network, optimizer or schedule besides their own fields
OPEN: dict[str, type] = {"model": ModelConfig, "optimizer": OptimizerConfig, "schedule": ScheduleConfig}


def config_from_mapping(settings: Mapping[str, Any]) -> TrainConfig:
    """Make a typed config from nested settings.

    Raises:
        ValueError: on an unknown field; the message suggests the nearest name.
        ConfigError: on a missing field, a wrong type or a value out of range.

    Example:
        >>> settings = {"dataset": {"name": "digits"}, "model": {"name": "p4cnn"}, "epochs": 2, "batch_size": 8}
        >>> config_from_mapping(settings).optimizer.lr
        0.001
    """
    try:
        if isinstance(settings, Mapping):
            settings = {key: _with_options(key, value) for key, value in settings.items()}
        return dataclass_from_mapping(TrainConfig, settings)
    except RecursionError as error:
        raise ConfigError("the settings are nested too deeply, or hold themselves") from error


def config_to_mapping(config: TrainConfig) -> dict[str, Any]:
    """Convert a config to nested plain values, which `config_from_mapping` reads."""
    settings = _plain(dataclasses.asdict(config))
    for section in OPEN:
        settings[section].update(settings[section].pop("options"))
    return settings


def _with_options(name: str, section: Any) -> Any:
    """Move the further options of a section into its field ``options``, and check them."""
    if name == "dataset" and isinstance(section, Mapping) and "augmentation_options" in section:
        checked = _option(section["augmentation_options"], "dataset.augmentation_options", mapping=True)
        return {**section, "augmentation_options": checked}
    if name not in OPEN or not isinstance(section, Mapping):
        return section
    known = {entry.name for entry in dataclasses.fields(OPEN[name])} - {"options"}
    options = {key: _option(value, f"{name}.{key}") for key, value in section.items() if key not in known}
    return {**{key: value for key, value in section.items() if key in known}, "options": options}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value


def _option(value: Any, path: str, *, mapping: bool = False) -> Any:
    """Check an option whose type the config does not know: a scalar, a list, or with ``mapping`` a section of these."""
    if mapping and isinstance(value, Mapping):
        return {key: _option(entry, f"{path}.{key}", mapping=True) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_option(entry, f"{path}[{i}]", mapping=mapping) for i, entry in enumerate(value)]
    if value is None or isinstance(value, (bool, str)):
        return value
    if (isinstance(value, int) and abs(value) < 2**63) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ConfigError(f"{path} (={value!r}) must be a number, a string, true, false, null or a list of these")
