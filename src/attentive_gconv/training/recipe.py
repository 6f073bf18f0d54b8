"""Recipes: YAML files with the settings of a run, what differs from network to network, and overrides.

A recipe holds the fields of `TrainConfig`. Its extra section `models` maps names of networks (shell patterns) to the
settings that differ for them. Settings are laid over one another in this order: the recipe, its `models` entries that
match the network, in the order of the file, and the overrides of the command line.
"""

import copy
import fnmatch
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from attentive_gconv.training.config import ConfigError, TrainConfig
from attentive_gconv.training.parsing import config_from_mapping

try:
    import yaml
except ImportError as error:
    raise ImportError("recipes need PyYAML: pip install 'attentive-gconv[train]'") from error

MAX_RECIPE_BYTES = 1_000_000


class _RecipeLoader(yaml.SafeLoader):
    """YAML 1.1 as everybody writes it: 1e-3 is a number, and a key that is given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} must be a word", node.start_mark)
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} occurs twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _RecipeDumper(yaml.SafeDumper):
    """Quotes what `_RecipeLoader` would otherwise read as a number."""


_NUMBER = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
for _yaml_class in (_RecipeLoader, _RecipeDumper):
    _yaml_class.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789."))


def list_recipes() -> list[str]:
    """The names of the recipes that come with the library.

    Example:
        >>> "rot-mnist" in list_recipes()
        True
    """
    folder = resources.files(__package__) / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(recipe: str | Path, overrides: Mapping[str, Any] | None = None) -> TrainConfig:
    """The config of a run.

    Args:
        recipe: the name of a recipe of the library, or the path (a `Path`, or a text with ``/`` or ``.yaml``) of one
            of your own.
        overrides: values by dotted field, e.g. ``{"optimizer.lr": 3e-4, "model.name": "p4cnn"}``. A mapping as value
            replaces a whole section.

    Raises:
        ConfigError: if the recipe is unknown or unreadable, or a setting cannot be used.
        FileNotFoundError: if there is no such file.

    Example:
        >>> load_recipe("rot-mnist", {"model.name": "z2cnn"}).epochs
        300
    """
    settings = read_settings(_recipe_path(recipe))
    per_model = settings.pop("models", {})
    if not isinstance(per_model, dict) or not all(isinstance(entry, dict) for entry in per_model.values()):
        raise ConfigError(f"models (={per_model!r}) must map names of networks to sections of settings")
    # the network has to be known before what differs for it can be looked up
    chosen = override(settings, overrides or {}).get("model")
    name = chosen.get("name", "") if isinstance(chosen, dict) else ""
    for pattern, differences in per_model.items():
        if fnmatch.fnmatchcase(str(name), pattern):
            if "name" in differences.get("model", {}):
                raise ConfigError(f"models.{pattern}.model.name cannot be set: the pattern already chooses the network")
            settings = merge(settings, differences)
    return config_from_mapping(override(settings, overrides or {}))


def _recipe_path(recipe: str | Path) -> Path:
    if isinstance(recipe, Path) or "/" in recipe or recipe.endswith((".yaml", ".yml")):
        return Path(recipe)
    if recipe not in list_recipes():
        known = ", ".join(list_recipes())
        raise ConfigError(f"there is no recipe for {recipe!r}, only for {known}; write one and give its path")
    return Path(str(resources.files(__package__) / "recipes" / f"{recipe}.yaml"))


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, read as data alone."""
    if path.stat().st_size > MAX_RECIPE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_RECIPE_BYTES:,} bytes and no recipe")
    try:
        settings = yaml.load(path.read_text(encoding="utf-8"), Loader=_RecipeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not a readable recipe: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} must hold `field: value` lines, see the recipes of the library")
    return settings


def parse_override(text: str) -> tuple[str, Any]:
    """Field and value of a ``field=value`` from the command line; the value is read as YAML.

    Example:
        >>> parse_override("optimizer.lr=3e-4")
        ('optimizer.lr', 0.0003)
    """
    field, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", field.strip()):
        raise ConfigError(f"--set {text!r} must have the form field=value, e.g. --set optimizer.lr=3e-4")
    try:
        return field.strip(), yaml.load(value, Loader=_RecipeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text!r}: the value cannot be read: {error}") from error


def override(settings: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the settings with dotted fields replaced.

    Example:
        >>> override({"optimizer": {"lr": 0.1, "name": "sgd"}}, {"optimizer.lr": 0.2})
        {'optimizer': {'lr': 0.2, 'name': 'sgd'}}
    """
    result = copy.deepcopy(dict(settings))
    for dotted, value in overrides.items():
        *sections, last = dotted.split(".")
        place = result
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{dotted}: {section} (={place!r}) is not a section and has no field {last!r}")
        place[last] = copy.deepcopy(value)
    return result


def merge(settings: Mapping[str, Any], differences: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the settings with the differences laid over them, section by section."""
    result = copy.deepcopy(dict(settings))
    for key, value in differences.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else copy.deepcopy(value)
    return result


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested settings by dotted field.

    Example:
        >>> flatten({"epochs": 3, "optimizer": {"lr": 0.1}})
        {'epochs': 3, 'optimizer.lr': 0.1}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def dump_settings(settings: Mapping[str, Any]) -> str:
    """Settings as YAML text that `read_settings` reads back to equal values."""
    return yaml.dump(dict(settings), Dumper=_RecipeDumper, sort_keys=False, allow_unicode=True)
