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
    """
    hidden = [f"{part.partition('=')[0]}=DIR" if part.startswith("--data-dir=") else part for part in command]
    parts = ["DIR" if before == "--data-dir" else part for before, part in zip(["", *hidden], hidden, strict=False)]
    return [
        PurePath(option).name
        if option.startswith("/")
        else option + equals + (PurePath(value).name if "/" in value else value)
        for option, equals, value in (part.partition("=") for part in parts)
    ]
