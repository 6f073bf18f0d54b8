"""`agconv models`."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def models_command(
    pattern: Annotated[str, typer.Argument(help="Shell pattern, e.g. '*p4cnn'.")] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the networks: group, parameters, input, and what they are."""
    from attentive_gconv.models import list_models, model_entry

    names = list_models(pattern)
    if not names:
        raise ValueError(f"no network matches {pattern!r}; `agconv models` lists them all")
    entries = [model_entry(name) for name in names]
    rows = [
        {
            "name": entry.name,
            "family": entry.family,
            "group": str(entry.defaults.get("group", "")),
            "parameters": entry.parameters,
            "input": list(entry.image_shape),
            "classes": entry.num_classes,
            "description": entry.description,
        }
        for entry in entries
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("name", "group", box=None, pad_edge=False)
    table.add_column("parameters", justify="right")
    table.add_column("input")
    table.add_column("description")
    for entry, row in zip(entries, rows, strict=True):
        shape = " x ".join(map(str, entry.image_shape))
        table.add_row(
            entry.name,
            str(row["group"]),
            "?" if entry.parameters is None else f"{entry.parameters:,}",
            shape,
            entry.description,
        )
    Console(soft_wrap=True).print(table)
