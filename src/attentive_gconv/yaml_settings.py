"""Settings as YAML text: a strict subset of YAML, read as data alone.

Numbers are decimal: ``1e-3`` is a number; ``010`` (8 in YAML 1.1), ``0x10`` and ``1:30`` are strings. Keys are strings
and occur once. Tags, aliases, deep nesting and large files are refused.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attentive_gconv.settings import ConfigError

try:
    import yaml
except ImportError as error:
    raise ImportError("recipes need PyYAML: pip install 'attentive-gconv[train]'") from error

MAX_RECIPE_BYTES = 100_000
MAX_DEPTH = 20
_SIGNATURE = "# sha256 of the lines above: "


class _RecipeLoader(yaml.SafeLoader):
    """Loader of the subset above."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise self._error("aliases (*name) are not allowed in recipes: write the value out")
        if (tag := getattr(self.peek_event(), "tag", None)) is not None:
            raise self._error(f"tags ({tag}) are not allowed in recipes: write the value without one")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._error(f"it is nested more than {MAX_DEPTH} levels deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} must be a word", node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} occurs twice", node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def _error(self, message: str) -> yaml.YAMLError:
        return yaml.composer.ComposerError(None, None, message, self.peek_event().start_mark)


class _RecipeDumper(yaml.SafeDumper):
    """Dumper that quotes the strings that `_RecipeLoader` would otherwise read as numbers."""


_INT = re.compile(r"^[-+]?(0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"^[-+]?((\d[\d_]*\.[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf|\.Inf|\.INF)$|^\.(nan|NaN|NAN)$"
)
for _yaml_class in (_RecipeLoader, _RecipeDumper):
    # without the base class's resolvers of numbers, which accept other bases, and of dates
    _kept = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null")
    _yaml_class.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag in _kept]
        for letter, resolvers in _yaml_class.yaml_implicit_resolvers.items()
    }
    _yaml_class.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
    _yaml_class.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def read_settings(path: Path, *, verify: bool = False) -> dict[str, Any]:
    """Read the settings in a YAML file.

    Args:
        path: the file.
        verify: compare the SHA-256 that `signed` adds; text without one is accepted.

    Raises:
        FileNotFoundError: if there is no such file.
        ConfigError: if the file does not hold settings, or ``verify`` is set and it has changed since it was written.
    """
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is not a regular file: give the path of a recipe")
    if path.stat().st_size > MAX_RECIPE_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_RECIPE_BYTES:,} bytes, too large for a recipe")
    try:
        text = path.read_text(encoding="utf-8")
        settings = yaml.load(text, Loader=_RecipeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not a readable recipe: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} must hold `field: value` lines, see the recipes of the library")
    lines, mark, _ = text.rpartition(_SIGNATURE)
    if verify and mark and signed(lines) != text:
        raise ConfigError(
            f"{path} is damaged, or was changed by hand: its lines have another sha256 than it says; restore it, or "
            "remove its last line if the change is intended"
        )
    return settings


def signed(text: str) -> str:
    """Append a comment with the text's SHA-256, which `read_settings` compares."""
    return f"{text}{_SIGNATURE}{hashlib.sha256(text.encode()).hexdigest()}\n"


def parse_value(text: str) -> Any:
    """Parse one value as YAML.

    Raises:
        ConfigError: if it cannot be read.
    """
    try:
        return yaml.load(text, Loader=_RecipeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"the value cannot be read: {error}") from error


def dump_settings(settings: Mapping[str, Any]) -> str:
    """Write settings as YAML text; `read_settings` reads back equal values."""
    return yaml.dump(dict(settings), Dumper=_RecipeDumper, sort_keys=False, allow_unicode=True)
