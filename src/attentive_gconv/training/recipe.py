"""Recipes: YAML files with the settings of a run, differences for some networks, and overrides.

A recipe holds the fields of `TrainConfig`. Its extra section `models` maps names of networks (shell patterns) to
settings that differ for them. Later settings win: the recipe, its `models` entries that match the network, in the order
of the file, and the overrides of the command line.
"""

import copy
import fnmatch
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from attentive_gconv.settings import ConfigError
from attentive_gconv.training.config import TrainConfig
from attentive_gconv.training.parsing import config_from_mapping
from attentive_gconv.yaml_settings import parse_value, read_settings


def list_recipes() -> list[str]:
    """Names of the library's recipes.

    Example:
        >>> "rot-mnist" in list_recipes()
        True
    """
    folder = resources.files(__package__) / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(recipe: str | Path, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """Load the config of a run from a recipe.

    Args:
        recipe: the name of one of `list_recipes`, or the path of a file (a `Path`, or a string with ``/`` or
            ``.yaml``).
        overrides: values by dotted field, e.g. ``{"optimizer.lr": 3e-4, "model.name": "p4cnn"}``. A mapping as value
            replaces a whole section. With ``init`` and without ``model.name``, the network is that of the weights,
            and images are scaled to its size if the dataset allows it.

    Raises:
        ConfigError: if the recipe is unknown or unreadable, or a setting is refused.
        FileNotFoundError: if there is no such file.

    Example:
        >>> load_recipe("rot-mnist", {"model.name": "z2cnn"}).epochs
        300
    """
    settings = read_settings(_recipe_path(recipe))
    per_model = settings.pop("models", {})
    if not isinstance(per_model, dict) or not all(isinstance(entry, dict) for entry in per_model.values()):
        raise ConfigError(f"models (={per_model!r}) must map names of networks to sections of settings")
    overrides = dict(overrides or {})
    if isinstance(init := overrides.get("init"), str) and init:
        # imported here: recipes alone need no PyTorch
        from attentive_gconv.training.initial import settings_of_init

        dataset = override(settings, overrides).get("dataset")
        name = dataset.get("name", "") if isinstance(dataset, dict) else ""
        overrides = {**settings_of_init(init, overrides, name), **overrides}
    # the network has to be known before what differs for it can be looked up
    chosen = override(settings, overrides).get("model")
    name = chosen.get("name", "") if isinstance(chosen, dict) else ""
    for pattern, differences in per_model.items():
        if fnmatch.fnmatchcase(str(name), pattern):
            if isinstance(section := differences.get("model"), dict) and "name" in section:
                raise ConfigError(f"models.{pattern}.model.name cannot be set: the pattern already chooses the network")
            settings = merge(settings, differences)
    return config_from_mapping(override(settings, overrides))


def _recipe_path(recipe: str | Path) -> Path:
    if isinstance(recipe, Path) or "/" in recipe or recipe.endswith((".yaml", ".yml")):
        return Path(recipe)
    if recipe not in list_recipes():
        known = ", ".join(list_recipes())
        raise ConfigError(
            f"there is no recipe for {recipe!r}, only for {known}; write one, or take another's with --recipe"
        )
    return Path(str(resources.files(__package__) / "recipes" / f"{recipe}.yaml"))


def parse_override(text: str) -> tuple[str, Any]:
    """Parse ``field=value`` of the command line; the value is read as YAML.

    Example:
        >>> parse_override("optimizer.lr=3e-4")
        ('optimizer.lr', 0.0003)
    """
    field, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", field.strip()):
        raise ConfigError(f"--set {text!r} must have the form field=value, e.g. --set optimizer.lr=3e-4")
    try:
        return field.strip(), parse_value(value)
    except ConfigError as error:
        raise ConfigError(f"--set {text!r}: {error}") from error


def override(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the settings with dotted fields replaced.

    Example:
        >>> override({"optimizer": {"lr": 0.1, "name": "sgd"}}, {"optimizer.lr": 0.2})
        {'optimizer': {'lr': 0.2, 'name': 'sgd'}}
    """
    try:
        result = copy.deepcopy(dict(settings))
        overrides = copy.deepcopy(dict(overrides))
    except RecursionError as error:
        raise ConfigError("the settings are nested too deeply") from error
    for dotted, value in overrides.items():
        *sections, last = dotted.split(".")
        place = result
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{dotted}: {section} (={place!r}) is not a section and has no field {last!r}")
        place[last] = value
    return result


def merge(settings: Mapping[str, Any], differences: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the settings with differences merged into them, section by section."""
    result = copy.deepcopy(dict(settings))
    for key, value in differences.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else copy.deepcopy(value)
    return result


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to values by dotted field.

    Example:
        >>> flatten({"epochs": 3, "optimizer": {"lr": 0.1}})
        {'epochs': 3, 'optimizer.lr': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat
