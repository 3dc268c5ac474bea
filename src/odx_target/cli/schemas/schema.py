"""`odx-target schema`: the JSON Schema of the output of a command."""

import json
from typing import Annotated

import typer

from odx_target.cli.schemas.making import schema_of_result
from odx_target.cli.schemas.table import RESULTS, result_of, schema_name
from odx_target.cli.text.tables import print_columns


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("schema")(schema)


def schema(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Command, such as `snapshot create`, or the name of a schema. Default: list them."),
    ] = None,
) -> None:
    """Print the JSON Schema of the output of a command.

    Each output begins with the name and the version of its schema. Within a version, fields are only added.
    """
    if not words:
        rows = [(schema_name(name), command) for name, result in RESULTS.items() for command in result.commands]
        print_columns(("schema", "command"), rows)
        return
    name = result_of(" ".join(words))
    if name is None:
        raise typer.BadParameter(f"no command and no schema has the name {' '.join(words)!r}; `odx-target schema` lists them")
    typer.echo(json.dumps(schema_of_result(name), indent=2))
