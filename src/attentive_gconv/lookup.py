"""Look-up by name, with suggestions where the name is unknown."""

import difflib
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def find(kind: str, name: str, known: Mapping[str, T]) -> T:
    """Get an entry by name.

    Raises:
        ValueError: if there is none; the message suggests the nearest names.

    Example:
        >>> find("fruit", "aple", {"apple": 1, "fig": 2})
        Traceback (most recent call last):
        ...
        ValueError: unknown fruit 'aple': did you mean 'apple'? Known are apple, fig
    """
    if isinstance(name, str) and name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    raise ValueError(f"unknown {kind} {name!r}: {hint}Known are {', '.join(known)}")
