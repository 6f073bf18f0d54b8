"""The tables of the published runs on rotated MNIST, for docs/results.md and benchmarks/results/rot-mnist/README.md.

    python benchmarks/publish_run.py runs/p4cnn-1 --to benchmarks/results/rot-mnist/final
    python benchmarks/rot_mnist_table.py

Groups of runs, whose figures are never mixed: ``final``, our recipe with 60 epochs; ``final-120``, with 120; ``paper``,
the paper's recipe and protocol, beside the published figures; ``augmented``, with random rotations as data
augmentation. Every run in the folder of its group is in that group's tables; seeds that are missing are left out.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

from attentive_gconv.checkpoints.run_files import RunFiles, read_json
from attentive_gconv.experiments.run_table import Table
from attentive_gconv.files import write_atomically
from page_block import filled
from publish_run import require_same_settings

RUNS = Path(__file__).parent / "results" / "rot-mnist"
README = RUNS / "README.md"
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
BASELINE, SEEDS = "p4cnn", 3
NETWORKS = (
    *("z2cnn", BASELINE, "big11_p4cnn", "big15_p4cnn", "big19_p4cnn"),
    *("alpha_f_p4cnn", "alpha_ch_p4cnn", "alpha_sp_p4cnn", "alpha_p4cnn", "c8cnn", "alpha_f_c8cnn"),
)
# attention beside the plain network, beside one that has as many parameters or more, and full beside input attention
PAIRS = (
    *((BASELINE, "alpha_f_p4cnn"), (BASELINE, "alpha_p4cnn"), (BASELINE, "big11_p4cnn"), (BASELINE, "big19_p4cnn")),
    *(("big11_p4cnn", "alpha_f_p4cnn"), ("big15_p4cnn", "alpha_f_p4cnn"), ("big19_p4cnn", "alpha_p4cnn")),
    *(("alpha_f_p4cnn", "alpha_p4cnn"), (BASELINE, "c8cnn"), ("c8cnn", "alpha_f_c8cnn")),
)


@dataclass(frozen=True)
class Group:
    """Runs that differ in network and seed alone.

    Attributes:
        name: that of their folder, of their block in the README, and after ``rot-mnist-`` of that in docs/results.md.
        protocol: protocol of all of them; beside ``paper`` stand the paper's figures.
        heading: marks of the headings inside the block of docs/results.md.
        by_network: settings that differ from network to network; a column of the tables says how.
    """

    name: str
    protocol: str
    heading: str = "####"
    by_network: tuple[str, ...] = ()

    @property
    def runs(self) -> list[Path]:
        """The folders of the runs, by network and seed."""
        found = [path for path in (RUNS / self.name).iterdir() if path.is_dir()]
        return sorted(found, key=lambda path: (NETWORKS.index(path.name.rpartition("-")[0]), path.name))

    def table(self) -> str:
        """Rows and comparisons as Markdown.

        Raises:
            ValueError: if a run was made on other images, under another protocol or with other settings.
        """
        require_same_settings(self.runs, self.by_network)
        found = Table(
            *("rot-mnist", self.protocol, "", NETWORKS, SEEDS),
            comparable=self.protocol == "paper",
            baseline=BASELINE,
            pairs=PAIRS,
        )
        for run in map(RunFiles, self.runs):
            found.add(read_json(run.result_file), read_json(run.dataset_file)["description"], run)
        return found.figures().replace("\n## ", f"\n{self.heading} ")

    def each_run(self) -> str:
        """One line for each run as Markdown: errors, seconds and the revisions of its starts."""
        rows = [
            "| run | test error, % | last training error (with dropout), % | epochs | seconds an epoch | revision |",
            "|---|---:|---:|---:|---:|---|",
        ]
        for path in self.runs:
            run = RunFiles(path)
            result, starts = read_json(run.result_file), read_json(run.environment_file)["starts"]
            with run.metrics_file.open(newline="", encoding="utf-8") as file:
                *_, last = csv.DictReader(file)
            revisions = dict.fromkeys(start["git_revision"][:7] for start in starts)
            cells = (
                path.name,
                f"{100 * result['test_error']:.3f}",
                f"{100 * float(last['train_error']):.2f}",
                str(result["epochs"]),
                f"{result['seconds_per_epoch']:.0f}",
                ", ".join(revisions),
            )
            rows.append(f"| {' | '.join(cells)} |")
        return "\n".join(rows) + "\n"


GROUPS = (
    Group("final", "final", heading="###"),
    Group("final-120", "final"),
    Group("paper", "paper"),
    Group("augmented", "final", by_network=("epochs",)),
    Group("augmented-240", "final"),
)


def page(text: str) -> str:
    """docs/results.md with its tables filled."""
    for group in GROUPS:
        text = filled(text, f"rot-mnist-{group.name}", group.table())
    return text


def readme(text: str) -> str:
    """The README of the runs with its tables filled."""
    for group in GROUPS:
        text = filled(text, group.name, group.each_run())
    return text


def main() -> None:
    """Fill both pages."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None).parse_args()
    for path, fill in ((PAGE, page), (README, readme)):
        write_atomically(path, fill(path.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
