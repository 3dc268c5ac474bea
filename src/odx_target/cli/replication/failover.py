"""`odx-target promote` and `reverse`: use the copy of another array in its place, and go back."""

from typing import Annotated

import typer

from odx_target.cli.groups.group import promote_group
from odx_target.cli.managing.array_requests import ask_array, given
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.storage.volume import volume_line
from odx_target.cli.text.json_output import Json, print_json


def register_promote(root: typer.Typer) -> None:
    """Add the subcommand `promote`."""
    root.command("promote")(promote)


def register_reverse(root: typer.Typer) -> None:
    """Add the subcommand `reverse`."""
    root.command("reverse")(reverse)


def promote(
    pool: PoolArgument,
    copy: Annotated[
        str, typer.Argument(metavar="COPY[@SNAPSHOT]", help="Copy, as `remote list` shows it; default: its newest snapshot.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the LUN. Default: the name at the other array.")
    ] = None,
    number: Annotated[
        int | None, typer.Option("--lun", metavar="N", help="LUN number. Default: that of before, or the next free one.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="COPY is the name of a group: make this array its primary, see `group promote`.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a copy a LUN that hosts can write to. It receives no more.

    The LUN has the content of the newest received snapshot. Everything that hosts have written at the other array after this
    snapshot is missing. When the other array is there again, `reverse` makes its volume the copy.
    """
    if force:
        if name is not None or number is not None:
            raise typer.BadParameter("a group keeps its names and LUN numbers", param_hint="--force")
        promote_group(pool, copy, force=True, as_json=as_json)
        return
    answer = ask_array(pool, "promote", given(copy=copy, name=name, number=number))
    if as_json:
        print_json("volume", answer)
    else:
        typer.echo(volume_line(answer))


def reverse(
    pool: PoolArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the protection: of its volume, or of its group.")],
    as_json: Json = False,
) -> None:
    """Receive volumes from the array that has promoted them.

    The volumes are taken away from hosts. Changes that the other array does not have are kept as snapshots whose names begin
    with `diverged`. Only differences are sent.
    """
    answer = ask_array(pool, "reverse", {"name": name})
    if as_json:
        print_json("snapshots", answer)
        return
    typer.echo(f"{name} is a copy now, which receives from the other array")
    for each in answer["snapshots"]:
        typer.echo(f"changes that the other array does not have: {each['volume']}@{each['name']}")
