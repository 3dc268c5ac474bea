"""`odx-target offload`: the bytes that an array has copied for each initiator."""

from pathlib import Path
from typing import Annotated

import typer

from odx_target.cli.managing.array_requests import ask_array
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.sizes import size
from odx_target.cli.text.tables import print_columns

app = typer.Typer(help="Show which copies an array has made for hosts.", no_args_is_help=True)
COLUMNS = ("shared_bytes", "zeroed_bytes", "moved_bytes", "refused_bytes")
HEADINGS = ("initiator", "shared", "zeroed", "moved", "refused", "refused commands")


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="offload")


@app.callback()
def offload() -> None:
    """Show which copies an array has made for hosts."""


@app.command("stats")
def stats(
    pool: Annotated[
        Path, typer.Argument(readable=False, metavar="POOL", help="Directory of the pool, or control socket of its array.")
    ],
    as_json: Json = False,
) -> None:
    """Show the bytes that were copied for each initiator since the start of the array.

    Shared bytes were copied by references to the same blocks, zeroed bytes as zeros. Moved bytes were read and written inside
    the array. Refused bytes were requested but not copied, so that the host probably copied them by reads and writes.
    """
    answer = ask_array(pool, "initiators", {})
    if as_json:
        print_json("initiators", answer)
        return
    rows = [
        [row["initiator"], *(size(row[name]) for name in COLUMNS), str(row["refused_commands"])] for row in answer["initiators"]
    ]
    print_columns(HEADINGS, rows)
