"""Put the runs of `gpu_acceptance.py` in benchmarks/results/gpu into the tables of docs/gpu.md.

python benchmarks/gpu_page.py
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from page_block import fill_page

ROOT = Path(__file__).parents[1]
RUNS, PAGE = ROOT / "benchmarks" / "results" / "gpu", ROOT / "docs" / "gpu.md"
FORMS = {"conv2d": "conv2d, ms", "expanded": "ours", "batched products": "by irreps"}


def read_runs(folder: Path = RUNS) -> list[dict[str, Any]]:
    """The reports, in the order of their dates."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted(reports, key=lambda report: report["environment"]["started"])


Get = Callable[[dict[str, Any]], Any]


def _each(reports: list[dict[str, Any]], place: Get, name: str, *keys: str, scale: float = 1.0, digits: int = 3) -> str:
    """A figure of a network or form in every run, with a slash between; a dash where it was not measured.

    Args:
        reports: the runs.
        place: gives a run's measurement, which is a text if there is none.
        name, keys: the figure in it.
        scale, digits: how it is shown.
    """
    found = []
    for measured in map(place, reports):
        value = measured if isinstance(measured, str) else measured[name]
        for key in keys:
            value = value if isinstance(value, str) else value[key]
        found.append("–" if isinstance(value, str) else f"{scale * value:.{digits}g}")
    return " / ".join(found)


def networks(reports: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each network and precision: step, beside the plain network and the floor, inference, peak memory."""
    yield "| network | precision | step, ms | x plain | floor, ms | inference, ms | peak memory, MB |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for number, row in enumerate(reports[0]["networks"]):
        train, inference, memory = (partial(_of, "networks", number, what) for what in ("train", "inference", "memory"))
        for name in row["networks"]:
            floor = reports[0]["floor"]["seconds"].get(name) if row["precision"] == "fp32" else None
            cells = [
                _each(reports, train, name, "seconds", "median", scale=1e3),
                "1" if name == row["networks"][0] else _each(reports, train, name, "ratio", "median"),
                "–" if floor is None else f"{1e3 * floor:.2g}",
                _each(reports, inference, name, "seconds", "median", scale=1e3),
                _each(reports, memory, name, "bytes", scale=1e-6, digits=4),
            ]
            yield f"| `{name}` | {row['precision']} | " + " | ".join(cells) + " |"


def _of(part: str, number: int, what: str, report: dict[str, Any]) -> Any:
    return report[part][number][what]


def layers(reports: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each layer and precision: conv2d in milliseconds, the other forms in times that."""
    names = [f"{what}: {form}" for what in ("step", "inference") for form in FORMS.values()]
    yield "| layer | precision | " + " | ".join(names) + " |"
    yield "|---|---|" + "---:|" * len(names)
    for number, row in enumerate(reports[0]["layers"]):
        cells = []
        for what in ("train", "inference"):
            place = partial(_of, "layers", number, what)
            for form in FORMS:
                unit, scale = ("seconds", 1e3) if form == "conv2d" else ("ratio", 1.0)
                cells.append(_each(reports, place, form, unit, "median", scale=scale, digits=2))
        layer = row["layer"]
        size = f"{layer['channels']} channels, {layer['side']} x {layer['side']}, batch {layer['batch']}"
        yield f"| {layer['group']}, {size} | {row['precision']} | " + " | ".join(cells) + " |"


def values(reports: list[dict[str, Any]]) -> Iterator[str]:
    """How many cases were right, and which were not, by run."""
    for report in reports:
        about, rows = report["environment"], report["values"]
        wrong = [row["case"] for row in rows if not row["passed"]]
        exact = [max(row["differences"].values()) for row in rows if row["passed"] and row["limit"] < 1e-6]
        versions = f"PyTorch {about['packages']['torch']}, Triton {about['packages']['triton']}"
        found = f"{len(rows) - len(wrong)} of {len(rows)} cases right, at most {max(exact):.1e} off in float64"
        where = f"{about['started'][:10]}, {report['device']}, revision {about['git_revision'][:7]}, {versions}"
        yield f"- {where}: {found}" + (f"; wrong: {', '.join(wrong)}" if wrong else "")


TABLES = {"values": values, "networks": networks, "layers": layers}


def content(name: str) -> str:
    """The lines of a table, from the files."""
    return "\n".join(TABLES[name](read_runs())) + "\n"


if __name__ == "__main__":
    for table in TABLES:
        fill_page(PAGE, table, content(table))
