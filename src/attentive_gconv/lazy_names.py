"""Lazy imports of a package's public names (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(package: str, defined_in: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package: a name is imported when it is first used.

    Args:
        package: the package's ``__name__``.
        defined_in: the submodule that defines each name.

    Example:
        >>> find = lazy_names("json", {"JSONDecoder": "decoder"})
        >>> find("JSONDecoder")().decode("[1]")
        [1]
    """

    def find(name: str) -> Any:
        if name not in defined_in:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{defined_in[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
