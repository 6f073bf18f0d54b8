"""Put the runs of `gpu_acceptance.py` in benchmarks/results/gpu into the tables of docs/gpu.md.

python benchmarks/gpu_page.py
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gpu_acceptance import LIMITS, NOT_MEASURED
from page_block import fill_page

ROOT = Path(__file__).parents[1]
RUNS, PAGE = ROOT / "benchmarks" / "results" / "gpu", ROOT / "docs" / "gpu.md"
FORMS = {"conv2d": "conv2d, ms", "expanded": "ours", "batched products": "by irreps"}


def read_runs(folder: Path = RUNS) -> list[dict[str, Any]]:
    """The reports, in the order of their dates."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted(reports, key=lambda report: report["environment"]["started"])


def _cell(reports: list[dict[str, Any]], *path: Any, scale: float = 1.0, digits: int = 3) -> str:
    """The figure at this path in every run, separated by slashes; a dash where it was not measured.

    Raises:
        ValueError: if a run has an error there; it belongs on the page in words.
    """
    found = []
    for value in reports:
        for key in path:
            value = value if isinstance(value, str) else value[key]
        if isinstance(value, str) and value != NOT_MEASURED:
            raise ValueError(f"{' '.join(map(str, path))}: {value}")
        found.append("–" if isinstance(value, str) else f"{scale * value:.{digits}g}")
    return " / ".join(found)


def networks(reports: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each network and precision: step, beside the plain network and the floor, inference, peak memory."""
    yield "| network | precision | step, ms | x plain | floor, ms | inference, ms | peak memory, MB |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for number, row in enumerate(reports[0]["networks"]):
        for name in row["networks"]:
            floor = reports[0]["floor"]["seconds"].get(name) if row["precision"] == "fp32" else None
            here = ("networks", number)
            cells = [
                _cell(reports, *here, "train", name, "seconds", "median", scale=1e3),
                "1" if name == row["networks"][0] else _cell(reports, *here, "train", name, "ratio", "median"),
                "–" if floor is None else f"{1e3 * floor:.3g}",
                _cell(reports, *here, "inference", name, "seconds", "median", scale=1e3),
                _cell(reports, *here, "memory", name, "bytes", scale=1e-6, digits=4),
            ]
            yield f"| `{name}` | {row['precision']} | " + " | ".join(cells) + " |"


def layers(reports: list[dict[str, Any]]) -> Iterator[str]:
    """A row for each layer and precision: conv2d in milliseconds, the other forms in times that."""
    names = [f"{what}: {form}" for what in ("step", "inference") for form in FORMS.values()]
    yield "| layer | precision | " + " | ".join(names) + " |"
    yield "|---|---|" + "---:|" * len(names)
    for number, row in enumerate(reports[0]["layers"]):
        cells = []
        for what in ("train", "inference"):
            for form in FORMS:
                unit, scale = ("seconds", 1e3) if form == "conv2d" else ("ratio", 1.0)
                cells.append(_cell(reports, "layers", number, what, form, unit, "median", scale=scale, digits=2))
        layer = row["layer"]
        size = f"{layer['channels']} channels, {layer['side']} x {layer['side']}, batch {layer['batch']}"
        yield f"| {layer['group']}, {size} | {row['precision']} | " + " | ".join(cells) + " |"


def values(reports: list[dict[str, Any]]) -> Iterator[str]:
    """How many cases passed, and which did not, by run."""
    for report in reports:
        about, rows = report["environment"], report["values"]
        failed = [row["case"] for row in rows if not row.get("passed")]
        exact = [
            max(row["differences"].values())
            for row in rows
            if row.get("passed") and row["limit"] == LIMITS[torch.float64]
        ]
        largest = f" (largest relative error in float64: {max(exact):.1e})" if exact else ""
        versions = f"PyTorch {about['packages']['torch']}, Triton {about['packages']['triton']}"
        where = f"{about['started'][:10]}, {report['device']}, revision {about['git_revision'][:7]}, {versions}"
        found = f"{len(rows) - len(failed)} of {len(rows)} cases passed{largest}"
        yield f"- {where}:\n  {found}" + (f"; not passed: {', '.join(failed)}" if failed else "")


TABLES = {"values": values, "networks": networks, "layers": layers}


def content(name: str) -> str:
    """The lines of a table, from the files."""
    return "\n".join(TABLES[name](read_runs())) + "\n"


if __name__ == "__main__":
    for table in TABLES:
        fill_page(PAGE, table, content(table))
