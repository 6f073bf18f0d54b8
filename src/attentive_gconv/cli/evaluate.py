"""`agconv evaluate`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attentive_gconv.cli.options import (
    DATASET_DIR_OPTION,
    IMPORT_OPTION,
    JSON_OPTION,
    MODEL_OPTION,
    TARGET_ARGUMENT,
    WEIGHTS_OPTION,
    named_target,
    open_target,
)
from attentive_gconv.cli.output import plain_console, plain_table

if TYPE_CHECKING:
    from attentive_gconv.data import DataSplits, LabelledDataset
    from attentive_gconv.inference import Evaluation


class Split(StrEnum):
    """Split of the dataset."""

    TEST = "test"
    VALID = "valid"
    TRAIN = "train"


class Arithmetic(StrEnum):
    """Precision of the arithmetic."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


_DATA_DIR_OPTION = Annotated[Path | None, typer.Option(help="Folder that holds the datasets.")]
_SPLIT_OPTION = Annotated[Split, typer.Option(help="Split to evaluate on.")]
_LIMIT_OPTION = Annotated[int | None, typer.Option(min=1, help="Evaluate on the first N images only.")]
_DTYPE_OPTION = Annotated[Arithmetic, typer.Option(help="Precision: float32 or float64.")]
_DEVICE_OPTION = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps ..., or auto: a GPU if there is one.")]
_BATCH_SIZE_OPTION = Annotated[int, typer.Option(min=1, help="Batch size.")]
_WORKERS_OPTION = Annotated[int, typer.Option(min=0, help="Worker processes that load images; 0: none.")]
_DATASET_OPTION = Annotated[
    str | None, typer.Option(help="Another dataset with the same classes; required for .pth files.")
]
_ROTATIONS_OPTION = Annotated[
    bool, typer.Option(help="Count predictions that change when the input is rotated: four times the work.")
]
_MIRRORINGS_OPTION = Annotated[
    bool,
    typer.Option("--mirrorings", help="Count those too that change when it is mirrored: as much work again."),
]
_CONFUSION_OPTION = Annotated[bool, typer.Option("--confusion", help="Show the confusion matrix.")]


def evaluate_command(
    target: TARGET_ARGUMENT = None,
    data_dir: _DATA_DIR_OPTION = None,
    dataset_dir: DATASET_DIR_OPTION = None,
    split: _SPLIT_OPTION = Split.TEST,
    weights: WEIGHTS_OPTION = None,
    limit: _LIMIT_OPTION = None,
    dtype: _DTYPE_OPTION = Arithmetic.FLOAT32,
    device: _DEVICE_OPTION = "auto",
    batch_size: _BATCH_SIZE_OPTION = 250,
    workers: _WORKERS_OPTION = 0,
    model: MODEL_OPTION = None,
    dataset: _DATASET_OPTION = None,
    rotations: _ROTATIONS_OPTION = True,
    mirrorings: _MIRRORINGS_OPTION = False,
    confusion: _CONFUSION_OPTION = False,
    as_json: JSON_OPTION = False,
    imports: IMPORT_OPTION = None,
) -> None:
    """Evaluate a trained network: error, figures of each class, and equivariance of the predictions."""
    import torch

    from attentive_gconv.cli.devices import find_device
    from attentive_gconv.inference import evaluate

    directory = str(data_dir) if data_dir else None
    folder = str(dataset_dir) if dataset_dir else None
    exported = target is not None and target.suffix == ".onnx"
    if exported and (dtype is Arithmetic.FLOAT64 or device not in ("auto", "cpu")):
        raise ValueError(f"{target} runs on the CPU in float32: leave out --dtype and --device")
    chosen_device = find_device("cpu" if exported else device)
    opened = open_target(
        named_target(target), which=weights, model=model, dataset=dataset, data_dir=directory, dataset_dir=folder
    )
    splits = opened.load_splits(directory, dataset, folder)
    images = _images_of(splits, split)
    card = opened.trained.card
    figures = evaluate(
        opened.trained.module,
        images,
        card.classes,
        rotations=rotations,
        mirrorings=mirrorings,
        limit=limit,
        batch_size=batch_size,
        workers=workers,
        dtype=getattr(torch, dtype),
        device=chosen_device,
    )
    about = {
        "weights": str(opened.origin),
        "model": card.model,
        "parameters": sum(parameter.numel() for parameter in opened.trained.module.parameters()),
        "dataset": splits.name,
        "dataset_source": splits.source,
        "split": split.value,
        "dtype": dtype.value,
    }
    if as_json:
        typer.echo(json.dumps(about | figures.to_mapping(), indent=2))
    else:
        _print(about, figures, confusion)


def _images_of(splits: "DataSplits", split: Split) -> "LabelledDataset":
    from attentive_gconv.training import ConfigError

    found = splits.by_name()
    if split not in found:
        raise ConfigError(
            f"--split {split}: {splits.name} has no such split under the protocol {splits.protocol!r}; "
            f"there are {', '.join(found)}"
        )
    return found[split]


def _print(about: dict[str, Any], figures: "Evaluation", confusion: bool) -> None:
    console = plain_console()
    console.print(
        f"{about['model']} ({about['parameters']:,} parameters), {about['weights']}\n"
        f"{about['dataset']}, {about['split']} images: {figures.images:,}\n\n"
        f"error     {_percent(figures.error)}\naccuracy  {_percent(figures.accuracy)}\nloss      {figures.loss:.4f}\n"
    )
    table = plain_table("class", "images", "error", "recall", "precision", "ROC AUC", numbers=range(1, 6))
    for row in figures.classes:
        error = None if row.recall is None else 1 - row.recall
        area = "-" if row.auc is None else f"{row.auc:.4f}"
        table.add_texts(row.name, str(row.count), _percent(error), _percent(row.recall), _percent(row.precision), area)
    console.print(table)
    if confusion:
        console.print("\nconfusion matrix: true class by row, predicted class by column")
        grid = plain_table("", *(row.name for row in figures.classes), numbers=range(1, 1 + len(figures.classes)))
        for row, counts in zip(figures.classes, figures.confusion, strict=True):
            grid.add_texts(row.name, *map(str, counts))
        console.print(grid)
    for how, changed in (
        ("rotated", figures.changed_by_rotation),
        ("mirrored left to right, and rotated", figures.changed_by_mirroring),
    ):
        if changed is not None:
            console.print(f"\npredictions that change when the input is {how}")
            for degrees, count in changed.items():
                share = _percent(count / figures.images)
                console.print(f"  by {degrees:>3}°  {count:,} of {figures.images:,}  ({share})")


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f} %"
