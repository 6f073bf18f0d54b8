"""Tables of results: mean and standard deviation over seeds, beside the published results.

All runs of a table have the same protocol. Under ``"validation"`` the test error is that of the epoch with the lowest
error on the validation set; under ``"final"`` that of the last epoch; under ``"paper"`` that of the last epoch, and
beside it the lowest of all evaluated epochs, selected on the test set.
"""

import csv
import io
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attentive_gconv.checkpoints.run_files import RunFiles
from attentive_gconv.environment import describe_environment
from attentive_gconv.experiments.comparison import disagreement, paired_difference, predictions_of
from attentive_gconv.experiments.published import HOW, PUBLISHED, Published
from attentive_gconv.files import write_atomically

PROTOCOLS = {
    "validation": "trained without the validation set, the epoch chosen on it, the test set used once",
    "final": "trained on all images, nothing chosen, the last epoch's weights tested once",
    "paper": "trained on all images, reported at the last epoch; the best epoch is selected on the test set",
}


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds, in percent; the latter is None for a single seed."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, fractions: Sequence[float]) -> "Spread":
        """The spread of errors given as fractions of 1."""
        percent = [100 * value for value in fractions]
        return cls(statistics.mean(percent), statistics.stdev(percent) if len(percent) > 1 else None)

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if self.std is None else f"{self.mean:.2f} ± {self.std:.2f}"


@dataclass(frozen=True)
class Row:
    """The results of a network, one for each seed."""

    model: str
    results: tuple[dict[str, Any], ...]

    @property
    def error(self) -> Spread:
        """The test error that the protocol reports."""
        return Spread.of([result["test_error"] for result in self.results])

    @property
    def best_test(self) -> Spread | None:
        """Under the paper's protocol, the test error at the epoch selected on the test set."""
        best = [result["best_test"] for result in self.results]
        return Spread.of([entry["test_error"] for entry in best]) if all(best) else None


@dataclass
class Table:
    """Table of results on a dataset under one protocol; rows are added as runs finish.

    Attributes:
        dataset, protocol: those of all runs.
        settings: other common settings in words: epochs, and differences from the recipe.
        wanted: names of the networks, in the order of the rows.
        seeds: number of seeds that each network is trained with.
        comparable: whether the runs follow the recipe of the published results, except for protocol and epochs.
        published_as: key of the published results in `PUBLISHED`; by default the dataset.
        baseline: network that the others are compared with, seed by seed; None for no comparison.
        pairs: pairs of networks; the second is compared with the first, seed by seed and image by image.
    """

    dataset: str
    protocol: str
    settings: str
    wanted: tuple[str, ...]
    seeds: int
    comparable: bool = True
    published_as: str | None = None
    baseline: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    _runs: dict[tuple[str, int], RunFiles] = field(default_factory=dict)
    _results: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    _data: str = ""

    def add(self, result: dict[str, Any], data: str, run: RunFiles | None = None) -> None:
        """Add a finished run.

        Args:
            result: content of its result.json.
            data: description of its dataset, which must be the same for all runs.
            run: its folder, for comparisons image by image.

        Raises:
            ValueError: if its dataset, protocol or model does not belong to the table.
        """
        if self._data and data != self._data:
            raise ValueError(f"a run on {data!r} does not belong to a table of runs on {self._data!r}")
        for name in ("dataset", "protocol"):
            if result[name] != getattr(self, name):
                raise ValueError(
                    f"a run with {name} {result[name]!r} does not belong to a table of {name} {getattr(self, name)!r}"
                )
        if result["model"] not in self.wanted:
            raise ValueError(f"a run of {result['model']!r} does not belong to a table of {', '.join(self.wanted)}")
        self._data = data
        self._results.setdefault(result["model"], {})[result["seed"]] = result
        if run is not None:
            self._runs[result["model"], result["seed"]] = run

    @property
    def rows(self) -> list[Row]:
        """The rows of the networks that have results."""
        return [
            Row(model, tuple(self._results[model][seed] for seed in sorted(self._results[model])))
            for model in self.wanted
            if model in self._results
        ]

    def published(self, model: str) -> Published | None:
        """The published result of a network; None if there is none, or the runs are not comparable with it."""
        return PUBLISHED.get(self._key, {}).get(model) if self.comparable else None

    @property
    def _key(self) -> str:
        return self.published_as or self.dataset

    def write(self, folder: Path) -> None:
        """Write table.md, table.csv and table.png."""
        write_atomically(folder / "table.md", self.markdown().encode())
        write_atomically(folder / "table.csv", self.csv().encode())
        self._draw(folder / "table.png")

    def markdown(self) -> str:
        """The table as Markdown, with notes on protocol, settings and provenance."""
        notes: list[str] = []
        lines = self._lines(notes)
        title = f"# {self.dataset}, protocol `{self.protocol}`"
        sections = [title, "", *lines, "", *self._remarks(notes), *self._differences(), *self._disagreements()]
        return "\n".join(sections) + "\n"

    def figures(self) -> str:
        """The table as Markdown without the notes: rows, differences seed by seed, disagreement image by image."""
        return "\n".join([*self._lines([]), *self._differences(), *self._disagreements()]) + "\n"

    def _lines(self, notes: list[str]) -> list[str]:
        paper = self.protocol == "paper"
        epochs = len({row.results[0]["epochs"] for row in self.rows}) > 1
        heading = ["network", "parameters", *(["epochs"] if epochs else []), "seeds", "test error, %"]
        heading += ["best test epoch, %"] if paper else []
        heading += ["published, %"] if self._has_published() else []
        veeling = any(figure.veeling for row in self.rows if (figure := self.published(row.model)))
        heading += ["Veeling et al. 2018, %"] if veeling else []
        lines = [f"| {' | '.join(heading)} |", "|" + "---|" * len(heading)]
        for row in self.rows:
            cells = [f"`{row.model}`", f"{row.results[0]['parameters']:,}"]
            cells += [str(row.results[0]["epochs"])] if epochs else []
            cells += [str(len(row.results)), str(row.error)]
            cells += [str(row.best_test)] if paper else []
            cells += [self._published_cell(row.model, notes)] if self._has_published() else []
            figure = self.published(row.model)
            cells += [f"{figure.veeling:.1f}" if figure and figure.veeling else "–"] if veeling else []
            lines.append(f"| {' | '.join(cells)} |")
        return lines

    def _differences(self) -> list[str]:
        errors = {row.model: {result["seed"]: result["test_error"] for result in row.results} for row in self.rows}
        compared = {self.baseline: list(errors)} if self.baseline else {}
        for first, second in self.pairs:
            compared[first] = list(dict.fromkeys([*compared.get(first, []), second]))
        lines = []
        for reference, models in compared.items():
            rows = self._difference_rows(reference, [model for model in models if model != reference], errors)
            if rows:
                heading = "| network | mean difference, points | 95 % interval | seed: difference |"
                title = f"## Test error less that of `{reference}`, seed by seed"
                lines += ["", title, "", heading, "|---|---|---|---|", *rows]
        return [*lines, "", "Intervals of Student's t over the seeds."] if lines else []

    @staticmethod
    def _difference_rows(reference: str, models: list[str], errors: dict[str, dict[int, float]]) -> list[str]:
        rows = []
        for model in models:
            found = paired_difference(errors.get(model, {}), errors.get(reference, {}))
            if found is not None:
                interval = "–" if found.interval is None else "{:+.2f} to {:+.2f}".format(*found.interval)
                each = ", ".join(f"{seed}: {value:+.2f}" for seed, value in found.differences.items())
                rows.append(f"| `{model}` | {found.mean:+.2f} | {interval} | {each} |")
        return rows

    def _disagreements(self) -> list[str]:
        lines = []
        for first, second in self.pairs:
            seeds = sorted({seed for model, seed in self._runs if model == first})
            for seed in seeds:
                if (second, seed) in self._runs:
                    found = disagreement(*(predictions_of(self._runs[model, seed]) for model in (first, second)))
                    cells = (
                        f"`{first}`, `{second}`",
                        seed,
                        found.first_only,
                        found.second_only,
                        f"{found.p_value:.2g}",
                    )
                    lines.append(f"| {' | '.join(map(str, cells))} |")
        if not lines:
            return []
        heading = "| networks | seed | right by the first only | by the second only | p |"
        note = "Test images; two-sided p-value of McNemar's exact test."
        return ["", "## Disagreement image by image", "", heading, "|---|---|---|---|---|", *lines, "", note]

    def _remarks(self, notes: list[str]) -> list[str]:
        images = sorted({result["test_images"] for row in self.rows for result in row.results})
        counted = " and ".join(f"{count:,}" for count in images)
        remarks = [
            f"Protocol `{self.protocol}`: {PROTOCOLS[self.protocol]}.",
            f"Mean ± standard deviation over the seeds, of which each network gets {self.seeds}. "
            f"{self._data}, {counted} test images. {self.settings}.",
        ]
        if self._has_published():
            remarks.append(f"Published figures (Romero et al., ICML 2020): {HOW[self._key]}.")
        elif self._key in PUBLISHED:
            remarks.append("No published figures beside these: they were obtained with other settings.")
        remarks += [f"{mark} {note}." for mark, note in zip("¹²³⁴⁵", notes, strict=False)]
        facts = describe_environment()
        packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items() if version)
        where = ", ".join(facts["gpus"]) or f"{facts['platform']}, {facts['threads']} threads"
        remarks.append(f"Made with `{' '.join(facts['command'])}` on {where}; Python {facts['python']}, {packages}.")
        return [line for remark in remarks for line in (remark, "")][:-1]

    def _has_published(self) -> bool:
        return any(self.published(row.model) for row in self.rows)

    def _published_cell(self, model: str, notes: list[str]) -> str:
        figure = self.published(model)
        if figure is None:
            return "–"
        mark = ""
        if figure.note:
            if figure.note not in notes:
                notes.append(figure.note)
            mark = "¹²³⁴⁵"[notes.index(figure.note)]
        spread = f" ± {figure.std:.3f}" if figure.std else ""
        return f"{figure.error:.{3 if figure.std else 2}f}{spread}{mark}"

    def csv(self) -> str:
        """The table as CSV, one line for each network; errors in percent."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            [
                *("dataset", "protocol", "model", "parameters", "seeds", "epochs", "test_images", "mean", "std"),
                *("best_test_mean", "best_test_std", "published", "published_std", "published_note", "errors"),
            ]
        )
        for row in self.rows:
            first, best = row.results[0], row.best_test
            figure = self.published(row.model)
            seeds = " ".join(str(result["seed"]) for result in row.results)
            errors = " ".join(f"{100 * result['test_error']:.4f}" for result in row.results)
            values = [
                *(self.dataset, self.protocol, row.model, first["parameters"], seeds, first["epochs"]),
                *(first["test_images"], row.error.mean, row.error.std),
                *((best.mean, best.std) if best else (None, None)),
                *((figure.error, figure.std, figure.note) if figure else (None, None, None)),
                errors,
            ]
            writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in values])
        return text.getvalue()

    def _draw(self, path: Path) -> None:
        # a Figure without pyplot needs no display and leaves its global state alone
        from matplotlib.figure import Figure

        from attentive_gconv.files import atomic_path

        rows = self.rows
        figure = Figure(figsize=(max(4.0, 1.2 * len(rows) + 1), 4.2), layout="constrained")
        axes = figure.subplots()
        places = range(len(rows))
        spreads = [row.error.std or 0.0 for row in rows]
        axes.bar(places, [row.error.mean for row in rows], yerr=spreads, capsize=4, width=0.6, label="ours")
        published = [self.published(row.model) for row in rows]
        known = [(place, entry) for place, entry in enumerate(published) if entry]
        if known:
            axes.errorbar(
                [place for place, _ in known],
                [entry.error for _, entry in known],
                yerr=[entry.std or 0.0 for _, entry in known],
                fmt="D",
                color="black",
                capsize=4,
                label="published",
            )
            axes.legend()
        axes.set_xticks(
            list(places), [f"{row.model}\n{len(row.results)} seeds" for row in rows], rotation=30, ha="right"
        )
        axes.set_ylabel("test error, %")
        axes.set_title(f"{self.dataset}, protocol {self.protocol}", fontsize="medium")
        with atomic_path(path) as partial:
            figure.savefig(partial, format="png")
