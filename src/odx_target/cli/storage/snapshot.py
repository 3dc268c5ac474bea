"""`odx-target snapshot`: create, show and use the snapshots of a pool. The name of a snapshot has the form VOLUME@NAME."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from odx_target.cli.managing.array_requests import Answer
from odx_target.cli.storage.requests import PoolArgument, ask, ask_pages
from odx_target.cli.storage.volume import volume_line
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.range_lines import range_lines
from odx_target.cli.text.sizes import size
from odx_target.cli.text.tables import print_columns
from odx_target.target.config.error import ConfigError
from odx_target.target.control.storage.names import parse_snapshot_name
from odx_target.target.schedules.schedule import DEFAULT_TIMEOUT_S, OnFailure

app = typer.Typer(help="Create, show and use snapshots of volumes.", no_args_is_help=True)

SnapshotArgument = Annotated[
    str, typer.Argument(metavar="VOLUME@NAME", help="The snapshot, by its name or by its guid of 32 hexadecimal digits.")
]
OwnerArgument = Annotated[str, typer.Argument(metavar="OWNER", help="Name of the owner of the hold.")]

Before = Annotated[
    str | None,
    typer.Option(
        "--before", metavar="COMMAND", help="Command that freezes an application before the snapshots; run without a shell."
    ),
]
After = Annotated[
    str | None, typer.Option("--after", metavar="COMMAND", help="Command that continues the application after the snapshots.")
]

HEADINGS = ("snapshot", "created", "size", "holds", "guid")


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="snapshot")


@app.callback()
def snapshot() -> None:
    """Create, show and use snapshots of volumes.

    If an array serves the pool, the array carries out the command. Otherwise the command changes the pool itself.
    """


@app.command("create")
def create(
    pool: PoolArgument,
    snapshots: Annotated[
        list[str],
        typer.Argument(
            metavar="VOLUME@NAME...",
            help="Snapshot to take. Several snapshots are taken at the same moment and must have the same NAME.",
        ),
    ],
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", metavar="KEY=VALUE", help="Value to store with the snapshot; may be repeated."),
    ] = None,
    before: Before = None,
    after: After = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help=f"Longest time for each command; default: {DEFAULT_TIMEOUT_S:g}."),
    ] = None,
    on_failure: Annotated[
        str | None,
        typer.Option(
            "--on-failure",
            metavar="|".join(OnFailure),
            help="If a command fails, skip keeps no snapshot (default), and crash-consistent keeps a snapshot that is only "
            "crash-consistent.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take a snapshot of one or more volumes. The snapshot is durable, and at first it takes no room. Hosts are not
    affected.

    If an array serves the pool, the commands of --before and --after run as the user of the array.
    """
    for each in snapshots:
        _check_name(each)
    chosen = {"before": before, "after": after, "timeout_s": timeout, "on_failure": on_failure}
    answer = ask(pool, "snapshot-create", snapshots=snapshots, attributes=_attributes(attribute or []), **chosen)
    print_json("taken-snapshots", answer) if as_json else print_taken(answer)


@app.command("list")
def list_snapshots(
    pool: PoolArgument,
    volume: Annotated[str | None, typer.Argument(metavar="VOLUME", help="List only the snapshots of this volume.")] = None,
    as_json: Json = False,
) -> None:
    """List the snapshots, the oldest first."""
    answer = ask(pool, "snapshots", volume=volume)
    if as_json:
        print_json("snapshots", answer)
    else:
        print_columns(HEADINGS, [_cells(each) for each in answer["snapshots"]])


@app.command("show")
def show(pool: PoolArgument, name: SnapshotArgument, as_json: Json = False) -> None:
    """Show a snapshot and the room that it takes. `unique bytes` is the room that becomes free when the snapshot is deleted."""
    answer = ask(pool, "snapshot-show", snapshot=name)
    if as_json:
        print_json("snapshot-details", answer)
        return
    for key, value in answer.items():
        typer.echo(f"{key.replace('_', ' ')}: {_shown(key, value)}")


@app.command("rename")
def rename(
    pool: PoolArgument,
    name: SnapshotArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW-NAME", help="New name of the snapshot, without VOLUME@.")],
    as_json: Json = False,
) -> None:
    """Rename a snapshot."""
    answer = ask(pool, "snapshot-rename", snapshot=name, new_name=new_name)
    print_json("snapshot", answer) if as_json else print_snapshots("renamed", [answer])


@app.command("delete")
def delete(pool: PoolArgument, name: SnapshotArgument, as_json: Json = False) -> None:
    """Delete a snapshot. Clones of the snapshot keep their data. A snapshot with a hold cannot be deleted."""
    answer = ask(pool, "snapshot-delete", snapshot=name)
    print_json("snapshot", answer) if as_json else print_snapshots("deleted", [answer])


@app.command("restore")
def restore(
    pool: PoolArgument,
    name: SnapshotArgument,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VOLUME", help="Volume to restore; default: the volume of the snapshot.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Restore the data and the size of a volume from a snapshot. The current data of the volume is lost, except for data that
    is in a snapshot.

    Unmount the file systems of the volume before the restore. Running commands of hosts end before the restore, or are aborted.
    Hosts are notified that the medium has changed.
    """
    answer = ask(pool, "snapshot-restore", snapshot=name, to=to)
    print_json("volume", answer) if as_json else typer.echo(f"restored {volume_line(answer)}")


@app.command("diff")
def diff(
    pool: PoolArgument,
    older: SnapshotArgument,
    newer: Annotated[
        str | None,
        typer.Argument(
            metavar="VOLUME[@NAME]",
            help="A newer snapshot, or a volume with its current data; default: the volume of the older snapshot.",
        ),
    ] = None,
    allocated: Annotated[
        bool, typer.Option("--allocated", help="List all ranges of the snapshot that have data; compare nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Without effect, because the output is always JSON.")] = False,  # noqa: ARG001
) -> None:
    """List the ranges of a volume that changed since a snapshot. Each line is a JSON object with offset_bytes, length_bytes and
    kind.

    The kind is "hole" if the range now reads as zeros, otherwise "data".
    """
    if allocated and newer is not None:
        raise typer.BadParameter("--allocated looks at one snapshot only")
    if allocated:
        ask_pages(pool, "allocated", _print_ranges, source=older)
    else:
        ask_pages(pool, "snapshot-diff", _print_ranges, older=older, newer=newer)


@app.command("hold")
def hold(pool: PoolArgument, name: SnapshotArgument, owner: OwnerArgument, as_json: Json = False) -> None:
    """Protect a snapshot from deletion until the owner ends the hold."""
    answer = ask(pool, "snapshot-hold", snapshot=name, owner=owner)
    print_json("snapshot", answer) if as_json else print_snapshots("held", [answer])


@app.command("unhold")
def unhold(pool: PoolArgument, name: SnapshotArgument, owner: OwnerArgument, as_json: Json = False) -> None:
    """End the hold of an owner on a snapshot."""
    answer = ask(pool, "snapshot-unhold", snapshot=name, owner=owner)
    print_json("snapshot", answer) if as_json else print_snapshots("released", [answer])


def _check_name(name: str) -> None:
    try:
        parse_snapshot_name(name)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error


def _attributes(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for key, equals, _ in pairs:
        if not (key and equals):
            raise typer.BadParameter(f"attribute {key!r}: want KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _print_ranges(answer: Answer) -> None:
    typer.echo(range_lines(answer["ranges"]), nl=False)


def print_snapshots(done: str, snapshots: Sequence[Mapping[str, Any]]) -> None:
    for each in snapshots:
        holds = f", held by {', '.join(each['holds'])}" if each["holds"] else ""
        typer.echo(f"{done} {_name(each)}, {each['size_bytes']} bytes, {time_text(each['created_s'])}{holds}")


def print_taken(answer: Answer) -> None:
    """Print the snapshots that a command has taken, and the reason if they are only crash-consistent."""
    print_snapshots("created", answer["snapshots"])
    if answer["problem"]:
        typer.echo(f"only crash-consistent: {answer['problem']}")
    if answer["left_out"]:
        typer.echo(f"without a snapshot, because a sanitize operation is running or has failed: {' '.join(answer['left_out'])}")


def _cells(snapshot: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _name(snapshot),
        time_text(snapshot["created_s"]),
        size(snapshot["size_bytes"]),
        " ".join(snapshot["holds"]),
        snapshot["guid"],
    )


def _name(snapshot: Mapping[str, Any]) -> str:
    return f"{snapshot['volume']}@{snapshot['name']}"


def time_text(created_s: float) -> str:
    """Return the text of a time in UTC, with seconds."""
    return datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(key: str, value: Any) -> str:
    if key == "created_s":
        return time_text(value)
    if key.endswith("_bytes"):
        return f"{value} ({size(value)})"
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, dict):
        return " ".join(f"{name}={text}" for name, text in value.items())
    return "" if value is None else str(value)
