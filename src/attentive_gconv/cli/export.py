"""`agconv export`."""

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attentive_gconv.cli.options import (
    DATASET_DIR_OPTION,
    DATASET_OPTION,
    IMPORT_OPTION,
    MODEL_OPTION,
    TARGET_ARGUMENT,
    WEIGHTS_OPTION,
    named_target,
)

if TYPE_CHECKING:
    from torch import Tensor

    from attentive_gconv.checkpoints import OpenedModel


class Format(StrEnum):
    """Format of the exported file."""

    ONNX = "onnx"
    PT2 = "pt2"
    AOTI = "aoti"


_FORMAT_OPTION = Annotated[
    Format,
    typer.Option(help="onnx: for onnxruntime; pt2: for torch.export.load; aoti: compiled, needs a C++ compiler."),
]
_OUT_OPTION = Annotated[Path | None, typer.Option(help="File to write; default: the network's name.")]
_INT8_OPTION = Annotated[
    bool, typer.Option("--int8", help="Quantize to 8-bit integers, calibrated on training images; for --format onnx.")
]
_IMAGES_OPTION = Annotated[
    int | None, typer.Option(min=1, help="With --int8: number of training images to calibrate on; default 512.")
]
CALIBRATION_IMAGES = 512
_LICENSE_OPTION = Annotated[
    str | None, typer.Option(help="Licence of the weights, for the file's metadata; default for shipped weights: MIT.")
]
_SIZE_OPTION = Annotated[
    bool, typer.Option(help="Allow images of other sizes, if the network does; or fix the size of the model card.")
]


def export_command(
    target: TARGET_ARGUMENT = None,
    format: _FORMAT_OPTION = Format.ONNX,
    out: _OUT_OPTION = None,
    int8: _INT8_OPTION = False,
    calibration_images: _IMAGES_OPTION = None,
    license: _LICENSE_OPTION = None,
    dynamic_size: _SIZE_OPTION = True,
    weights: WEIGHTS_OPTION = None,
    model: MODEL_OPTION = None,
    dataset: DATASET_OPTION = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="For --int8 and .pth files: the folder that holds the datasets.")
    ] = None,
    dataset_dir: DATASET_DIR_OPTION = None,
    imports: IMPORT_OPTION = None,
) -> None:
    """Write a trained network to a file that runs without this library: ONNX, torch.export or AOTInductor.

    The file takes batches of any size and holds the model card: `agconv predict FILE.onnx IMAGE...` gives the same
    predictions as the network.
    """
    from attentive_gconv.checkpoints import open_model
    from attentive_gconv.export.formats import FORMATS, export
    from attentive_gconv.models.shipped_cards import list_pretrained, pretrained_file

    if int8 and format is not Format.ONNX:
        raise ValueError(f"--int8 quantizes --format onnx alone, not {format.value}: leave one of the two out")
    card_is_there = target is None or target.suffix not in (".pth", ".pt")
    if dataset is not None and card_is_there:
        raise ValueError(f"--dataset {dataset} is for .pth files: other networks have a model card, leave it out")
    if not int8:
        folders = {"--data-dir": data_dir, "--dataset-dir": dataset_dir} if card_is_there else {}
        _refuse_without_int8({"--calibration-images": calibration_images, **folders})
    directory = str(data_dir) if data_dir else None
    folder = str(dataset_dir) if dataset_dir else None
    opened = open_model(
        named_target(target), which=weights, model=model, dataset=dataset, data_dir=directory, dataset_dir=folder
    )
    card = opened.trained.card
    path = out or Path(f"{card.model}{'-int8' if int8 else ''}{FORMATS[format]}")
    shipped = opened.origin in map(pretrained_file, list_pretrained())
    export(
        opened.trained.module,
        path,
        format.value,
        card=card,
        license=license if license is not None else "MIT" if shipped else "",
        dynamic_size=dynamic_size,
        calibration=_training_images(opened, directory, folder, calibration_images or CALIBRATION_IMAGES)
        if int8
        else None,
    )
    print(f"wrote {path} ({path.stat().st_size:,} bytes): {card.model}, {len(card.classes)} classes", file=sys.stderr)


def _refuse_without_int8(given: Mapping[str, int | Path | None]) -> None:
    """Raise ValueError if an option is given that would be ignored."""
    for option, value in given.items():
        if value is not None:
            raise ValueError(
                f"{option} {value} has no meaning without --int8, which needs training images: leave it out"
            )


def _training_images(opened: "OpenedModel", data_dir: str | None, dataset_dir: str | None, count: int) -> "Tensor":
    """Standardised training images, evenly spaced: images in folders are sorted by class."""
    import torch

    train = opened.load_splits(data_dir, dataset_dir=dataset_dir).train
    count = min(count, len(train))
    return torch.stack([train[i * len(train) // count][0] for i in range(count)])
