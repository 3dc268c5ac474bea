"""`odx-target snapshot`: the snapshots of a pool, each named VOLUME@NAME."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from odx_target.cli.storage.requests import Answer, Json, PoolArgument, ask, ask_pages, print_json
from odx_target.cli.storage.volume import volume_line
from odx_target.cli.text.sizes import size
from odx_target.cli.text.tables import print_columns
from odx_target.target.config.error import ConfigError
from odx_target.target.control.storage.names import parse_snapshot_name

app = typer.Typer(help="Take and use snapshots of volumes, whether an array serves the pool or not.", no_args_is_help=True)

SnapshotArgument = Annotated[
    str, typer.Argument(metavar="VOLUME@NAME", help="The snapshot. Its guid of 32 hexadecimal digits names it too.")
]
OwnerArgument = Annotated[str, typer.Argument(metavar="OWNER", help="Name of the owner of the hold.")]

HEADINGS = ("snapshot", "created", "size", "holds", "guid")


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="snapshot")


@app.callback()
def snapshot() -> None:
    """Take and use snapshots of volumes, whether an array serves the pool or not."""


@app.command("create")
def create(
    pool: PoolArgument,
    snapshots: Annotated[
        list[str], typer.Argument(metavar="VOLUME@NAME...", help="Several volumes are taken at one moment, with one name.")
    ],
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", metavar="KEY=VALUE", help="Remember a value with the snapshot.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take a snapshot of one or more volumes. It is durable, costs nothing at first, and hosts do not notice it."""
    for each in snapshots:
        _check_name(each)
    answer = ask(pool, "snapshot-create", snapshots=snapshots, attributes=_attributes(attribute or []))
    print_json(answer) if as_json else _print_lines("created", answer["snapshots"])


@app.command("list")
def list_snapshots(
    pool: PoolArgument,
    volume: Annotated[str | None, typer.Argument(metavar="VOLUME", help="Only the snapshots of this volume.")] = None,
    as_json: Json = False,
) -> None:
    """List snapshots, the oldest first."""
    answer = ask(pool, "snapshots", volume=volume)
    if as_json:
        print_json(answer)
    else:
        print_columns(HEADINGS, [_cells(each) for each in answer["snapshots"]])


@app.command("show")
def show(pool: PoolArgument, name: SnapshotArgument, as_json: Json = False) -> None:
    """Show a snapshot and the room that it takes: unique bytes are freed when it is deleted."""
    answer = ask(pool, "snapshot-show", snapshot=name)
    if as_json:
        print_json(answer)
        return
    for key, value in answer.items():
        typer.echo(f"{key.replace('_', ' ')}: {_shown(key, value)}")


@app.command("rename")
def rename(
    pool: PoolArgument,
    name: SnapshotArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW-NAME", help="The new name, without the volume.")],
    as_json: Json = False,
) -> None:
    """Rename a snapshot."""
    answer = ask(pool, "snapshot-rename", snapshot=name, new_name=new_name)
    print_json(answer) if as_json else _print_lines("renamed", [answer])


@app.command("delete")
def delete(pool: PoolArgument, name: SnapshotArgument, as_json: Json = False) -> None:
    """Delete a snapshot. Clones of it keep their data. A held snapshot cannot be deleted."""
    answer = ask(pool, "snapshot-delete", snapshot=name)
    print_json(answer) if as_json else _print_lines("deleted", [answer])


@app.command("restore")
def restore(
    pool: PoolArgument,
    name: SnapshotArgument,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VOLUME", help="Restore this volume instead of that of the snapshot.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a volume the data and the size of a snapshot, at once. Its present data is lost unless a snapshot has it.

    Commands of hosts that are under way end first, or are aborted. Hosts are told that the medium has changed. Unmount its file
    systems before.
    """
    answer = ask(pool, "snapshot-restore", snapshot=name, to=to)
    print_json(answer) if as_json else typer.echo(f"restored {volume_line(answer)}")


@app.command("diff")
def diff(
    pool: PoolArgument,
    older: SnapshotArgument,
    newer: Annotated[
        str | None,
        typer.Argument(metavar="VOLUME[@NAME]", help="A newer snapshot, or a volume as it is now; by default its own volume."),
    ] = None,
    allocated: Annotated[
        bool, typer.Option("--allocated", help="List the ranges of the snapshot that have data, without a comparison.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Has no effect, as the output is JSON in any case.")] = False,  # noqa: ARG001
) -> None:
    """List the ranges that changed since a snapshot, one JSON object on each line: offset_bytes, length_bytes, kind.

    The kind is "data", or "hole" if the range reads as zeros now.
    """
    if allocated and newer is not None:
        raise typer.BadParameter("--allocated looks at one snapshot only")
    if allocated:
        ask_pages(pool, "allocated", _print_ranges, source=older)
    else:
        ask_pages(pool, "snapshot-diff", _print_ranges, older=older, newer=newer)


@app.command("hold")
def hold(pool: PoolArgument, name: SnapshotArgument, owner: OwnerArgument, as_json: Json = False) -> None:
    """Forbid the deletion of a snapshot until its owner ends the hold."""
    answer = ask(pool, "snapshot-hold", snapshot=name, owner=owner)
    print_json(answer) if as_json else _print_lines("held", [answer])


@app.command("unhold")
def unhold(pool: PoolArgument, name: SnapshotArgument, owner: OwnerArgument, as_json: Json = False) -> None:
    """End the hold of an owner."""
    answer = ask(pool, "snapshot-unhold", snapshot=name, owner=owner)
    print_json(answer) if as_json else _print_lines("released", [answer])


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
    for each in answer["ranges"]:
        typer.echo(json.dumps(each))


def _print_lines(done: str, snapshots: Sequence[Mapping[str, Any]]) -> None:
    for each in snapshots:
        holds = f", held by {', '.join(each['holds'])}" if each["holds"] else ""
        typer.echo(f"{done} {_name(each)}, {each['size_bytes']} bytes, {_time(each['created_s'])}{holds}")


def _cells(snapshot: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _name(snapshot),
        _time(snapshot["created_s"]),
        size(snapshot["size_bytes"]),
        " ".join(snapshot["holds"]),
        snapshot["guid"],
    )


def _name(snapshot: Mapping[str, Any]) -> str:
    return f"{snapshot['volume']}@{snapshot['name']}"


def _time(created_s: float) -> str:
    """Return a time in UTC, to the second."""
    return datetime.fromtimestamp(created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(key: str, value: Any) -> str:
    if key == "created_s":
        return _time(value)
    if key.endswith("_bytes"):
        return f"{value} ({size(value)})"
    if isinstance(value, list):
        return " ".join(value)
    if isinstance(value, dict):
        return " ".join(f"{name}={text}" for name, text in value.items())
    return "" if value is None else str(value)
