"""The `agconv` application. Commands import what is slow (torch, Lightning) only when they run."""

from typing import Annotated

import typer

from attentive_gconv import __version__
from attentive_gconv.cli.bench import bench_command
from attentive_gconv.cli.data import data_command
from attentive_gconv.cli.demo import demo_command
from attentive_gconv.cli.errors import OneLineErrors, debug_errors
from attentive_gconv.cli.evaluate import evaluate_command
from attentive_gconv.cli.explain import explain_command
from attentive_gconv.cli.export import export_command
from attentive_gconv.cli.models import models_command
from attentive_gconv.cli.predict import predict_command
from attentive_gconv.cli.table import table_command
from attentive_gconv.cli.train import train_command

app = typer.Typer(
    name="agconv",
    cls=OneLineErrors,
    help="Attentive group equivariant convolutional networks: train, evaluate, predict, explain, export, measure.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"agconv {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors, not only the message.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    debug_errors(debug)


app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("predict")(predict_command)
app.command("explain")(explain_command)
app.command("export")(export_command)
app.command("table")(table_command)
app.command("models")(models_command)
app.command("data")(data_command)
app.command("bench")(bench_command)
app.command("demo")(demo_command)
