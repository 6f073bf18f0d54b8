"""What several commands have in common."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class Weights(StrEnum):
    """Which weights of a run."""

    BEST = "best"
    LAST = "last"


TARGET_ARGUMENT = Annotated[
    Path,
    typer.Argument(
        metavar="RUN_OR_WEIGHTS", help="A run folder, a .safetensors file, or one of the authors' .pth files."
    ),
]

MODEL_OPTION = Annotated[
    str | None, typer.Option(help="For .pth files: the network they belong to; `agconv models` lists them.")
]

DATASET_DIR_OPTION = Annotated[
    Path | None,
    typer.Option(help="For image-folder: the folder that holds train/ and test/, with a folder of pictures a class."),
]


def with_settings(flags: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """The fields that flags set, and those of ``--set FIELD=VALUE``.

    Raises:
        ConfigError: if a field is given twice, or cannot be read.
    """
    from attentive_gconv.training.config import ConfigError
    from attentive_gconv.training.recipe import parse_override

    overrides = dict(flags)
    for text in settings:
        field, value = parse_override(text)
        if field in overrides:
            raise ConfigError(f"--set {text!r}: {field} is given twice, already as {overrides[field]!r}")
        overrides[field] = value
    return overrides
