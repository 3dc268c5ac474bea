"""`odx-target group`: groups of volumes that two arrays keep equal at every instant."""

from pathlib import Path
from typing import Annotated

import typer

from odx_target.cli.groups.changed_group import print_group
from odx_target.cli.groups.text import (
    GROUP_HEADINGS,
    WITNESSED_HEADINGS,
    advice_lines,
    group_cells,
    group_lines,
    witnessed_cells,
)
from odx_target.cli.groups.volumes import register as register_volumes
from odx_target.cli.managing.array_requests import ask_array, given
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.tables import print_columns

app = typer.Typer(help="Keep volumes equal at two arrays at every instant.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the group, the same at both arrays.")]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    register_volumes(app)
    root.add_typer(app, name="group")


@app.callback()
def group() -> None:
    """Keep volumes equal at two arrays at every instant.

    A write is acknowledged when both arrays have it. If one of them is lost, hosts go on with the other one. A third array or
    `odx-target witness` decides which one it is.
    """


@app.command("create")
def create_group(
    pool: PoolArgument,
    name: NameArgument,
    volumes: Annotated[list[str], typer.Option("--volume", metavar="VOLUME", help="Volume of the group; may be repeated.")],
    path: Annotated[str, typer.Option("--path", metavar="PATH", help="Path to the array that becomes the other member.")],
    witness: Annotated[str, typer.Option("--witness", metavar="PATH", help="Path to the witness.")],
    luns: Annotated[
        list[str] | None,
        typer.Option("--lun", metavar="VOLUME=N", help="LUN number at the other member; may be repeated. Default: as here."),
    ] = None,
    out_of_sync_s: Annotated[
        float | None,
        typer.Option("--out-of-sync-after", metavar="SECONDS", help="Time until this array goes on alone. Default: 20."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a group of volumes of this array, which is its primary at first.

    The other array makes volumes with the same identities, and gets their content while hosts go on. If the command fails, this
    array has changed nothing, and the command can be repeated.
    """
    wanted = given(
        name=name, volumes=volumes, path=path, witness=witness, luns=_numbers(luns or []), out_of_sync_s=out_of_sync_s
    )
    answer = ask_array(pool, "group-create", wanted)
    print_group(answer, f"the group {name} begins; `odx-target group list` shows its resync", as_json=as_json)


@app.command("list")
def list_groups(pool: PoolArgument, as_json: Json = False) -> None:
    """List the groups of which the array is a member or the witness."""
    answer = ask_array(pool, "groups", {})
    if as_json:
        print_json("groups", answer)
        return
    print_columns(GROUP_HEADINGS, [group_cells(each) for each in answer["groups"]])
    for line in advice_lines(answer["groups"]):
        typer.echo(line)
    if answer["witnessed"]:
        typer.echo()
        print_columns(WITNESSED_HEADINGS, [witnessed_cells(each) for each in answer["witnessed"]])
    for each in answer["unreadable"]:
        typer.echo(f"{each}: its records cannot be read, and its LUNs are unavailable")


@app.command("status")
def show_group(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Show a group: its members, what waits, and where the time of writes is spent."""
    answer = ask_array(pool, "group-status", {"name": name})
    if as_json:
        print_json("group", answer)
        return
    for line in group_lines(answer):
        typer.echo(line)


@app.command("switchover")
def switch_over(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Make the other member the primary, for example to maintain this array. Hosts go on by their other path."""
    answer = ask_array(pool, "group-switchover", {"name": name})
    print_group(answer, f"the other member is the primary of the group {name}", as_json=as_json)


@app.command("witness")
def change_witness(
    pool: PoolArgument,
    name: NameArgument,
    witness: Annotated[str, typer.Argument(metavar="PATH", help="Path to the witness.")],
    as_json: Json = False,
) -> None:
    """Use another witness, for example because the former one is lost. Hosts go on meanwhile.

    Both members must be connected, also with the new witness. The former witness decides nothing any more.
    """
    answer = ask_array(pool, "group-witness", {"name": name, "witness": witness})
    print_group(answer, f"{witness} is the witness of the group {name}", as_json=as_json)


@app.command("isolate")
def isolate(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Go on without the other member, until `group resync`. Nobody can then take over from the primary."""
    answer = ask_array(pool, "group-isolate", {"name": name})
    print_group(answer, f"the group {name} goes on without its other member", as_json=as_json)


@app.command("resync")
def resync(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Bring the other member up to date after `group isolate`, or begin a resync again that is under way."""
    answer = ask_array(pool, "group-resync", {"name": name})
    print_group(answer, f"the resync of the group {name} begins", as_json=as_json)


@app.command("verify")
def verify(
    pool: PoolArgument,
    name: NameArgument,
    read: Annotated[bool, typer.Option("--read", help="Also read and compare all data, in the background.")] = False,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="RATE", help="Bytes per second that each member reads. Default: 64M.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare both members by the digests of all data. Hosts go on meanwhile.

    Digests are made of the checksums that the store keeps. Only --read finds damage of the disks; `group status` shows its
    progress. If the members differ, the other member is dropped and gets everything again, and the exit code is 1.
    """
    answer = ask_array(pool, "group-verify", given(name=name, read=read, rate=rate))
    if as_json:
        print_json("verified-group", answer)
    elif answer["is_equal"]:
        more = "; all data is being read, and `odx-target group status` shows the progress" if answer["reads"] else ""
        typer.echo(f"both members of the group {name} are equal{more}")
    else:
        typer.echo(f"the members of the group {name} are different")
    if not answer["is_equal"]:
        raise typer.Exit(1)


@app.command("promote")
def promote(
    pool: PoolArgument,
    name: NameArgument,
    force: Annotated[bool, typer.Option("--force", help="Promote. Otherwise the command only names what may be lost.")] = False,
    as_json: Json = False,
) -> None:
    """Make this array the primary, and alone, although nobody can agree to it.

    Use it at a secondary if the primary is lost for good, or has been turned off, and the witness does not answer. Otherwise,
    the secondary takes over by itself. Use it at a primary that waits if the secondary and the witness are lost for good. If
    the other array comes back, its own changes are kept in snapshots whose names begin with `diverged`.
    """
    promote_group(pool, name, force=force, as_json=as_json)


def promote_group(pool: Path, name: str, *, force: bool, as_json: bool) -> None:
    """Promote a group by force, or tell what hosts may lose. Raises CommandFailure."""
    answer = ask_array(pool, "group-promote", {"name": name, "force": force})
    if as_json:
        print_json("promoted-group", answer)
    elif answer["is_promoted"]:
        typer.echo(f"this array is the primary of the group {name}; lost may be: {answer['loss']}")
    else:
        typer.echo(f"with --force, this array becomes the primary of the group {name}; lost may be: {answer['loss']}")


@app.command("delete")
def delete_group(
    pool: PoolArgument,
    name: NameArgument,
    keep_copies: Annotated[
        bool, typer.Option("--keep-copies", help="Keep the copies of the other member as volumes NAME-copy, which are no LUNs.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Delete the group at this array, although others cannot be reached.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete a group at its primary, which keeps the volumes. The copies at the other member are deleted.

    At an array that is not the primary, --force deletes its half of the group, also its copies. At a witness, it deletes the
    record of the group.
    """
    answer = ask_array(pool, "group-delete", {"name": name, "keep_copies": keep_copies, "force": force})
    if as_json:
        print_json("deleted-group", answer)
        return
    typer.echo(f"the group {name} was deleted")
    for line in answer["left"]:
        typer.echo(line)


def _numbers(texts: list[str]) -> dict[str, int]:
    """Convert texts such as db1=3. Raises BadParameter."""
    found: dict[str, int] = {}
    for text in texts:
        name, separator, number = text.rpartition("=")
        if not separator or not name or not number.isascii() or not number.isdecimal() or len(number) > 5:
            raise typer.BadParameter(f"want VOLUME=N, not {text!r}", param_hint="--lun")
        if name in found:
            raise typer.BadParameter(f"{name} has two LUN numbers", param_hint="--lun")
        found[name] = int(number)
    return found
