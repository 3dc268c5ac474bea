"""The tables that `odx-target serve --show-limits` prints."""

import typer

from odx_target.cli.serving.limits import Limit, describe_limits, describe_memory
from odx_target.cli.text.sizes import size
from odx_target.cli.text.tables import print_columns
from odx_target.target.config.settings import Config

HEADINGS = ("limit", "value", "reason")


def print_limits(config: Config) -> None:
    """Print the limits of an array, and the memory that they allow in the worst case."""
    for title, limits in describe_limits(config).items():
        typer.echo(typer.style(title, bold=True))
        print_columns(HEADINGS, [(limit.name, describe_value(limit), limit.reason) for limit in limits])
        typer.echo()
    typer.echo(typer.style("memory in the worst case", bold=True))
    parts = describe_memory(config)
    print_columns(("purpose", "memory", "reason"), [(part.name, size(part.size_bytes), part.reason) for part in parts])
    typer.echo(f"together: {size(sum(part.size_bytes for part in parts))}")
    typer.echo("in addition: the process itself, and the map of blocks, which grows with written data")


def describe_value(limit: Limit) -> str:
    """Return the value of a limit with its unit."""
    match limit.unit:
        case "bytes":
            return size(limit.value)
        case "bytes/s":
            return f"{size(limit.value)}/s"
        case "":
            return f"{limit.value:,}"
        case unit:
            return f"{limit.value:,g} {unit}"
