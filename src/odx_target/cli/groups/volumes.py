"""`odx-target group add|remove|resize|snapshot|restore`: changes of the volumes of a group, which both arrays make."""

from typing import Annotated

import typer

from odx_target.cli.groups.changed_group import print_group
from odx_target.cli.managing.array_requests import ask_array, given
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.text.json_output import Json, print_json

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the group.")]
VolumeArgument = Annotated[str, typer.Argument(metavar="VOLUME", help="Name of the volume at this array.")]


def register(app: typer.Typer) -> None:
    """Add the subcommands to `odx-target group`."""
    app.command("add")(add)
    app.command("remove")(remove)
    app.command("resize")(resize)
    app.command("snapshot")(snapshot)
    app.command("restore")(restore)


def add(
    pool: PoolArgument,
    name: NameArgument,
    volume: VolumeArgument,
    lun: Annotated[
        int | None, typer.Option("--lun", metavar="N", help="LUN number at the other member. Default: as here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take a volume of the primary with its content into a group. Hosts go on meanwhile.

    The other array makes a volume with the same identity. Until it has the content, it is out of sync, and nobody can take over
    from the primary.
    """
    answer = ask_array(pool, "group-add", given(name=name, volume=volume, lun=lun))
    line = f"the volume {volume} is in the group {name}; `odx-target group list` shows its resync"
    print_group(answer, line, as_json=as_json, result="changed-group")
    if answer["problem"] and not as_json:
        typer.echo(answer["problem"])


def remove(pool: PoolArgument, name: NameArgument, volume: VolumeArgument, as_json: Json = False) -> None:
    """Take a volume out of a group. The primary keeps it, and the other array deletes its copy."""
    answer = ask_array(pool, "group-remove", {"name": name, "volume": volume})
    print_group(answer, f"the volume {volume} is not in the group {name} any more", as_json=as_json)


def resize(
    pool: PoolArgument,
    name: NameArgument,
    volume: VolumeArgument,
    new_size: Annotated[str, typer.Argument(metavar="SIZE", help="New size, such as 10G.")],
    shrink: Annotated[bool, typer.Option("--shrink", help="Allow the loss of the data beyond the new end.")] = False,
    as_json: Json = False,
) -> None:
    """Change the size of a volume of a group at both arrays, while hosts use it."""
    answer = ask_array(pool, "group-resize", {"name": name, "volume": volume, "size": new_size, "shrink": shrink})
    print_group(answer, f"the volume {volume} has its new size at both arrays", as_json=as_json)


def snapshot(
    pool: PoolArgument,
    name: NameArgument,
    new_name: Annotated[str, typer.Argument(metavar="SNAPSHOT", help="Name of the snapshots: VOLUME@SNAPSHOT.")],
    as_json: Json = False,
) -> None:
    """Take a snapshot of all volumes of a group at one moment, at both arrays."""
    answer = ask_array(pool, "group-snapshot", {"name": name, "snapshot": new_name})
    if as_json:
        print_json("snapshots", answer)
        return
    for each in answer["snapshots"]:
        typer.echo(f"{each['volume']}@{each['name']}")


def restore(
    pool: PoolArgument,
    name: NameArgument,
    source: Annotated[str, typer.Argument(metavar="VOLUME@SNAPSHOT", help="Snapshot of a volume of the group.")],
    as_json: Json = False,
) -> None:
    """Give a volume of a group the content of one of its snapshots, at both arrays."""
    answer = ask_array(pool, "group-restore", {"name": name, "snapshot": source})
    print_group(answer, f"the content of {source} was restored", as_json=as_json)
