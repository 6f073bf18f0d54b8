"""`agconv table`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attentive_gconv.cli.options import DATASET_DIR_OPTION, IMPORT_OPTION, with_settings
from attentive_gconv.cli.output import plain_console

if TYPE_CHECKING:
    from attentive_gconv.experiments.sweep import Job
    from attentive_gconv.training import TrainConfig


_DATASET_OPTION = Annotated[str, typer.Argument(help="rot-mnist, cifar10, pcam, or any dataset that has a recipe.")]
_MODELS_OPTION = Annotated[
    str | None,
    typer.Option(help="Networks, separated by commas; shell patterns are allowed. Default: those of the paper."),
]
_SEEDS_OPTION = Annotated[int, typer.Option(min=1, help="Number of runs of each network, with the seeds 0, 1, ...")]
_EPOCHS_OPTION = Annotated[int | None, typer.Option(help="Epochs of every run; default: the recipe's.")]
_PROTOCOL_OPTION = Annotated[str, typer.Option(help="Protocol of all runs: validation, final or paper.")]
_OUT_OPTION = Annotated[
    Path | None, typer.Option(help="Folder of the runs and the table; default runs/table-DATASET-PROTOCOL.")
]
_DATA_DIR_OPTION = Annotated[Path | None, typer.Option(help="Folder that holds the datasets.")]
_RECIPE_OPTION = Annotated[str | None, typer.Option(help="A recipe file of your own, or another dataset's by name.")]
_SET_OPTION = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any field of the recipe, for every run.")
]
_BASELINE_OPTION = Annotated[
    str | None, typer.Option(help="Network to compare the others with, seed by seed; default: the first.")
]
_PAIRS_OPTION = Annotated[
    str | None,
    typer.Option(
        metavar="A:B,...",
        help="Compare B with A, also by images (McNemar); default: the baseline with each other network.",
    ),
]
_JOBS_OPTION = Annotated[int | None, typer.Option(min=1, help="Concurrent runs; default: one for each GPU, else one.")]


def table_command(
    dataset: _DATASET_OPTION,
    models: _MODELS_OPTION = None,
    seeds: _SEEDS_OPTION = 5,
    epochs: _EPOCHS_OPTION = None,
    protocol: _PROTOCOL_OPTION = "validation",
    out: _OUT_OPTION = None,
    data_dir: _DATA_DIR_OPTION = None,
    dataset_dir: DATASET_DIR_OPTION = None,
    recipe: _RECIPE_OPTION = None,
    set_: _SET_OPTION = None,
    baseline: _BASELINE_OPTION = None,
    pairs: _PAIRS_OPTION = None,
    jobs: _JOBS_OPTION = None,
    imports: IMPORT_OPTION = None,
) -> None:
    """Reproduce a table of the paper: train the missing runs, and show the results beside the published ones.

    [bold]agconv table rot-mnist --models p4cnn,alpha_f_p4cnn --seeds 5 --out runs/table[/bold]

    The same command again keeps finished runs, resumes interrupted ones, and trains missing ones.
    """
    from attentive_gconv.checkpoints.run_files import read_json
    from attentive_gconv.experiments.run_table import Table
    from attentive_gconv.experiments.sweep import Job, Result, finish_all

    flags = {
        "dataset.name": dataset,
        "dataset.dir": str(data_dir) if data_dir else None,
        "dataset.folder": str(dataset_dir) if dataset_dir else None,
        "epochs": epochs,
        "protocol": protocol,
        "imports": imports or None,
    }
    overrides = _overrides(flags, set_ or [])
    names = _chosen(dataset, models)
    baseline, compared = _comparisons(names, baseline, pairs)
    out = out or Path("runs") / f"table-{dataset}-{protocol}"
    wanted = _jobs(names, seeds, recipe or dataset, overrides, out / "runs")
    at_once = _concurrent(jobs, wanted[0].config)
    table = Table(
        dataset,
        wanted[0].config.protocol,
        _in_words(wanted, recipe, overrides),
        tuple(names),
        seeds,
        comparable=all(_like_the_papers(job.config) for job in wanted),
        published_as=_published_as(wanted[0].config),
        baseline=baseline,
        pairs=compared,
    )
    console = plain_console()

    def report(job: Job, result: Result) -> None:
        table.add(result, str(read_json(job.folder.dataset_file)["description"]), job.folder)
        # after every run, so that an interrupted table shows the finished runs
        table.write(out)

    failures = finish_all(wanted, console, at_once=at_once, report=report)
    console.print(f"\n{table.markdown()}")
    console.print(f"written to {out / 'table.md'}, table.csv, table.png")
    for job, reason in failures:
        typer.echo(f"agconv: {job.label} failed: {reason}", err=True)
    if failures:
        raise typer.Exit(1)


def _jobs(names: list[str], seeds: int, recipe: str, overrides: dict[str, Any], runs: Path) -> "list[Job]":
    """One training for each network and seed."""
    from attentive_gconv.experiments.sweep import Job
    from attentive_gconv.training import load_recipe
    from attentive_gconv.training.run_folder import RunFolder

    return [
        Job(
            f"{name}, seed {seed}",
            load_recipe(recipe, {**overrides, "model.name": name, "seed": seed}),
            RunFolder(runs / f"{name}-{seed}"),
        )
        for name in names
        for seed in range(seeds)
    ]


def _overrides(flags: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    from attentive_gconv.training import ConfigError

    overrides = with_settings({name: value for name, value in flags.items() if value is not None}, settings)
    for name in ("model.name", "model", "seed"):
        if name in overrides:
            raise ConfigError(f"--set {name}={overrides[name]!r}: a table has its own, see --models and --seeds")
    return overrides


def _concurrent(jobs: int | None, config: "TrainConfig") -> int:
    """Number of concurrent runs."""
    from attentive_gconv.experiments.sweep import devices_at_hand
    from attentive_gconv.training import ConfigError

    at_once = jobs or (devices_at_hand() if config.processes == 1 else 1)
    if at_once > 1 and config.processes > 1:
        raise ConfigError(f"--jobs (={at_once}) and devices (={config.devices}) cannot both be more than one")
    return at_once


def _chosen(dataset: str, patterns: str | None) -> list[str]:
    from attentive_gconv.experiments.published import PUBLISHED
    from attentive_gconv.models import list_models, model_entry
    from attentive_gconv.training import ConfigError

    if patterns is None:
        if dataset not in PUBLISHED:
            raise ConfigError(f"the paper reports no networks on {dataset!r}: name them with --models")
        return list(PUBLISHED[dataset])
    names: list[str] = []
    for pattern in patterns.split(","):
        found = list_models(pattern.strip())
        if not found:
            # raises an error with suggestions
            model_entry(pattern.strip())
        names += [name for name in found if name not in names]
    return names


def _comparisons(
    names: list[str], baseline: str | None, pairs: str | None
) -> tuple[str | None, tuple[tuple[str, str], ...]]:
    """The baseline, and the pairs of networks that are compared."""
    from attentive_gconv.lookup import find

    if baseline is None and len(names) > 1:
        baseline = names[0]
    known = dict.fromkeys(names)
    if baseline is not None:
        find("network of the table", baseline, known)
    if pairs is None:
        return baseline, tuple((baseline, name) for name in names if baseline is not None and name != baseline)
    chosen = []
    for pair in pairs.split(","):
        first, colon, second = (part.strip() for part in pair.partition(":"))
        if not colon:
            raise ValueError(f"--pairs {pair!r} must be two networks separated by a colon, e.g. p4cnn:alpha_p4cnn")
        for name in (first, second):
            find("network of the table", name, known)
        chosen.append((first, second))
    return baseline, tuple(chosen)


def _published_as(config: "TrainConfig") -> str:
    """The key of the published figures: CIFAR-10 with data augmentation has its own."""
    augmented = config.dataset.name == "cifar10" and config.dataset.augmentation == "flip-crop"
    return "cifar10+" if augmented else config.dataset.name


def _in_words(wanted: "list[Job]", recipe: str | None, overrides: dict[str, Any]) -> str:
    """The settings that the runs of the table share, in words."""
    from attentive_gconv.training import load_recipe

    shown = {"epochs", "protocol", "dataset.name", "dataset.dir", "dataset.folder", "imports"}
    changed = [f"{name}={value}" for name, value in overrides.items() if name not in shown]
    dataset = wanted[0].config.dataset.name
    text = f"{_counts(job.config.epochs for job in wanted)} epochs"
    if recipe is None:
        papers = _counts(load_recipe(dataset, {"model.name": job.config.model.name}).epochs for job in wanted)
        text += f" (the recipe has {papers})" if "epochs" in overrides else ""
    else:
        text += f", recipe {Path(recipe).name}"
    return text + (f", with {', '.join(changed)}" if changed else "")


def _counts(counts: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(set(counts))))


def _like_the_papers(config: "TrainConfig") -> bool:
    """Whether a run may be compared with the published figure: it follows the paper's recipe, except for the epochs.

    The learning rate may differ: for CIFAR-10 the paper only states the values among which it was chosen.
    """
    from attentive_gconv.experiments.published import PUBLISHED
    from attentive_gconv.training import load_recipe

    name = config.dataset.name
    if name not in PUBLISHED:
        return False
    papers = load_recipe(name, {"model.name": config.model.name, "optimizer.lr": config.optimizer.lr})
    fields = ("model", "optimizer", "schedule", "batch_size", "init")
    same = all(getattr(papers, field) == getattr(config, field) for field in fields)
    augmented = config.dataset.augmentation != papers.dataset.augmentation
    return same and (not augmented or (_published_as(config) in PUBLISHED and _published_as(config) != name))
