"""`odx-target remote`: list what is sent to other arrays and received from them, and clone received copies."""

from typing import Annotated

import typer

from odx_target.cli.managing.array_requests import ask_array
from odx_target.cli.replication.graph import graph
from odx_target.cli.replication.text import COPY_HEADINGS, PROTECTION_HEADINGS, copy_cells, problem_lines, protection_cells
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.storage.volume import print_volumes
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.tables import print_columns

app = typer.Typer(help="Show what arrays send to each other, and use it.", no_args_is_help=True)
app.command("graph")(graph)


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="remote")


@app.callback()
def remote() -> None:
    """Show what arrays send to each other, and use it."""


@app.command("list")
def list_copies(pool: PoolArgument, as_json: Json = False) -> None:
    """List the protections, whose snapshots are sent, and the copies, which are received."""
    answer = ask_array(pool, "replication", {})
    if as_json:
        print_json("replication", answer)
        return
    print_columns(PROTECTION_HEADINGS, [protection_cells(each) for each in answer["protections"]])
    typer.echo()
    print_columns(COPY_HEADINGS, [copy_cells(each) for each in answer["copies"]])
    for line in problem_lines([*answer["protections"], *answer["copies"]]):
        typer.echo(line)


@app.command("clone")
def clone(
    pool: PoolArgument,
    origin: Annotated[
        str, typer.Argument(metavar="COPY[@SNAPSHOT]", help="Copy, as `remote list` shows it; default: its newest snapshot.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new LUN.")],
    read_only: Annotated[bool, typer.Option("--read-only", help="Make the LUN read-only for hosts.")] = False,
    as_json: Json = False,
) -> None:
    """Make a LUN with the content of a copy. The copy receives further snapshots."""
    answer = ask_array(pool, "remote-clone", {"origin": origin, "name": name, "read_only": read_only})
    if as_json:
        print_json("volumes", answer)
    else:
        print_volumes(answer["volumes"])
