"""Measure the entries of a suite, and store each as a JSON file.

The file holds the entry's plan. An entry is measured again if its plan has changed, or on request.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attentive_gconv.bench.jobs import measure
from attentive_gconv.bench.measured import Figure
from attentive_gconv.bench.suites import SCHEMA, Entry
from attentive_gconv.files import write_json

MAX_BYTES = 20_000_000


def run_entry(
    entry: Entry,
    folder: Path,
    environment: dict[str, Any],
    *,
    fresh: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure an entry, unless the folder holds a document with the same plan.

    Args:
        entry: the entry.
        folder: folder of the documents.
        environment: provenance, see `attentive_gconv.environment`.
        fresh: measure again in any case.
        report: called with lines of progress.
    """
    path = folder / f"{entry.name}.json"
    if not fresh and path.is_file():
        document = read_entry(path)
        if document["plan"] == entry.plan():
            report(f"{entry.name}: kept, measured {document['environment']['started']}")
            return document
        report(f"{entry.name}: its plan has changed, measured again")
    start = time.monotonic()
    figures = measure(
        entry.comparisons, entry.measurements, entry.protocol, lambda line: report(f"{entry.name}: {line}")
    )
    document = {
        "schema": SCHEMA,
        "plan": entry.plan(),
        "environment": environment,
        "seconds": round(time.monotonic() - start, 1),
        "figures": [figure.to_mapping() for figure in figures],
    }
    # failed measurements are shown, but measured again next time
    failed = path.with_suffix(".failed.json")
    if any(figure.error for figure in figures):
        write_json(failed, document)
    else:
        write_json(path, document)
        failed.unlink(missing_ok=True)
    return document


def read_entry(path: Path) -> dict[str, Any]:
    """Read a document that `run_entry` wrote.

    Raises:
        ValueError: if the file is broken, too large, or of another kind.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES:,} bytes: `agconv bench` did not write it")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["schema"] != SCHEMA:
            raise ValueError(f"{path} is of schema {document['schema']}, not {SCHEMA}: measure again with --fresh")
        figures_of(document)
        # what the callers read
        document["plan"], document["environment"]["started"]
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no document of `agconv bench` ({error}); remove it or use --fresh") from error
    found: dict[str, Any] = document
    return found


def figures_of(document: dict[str, Any]) -> list[Figure]:
    """The figures of a document."""
    return [Figure.from_mapping(values) for values in document["figures"]]
