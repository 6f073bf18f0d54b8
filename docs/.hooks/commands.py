"""The page reference/cli.md: every command of `agconv` with its options, from the command line itself."""

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from attentive_gconv.cli.app import app


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    command = typer.main.get_command(app)
    with command.make_context("agconv", [], resilient_parsing=True) as context:
        text = get_docs_for_click(obj=command, ctx=context, name="agconv", title="Command line")
    files.append(File.generated(config, "reference/cli.md", content=text))
    return files
