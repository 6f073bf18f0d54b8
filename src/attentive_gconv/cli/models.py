"""`agconv models`."""

import json
from typing import Annotated

import typer

from attentive_gconv.cli.options import IMPORT_OPTION, JSON_OPTION
from attentive_gconv.cli.output import plain_console, plain_table


def models_command(
    pattern: Annotated[str, typer.Argument(help="Shell pattern of names, e.g. '*p4cnn'.")] = "*",
    as_json: JSON_OPTION = False,
    imports: IMPORT_OPTION = None,
) -> None:
    """List the networks: group, number of parameters, image shape, description."""
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
    table = plain_table("name", "group", "parameters", "input", "description", numbers={2})
    for entry, row in zip(entries, rows, strict=True):
        shape = " x ".join(map(str, entry.image_shape))
        parameters = "?" if entry.parameters is None else f"{entry.parameters:,}"
        table.add_texts(entry.name, str(row["group"]), parameters, shape, entry.description)
    plain_console().print(table)
