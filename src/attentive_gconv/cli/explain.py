"""`agconv explain`."""

import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attentive_gconv.cli.options import (
    DATA_DIR_OPTION,
    DATASET_OPTION,
    FIT_OPTION,
    IMPORT_OPTION,
    INVERT_OPTION,
    MODEL_OPTION,
    TARGET_AND_IMAGES_ARGUMENT,
    WEIGHTS_OPTION,
    FitRule,
    is_given,
    open_for_images,
    target_and_images,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from attentive_gconv.checkpoints import TrainedModel


class FigureFormat(StrEnum):
    """File format of the figures."""

    PNG = "png"
    SVG = "svg"


class Kind(StrEnum):
    """Kind of maps."""

    AUTO = "auto"
    ATTENTION = "attention"
    ACTIVATION = "activation"


class Reduction(StrEnum):
    """Reduction over channels and output channels."""

    MEAN = "mean"
    MAX = "max"


class Pose(StrEnum):
    """Which of the two poses of full attention is shown."""

    INPUT = "input"
    OUTPUT = "output"


def explain_command(
    context: typer.Context,
    arguments: TARGET_AND_IMAGES_ARGUMENT,
    out: Annotated[Path, typer.Option(help="Folder for the figures; existing files are replaced.")] = Path("explained"),
    format_: Annotated[FigureFormat, typer.Option("--format", help="File format of the figures.")] = FigureFormat.PNG,
    kind: Annotated[
        Kind, typer.Option(help="attention, activation, or auto: attention if the network has any.")
    ] = Kind.AUTO,
    reduction: Annotated[Reduction, typer.Option(help="Reduction over channels and output channels.")] = Reduction.MEAN,
    pose: Annotated[Pose, typer.Option(help="Which of the two poses of full attention is shown.")] = Pose.INPUT,
    animation: Annotated[bool, typer.Option(help="Also write a GIF of a full turn.")] = True,
    steps: Annotated[
        int, typer.Option(min=4, help="Angles in the full turn; a multiple of 4 includes 90°, 180° and 270°.")
    ] = 72,
    invert: INVERT_OPTION = False,
    fit: FIT_OPTION = FitRule.PAD,
    weights: WEIGHTS_OPTION = None,
    model: MODEL_OPTION = None,
    dataset: DATASET_OPTION = None,
    data_dir: DATA_DIR_OPTION = None,
    imports: IMPORT_OPTION = None,
) -> None:
    """Visualize the attention of a network on images: figures, an animation, and the maps as arrays.

    For each image NAME it writes NAME-overview, NAME-layers and NAME-rotations (figures), NAME-turn.gif and
    NAME-maps.npz. High values are what the attention keeps. Files that cannot be read are reported on stderr, with exit
    status 1.
    """
    from attentive_gconv.inference import ImageError, read_image
    from attentive_gconv.training import ConfigError

    if not animation and is_given(context, "steps"):
        raise ConfigError(f"--steps {steps} has no meaning with --no-animation: leave one of the two out")
    target, images = target_and_images(arguments)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file: give the name of a folder")
    trained = open_for_images(target, weights, model, dataset, data_dir).trained
    if is_given(context, "pose") and not _has_two_poses(trained.module, kind):
        raise ConfigError(
            f"--pose {pose.value} is for maps of full attention between poses, and {trained.card.model} shows none: "
            "leave it out"
        )
    options: dict[str, Any] = {"kind": kind.value, "reduction": reduction.value, "pose": pose.value}
    failed = False
    for path, name in zip(images, distinct_names(images), strict=True):
        try:
            image = read_image(path, trained.card, invert=invert, fit=fit.value)
        except ImageError as error:
            print(f"agconv: {error}", file=sys.stderr)
            failed = True
            continue
        for written in _explain(trained, image, out / name, format_, steps if animation else 0, options):
            typer.echo(str(written))
    if failed:
        raise typer.Exit(1)


def _has_two_poses(module: "nn.Module", kind: Kind) -> bool:
    """Whether maps of this kind depend on the pose of the output and on that of the input."""
    from attentive_gconv.nn import AttentiveGroupConv2d

    return kind is not Kind.ACTIVATION and any(isinstance(part, AttentiveGroupConv2d) for part in module.modules())


def distinct_names(images: list[Path]) -> list[str]:
    """A distinct name for each image: the name of its file, with a number if several have the same."""
    seen: Counter[str] = Counter()
    taken = {path.stem for path in images}
    names = []
    for path in images:
        seen[path.stem] += 1
        name, number = path.stem, seen[path.stem]
        while number > 1 and (name := f"{path.stem}-{number}") in taken:
            number += 1
        taken.add(name)
        names.append(name)
    return names


def _explain(
    trained: "TrainedModel", image: "Tensor", place: Path, ending: str, steps: int, options: dict[str, Any]
) -> list[Path]:
    import numpy as np

    from attentive_gconv.files import atomic_path
    from attentive_gconv.visualize import attention_figures, explain
    from attentive_gconv.visualize.animation import save_turn
    from attentive_gconv.visualize.display import Display
    from attentive_gconv.visualize.turning import full_turn

    def file(what: str) -> Path:
        return place.with_name(f"{place.name}-{what}")

    card = trained.card
    display = Display(card.mean, card.std, card.transposed)
    image = image.to(next(trained.module.parameters()).dtype)
    explanation = explain(trained.module, image, **options)
    best = explanation.output.softmax(-1).max(-1)
    says = f"{card.model}: {card.classes[int(best.indices)]}, {100 * float(best.values):.1f} %"
    title = f"{says}; {attention_figures.KIND_TITLES[explanation.kind]}"
    written = [
        attention_figures.save_figure(
            attention_figures.overview(explanation, image, display, title), file(f"overview.{ending}")
        ),
        attention_figures.save_figure(
            attention_figures.layer_maps(explanation, image, display, title), file(f"layers.{ending}")
        ),
    ]
    if image.shape[-1] != image.shape[-2]:
        print(f"hint: {card.model} takes images that are not square, which are not rotated", file=sys.stderr)
    else:
        sheet = attention_figures.rotation_sheet(trained.module, image, display, title=card.model, **options)
        written.append(attention_figures.save_figure(sheet, file(f"rotations.{ending}")))
        if steps:
            turn = full_turn(trained.module, image, steps, sense=display.sense(), **options)
            written.append(save_turn(turn, file("turn.gif"), display, card.model, card.classes))
    with atomic_path(file("maps.npz")) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **attention_figures.as_arrays(explanation, image))  # type: ignore[arg-type]
    return [*written, file("maps.npz")]
