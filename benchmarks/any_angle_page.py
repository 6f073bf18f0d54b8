"""Put the figures of benchmarks/results into the tables of docs/explanation/any-angle.md.

python benchmarks/any_angle_page.py
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attentive_gconv.files import write_atomically

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "explanation" / "any-angle.md"
KERNELS = {
    "bicubic, disc": "bicubic, in the disc",
    "gaussian rings, as in escnn": "Gaussian rings, as in escnn",
    "optimal, not blurred": "optimal, not blurred",
    "optimal": "optimal",
}


def kernels(report: dict[str, Any]) -> Iterator[str]:
    """A row for each kernel size, in percent."""
    yield "| kernel | weights | " + " | ".join(f"{name}: smooth / digits / rough" for name in KERNELS.values()) + " |"
    yield "|---|---:|" + "---:|" * len(KERNELS)
    rows = {(row["kernel_size"], row["kernels"]): row for row in report["rows"]}
    for size in sorted({row["kernel_size"] for row in report["rows"]}):
        errors = [rows[size, name]["errors"] for name in KERNELS]
        cells = [" / ".join(f"{100 * e[images]:.1f}" for images in ("smooth", "digits", "rough")) for e in errors]
        yield f"| {size} x {size} | {rows[size, 'optimal']['weights']} | " + " | ".join(cells) + " |"


def curves(report: dict[str, Any]) -> Iterator[str]:
    """A row for each module and library: C4, C8, C16, the mean over the angles; smooth images / digits, in percent."""
    yield "| | C4: smooth / digits | C8: smooth / digits | C16: smooth / digits |"
    yield "|---|---:|---:|---:|"
    means: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for row in report["rows"]:
        key = (row["module"], row.get("library", ""))
        means.setdefault(key, {})[row["group"], row["images"]] = 100 * sum(row["errors"]) / len(row["errors"])
    for (module, library), mean in means.items():
        cells = [f"{mean[group, 'smooth']:.2g} / {mean[group, 'digits']:.2g}" for group in ("c4", "c8", "c16")]
        yield f"| {module}{f', {library}' if library else ''} | " + " | ".join(cells) + " |"


TABLES = {"filter-bases": kernels, "any-angle": curves}


def table(name: str) -> str:
    """The lines of a table, from its file of results."""
    report = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return "\n".join(TABLES[name](report))


def main() -> None:
    """Write the tables between their marks."""
    page = PAGE.read_text(encoding="utf-8")
    for name in TABLES:
        start, end = f"<!-- table: benchmarks/results/{name}.json -->\n", "\n<!-- end of table -->"
        page = re.sub(f"{re.escape(start)}.*?{re.escape(end)}", lambda _: start + table(name) + end, page, flags=re.S)  # noqa: B023
    write_atomically(PAGE, page.encode())


if __name__ == "__main__":
    main()
