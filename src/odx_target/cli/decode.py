"""`odx-target decode`: explain the meaning of bytes. The command needs no target."""

from collections.abc import Callable
from typing import Annotated, TypedDict

import typer

from odx_target.cli.hosts.token.describe import describe_rod_token, descriptions, table_rows
from odx_target.cli.hosts.token.json_output import FieldData, field_data
from odx_target.cli.text.describe_pdu import describe_pdu
from odx_target.cli.text.hexadecimal import hexadecimal
from odx_target.cli.text.json_output import Json, print_json
from odx_target.cli.text.tables import Row, print_rows
from odx_target.initiator.copying.token_commands import TOKEN_BYTES
from odx_target.scsi.describe.data import describe_cdb, describe_sense, describe_vpd

app = typer.Typer(
    help="Explain bytes field by field. HEX may contain blanks, colons and newlines. If HEX is -, standard input is read.",
    no_args_is_help=True,
)


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="decode")


class DecodedAnswer(TypedDict):
    """The meaning of bytes."""

    what: Annotated[str, "such as `sense data`"]
    size_bytes: int
    fields: list[FieldData]


Hex = Annotated[
    bytes, typer.Argument(parser=hexadecimal, metavar="HEX", help="The bytes in hexadecimal; - for standard input.")
]


@app.command()
def cdb(data: Hex, as_json: Json = False) -> None:
    """Explain a command descriptor block."""
    _print("command descriptor block", data, lambda data: table_rows(describe_cdb(data, descriptions())), as_json)


@app.command()
def sense(data: Hex, as_json: Json = False) -> None:
    """Explain sense data in fixed or descriptor format."""
    _print("sense data", data, lambda data: table_rows(describe_sense(data)), as_json)


@app.command()
def vpd(data: Hex, as_json: Json = False) -> None:
    """Explain a vital product data page, with its header."""
    _print("vital product data", data, lambda data: table_rows(describe_vpd(data, descriptions())), as_json)


@app.command()
def token(data: Hex, as_json: Json = False) -> None:
    """Explain a ROD token, or its first bytes."""
    if len(data) > TOKEN_BYTES:
        raise typer.BadParameter(f"a ROD token has {TOKEN_BYTES} bytes, not {len(data)}", param_hint="HEX")
    _print("ROD token", data, describe_rod_token, as_json)


@app.command()
def pdu(data: Hex, as_json: Json = False) -> None:
    """Explain an iSCSI PDU. HEX is the header of 48 bytes, and the data after the header."""
    _print("iSCSI PDU", data, describe_pdu, as_json)


def _print(title: str, data: bytes, describe: Callable[[bytes], list[Row]], as_json: bool) -> None:
    try:
        rows = describe(data)
    except ValueError as error:
        raise typer.BadParameter(f"that is no {title}: {error}", param_hint="HEX") from None
    if as_json:
        answer: DecodedAnswer = {"what": title, "size_bytes": len(data), "fields": [field_data(row) for row in rows]}
        print_json("decoded", answer)
    else:
        print_rows(f"{title}, {len(data)} bytes", rows)
