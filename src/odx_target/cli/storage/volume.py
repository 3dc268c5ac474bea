"""`odx-target volume`: list and change the volumes of a pool. While an array serves the pool, hosts can use the volumes that
have a LUN number.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from odx_target.cli.storage.requests import PoolArgument, ask
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.sizes import size
from odx_target.cli.text.tables import print_columns

app = typer.Typer(help="List and change the volumes of a pool.", no_args_is_help=True)

VolumeArgument = Annotated[str, typer.Argument(metavar="VOLUME", help="Name of the volume.")]

SETTINGS = {"compression": "compression=off|lz4|zstd", "tier": "tier=fast|capacity"}
"""The settings of a volume, and their values."""

HEADINGS = ("name", "LUN", "size", "bytes", "block", "access", "snapshots", "serial number")


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="volume")


@app.callback()
def volume() -> None:
    """List and change the volumes of a pool.

    If an array serves the pool, the array carries out the command. Otherwise the command changes the pool itself.
    """


@app.command("list")
def list_volumes(
    pool: PoolArgument,
    with_hidden: Annotated[
        bool, typer.Option("--all", help="Also list the volumes that take the arriving data of tokens of other arrays.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the volumes."""
    answer = ask(pool, "volumes", hidden=with_hidden or None)
    if as_json:
        print_json("volumes", answer)
    else:
        print_volumes(answer["volumes"])


@app.command("create")
def create(
    pool: PoolArgument,
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="NAME=SIZE",
            help="Name and size, such as a=10G or b=2T,block=4096,compression=lz4,tier=capacity. Default: "
            "block=512,compression=off,tier=fast.",
        ),
    ],
    lun: Annotated[bool, typer.Option("--lun", help="Make the volume a LUN that hosts can use.")] = False,
    as_json: Json = False,
) -> None:
    """Create a volume that reads as zeros."""
    answer = ask(pool, "volume-create", volume=wanted, lun=lun)
    print_json("volume", answer) if as_json else typer.echo(volume_line(answer))


@app.command("rename")
def rename(
    pool: PoolArgument,
    name: VolumeArgument,
    new_name: Annotated[str, typer.Argument(metavar="NEW-NAME", help="New name of the volume.")],
    as_json: Json = False,
) -> None:
    """Rename a volume. The LUN number, the serial number and the snapshots of the volume do not change."""
    answer = ask(pool, "volume-rename", name=name, new_name=new_name)
    print_json("volume", answer) if as_json else typer.echo(volume_line(answer))


@app.command("resize")
def resize(
    pool: PoolArgument,
    name: VolumeArgument,
    new_size: Annotated[str, typer.Argument(metavar="SIZE", help="New size, such as 10G.")],
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Allow a smaller size. The data at the end of the volume is lost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Change the size of a volume. Hosts are notified."""
    answer = ask(pool, "volume-resize", name=name, size=new_size, shrink=shrink)
    print_json("volume", answer) if as_json else typer.echo(volume_line(answer))


@app.command("set")
def set_values(
    pool: PoolArgument,
    name: VolumeArgument,
    setting: Annotated[
        str,
        typer.Argument(metavar="compression=off|lz4|zstd or tier=fast|capacity", help="The setting and its new value."),
    ],
    as_json: Json = False,
) -> None:
    """Choose how the data of a volume is stored.

    With `compression=lz4`, writes of at least 16 KiB are compressed. With `compression=zstd`, the cleaner
    later compresses the data again with zstandard, which saves more room. Data that is stored already stays as it is.

    With `tier=capacity`, the array moves the data of the volume to the capacity tier in the background. With
    `tier=fast`, the array moves the data back. `odx-target status` shows how much is still to move.
    """
    key, _, value = setting.partition("=")
    if key not in SETTINGS:
        raise typer.BadParameter(f"want {' or '.join(SETTINGS.values())}")
    answer = ask(pool, "volume-set", name=name, **{key: value})
    print_json("volume", answer) if as_json else typer.echo(volume_line(answer))


@app.command("delete")
def delete(
    pool: PoolArgument,
    name: VolumeArgument,
    force: Annotated[bool, typer.Option("--force", help="Delete the volume even if it is a LUN. Hosts are notified.")] = False,
    as_json: Json = False,
) -> None:
    """Delete a volume. The snapshots and clones of the volume are kept."""
    answer = ask(pool, "volume-delete", name=name, force=force)
    rest = "1 snapshot of it remains" if answer["snapshots"] == 1 else f"{answer['snapshots']} snapshots of it remain"
    print_json("volume", answer) if as_json else typer.echo(f"deleted {answer['name']}; {rest}")


@app.command("read-only")
def read_only(
    pool: PoolArgument,
    name: VolumeArgument,
    setting: Annotated[
        str, typer.Argument(metavar="on|off", help="`on`: hosts cannot write to the volume. `off`: hosts can write.")
    ],
    as_json: Json = False,
) -> None:
    """Make a volume read-only for hosts, or writable. Hosts are notified. Writes of hosts to a read-only volume end with WRITE
    PROTECTED (27h/00h).
    """
    if setting not in ("on", "off"):
        raise typer.BadParameter("want `on` or `off`")
    answer = ask(pool, "volume-read-only", name=name, read_only=setting == "on")
    print_json("volume", answer) if as_json else typer.echo(volume_line(answer))


def print_volumes(volumes: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of volumes."""
    print_columns(HEADINGS, [_cells(each) for each in volumes])


def volume_line(volume: Mapping[str, Any]) -> str:
    """Return a line about one volume."""
    lun = "no LUN" if volume["lun"] is None else f"LUN {volume['lun']}"
    access = ", read-only" if volume["read_only"] else ""
    compression = "" if volume["compression"] == "off" else f", compression {volume['compression']}"
    tier = ", tier capacity" if volume.get("tier") == "capacity" else ""
    form = f"{volume['size_bytes']} bytes in blocks of {volume['block_bytes']}"
    return f"{lun}: {volume['name']}, {form}{access}{compression}{tier}"


def _cells(volume: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        volume["name"],
        "" if volume["lun"] is None else str(volume["lun"]),
        size(volume["size_bytes"]),
        str(volume["size_bytes"]),
        str(volume["block_bytes"]),
        "read" if volume["read_only"] else "write",
        str(volume["snapshots"]),
        volume["serial"],
    )
