"""Commands of token copy, their results and fields as plain data."""

from typing import Annotated, TypedDict

from odx_target.cli.text.tables import Row


class FieldData(TypedDict):
    """A field of bytes."""

    name: Annotated[str, "name in the standard, in lower case with underscores, or a heading"]
    level: Annotated[int, "0 for a field of the whole, 1 for a field of the last field of level 0 before it, and so on"]
    value: str
    meaning: Annotated[str, "meaning of the value, or empty"]


class TokenAnswer(TypedDict):
    """A SCSI command, and how it ended. Bytes are in hexadecimal."""

    command: Annotated[str, "name of the command; empty if no command was sent, because a file was read"]
    lun: Annotated[str, "LUN that has received the command"]
    cdb: str
    parameter_list: str
    sent: Annotated[list[FieldData], "fields of the CDB and of the parameter list"]
    status: Annotated[str, "name of the status"]
    received: Annotated[list[FieldData], "status, sense data and residual"]
    data: Annotated[str, "data-in"]
    described: Annotated[list[FieldData], "fields of the data-in or of the file, for example of a token or a copy operation"]
    token_file: Annotated[str | None, "file to which the token was written"]


def field_data(row: Row) -> FieldData:
    """Return a row of a table as plain data. The indentation of its name becomes its level."""
    name, value, words = row
    return {"name": name.strip(), "level": (len(name) - len(name.lstrip())) // 2, "value": value, "meaning": words}


def empty_answer() -> TokenAnswer:
    """Return an answer without a command."""
    return {
        "command": "",
        "lun": "",
        "cdb": "",
        "parameter_list": "",
        "sent": [],
        "status": "",
        "received": [],
        "data": "",
        "described": [],
        "token_file": None,
    }
