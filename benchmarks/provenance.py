"""Provenance of published figures: that of `attentive_gconv.environment`, without the folders of the machine."""

from pathlib import PurePath
from typing import Any

from attentive_gconv.environment import describe_environment


def published_environment() -> dict[str, Any]:
    """Machine, versions, revision and command; the command names no folder outside the repository."""
    facts = describe_environment()
    return {**facts, "command": without_folders(facts["command"])}


def without_folders(command: list[str]) -> list[str]:
    """The command of a run without the machine's folders.

    Example:
        >>> without_folders(["/bin/agconv", "train", "digits", "--data-dir", "/data", "--out", "/runs/a"])
        ['agconv', 'train', 'digits', '--data-dir', 'DIR', '--out', 'a']
        >>> without_folders(["compare.py", "--before", "../mine", "--reference=../given/files"])
        ['compare.py', '--before', 'DIR', '--reference=DIR']
    """
    hidden = [f"{part.partition('=')[0]}=DIR" if part.startswith("--data-dir=") else part for part in command]
    parts = ["DIR" if before == "--data-dir" else part for before, part in zip(["", *hidden], hidden, strict=False)]
    return [
        _named(option) if not equals else option + equals + _named(value)
        for option, equals, value in (part.partition("=") for part in parts)
    ]


def _named(word: str) -> str:
    """A word of a command; of a path outside the repository the name alone, and nothing of one above it."""
    if word.startswith(".."):
        return "DIR"
    return PurePath(word).name if word.startswith("/") else word
