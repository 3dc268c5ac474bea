"""`odx-target protect`: send the snapshots of volumes to another array."""

from typing import Annotated

import typer

from odx_target.cli.managing.array_requests import ask_array, given
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.text.json_output import Json, print_json


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.command("protect")(protect)


def protect(
    pool: PoolArgument,
    volumes: Annotated[
        list[str], typer.Argument(metavar="VOLUME...", help="Volumes. With --remove: the name of the protection.")
    ],
    path: Annotated[str | None, typer.Option("--path", metavar="NAME", help="Path to the other array.")] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="NAME", help="Publish the snapshots of the volumes together, as a group of this name."),
    ] = None,
    trigger: Annotated[
        str, typer.Option("--trigger", metavar="each|latest", help="Send each snapshot, or only the latest one.")
    ] = "each",
    schedules: Annotated[
        list[str] | None,
        typer.Option("--schedule", metavar="NAME", help="Schedule of the volumes; up to three. Default: those they have."),
    ] = None,
    keep_there: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-there",
            metavar="CLASS=N",
            help="Snapshots to keep there: hourly=N, daily=N, weekly=N or manual=N; 0 is all. Default: as many as here.",
        ),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Send no more snapshots. The copy there stays.")] = False,
    as_json: Json = False,
) -> None:
    """Send the snapshots of volumes to another array.

    The first snapshot is sent as a whole, later ones as their differences. The snapshots that the next difference needs are
    held on both sides, so no schedule deletes them.
    """
    if remove:
        if len(volumes) != 1:
            raise typer.BadParameter("want the name of one protection", param_hint="VOLUME")
        answer = ask_array(pool, "unprotect", {"name": volumes[0]})
    else:
        if path is None:
            raise typer.BadParameter("want the path to the other array", param_hint="--path")
        wanted = given(
            volumes=volumes,
            path=path,
            group=group,
            trigger=trigger,
            schedules=schedules or None,
            keep_there=_numbers(keep_there or []),
        )
        answer = ask_array(pool, "protect", wanted)
    if as_json:
        print_json("protection", answer)
    else:
        state = "is not protected any more" if remove else f"is protected: its snapshots go to {answer['path']}"
        typer.echo(f"{answer['name']} {state}")


def _numbers(texts: list[str]) -> dict[str, int]:
    """Convert texts such as daily=30. Raises BadParameter."""
    found = {}
    for text in texts:
        name, separator, number = text.partition("=")
        if not separator or not number.isdecimal():
            raise typer.BadParameter(f"want CLASS=N, not {text!r}", param_hint="--keep-there")
        found[name] = int(number)
    return found
