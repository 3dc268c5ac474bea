"""`odx-target lun`: list the LUNs of a pool, and add and remove the LUN numbers of volumes."""

from typing import Annotated

import typer

from odx_target.cli.storage.requests import PoolArgument, ask
from odx_target.cli.storage.volume import VolumeArgument, print_volumes, volume_line
from odx_target.cli.text.json_output import Json, print_json

app = typer.Typer(help="Give LUN numbers to volumes, or take them away.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="lun")


@app.callback()
def lun() -> None:
    """Add, remove and change the LUN numbers of volumes. Hosts can use a volume that has a LUN number.

    If an array serves the pool, the array carries out the command. Otherwise the command changes the pool itself.
    """


@app.command("list")
def list_luns(pool: PoolArgument, as_json: Json = False) -> None:
    """List the volumes that are LUNs, by LUN number."""
    answer = ask(pool, "volumes")
    found = sorted((each for each in answer["volumes"] if each["lun"] is not None), key=lambda each: int(each["lun"]))
    print_json("volumes", {"volumes": found}) if as_json else print_volumes(found)


@app.command("add")
def add(
    pool: PoolArgument,
    name: VolumeArgument,
    number: Annotated[
        int | None, typer.Option("--number", metavar="N", help="LUN number; default: the next free number.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a volume a LUN. Hosts are notified."""
    answer = ask(pool, "lun-add", name=name, number=number)
    print_json("volume", answer) if as_json else typer.echo(volume_line(answer))


@app.command("remove")
def remove(pool: PoolArgument, name: VolumeArgument, as_json: Json = False) -> None:
    """Remove a LUN. Hosts cannot use the volume any more, but the volume and its data stay.

    Running commands end, or are aborted after two seconds. Hosts are notified. Persistent reservations of the LUN are removed.
    `odx-target volume delete --force` removes the LUN and deletes its volume.
    """
    answer = ask(pool, "lun-remove", name=name)
    print_json("volume", answer) if as_json else typer.echo(volume_line(answer))


@app.command("renumber")
def renumber(
    pool: PoolArgument,
    name: VolumeArgument,
    number: Annotated[int, typer.Argument(metavar="N", help="New LUN number.")],
    as_json: Json = False,
) -> None:
    """Change the number of a LUN. The serial number, the NAA identifier and the reservations of the LUN stay. Hosts are
    notified.

    Unmount the file systems of the LUN before this command. Hosts see that a LUN is gone and that there is a new LUN.
    """
    answer = ask(pool, "lun-renumber", name=name, number=number)
    print_json("volume", answer) if as_json else typer.echo(volume_line(answer))
