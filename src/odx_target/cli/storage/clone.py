"""`odx-target clone`: create volumes that have the data of a snapshot or a volume. No data is copied."""

from typing import Annotated

import typer

from odx_target.cli.storage.requests import PoolArgument, ask
from odx_target.cli.storage.volume import print_volumes, volume_line
from odx_target.cli.text.json_output import Json, print_json


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("clone")(clone)


def clone(
    pool: PoolArgument,
    origin: Annotated[
        str,
        typer.Argument(
            metavar="VOLUME[@SNAPSHOT]", help="Origin: a snapshot by name or guid, or a volume with its current data."
        ),
    ],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the clone. {} is replaced by the number of the clone, as in vm-{}.")
    ],
    count: Annotated[int, typer.Option("--count", metavar="N", help="Number of clones to create at once.")] = 1,
    first: Annotated[int, typer.Option("--first", metavar="NUMBER", help="Number of the first clone.")] = 1,
    lun: Annotated[bool, typer.Option("--lun", help="Make each clone a LUN that hosts can use.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="Make the clones read-only for hosts.")] = False,
    as_json: Json = False,
) -> None:
    """Clone a snapshot or a volume. Each clone is a volume of its own, with its own serial number.

    A clone shares the data of its origin until the clone or the origin is changed. The clone and the origin are independent:
    each can be deleted without the other.
    """
    answer = ask(pool, "clone", origin=origin, name=name, count=count, first=first, lun=lun, read_only=read_only)
    volumes = answer["volumes"]
    if as_json:
        print_json("volumes", answer)
    elif len(volumes) == 1:
        typer.echo(volume_line(volumes[0]))
    else:
        print_volumes(volumes)
