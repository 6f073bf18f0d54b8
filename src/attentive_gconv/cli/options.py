"""Options that several commands share."""

import sys
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from attentive_gconv.checkpoints import OpenedModel


def _import_modules(context: typer.Context, names: list[str] | None) -> list[str] | None:
    if names and not context.resilient_parsing:
        from attentive_gconv.importing import import_module

        for name in names:
            import_module(name)
    return names


IMPORT_OPTION = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        help="Import a module, or a .py file, that registers networks or datasets of your own; may be repeated.",
        callback=_import_modules,
        is_eager=True,
    ),
]
JSON_OPTION = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table; numbers are not rounded.")]


class Weights(StrEnum):
    """Weights of a run."""

    BEST = "best"
    LAST = "last"


class FitRule(StrEnum):
    """How images of another shape are fitted."""

    PAD = "pad"
    CROP = "crop"


TARGET_HELP = (
    "A run folder, a .safetensors file, one of the authors' .pth files, or the name of a network with shipped weights"
)
TARGET_ARGUMENT = Annotated[
    Path | None, typer.Argument(metavar="[RUN_OR_WEIGHTS]", help=f"{TARGET_HELP} (the default: alpha_f_p4cnn).")
]

TARGET_AND_IMAGES_ARGUMENT = Annotated[
    list[Path],
    typer.Argument(
        metavar="[RUN_OR_WEIGHTS] IMAGE...",
        help=f"{TARGET_HELP}, or for predict an exported .onnx file; then PNG or JPEG files of any size. Without a "
        "network: the shipped alpha_f_p4cnn.",
    ),
]
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

MODEL_OPTION = Annotated[
    str | None, typer.Option(help="For .pth files: the name of the network; `agconv models` lists them.")
]
WEIGHTS_OPTION = Annotated[
    Weights | None, typer.Option(help="Weights of a run: best or last; default: those that its protocol reports.")
]
INVERT_OPTION = Annotated[bool, typer.Option("--invert", help="Invert brightness: for dark digits on white paper.")]
FIT_OPTION = Annotated[
    FitRule, typer.Option(help="Images of another shape: pad the shorter side, or crop the longer one.")
]
DATASET_OPTION = Annotated[
    str | None,
    typer.Option(help="For .pth files: the dataset they were trained on, which gives classes, mean and std."),
]
DATA_DIR_OPTION = Annotated[Path | None, typer.Option(help="For .pth files: the folder that holds the datasets.")]
DATASET_DIR_OPTION = Annotated[
    Path | None,
    typer.Option(help="For image-folder: the folder that holds train/ and test/, with one folder for each class."),
]


def is_given(context: typer.Context, name: str) -> bool:
    """Whether the command line gives a parameter, rather than its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_others(context: typer.Context, allowed: Collection[str], why: str) -> None:
    """Refuse parameters that would be ignored.

    Raises:
        ValueError: if a parameter is given that is not allowed; the message ends with ``why``.
    """
    for parameter in context.command.params:
        if parameter.name is not None and parameter.name not in allowed and is_given(context, parameter.name):
            raise ValueError(f"{parameter.opts[0]} has no meaning {why}")


def with_settings(flags: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """Merge the fields that options set with those of ``--set FIELD=VALUE``.

    Raises:
        ConfigError: if a field is given twice, or cannot be read.
    """
    from attentive_gconv.settings import ConfigError
    from attentive_gconv.training.recipe import parse_override

    overrides = dict(flags)
    for text in settings:
        field, value = parse_override(text)
        if field in overrides:
            raise ConfigError(f"--set {text!r}: {field} is given twice, already as {overrides[field]!r}")
        overrides[field] = value
    return overrides


def target_and_images(arguments: list[Path]) -> tuple[Path, list[Path]]:
    """Split `TARGET_AND_IMAGES_ARGUMENT` into the network, by default the shipped one, and the images.

    Raises:
        BadParameter: if there are no images.
    """
    first, *others = arguments
    if first.suffix.lower() in IMAGE_SUFFIXES:
        return named_target(None), arguments
    if not others:
        raise typer.BadParameter(f"{first} is a network, not an image (.png, .jpg, .jpeg): give images after it")
    return first, others


def named_target(target: Path | None) -> Path:
    """The named network; without a name the shipped one, which is reported on stderr.

    Raises:
        ConfigError: if no network is named and the installation has no shipped weights.
    """
    from attentive_gconv.checkpoints.pretrained import DEFAULT, list_pretrained
    from attentive_gconv.training import ConfigError

    if target is not None:
        return target
    if DEFAULT not in list_pretrained():
        raise ConfigError(
            f"no network is named, and this installation does not have the weights {DEFAULT}: name a run folder or a "
            "file of weights first"
        )
    print(f"network: {DEFAULT}, shipped with the package", file=sys.stderr)
    return Path(DEFAULT)


def open_target(target: Path, **options: Any) -> "OpenedModel":
    """Open a network, which may be an ONNX file; the options are those of `attentive_gconv.checkpoints.open_model`.

    Raises:
        ConfigError: if an option has no meaning for an ONNX file.
    """
    from attentive_gconv.checkpoints import OpenedModel, open_model
    from attentive_gconv.settings import ConfigError

    if target.suffix != ".onnx":
        return open_model(target, **options)
    from attentive_gconv.export import open_onnx

    for name in ("which", "model"):
        if options.get(name) is not None:
            raise ConfigError(
                f"{name} (={options[name]!r}) has no meaning for {target}, an exported file: leave it out"
            )
    folders = {"dir": options.get("data_dir"), "folder": options.get("dataset_dir")}
    return OpenedModel(open_onnx(target), target, folders=folders)


def open_for_images(
    target: Path,
    weights: Weights | None,
    model: str | None,
    dataset: str | None,
    data_dir: Path | None,
    *,
    exported: bool = False,
) -> "OpenedModel":
    """Open the network of `predict` and `explain`, which take a dataset and its folder for .pth files only.

    Args:
        exported: whether ONNX files are accepted.

    Raises:
        ConfigError: if a dataset or its folder is given for another file.
    """
    from attentive_gconv.checkpoints import open_model
    from attentive_gconv.training import ConfigError

    if target.suffix not in (".pth", ".pt") and (dataset is not None or data_dir is not None):
        raise ConfigError(f"--dataset and --data-dir have no meaning for {target}, which has a model card")
    directory = str(data_dir) if data_dir else None
    opening = open_target if exported else open_model
    return opening(target, which=weights, model=model, dataset=dataset, data_dir=directory)
