"""What several commands have in common."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

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
