"""`agconv predict`."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from attentive_gconv.cli.options import (
    DATA_DIR_OPTION,
    DATASET_OPTION,
    FIT_OPTION,
    IMPORT_OPTION,
    INVERT_OPTION,
    JSON_OPTION,
    MODEL_OPTION,
    TARGET_AND_IMAGES_ARGUMENT,
    WEIGHTS_OPTION,
    FitRule,
    open_for_images,
    target_and_images,
)
from attentive_gconv.cli.output import plain_console, plain_table

if TYPE_CHECKING:
    from attentive_gconv.inference import Prediction


def predict_command(
    arguments: TARGET_AND_IMAGES_ARGUMENT,
    top: Annotated[int, typer.Option(min=1, help="Number of most probable classes to print.")] = 1,
    invert: INVERT_OPTION = False,
    fit: FIT_OPTION = FitRule.PAD,
    weights: WEIGHTS_OPTION = None,
    model: MODEL_OPTION = None,
    dataset: DATASET_OPTION = None,
    data_dir: DATA_DIR_OPTION = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    as_json: JSON_OPTION = False,
    imports: IMPORT_OPTION = None,
) -> None:
    """Classify image files. Files that cannot be read are reported on stderr, with exit status 1.

    Images are rotated by their EXIF orientation, blended with white where transparent, resized with the aspect ratio
    kept, and standardised as in training. Give them upright, also for networks trained on rot-MNIST.
    """
    from attentive_gconv.inference import predict_files

    if as_csv and as_json:
        raise ValueError("--csv and --json exclude each other: give one of them")
    target, images = target_and_images(arguments)
    opened = open_for_images(target, weights, model, dataset, data_dir, exported=True)
    predictions = list(predict_files(opened.trained, images, top=top, invert=invert, fit=fit.value))
    printer = _print_json if as_json else _print_csv if as_csv else _print_table
    printer(predictions)
    light = [prediction.file for prediction in predictions if prediction.looks_inverted]
    if light:
        print(
            f"hint: {light[0]}{' and others' if len(light) > 1 else ''}: dark on light, but the network was trained "
            "on light on dark; " + ("leave out --invert" if invert else "try --invert"),
            file=sys.stderr,
        )
    failures = [prediction for prediction in predictions if prediction.error is not None]
    for prediction in failures:
        print(f"agconv: {prediction.error}", file=sys.stderr)
    if failures:
        raise typer.Exit(1)


def _print_table(predictions: Sequence["Prediction"]) -> None:
    table = plain_table("file", "class", "probability", numbers={2})
    for prediction in predictions:
        for place, guess in enumerate(prediction.guesses):
            table.add_texts(prediction.file if place == 0 else "", guess.label, f"{100 * guess.probability:.1f} %")
    if table.row_count:
        plain_console().print(table)


def _print_csv(predictions: Sequence["Prediction"]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "rank", "class", "probability", "error"])
    for prediction in predictions:
        for rank, guess in enumerate(prediction.guesses, start=1):
            writer.writerow([prediction.file, rank, guess.label, f"{guess.probability:.6f}", ""])
        if prediction.error is not None:
            writer.writerow([prediction.file, "", "", "", prediction.error])


def _print_json(predictions: Sequence["Prediction"]) -> None:
    rows = [
        {
            "file": prediction.file,
            "guesses": [{"class": guess.label, "probability": guess.probability} for guess in prediction.guesses],
            "error": prediction.error,
        }
        for prediction in predictions
    ]
    typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
