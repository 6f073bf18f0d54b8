"""`agconv data`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attentive_gconv.cli.options import DATASET_DIR_OPTION, IMPORT_OPTION, JSON_OPTION, refuse_others
from attentive_gconv.cli.output import plain_console, plain_table

if TYPE_CHECKING:
    from attentive_gconv.data import DataSplits


def data_command(
    context: typer.Context,
    dataset: Annotated[
        str | None, typer.Argument(help="Name of the dataset; without it, the datasets are listed.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder that holds mnist/, rot-mnist/, ...; default: the cache folder."),
    ] = None,
    dataset_dir: DATASET_DIR_OPTION = None,
    image_size: Annotated[
        int | None, typer.Option(help="For image-folder and elpv: side in pixels that images are resized to.")
    ] = None,
    augmentation: Annotated[
        str, typer.Option(help="Data augmentation: none, flip-crop, rotation, or a class of torchvision.transforms.v2.")
    ] = "none",
    seed: Annotated[
        int, typer.Option(help="Seed of generated datasets and random splits (digits, re-made rot-mnist, elpv).")
    ] = 0,
    source: Annotated[str, typer.Option(help="Source of the dataset; auto: the first that is available.")] = "auto",
    protocol: Annotated[
        str, typer.Option(help="validation: a validation set is held out; final, paper: train on all training images.")
    ] = "validation",
    download: Annotated[bool, typer.Option(help="Download missing files.")] = True,
    samples: Annotated[
        Path | None, typer.Option(help="PNG file for a grid of samples; default: DATASET-samples.png.", metavar="FILE")
    ] = None,
    as_json: JSON_OPTION = False,
    imports: IMPORT_OPTION = None,
) -> None:
    """Prepare a dataset: download it if it is missing, describe its splits, and save a figure of samples."""
    # imported here, so that --help does not wait for torch
    from attentive_gconv.data import load_dataset
    from attentive_gconv.data.datasets import DATASETS
    from attentive_gconv.data.image_writer import check_samples_path, save_samples
    from attentive_gconv.lookup import find

    if dataset is None:
        refuse_others(context, ("as_json", "imports"), "without a dataset: name one first")
        _print_list(as_json)
        return
    # before the default file is named after it
    find("dataset", dataset, DATASETS)
    samples = samples or Path(f"{dataset}-samples.png")
    check_samples_path(samples)
    splits = load_dataset(
        dataset,
        data_dir,
        protocol=protocol,
        seed=seed,
        source=source,
        download=download,
        augmentation=augmentation,
        dataset_dir=dataset_dir,
        image_size=image_size,
    )
    save_samples(splits, samples)
    facts = {**_facts(splits), "samples": str(samples)}
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _print_facts(splits, facts)


def _facts(splits: "DataSplits") -> dict[str, Any]:
    counts = splits.class_counts()
    return {
        "name": splits.name,
        "description": splits.description,
        "source": splits.source,
        "protocol": splits.protocol,
        "image_shape": list(splits.image_shape),
        "transposed": splits.transposed,
        "augmentation": splits.augmentation,
        "mean": list(splits.mean),
        "std": list(splits.std),
        "classes": list(splits.classes),
        "splits": {name: {"images": sum(count), "per_class": count} for name, count in counts.items()},
        "cache": str(splits.cache_path) if splits.cache_path else None,
    }


def _print_list(as_json: bool) -> None:
    from attentive_gconv.data.datasets import DATASETS

    if as_json:
        summaries = {name: entry.summary for name, entry in sorted(DATASETS.items())}
        typer.echo(json.dumps(summaries, indent=2, ensure_ascii=False))
        return
    table = plain_table("dataset", "description", "sources", lines=True)
    for name, entry in sorted(DATASETS.items()):
        table.add_texts(name, entry.summary, ", ".join(entry.sources))
    plain_console().print(table)


def _print_facts(splits: "DataSplits", facts: dict[str, Any]) -> None:
    typer.echo(splits.description)
    table = plain_table("class", *facts["splits"], numbers=range(1, 4), lines=True)
    columns = [split["per_class"] for split in facts["splits"].values()]
    for label, counts in zip(splits.classes, zip(*columns, strict=True), strict=True):
        table.add_texts(label, *(f"{count:,}" for count in counts))
    table.add_section()
    table.add_texts("all", *(f"{split['images']:,}" for split in facts["splits"].values()))
    plain_console().print(table)
    channels, height, width = splits.image_shape
    lines = {
        "source": splits.source,
        "protocol": splits.protocol,
        "images": f"{channels} × {height} × {width}" + (", stored transposed" if splits.transposed else ""),
        "augmented": splits.augmentation,
        "mean, std": f"{_numbers(splits.mean)}, {_numbers(splits.std)} of pixels in [0, 1]",
        "cache": facts["cache"] or "none",
        "samples": facts["samples"],
    }
    for name, value in lines.items():
        # without rich, which would wrap long paths
        typer.echo(f"{name:<10} {value}")


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
