"""Results as JSON on standard output."""

from collections.abc import Mapping
from typing import Annotated

import typer

from odx_target.cli.text.json_text import json_text

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
JsonLines = Annotated[bool, typer.Option("--json", help="Print a line of JSON for each result.")]


def print_json(name: str, answer: Mapping[str, object]) -> None:
    """Print a result as JSON. `name` is its name in the table of results."""
    typer.echo(json_text(name, answer))


def print_json_line(name: str, answer: Mapping[str, object]) -> None:
    """Print a result as one line of JSON."""
    typer.echo(json_text(name, answer, None))
