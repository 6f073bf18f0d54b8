"""The page reference/cli.md: every command of `agconv` with its options, from the command line itself."""

import re

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from attentive_gconv.cli.app import app


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    group = typer.main.get_command(app)
    with group.make_context("agconv", [], resilient_parsing=True) as context:
        text = get_docs_for_click(obj=group, ctx=context, name="agconv", title="Command line")
        for name in group.list_commands(context):
            # the list of commands has their first words; the first sentence is meant
            summary = (group.get_command(context, name).help or "").strip().split("\n\n")[0].replace("\n", " ")
            text = re.sub(rf"^\* `{name}`: .*$", f"* `{name}`: {summary}", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"\[bold\](.*?)\[/bold\]", r"`\1`", text, flags=re.DOTALL)
    files.append(File.generated(config, "reference/cli.md", content=text))
    return files
