"""Run the code of a Markdown page from the top down, as a reader would: ``run_page.py PAGE``, in an empty folder.

    python    executed; all blocks of a page share their names
    console   lines after "$ " are run by the shell; the others show what is printed
    text      what the block before printed; "..." stands for anything

A block with a title (``title="my_network.py"``) is written to that file and not executed. A comment
``<!-- not executed: REASON -->`` in the line before a block leaves it out.
"""

import contextlib
import doctest
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(
    r"^(?P<skip><!-- not executed: .+ -->\n)?```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.M | re.S
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A block of code: its language, the file that its title names, its code, and the line where that starts."""

    language: str
    title: str
    code: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    """The blocks that are executed."""
    for match in BLOCK.finditer(text):
        if not match["skip"]:
            title = re.search(r'title="([^"]+)"', match["info"])
            line = text.count("\n", 0, match.start("code")) + 1
            yield Block(match["language"], title[1] if title else "", match["code"], line)


def run(page: Path) -> None:
    """Run the page in the present folder.

    Raises:
        AssertionError: if a command fails, or something else is printed than the page shows.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page}:{block.line}"
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.code, encoding="utf-8")
        elif block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as output:
                # the line numbers of the page, in tracebacks
                exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)
            printed = output.getvalue()
        elif block.language == "console":
            commands, shown = split(block.code)
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], capture_output=True, text=True)
            assert done.returncode == 0, f"{where}: {commands}\n{done.stdout}\n{done.stderr}"
            printed = done.stdout
            if shown:
                compare(where, shown, printed)
        elif block.language == "text":
            compare(where, block.code, printed)


def split(code: str) -> tuple[str, str]:
    """The commands of a console block, and what it shows of their output."""
    commands, shown, continued = [], [], False
    for line in code.splitlines(keepends=True):
        if continued or line.startswith("$ "):
            commands.append(line.removeprefix("$ "))
            continued = line.rstrip("\n").endswith("\\")
        else:
            shown.append(line)
    return "".join(commands), "".join(shown)


def compare(where: str, wanted: str, got: str) -> None:
    """An error unless the output is the one that is shown."""
    assert doctest.OutputChecker().check_output(wanted, got, FLAGS), f"{where}: expected\n{wanted}\ngot\n{got}"


if __name__ == "__main__":
    sys.path.insert(0, "")  # the present folder, in which the page writes its files, as in an interpreter
    run(Path(sys.argv[1]).resolve())
