"""What the documentation types is there: every `agconv` command with its options, and every import from the package."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from attentive_gconv.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("benchmarks/*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
# generated tables hold the commands with which they were made, as they were then
GENERATED = re.compile(r"<!-- figures: .*?<!-- end of figures -->", re.DOTALL)
TEXTS = {page: GENERATED.sub("", page.read_text(encoding="utf-8")) for page in PAGES if page.name != "tables.md"}
GROUP = typer.main.get_command(app)

# what is printed after the command in the same line, and what joins lines
COMMENT, JOINED = re.compile(r"\s{2,}# .*$"), re.compile(r"\\\n\s*")

IMPORT = re.compile(r"^(?:>>> )?from (attentive_gconv[\w.]*) import ([\w, ]+)$", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    """The commands of console blocks, and those that stand in the text in backticks."""
    found = []
    for page, text in TEXTS.items():
        for line in JOINED.sub("", text).splitlines():
            typed = re.findall(r"^\$ (?:python my_)?(agconv(?:\.py)? .*)$", line) + re.findall(
                r"`(agconv [^`]+)`", line
            )
            found += [(page.name, COMMENT.sub("", command)) for command in typed]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "command"), commands())
def test_command_and_options_exist(page, command):
    # the shell would fill in the rest: other commands, other files
    words = shlex.split(re.split(r" [|;&]|&&", command)[0])[1:]
    if words[0].isupper() or words[0].startswith("--"):
        return
    context = GROUP.make_context("agconv", words, resilient_parsing=True)
    assert words[0] in GROUP.commands, f"{page}: {command}"
    parameters = GROUP.commands[words[0]].params
    known = {option for parameter in parameters for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.split("=")[0] for word in words[1:] if word.startswith("--")}
    assert used <= {*known, "--help"}, f"{page}: {sorted(used - known)} in {command!r}"
    context.close()


def imports() -> list[tuple[str, str, str]]:
    """Module, name and page of what Python blocks import from the package."""
    found = set()
    for page, text in TEXTS.items():
        for module, names in re.findall(
            r"^(?:>>> )?from (attentive_gconv[\w.]*) import ([\w, ]+)$", text, re.MULTILINE
        ):
            found |= {(module, name.split(" as ")[0].strip(), page.name) for name in names.split(",")}
    return sorted(found)


@pytest.mark.parametrize(("module", "name", "page"), imports())
def test_imported_names_exist(module, name, page):
    assert hasattr(importlib.import_module(module), name), page
