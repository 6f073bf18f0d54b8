"""The tables and plots of docs/performance.md, from the files that `agconv bench --suite` has written.

    agconv bench --suite paper --out docs/performance
    python benchmarks/performance_page.py docs/performance --page docs/performance.md

A block of the page stands between ``<!-- figures: NAME -->`` and ``<!-- end of figures -->``; NAME is an entry's, or
``machine`` or ``losses``.
"""

import argparse
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attentive_gconv.bench.measured import Figure
from attentive_gconv.bench.result_table import Table, number, table
from attentive_gconv.bench.suite_runner import figures_of, read_entry
from attentive_gconv.bench.suites import entries
from attentive_gconv.files import write_atomically
from attentive_gconv.lookup import find
from growth import plot, sentences
from page_block import BLOCKS

WHERE_IT_LOSES = "losses"
MACHINE = "machine"


def read_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """The documents of a folder, in the order of the entries."""
    paths = {name: folder / f"{name}.json" for name in entries()}
    return {name: read_entry(path) for name, path in paths.items() if path.is_file()}


def blocks(documents: Mapping[str, dict[str, Any]], folder: str = "") -> dict[str, str]:
    """A block of Markdown for each document, and those of the machine and of the losses.

    Args:
        documents: by entry.
        folder: what stands before the file name of a plot in a link, e.g. ``"performance/"``.
    """
    found = {}
    for name, document in documents.items():
        figures, plan = figures_of(document), document["plan"]
        parts = [table(figures).markdown()]
        if plan["axis"] is not None:
            parts.append(f"![{plan['title']}]({folder}{name}.png)\n")
            parts.append("".join(f"- {sentence}\n" for sentence in sentences(figures, plan["axis"])))
        parts.append(f"{_how(plan)}; {_when(document['environment'])}; [all samples]({folder}{name}.json).\n")
        found[name] = "\n".join(parts)
    if documents:
        found[MACHINE] = _machine(documents)
        found[WHERE_IT_LOSES] = losses(documents)
    return found


def _how(plan: Mapping[str, Any]) -> str:
    """How often an entry was measured."""
    protocol = plan["protocol"]
    found = [f"{protocol['repeats']} rounds, {protocol['warmup']} calls of warm-up"]
    if any(measurement["what"] == "memory" for measurement in plan["measurements"]):
        times = {1: "once", 2: "twice"}.get(protocol["memory_repeats"], f"{protocol['memory_repeats']} times")
        found.append(f"memory measured {times}, over {protocol['steps']} steps")
    return "; ".join(found)


def _when(about: Mapping[str, Any]) -> str:
    """The date and revision of a measurement."""
    return f"measured on {about['started'][:10]} at {(about['git_revision'] or 'an unknown revision')[:7]}"


def losses(documents: Mapping[str, dict[str, Any]]) -> str:
    """Where ours is slower, or takes more memory, than another way of computing the same; as a list.

    A time counts as lost if three quarters of the rounds are: the lower quartile of the ratios is above 1.
    """
    lines = []
    for document in documents.values():
        for figure in figures_of(document):
            same_network = (figure.baseline or "").partition(" (")[0] == figure.case.name
            if (document["plan"]["rival"] or same_network) and (line := _loss(figure)) is not None:
                lines.append(line)
    return "".join(f"- {line}\n" for line in lines) or "None in these measurements.\n"


def _loss(figure: Figure) -> str | None:
    case, baseline = figure.case, figure.baseline
    image = " x ".join(map(str, case.sizes()["image_size"]))
    where = f"{case.label()} at batch {case.batch}, {image}, group {case.sizes()['group']}"
    where = where if case.kind == "network" else f"{case.kind} layer, {where}"
    where += "" if figure.allocator == "default" else f", allocator {figure.allocator}"
    where += "" if figure.instructions == "native" else f", {figure.instructions} instructions"
    if figure.error is not None:
        return f"{where}: {figure.what} failed, {figure.error}"
    if figure.what == "memory":
        extra = figure.extra or 0
        return f"{where}: {number(extra / 1e6)} MB more than {baseline}" if extra > 0 else None
    if figure.ratio is None or figure.ratio.lower <= 1:
        return None
    return f"{where}: {figure.what} takes {figure.ratio.median:.2f} times as long as {baseline}"


def _machine(documents: Mapping[str, dict[str, Any]]) -> str:
    """The machine and versions, and when and with what each entry was measured."""
    seen: dict[str, None] = {}
    rows = []
    for name, document in documents.items():
        about = document["environment"]
        memory = f", {about['memory_bytes'] / 2**30:.0f} GiB" if about["memory_bytes"] else ""
        versions = ", ".join(f"{package} {version}" for package, version in about["packages"].items() if version)
        gpus = ", ".join(about["gpus"]) or "no GPU"
        threads = document["plan"]["protocol"]["threads"] or about["threads"]
        seen[
            f"{about['processor']}, {about['cores']} cores{memory}, {gpus}; {about['platform']}; {threads} "
            f"threads; python {about['python']}, {versions}"
        ] = None
        revision = about["git_revision"] or "unknown"
        command = f"`{shlex.join(about['command'])}`"
        rows.append([name, about["started"], revision, f"{document['seconds']:.0f}", command])
    headings = ["entry", "measured from", "revision", "seconds", "command"]
    return "".join(f"- {line}\n" for line in seen) + "\n" + Table(headings, rows).markdown()


def fill(text: str, found: Mapping[str, str]) -> str:
    """A page with its marked places filled; a place whose entry has not been measured stays as it is.

    Raises:
        ValueError: if a place is named after no entry.
    """
    known = dict.fromkeys([*entries(), MACHINE, WHERE_IT_LOSES])

    def block(match: re.Match[str]) -> str:
        find("figures", match[2], known)
        return f"{match[1]}\n{found[match[2]]}\n{match[3]}" if match[2] in found else match[0]

    return BLOCKS.sub(block, text)


def write_page(folder: Path, page: Path | None) -> list[Path]:
    """Tables (tables.md) and plots of all documents in a folder, and the page's marked places; what was written."""
    documents = read_folder(folder)
    written = []
    for name, document in documents.items():
        if document["plan"]["axis"] is not None:
            written.append(folder / f"{name}.png")
            plot(figures_of(document), document["plan"]["axis"], document["plan"]["title"], written[-1])
    titles = {name: document["plan"]["title"] for name, document in documents.items()}
    titles |= {WHERE_IT_LOSES: "Where it loses", MACHINE: "Machine, versions, commands"}
    text = "\n".join(f"## {titles[name]}\n\n{block}" for name, block in blocks(documents).items())
    written.append(folder / "tables.md")
    write_atomically(written[-1], text.encode())
    if page is not None:
        content = fill(page.read_text(encoding="utf-8"), blocks(documents, _relative(folder, page)))
        write_atomically(page, content.encode())
        written.append(page)
    return written


def _relative(folder: Path, page: Path) -> str:
    """The folder as a link on the page has it."""
    try:
        return f"{folder.resolve().relative_to(page.resolve().parent).as_posix()}/"
    except ValueError as error:
        raise ValueError(
            f"folder {folder} must be inside the folder of --page {page}, which links to its files"
        ) from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Write tables.md and the plots into the folder, and fill the page."""
    parser = argparse.ArgumentParser(description="Tables and plots of a folder that `agconv bench --suite` has filled.")
    parser.add_argument("folder", type=Path, help="--out of agconv bench --suite")
    parser.add_argument("--page", type=Path, help="Markdown page whose marked places the tables fill")
    given = parser.parse_args(arguments)
    for path in write_page(given.folder, given.page):
        print(path)


if __name__ == "__main__":
    main()
