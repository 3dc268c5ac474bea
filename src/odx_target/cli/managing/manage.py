"""`odx-target manage`: show and change a running array.

Each command sends one request to the array and prints the answer. In the array, `odx_target.target.control.operations` carries
out the requests.
"""

from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from odx_target.cli.managing import steering
from odx_target.cli.managing.array_requests import Answer, ask_array
from odx_target.cli.managing.http_token import token_in
from odx_target.cli.text.health_lines import health_lines
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.sizes import size
from odx_target.cli.text.status_lines import stepping_aside_lines
from odx_target.cli.text.tables import print_columns
from odx_target.target.control.http.client import http_place

SHOWN_RANGES = 4


class ManageGroup(TyperGroup):
    """The commands of `manage`. With --http, there is no POOL. The help of a command needs no POOL either: `manage luns --help`
    is the same as `manage POOL luns --help`.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        wants_help = any(name in args[1:] for name in ctx.help_option_names)
        before = list(takewhile(lambda word: word not in self.commands, args))
        if wants_help and args[0] in self.commands and args[1] not in self.commands:
            args = ["POOL", *args]
        elif any(word.partition("=")[0] == "--http" for word in before):
            args = [*before, "POOL", *args[len(before) :]]
        return super().parse_args(ctx, args)


app = typer.Typer(help="Show and change a running array.", no_args_is_help=True, cls=ManageGroup)


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="manage")


@app.callback()
def manage(
    context: typer.Context,
    pool: Annotated[
        Path,
        typer.Argument(readable=False, metavar="POOL", help="Directory of the pool, or control socket of its array."),
    ],
    http: Annotated[
        str | None,
        typer.Option("--http", metavar="URL", help="URL of the HTTP control port. Replaces POOL."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="File with the token of the HTTP control port.")
    ] = None,
) -> None:
    """Show and change a running array."""
    if (http is None) != (token_file is None):
        raise typer.BadParameter("give --http and --token-file together")
    context.obj = pool if http is None or token_file is None else http_place(http, token_in(token_file))


@app.command("luns")
def luns(context: typer.Context, as_json: Json = False) -> None:
    """List the LUNs."""
    answer = _ask(context, "luns")
    if not _printed("luns", answer, as_json):
        rows = [_lun_cells(lun) for lun in answer["luns"]]
        print_columns(("LUN", "name", "size", "bytes", "block"), rows)


@app.command("add-lun")
def add_lun(
    context: typer.Context,
    lun: Annotated[
        str,
        typer.Argument(
            metavar="NAME=SIZE",
            help="Name and size, such as a=10G or b=2T,block=4096,compression=lz4,tier=capacity. Default: "
            "block=512,compression=off,tier=fast.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Add a LUN. Hosts are notified."""
    answer = _ask(context, "add-lun", lun=lun)
    if not _printed("volume", answer, as_json):
        typer.echo(_lun_line(answer))


@app.command("resize")
def resize(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the LUN.")],
    new_size: Annotated[str, typer.Argument(metavar="SIZE", help="New size of the LUN, such as 10G.")],
    shrink: Annotated[
        bool, typer.Option("--shrink", help="Allow a smaller size. The data at the end of the LUN is lost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Change the size of a LUN. Hosts are notified."""
    answer = _ask(context, "resize", name=name, size=new_size, shrink=shrink)
    if not _printed("volume", answer, as_json):
        typer.echo(_lun_line(answer))


@app.command("health")
def health(context: typer.Context, as_json: Json = False) -> None:
    """Show the problems of the array and its free room."""
    answer = _ask(context, "health")
    if not _printed("health", answer, as_json):
        for line in health_lines(answer):
            typer.echo(line)


@app.command("tokens")
def tokens(context: typer.Context, as_json: Json = False) -> None:
    """List the valid tokens with their identifiers. A host cannot use an identifier as a token."""
    answer = {"tokens": list(_all_tokens(context))}
    if not _printed("tokens", answer, as_json):
        headings = ("identifier", "type", "LUN", "ranges: LBA, blocks", "size", "age", "left", "in use")
        print_columns(headings, [_token_cells(token) for token in answer["tokens"]])


@app.command("revoke")
def revoke(
    context: typer.Context,
    identifier: Annotated[str, typer.Argument(metavar="IDENTIFIER", help="Identifier that `tokens` shows for the token.")],
    as_json: Json = False,
) -> None:
    """Revoke a token. Later commands that use the token get TOKEN REVOKED (23h/06h). Copies under way continue."""
    answer = _ask(context, "revoke", identifier=identifier.removeprefix("0x"))
    if not _printed("revoked-token", answer, as_json):
        typer.echo(f"revoked {answer['identifier']}")


@app.command("copies")
def copies(context: typer.Context, as_json: Json = False) -> None:
    """List the running copies by token, and the copy rate."""
    answer = _ask(context, "copies")
    if not _printed("running-copies", answer, as_json):
        headings = ("command", "initiator", "LUN", "list identifier", "done", "of", "percent", "seconds")
        print_columns(headings, [_copy_cells(copy) for copy in answer["copies"]])
        typer.echo(_rate_line(answer))


@app.command("cancel")
def cancel(
    context: typer.Context,
    list_identifier: Annotated[
        str, typer.Argument(metavar="LIST-IDENTIFIER", help="List identifier that `copies` shows for the copy.")
    ],
    initiator: Annotated[
        str | None,
        typer.Option(
            "--initiator", metavar="IQN", help="Initiator of the copy; needed if several copies have this identifier."
        ),
    ] = None,
    lun: Annotated[
        str | None,
        typer.Option("--lun", metavar="NAME", help="LUN of the copy; needed if several copies have this identifier."),
    ] = None,
    as_json: Json = False,
) -> None:
    """End a copy by token, as COPY OPERATION ABORT does. Blocks that are already copied are kept. The host is notified."""
    chosen = {name: value for name, value in (("initiator", initiator), ("lun", lun)) if value is not None}
    answer = _ask(context, "cancel", list_identifier=list_identifier, **chosen)
    if not _printed("running-copy", answer, as_json):
        done, wanted = answer["transfer_count_blocks"], answer["requested_blocks"]
        typer.echo(f"ended the copy {answer['list_identifier']:#x} of {answer['initiator']} after {done} of {wanted} blocks")


@app.command("sessions")
def sessions(context: typer.Context, as_json: Json = False) -> None:
    """List the sessions of hosts."""
    answer = _ask(context, "sessions")
    if not _printed("sessions", answer, as_json):
        headings = ("initiator", "target", "ISID", "TSIH", "peer", "type", "tasks that wait")
        print_columns(headings, [_session_cells(session) for session in answer["sessions"]])


@app.command("copy-rate")
def copy_rate(
    context: typer.Context,
    rate: Annotated[str, typer.Argument(metavar="SIZE|none", help="Bytes per second, such as 64M; `none` means no limit.")],
    as_json: Json = False,
) -> None:
    """Limit the total rate of all copies by token."""
    answer = _ask(context, "copy-rate", rate=rate)
    if not _printed("copy-rate", answer, as_json):
        typer.echo(_rate_line(answer))


@app.command("step-aside")
def step_aside(
    context: typer.Context,
    duration: Annotated[
        str,
        typer.Argument(metavar="DURATION|off", help="Time, such as 10m or 2h, at most 24h; `off` means from now on no longer."),
    ],
    as_json: Json = False,
) -> None:
    """Refuse new copies for a while. Hosts then copy by reads and writes instead of token or EXTENDED COPY.

    Copies under way continue, and tokens that hosts have can be used. Windows tries no token for three minutes after a refusal.
    """
    answer = _ask(context, "step-aside", duration=duration)
    if not _printed("stepping-aside", answer, as_json):
        for line in stepping_aside_lines(answer) or ["new copies: allowed"]:
            typer.echo(line)


steering.register(app)


def _ask(context: typer.Context, operation: str, **arguments: object) -> Answer:
    return ask_array(context.obj, operation, arguments)


def _all_tokens(context: typer.Context) -> Iterator[dict[str, Any]]:
    page = _ask(context, "tokens")
    yield from page["tokens"]
    while page["next"] is not None:
        page = _ask(context, "tokens", after=page["next"])
        yield from page["tokens"]


def _printed(name: str, answer: Mapping[str, Any], as_json: bool) -> bool:
    if as_json:
        print_json(name, answer)
    return as_json


def _lun_cells(lun: Mapping[str, Any]) -> tuple[str, ...]:
    return str(lun["lun"]), lun["name"], size(lun["size_bytes"]), str(lun["size_bytes"]), str(lun["block_bytes"])


def _lun_line(lun: Mapping[str, Any]) -> str:
    return f"LUN {lun['lun']}: {lun['name']}, {lun['size_bytes']} bytes in blocks of {lun['block_bytes']}"


def _token_cells(token: Mapping[str, Any]) -> tuple[str, ...]:
    ranges = [f"{lba},{blocks}" for lba, blocks in token["ranges"]]
    hidden = len(ranges) - SHOWN_RANGES
    return (
        token["identifier"],
        token["rod_type"].replace("_", " "),
        token["lun"] or "",
        " ".join([*ranges[:SHOWN_RANGES], *([f"and {hidden} more"] if hidden > 0 else [])]),
        size(token["size_bytes"]),
        f"{token['age_s']:.0f} s",
        f"{max(0.0, token['expires_in_s']):.0f} s",
        str(token["in_use"] or ""),
    )


def _copy_cells(copy: Mapping[str, Any]) -> tuple[str, ...]:
    done, wanted, block_bytes = copy["transfer_count_blocks"], copy["requested_blocks"], copy["block_bytes"]
    return (
        copy["command"].replace("_", " "),
        copy["initiator"],
        copy["lun"],
        f"{copy['list_identifier']:#x}",
        size(done * block_bytes),
        size(wanted * block_bytes),
        f"{100 * done / max(wanted, 1):.0f}",
        f"{copy['age_s']:.1f}",
    )


def _session_cells(session: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        session["initiator"],
        session["target"],
        session["isid"],
        str(session["tsih"]),
        session["peer"],
        "discovery" if session["is_discovery"] else "normal",
        str(session["waiting_tasks"]),
    )


def _rate_line(answer: Mapping[str, Any]) -> str:
    rate = answer["copy_rate_bytes_per_s"]
    return "copy rate: none" if rate is None else f"copy rate: {size(rate)}/s"
