"""Settings as YAML text, read strictly and as data alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attentive_gconv.settings import ConfigError

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


def parse_value(text: str) -> Any:
    """One value, as YAML reads it.

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        return yaml.load(text, Loader=_RecipeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value cannot be read: {error}") from error


def dump_settings(settings: Mapping[str, Any]) -> str:
    """Settings as YAML text that `read_settings` reads back to equal values."""
    return yaml.dump(dict(settings), Dumper=_RecipeDumper, sort_keys=False, allow_unicode=True)
