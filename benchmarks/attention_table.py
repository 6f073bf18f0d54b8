"""Comparison of earlier attention with the attentive group networks: error, parameters and seconds per epoch.

    python benchmarks/attention_table.py --out runs/attention-table

One network (the p4-CNN of the rot-MNIST experiments), one recipe, one dataset (scikit-learn's digits, turned by random
angles), the same images and the same seeds for every row; only the attention on the inputs of the convolutions differs.
Every channel gate has ratio 2 and every spatial map of two statistics 7x7 kernels (dilated by 4 in c1), as the paper's
α_F-network has; everything else is as published. The best epoch is chosen on 200 held-out images, and the 397 test
images are used once. One image is 0.25 % of them: differences below about one per cent say nothing.

Finished runs are kept and interrupted ones resumed, so the table can be made in several sessions. The
figures go to OUT/attention_table.json with the machine, versions, command and seeds, and to OUT/attention_table.md.

Seconds per epoch are the median over the epochs of a row's runs. If the machine had other work meanwhile, time the rows
by themselves when it is idle; the table then shows those seconds, and the JSON file says so:

    python benchmarks/attention_table.py --out runs/attention-table --timing-epochs 3
"""

import argparse
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from attentive_gconv.checkpoints.run_files import read_json
from attentive_gconv.experiments.sweep import Job, finish
from attentive_gconv.files import write_atomically, write_json
from attentive_gconv.training import RunFolder, RunFolderError, TrainConfig, load_recipe
from provenance import published_environment


@dataclass(frozen=True)
class Row:
    """A row of the table: a label, a network, and its options."""

    name: str
    label: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)


ROWS = [
    Row("p4cnn", "p4-CNN", "p4cnn"),
    # the α_F-network with another attention in the place of its own
    Row("se", "+ squeeze-and-excitation", "alpha_f_p4cnn", {"attention": "se"}),
    Row("cbam", "+ CBAM", "alpha_f_p4cnn", {"attention": "cbam"}),
    Row("bam", "+ BAM", "alpha_f_p4cnn", {"attention": "bam"}),
    Row("residual", "+ residual attention", "alpha_f_p4cnn", {"attention": "residual"}),
    Row("co_attention", "+ co-attention (α_RX)", "alpha_f_p4cnn", {"attention": "co_attention"}),
    Row("alpha_f", "α_F-p4-CNN", "alpha_f_p4cnn"),
    Row("alpha", "α-p4-CNN", "alpha_p4cnn"),
]


def settings(row: Row, epochs: int, seed: int) -> TrainConfig:
    """The settings of a row's run."""
    options = {f"model.{option}": value for option, value in row.options.items()}
    return load_recipe("digits", {**options, "model.name": row.model, "epochs": epochs, "seed": seed})


def timing_folder(out: Path, row: Row) -> RunFolder:
    """Folder of the run that measures a row's seconds."""
    return RunFolder(out / f"{row.name}-timing")


def run(row: Row, config: TrainConfig, folder: RunFolder, console: Console) -> dict[str, Any]:
    """The result of one run, which is kept, resumed or trained."""
    try:
        return finish(Job(f"{row.label}, seed {config.seed}", config, folder), console)
    except RunFolderError as error:
        raise SystemExit(str(error)) from error


def summary(row: Row, results: list[dict[str, Any]], timing: dict[str, Any] | None = None) -> dict[str, Any]:
    """A row's figures; errors in per cent, the standard deviation is that of a sample.

    Args:
        row: the line of the table.
        results: of its runs, one a seed.
        timing: of a run that was made for its seconds alone; None: take those of the runs.
    """
    errors = [100 * result["test_error"] for result in results]
    timed = results if timing is None else [timing]
    return {
        "name": row.name,
        "label": row.label,
        "model": row.model,
        "options": row.options,
        "parameters": results[0]["parameters"],
        "test_errors": errors,
        "mean": statistics.mean(errors),
        "std": statistics.stdev(errors) if len(errors) > 1 else None,
        "best_epochs": [result["best_epoch"] for result in results],
        "seconds_per_epoch": statistics.median(result["seconds_per_epoch"] for result in timed),
        "timed_epochs": sum(result["epochs"] for result in timed),
        "timed_apart": timing is not None,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table as Markdown."""
    lines = ["| network | test error, % | parameters | seconds per epoch |", "|---|---|---|---|"]
    for row in rows:
        spread = "" if row["std"] is None else f" ± {row['std']:.2f}"
        lines.append(
            f"| {row['label']} | {row['mean']:.2f}{spread} | {row['parameters']:,} | {row['seconds_per_epoch']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train the missing runs, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs and the table")
    parser.add_argument("--epochs", type=int, default=60, help="of every run [60]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of weights, order and dropout [0 1 2]")
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, help="which lines [all]")
    parser.add_argument("--timing-epochs", type=int, help="time each row by a run of so many epochs, and make no table")
    arguments = parser.parse_args()
    console = Console(soft_wrap=True)
    chosen = [row for row in ROWS if row.name in arguments.rows]
    if arguments.timing_epochs is not None:
        for row in chosen:
            folder = timing_folder(arguments.out, row)
            run(row, settings(row, arguments.timing_epochs, arguments.seeds[0]), folder, console)
        return
    rows = []
    for row in chosen:
        folders = {seed: RunFolder(arguments.out / f"{row.name}-{seed}") for seed in arguments.seeds}
        results = [run(row, settings(row, arguments.epochs, seed), folder, console) for seed, folder in folders.items()]
        timing = timing_folder(arguments.out, row).result_file
        rows.append(summary(row, results, read_json(timing) if timing.exists() else None))
    table = {"dataset": "digits", "epochs": arguments.epochs, "seeds": arguments.seeds, "rows": rows}
    write_json(arguments.out / "attention_table.json", {**table, "environment": published_environment()})
    write_atomically(arguments.out / "attention_table.md", markdown(rows).encode())
    console.print(f"\n{markdown(rows)}", markup=False, highlight=False)


if __name__ == "__main__":
    main()
