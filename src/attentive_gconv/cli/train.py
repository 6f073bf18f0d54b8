"""`agconv train`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from attentive_gconv.cli.options import DATASET_DIR_OPTION, IMPORT_OPTION, with_settings
from attentive_gconv.cli.output import plain_console

if TYPE_CHECKING:
    from attentive_gconv.training.runner import TrainResult

_SETTINGS = "Settings (defaults: the recipe's)"
_RUN = "Run"
_MACHINE = "Machine"


_DATASET_ARGUMENT = Annotated[
    str | None, typer.Argument(help="Dataset, and name of its recipe; `agconv data` lists the datasets.")
]
_MODEL_OPTION = Annotated[
    str | None, typer.Option(help="Network; `agconv models` lists them.", rich_help_panel=_SETTINGS)
]
_EPOCHS_OPTION = Annotated[int | None, typer.Option(help="Number of epochs.", rich_help_panel=_SETTINGS)]
_BATCH_SIZE_OPTION = Annotated[
    int | None, typer.Option(help="Batch size: images for each optimizer step.", rich_help_panel=_SETTINGS)
]
_LR_OPTION = Annotated[float | None, typer.Option(help="Learning rate.", rich_help_panel=_SETTINGS)]
_WEIGHT_DECAY_OPTION = Annotated[float | None, typer.Option(help="Weight decay.", rich_help_panel=_SETTINGS)]
_SEED_OPTION = Annotated[
    int | None,
    typer.Option(help="Seed of initial weights, shuffling, augmentation and dropout.", rich_help_panel=_SETTINGS),
]
_PROTOCOL_OPTION = Annotated[
    str | None,
    typer.Option(
        help="validation: choose the epoch on the validation set, test once. final: train on all, test the last "
        "epoch once. paper: train on all, monitor the test set.",
        rich_help_panel=_SETTINGS,
    ),
]
_PRECISION_OPTION = Annotated[
    str | None,
    typer.Option(help="Precision: 32-true, 64-true; mixed precision: bf16-mixed, 16-mixed.", rich_help_panel=_SETTINGS),
]
_SET_OPTION = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Any field of the recipe, e.g. --set optimizer.lr=3e-4 --set model.channels=15; may be repeated.",
        rich_help_panel=_SETTINGS,
    ),
]
_AUGMENTATION_OPTION = Annotated[
    str | None,
    typer.Option(
        help="Data augmentation: none, flip-crop, rotation (by random angles), a class of torchvision.transforms.v2, "
        "or the import path of one.",
        rich_help_panel=_SETTINGS,
    ),
]
_INIT_OPTION = Annotated[
    str | None,
    typer.Option(
        help="Fine-tune: start from the weights of a run folder, a .safetensors file, or a shipped network. "
        "Without --model, the same network is trained.",
        rich_help_panel=_SETTINGS,
    ),
]
_RECIPE_OPTION = Annotated[
    str | None,
    typer.Option(help="A recipe file of your own, or another dataset's by name.", rich_help_panel=_SETTINGS),
]
_OUT_OPTION = Annotated[
    Path | None, typer.Option(help="New run folder; default runs/DATASET-MODEL-SEED.", rich_help_panel=_RUN)
]
_RESUME_OPTION = Annotated[bool, typer.Option("--resume", help="Continue the run in --out.", rich_help_panel=_RUN)]
_DATA_DIR_OPTION = Annotated[Path | None, typer.Option(help="Folder that holds the datasets.", rich_help_panel=_RUN)]
_ACCELERATOR_OPTION = Annotated[
    str | None, typer.Option(help="Accelerator: auto, cpu, gpu, mps ...", rich_help_panel=_MACHINE)
]
_DEVICES_OPTION = Annotated[
    int | None,
    typer.Option(help="Number of devices on each machine; they share every batch.", rich_help_panel=_MACHINE),
]
_NUM_NODES_OPTION = Annotated[int | None, typer.Option(help="Number of machines.", rich_help_panel=_MACHINE)]
_STRATEGY_OPTION = Annotated[
    str | None,
    typer.Option(help="Parallel training: auto, or ddp (one process for each device).", rich_help_panel=_MACHINE),
]
_ACCUMULATE_OPTION = Annotated[
    int | None,
    typer.Option(help="Gradient accumulation: micro-batches that a batch is split into.", rich_help_panel=_MACHINE),
]
_SYNC_BATCH_NORM_OPTION = Annotated[
    bool | None,
    typer.Option(help="Synchronised batch normalisation over all devices (default).", rich_help_panel=_MACHINE),
]
_WORKERS_OPTION = Annotated[
    int | None, typer.Option(help="Worker processes that load images; 0: none.", rich_help_panel=_MACHINE)
]


_PRINT_CONFIG_OPTION = Annotated[
    bool,
    typer.Option("--print-config", help="Print all settings as a recipe, without training.", rich_help_panel=_RUN),
]


def train_command(
    dataset: _DATASET_ARGUMENT = None,
    model: _MODEL_OPTION = None,
    epochs: _EPOCHS_OPTION = None,
    batch_size: _BATCH_SIZE_OPTION = None,
    lr: _LR_OPTION = None,
    weight_decay: _WEIGHT_DECAY_OPTION = None,
    seed: _SEED_OPTION = None,
    protocol: _PROTOCOL_OPTION = None,
    precision: _PRECISION_OPTION = None,
    set_: _SET_OPTION = None,
    augmentation: _AUGMENTATION_OPTION = None,
    init: _INIT_OPTION = None,
    recipe: _RECIPE_OPTION = None,
    out: _OUT_OPTION = None,
    resume: _RESUME_OPTION = False,
    data_dir: _DATA_DIR_OPTION = None,
    dataset_dir: DATASET_DIR_OPTION = None,
    accelerator: _ACCELERATOR_OPTION = None,
    devices: _DEVICES_OPTION = None,
    num_nodes: _NUM_NODES_OPTION = None,
    strategy: _STRATEGY_OPTION = None,
    accumulate: _ACCUMULATE_OPTION = None,
    sync_batch_norm: _SYNC_BATCH_NORM_OPTION = None,
    workers: _WORKERS_OPTION = None,
    imports: IMPORT_OPTION = None,
    print_config: _PRINT_CONFIG_OPTION = False,
) -> None:
    """Train a network with a recipe. The run folder holds settings, metrics, checkpoints and provenance.

    [bold]agconv train rot-mnist --model alpha_f_p4cnn --seed 0 --out runs/af0[/bold]

    [bold]agconv train --resume --out runs/af0[/bold] continues an interrupted run.
    """
    flags = {
        "dataset.name": dataset,
        "dataset.dir": str(data_dir) if data_dir else None,
        "dataset.folder": str(dataset_dir) if dataset_dir else None,
        "dataset.augmentation": augmentation,
        "model.name": model,
        "init": init,
        "epochs": epochs,
        "batch_size": batch_size,
        "optimizer.lr": lr,
        "optimizer.weight_decay": weight_decay,
        "seed": seed,
        "protocol": protocol,
        "precision": precision,
        "accelerator": accelerator,
        "devices": devices,
        "num_nodes": num_nodes,
        "strategy": strategy,
        "accumulate": accumulate,
        "sync_batch_norm": sync_batch_norm,
        "workers": workers,
        "imports": imports or None,
    }
    overrides = with_settings({name: value for name, value in flags.items() if value is not None}, set_ or [])
    console = plain_console()
    resumed = _run_to_resume(recipe, out) if resume else None
    if print_config:
        typer.echo(_settings(dataset, recipe, resumed, overrides), nl=False)
        return
    if resumed is not None:
        from attentive_gconv.training import runner

        result, folder = runner.resume(resumed, overrides, console=console), resumed
    else:
        result, folder = _start(dataset, recipe, out, overrides, console)
    if result is not None:
        _report(console, result, folder, imports or [])


def _run_to_resume(recipe: str | None, out: Path | None) -> Path:
    """The folder of ``--resume``.

    Raises:
        ConfigError: if it is not named, or a recipe is.
    """
    from attentive_gconv.settings import ConfigError

    if out is None:
        raise ConfigError("--resume needs --out, the folder of the run to continue")
    if recipe is not None:
        raise ConfigError(f"--recipe (={recipe}) has no meaning with --resume: the run folder holds the settings")
    return out


def _start(
    dataset: str | None, recipe: str | None, out: Path | None, overrides: dict[str, Any], console: Console
) -> tuple["TrainResult | None", Path]:
    from attentive_gconv.training import load_recipe, train

    config = load_recipe(_named_recipe(dataset, recipe), overrides)
    out = out or Path("runs") / f"{config.dataset.name}-{config.model.name}-{config.seed}"
    return train(config, out, console=console), out


def _settings(dataset: str | None, recipe: str | None, resumed: Path | None, overrides: dict[str, Any]) -> str:
    """All settings of a run as a recipe."""
    from attentive_gconv.training import RunFolder, load_recipe
    from attentive_gconv.training.parsing import config_from_mapping, config_to_mapping
    from attentive_gconv.training.recipe import override
    from attentive_gconv.yaml_settings import dump_settings

    if resumed is not None:
        stored = RunFolder(resumed).read_config()
        config = config_from_mapping(override(config_to_mapping(stored), overrides))
    else:
        config = load_recipe(_named_recipe(dataset, recipe), overrides)
    return dump_settings(config_to_mapping(config))


def _named_recipe(dataset: str | None, recipe: str | None) -> str:
    from attentive_gconv.settings import ConfigError

    if dataset is None and recipe is None:
        raise ConfigError("name a dataset (`agconv data` lists them), or give the file of a --recipe")
    return recipe or str(dataset)


def _report(console: Console, result: "TrainResult", out: Path, imports: list[str]) -> None:
    if result.protocol == "validation":
        tested = f"({result.test_images:,} images, tested once)"
        best = (
            f"{result.best_epoch} of {result.epochs}, with {_percent(result.valid_error)} error on the validation set"
        )
        rows = {"test error": f"{_percent(result.test_error)}  {tested}", "best epoch": best}
    elif result.protocol == "final":
        rows = {"test error": f"{_percent(result.test_error)}  at the last epoch, {result.epochs}; tested once"}
    else:
        best_error = _percent(result.best_test["test_error"] if result.best_test else None)
        chosen = f"at epoch {result.best_epoch}, selected on the test set, as the authors did"
        rows = {
            "test error": f"{_percent(result.test_error)}  at the last epoch, {result.epochs}",
            "best test error": f"{best_error}  {chosen}",
        }
    rows = {"run folder": str(out)} | rows | {"seconds per epoch": f"{result.seconds_per_epoch:.1f}"}
    lines = ["", *(f"{name:<19}{value}" for name, value in rows.items()), ""]
    target = "".join(f"--import {shlex.quote(name)} " for name in imports) + shlex.quote(str(out))
    lines += [f"next: agconv evaluate {target}", f"      agconv predict {target} IMAGE..."]
    console.print("\n".join(lines))


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:.2f} %"
