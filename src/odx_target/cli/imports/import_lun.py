"""`odx-target import`: serve LUNs of other arrays, and copy them in the background."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

import typer

from odx_target.cli.hosts.credentials import (
    ChapSecretFile,
    ChapUser,
    TargetChapSecretFile,
    TargetChapUser,
    credentials_of,
    with_given,
)
from odx_target.cli.managing.array_requests import ask_array, given
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.sizes import size
from odx_target.cli.text.tables import print_columns
from odx_target.initiator.errors import BadUrl
from odx_target.initiator.url import parse_url

app = typer.Typer(help="Serve LUNs of other arrays, and copy them.", no_args_is_help=True)

HEADINGS = ("volume", "LUN", "state", "copied", "size", "rate", "limit", "remaining", "source")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the volume.")]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="import")


@app.callback()
def import_lun() -> None:
    """Serve LUNs of other arrays, and copy them.

    Hosts use the new LUN at once. Reads of blocks that are not here yet go through to the old array, and writes stay here. When
    all blocks have been copied, the old array can be switched off. From the start on, nobody else may write to the old LUN.
    """


@app.command("start")
def start(
    pool: PoolArgument,
    source: Annotated[str, typer.Argument(metavar="URL", help="Old LUN: iscsi://HOST:PORT/IQN/LUN.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new volume.")],
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="RATE", help="Bytes per second of the background copy; default: 64M.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Compare all blocks with the old LUN at the end.")] = False,
    compression: Annotated[
        str | None, typer.Option("--compression", metavar="NAME", help="off, lz4 or zstd; default: off.")
    ] = None,
    initiator_name: Annotated[
        str | None, typer.Option("--initiator-name", metavar="IQN", help="iSCSI name to log in with.")
    ] = None,
    chap_user: ChapUser = None,
    chap_secret_file: ChapSecretFile = None,
    target_chap_user: TargetChapUser = None,
    target_chap_secret_file: TargetChapSecretFile = None,
    as_json: Json = False,
) -> None:
    """Serve a LUN of another array at once, and copy it in the background."""
    credentials = credentials_of(chap_user, chap_secret_file, target_chap_user, target_chap_secret_file)
    try:
        place = with_given(parse_url(source), credentials, "URL")
    except BadUrl as bad:
        raise typer.BadParameter(str(bad), param_hint="URL") from None
    bare = str(replace(place, user=None))
    wanted = given(
        source=bare,
        name=name,
        user=place.user,
        secret=place.secret,
        target_user=place.target_user,
        target_secret=place.target_secret,
        initiator_name=initiator_name,
        rate=rate,
        verify=verify,
        compression=compression,
    )
    answer = ask_array(pool, "import-start", wanted)
    _show(answer, as_json, f"LUN {answer['lun']}: {name}, {answer['size_bytes']} bytes; the copy of {bare} has begun")


@app.command("list")
def list_imports(pool: PoolArgument, as_json: Json = False) -> None:
    """List the imports, with their progress."""
    answer = ask_array(pool, "imports", {})
    if as_json:
        print_json("imports", answer)
        return
    print_columns(HEADINGS, [_cells(each) for each in answer["imports"]])
    for each in answer["imports"]:
        for line in _notes(each):
            typer.echo(f"{each['volume'] or '-'}: {line}")


@app.command("rate")
def set_rate(
    pool: PoolArgument,
    name: NameArgument,
    rate: Annotated[str, typer.Argument(metavar="RATE", help="Bytes per second, such as 20M.")],
    as_json: Json = False,
) -> None:
    """Change the rate of the background copy."""
    answer = ask_array(pool, "import-rate", {"name": name, "rate": rate})
    _show(answer, as_json, f"the limit of {name} is {size(answer['rate_limit_bytes_per_s'])}/s")


@app.command("verify")
def verify(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Compare all blocks with the old LUN when they have been copied.

    If some blocks differ, the import waits: compare again, accept the copy, or cancel the import.
    """
    _show(ask_array(pool, "import-verify", {"name": name}), as_json, f"{name} is compared with the old LUN at the end")


@app.command("accept")
def accept(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Finish an import although blocks differ from the old LUN."""
    _show(ask_array(pool, "import-accept", {"name": name}), as_json, f"the copy of {name} is accepted")


@app.command("cancel")
def cancel(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Cancel an import and delete its volume, or forget a finished import.

    What hosts have written to the volume is lost. The volume of a finished import stays.
    """
    answer = ask_array(pool, "import-cancel", {"name": name})
    gone = "the import was forgotten" if answer["state"] == "finished" else "the import was cancelled and the volume deleted"
    _show(answer, as_json, f"{name}: {gone}")


def _show(answer: Mapping[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        print_json("import", answer)
    else:
        typer.echo(text)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    total, missing, left_s = row["size_bytes"], row["missing_bytes"], row["remaining_s"]
    copied = "?" if missing is None else f"{100 * (total - missing) // total}%"
    return (
        row["volume"] or "-",
        "-" if row["lun"] is None else str(row["lun"]),
        row["state"],
        copied,
        size(total),
        f"{size(row['rate_bytes_per_s'])}/s",
        f"{size(row['rate_limit_bytes_per_s'])}/s",
        "-" if left_s is None else str(timedelta(seconds=round(left_s))),
        row["source"],
    )


def _notes(row: Mapping[str, Any]) -> list[str]:
    """Return further lines about an import."""
    notes = [row["reason"]] if row["reason"] else []
    for key, what in (("unreadable", "cannot be read by the old array"), ("different", "differ from the old LUN")):
        if row[key]["bytes"]:
            ranges = ", ".join(f"{first}+{length}" for first, length in row[key]["ranges"][:5])
            notes.append(f"{row[key]['bytes']} bytes {what} (first byte + size: {ranges})")
    if row["state"] in ("finishing", "finished"):
        notes.append("the old array is not needed any more")
    return notes
