"""The output of `odx-target token`: text for people, or a line of JSON for each command."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import typer

from odx_target.cli.hosts.token.describe import describe_command_result, describe_sent_command, status_words
from odx_target.cli.hosts.token.json_output import empty_answer, field_data
from odx_target.cli.text.json_output import print_json_line
from odx_target.cli.text.tables import Row, print_bytes, print_rows
from odx_target.initiator.result import CommandResult


class Output(Protocol):
    """Shows commands of token copy."""

    def show_command(self, name: str, lun: str, cdb: bytes, data: bytes) -> None:
        """Show a command that is about to be sent."""

    def show_result(self, result: CommandResult) -> None:
        """Show how the last command ended."""

    def show_fields(self, title: str, rows: Sequence[Row]) -> None:
        """Show the fields of a token or of a copy operation."""

    def show_count(self, count: int) -> None:
        """Show the number of tokens of a list."""

    def show_token_file(self, path: Path) -> None:
        """Show that the token was written to a file."""

    def finish(self) -> None:
        """Show everything that was not shown yet."""


class TextOutput:
    """Prints tables and dumps of bytes."""

    def show_command(self, name: str, lun: str, cdb: bytes, data: bytes) -> None:
        typer.echo(f"{name} to {lun}")
        print_bytes("CDB", cdb)
        if data:
            print_bytes("parameter list", data)
        print_rows("sent", describe_sent_command(cdb, data))

    def show_result(self, result: CommandResult) -> None:
        print_rows("received", describe_command_result(result))
        if len(result.data_in):
            print_bytes("data", bytes(result.data_in))

    def show_fields(self, title: str, rows: Sequence[Row]) -> None:
        print_rows(title, rows)

    def show_count(self, count: int) -> None:
        typer.echo(f"{count} token{'s' if count != 1 else ''}")

    def show_token_file(self, path: Path) -> None:
        typer.echo(f"token written to {path}")

    def finish(self) -> None: ...


class JsonOutput:
    """Prints a line of JSON for each command, when the next command begins or the output ends."""

    def __init__(self) -> None:
        self._answer = empty_answer()
        self._is_empty = True

    def show_command(self, name: str, lun: str, cdb: bytes, data: bytes) -> None:
        self.finish()
        sent = [field_data(row) for row in describe_sent_command(cdb, data)]
        self._answer.update({"command": name, "lun": lun, "cdb": cdb.hex(), "parameter_list": data.hex(), "sent": sent})
        self._is_empty = False

    def show_result(self, result: CommandResult) -> None:
        received = [field_data(row) for row in describe_command_result(result)]
        self._answer.update({"status": status_words(result.status), "received": received, "data": bytes(result.data_in).hex()})

    def show_fields(self, title: str, rows: Sequence[Row]) -> None:  # noqa: ARG002 - the command is the title
        self._answer["described"] += [field_data(row) for row in rows]
        self._is_empty = False

    def show_count(self, count: int) -> None:
        """Show nothing, because the fields contain all tokens."""

    def show_token_file(self, path: Path) -> None:
        self._answer["token_file"] = str(path)

    def finish(self) -> None:
        if not self._is_empty:
            print_json_line("token", self._answer)
        self._answer, self._is_empty = empty_answer(), True


def output_of(*, as_json: bool) -> Output:
    """Return the output of a command."""
    return JsonOutput() if as_json else TextOutput()
