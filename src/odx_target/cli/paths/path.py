"""`odx-target path`: make path keys, and add, list, change and remove the paths of a running array to other arrays."""

import secrets
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

from odx_target.cli.managing.array_requests import Answer, ask_array, given
from odx_target.cli.storage.requests import PoolArgument
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.tables import print_columns
from odx_target.replica.pairing.path_key import MAX_KEY_CHARACTERS, new_path_key
from odx_target.target.config.error import ConfigError
from odx_target.target.config.path_key_file import checked_path_key, read_path_key

app = typer.Typer(help="Connect a running array with other arrays.", no_args_is_help=True)

HEADINGS = ("path", "state", "address", "since", "rights", "throttle", "sent", "received")
WAITING_HEADINGS = ("path", "address", "waits s", "attempts", "last failure")


class PathKey(TypedDict):
    """A new path key."""

    key: Annotated[str, "secret of the two arrays of a path"]


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of the path. Each array has its own name for it.")]
KeyFileOption = Annotated[
    Path | None,
    typer.Option("--key-file", readable=False, metavar="FILE", help="File with the path key, or - for standard input."),
]
PeakOption = Annotated[str | None, typer.Option("--peak", metavar="RATE", help="Bytes per second to send in the peak hours.")]
PeakHoursOption = Annotated[
    str | None, typer.Option("--peak-hours", metavar="HH:MM-HH:MM", help="The peak hours of each day, in UTC.")
]


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="path")


@app.callback()
def path() -> None:
    """Connect a running array with other arrays. The array needs a link port: `serve --link-port HOST:PORT`.

    Make a key with `path key`, and use it in `path add` at both arrays, within ten minutes. The arrays then connect by
    themselves, also after a restart.
    """


@app.command("key")
def make_key(as_json: Json = False) -> None:
    """Print a new path key, which is a secret of the two arrays of a path."""
    key = new_path_key(secrets.token_bytes)
    if as_json:
        print_json("path-key", PathKey(key=key))
    else:
        typer.echo(key)


@app.command("add")
def add_path(
    pool: PoolArgument,
    name: NameArgument,
    address: Annotated[
        str | None,
        typer.Argument(metavar="HOST:PORT", help="Link port of the other array. Without it, only the other array dials."),
    ] = None,
    key_file: KeyFileOption = None,
    rights: Annotated[
        list[str] | None,
        typer.Option(
            "--right",
            metavar="RIGHT",
            help="serve-tokens, redeem-tokens, serve-luns, write-luns or replicate; may be repeated; default all.",
        ),
    ] = None,
    throttle: Annotated[
        str | None, typer.Option("--throttle", metavar="RATE", help="Bytes per second to send, such as 20M; default: no limit.")
    ] = None,
    peak: PeakOption = None,
    peak_hours: PeakHoursOption = None,
    as_json: Json = False,
) -> None:
    """Add a path. The array waits ten minutes for the other array to prove the key.

    After three attempts with a wrong key, it waits no longer.
    """
    wanted = given(
        name=name,
        key=_key_in(key_file),
        address=address,
        rights=rights,
        off_peak=throttle,
        peak=peak,
        peak_hours=peak_hours,
    )
    _print_waiting(ask_array(pool, "add-path", wanted), as_json=as_json)


@app.command("list")
def list_paths(pool: PoolArgument, as_json: Json = False) -> None:
    """List the paths, and those that wait for the other array."""
    answer = ask_array(pool, "paths", {})
    if as_json:
        print_json("paths", answer)
        return
    typer.echo(f"link port: {answer['link_port']}")
    print_columns(HEADINGS, [_cells(each) for each in answer["paths"]])
    for each in answer["paths"]:
        if each["reason"]:
            typer.echo(f"path {each['name']}: {each['reason']}")
    for each in answer["unpaired"]:
        typer.echo(f"path {each['name']} is not paired: {each['reason']}; use path add again, at both arrays")
    if answer["waiting"]:
        print_columns(WAITING_HEADINGS, [_waiting_cells(each) for each in answer["waiting"]])


@app.command("rekey")
def rekey_path(pool: PoolArgument, name: NameArgument, key_file: KeyFileOption = None, as_json: Json = False) -> None:
    """Give a path a new key, and pin the present certificate of the other array.

    Make a key with `path key`, and use it in `path rekey` at both arrays, within ten minutes. The path is used meanwhile.
    """
    answer = ask_array(pool, "rekey-path", {"name": name, "key": _key_in(key_file)})
    _print_waiting(answer, as_json=as_json)


@app.command("throttle")
def throttle_path(
    pool: PoolArgument,
    name: NameArgument,
    rate: Annotated[str, typer.Argument(metavar="RATE", help="Bytes per second to send, such as 20M, or none.")],
    peak: PeakOption = None,
    peak_hours: PeakHoursOption = None,
    as_json: Json = False,
) -> None:
    """Limit the bytes per second that a path sends. The limit applies at once."""
    wanted = given(name=name, off_peak=None if rate == "none" else rate, peak=peak, peak_hours=peak_hours)
    answer = ask_array(pool, "throttle-path", wanted)
    _print_path(answer, f"the throttle of the path {name} is {_throttle(answer)}", as_json=as_json)


@app.command("compress")
def compress_path(
    pool: PoolArgument,
    name: NameArgument,
    compression: Annotated[str, typer.Argument(metavar="CHOICE", help="auto, off, lan (LZ4) or wan (zstandard).")],
    as_json: Json = False,
) -> None:
    """Choose how a path compresses data. With auto, a trial decides."""
    answer = ask_array(pool, "compress-path", {"name": name, "compression": compression})
    _print_path(answer, f"the path {name} compresses data by the choice {answer['compression']}", as_json=as_json)


@app.command("rights")
def set_rights(
    pool: PoolArgument,
    name: NameArgument,
    rights: Annotated[
        list[str] | None,
        typer.Option(
            "--right",
            metavar="RIGHT",
            help="serve-tokens, redeem-tokens, serve-luns, write-luns or replicate; may be repeated.",
        ),
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Take all rights away.")] = False,
    as_json: Json = False,
) -> None:
    """Replace the rights of the other array of a path. The rights apply to new requests at once."""
    if bool(rights) == none:
        raise typer.BadParameter("give each right with --right, or --none", param_hint="--right")
    answer = ask_array(pool, "set-path-rights", {"name": name, "rights": rights or []})
    _print_path(answer, f"the path {name} has the rights {', '.join(answer['rights']) or 'none'}", as_json=as_json)


@app.command("remove")
def remove_path(pool: PoolArgument, name: NameArgument, as_json: Json = False) -> None:
    """Remove a path, or do not wait any more for the other array. Remove it there too."""
    answer = ask_array(pool, "remove-path", {"name": name})
    if as_json:
        print_json("removed-path", answer)
    else:
        typer.echo(f"the path {name} was removed")


def _key_in(file: Path | None) -> str:
    """Read a path key from a file or from standard input. Raises ConfigError."""
    if file is None:
        raise typer.BadParameter("give the file with the path key; `odx-target path key` makes one", param_hint="--key-file")
    if str(file) == "-":
        if sys.stdin is None:
            raise ConfigError("key file -: standard input is closed")
        try:
            content = typer.get_text_stream("stdin").read(MAX_KEY_CHARACTERS + 2)
        except ValueError:
            raise ConfigError("key file -: it is not text") from None
        key, warnings = checked_path_key(content, "key file -")
    else:
        key, warnings = read_path_key(file)
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    return key


def _print_waiting(answer: Answer, *, as_json: bool) -> None:
    """Print a path that waits for the other array."""
    if as_json:
        print_json("waiting-path", answer)
    else:
        typer.echo(f"the path {answer['name']} waits {answer['remaining_s']} s for the other array")


def _print_path(answer: Answer, line: str, *, as_json: bool) -> None:
    """Print a changed path, or a line about its change."""
    if as_json:
        print_json("path", answer)
    else:
        typer.echo(line)


def _cells(path: Mapping[str, Any]) -> tuple[str, ...]:
    since = datetime.fromtimestamp(path["since"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    rights = ",".join(path["rights"])
    sizes = str(path["sent_bytes"]), str(path["received_bytes"])
    return path["name"], path["state"], path["address"] or "-", since, rights, _throttle(path), *sizes


def _waiting_cells(path: Mapping[str, Any]) -> tuple[str, ...]:
    return path["name"], path["address"] or "-", str(path["remaining_s"]), str(path["attempts"]), path["reason"]


def _throttle(path: Mapping[str, Any]) -> str:
    usual = "none" if path["throttle_bytes_per_s"] is None else f"{path['throttle_bytes_per_s']}/s"
    if path["peak_hours"] is None:
        return usual
    peak = "none" if path["peak_bytes_per_s"] is None else f"{path['peak_bytes_per_s']}/s"
    return f"{usual}, {path['peak_hours']} {peak}"
