"""`odx-target token`: single commands of token copy, for testers."""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeAlias

import trio
import typer

from odx_target.initiator import cdb
from odx_target.initiator.disk import Disk
from odx_target.initiator.options import DEFAULT_INITIATOR_NAME, SessionOptions
from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.sense import describe_result
from odx_target.initiator.token_commands import (
    ANSWER_ALLOCATION_BYTES,
    TOKEN_BYTES,
    ZERO_TOKEN,
    BlockRange,
    CopyOperation,
    CopyOperationStatus,
    RodType,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.url import IscsiUrl
from odx_target.target.commands import host
from odx_target.target.commands.failure import CommandFailure
from odx_target.target.commands.tables import print_bytes, print_rows
from odx_target.target.commands.token_words import operation_rows, result_rows, sent_rows, token_rows
from odx_target.target.private_file import write_private

ROD_TYPES = {
    "access": RodType.ACCESS_UPON_REFERENCE,
    "pit-default": RodType.POINT_IN_TIME_DEFAULT,
    "pit-vulnerable": RodType.POINT_IN_TIME_CHANGE_VULNERABLE,
    "pit-persistent": RodType.POINT_IN_TIME_PERSISTENT,
    "pit-any": RodType.POINT_IN_TIME_ANY,
    "zero": RodType.ZERO,
}
MANAGEMENT_TOKEN_BYTES = 96
LIST_ALLOCATION_BYTES = 8 + 1024 * MANAGEMENT_TOKEN_BYTES
IN_PROGRESS = frozenset(
    {
        CopyOperationStatus.IN_PROGRESS,
        CopyOperationStatus.IN_PROGRESS_FOREGROUND,
        CopyOperationStatus.IN_PROGRESS_BACKGROUND,
    }
)
POLL_DELAY_S = 0.5
"""Where the target gives no estimate, as ddpt waits."""
MAXIMUM_POLL_DELAY_S = 5.0

app = typer.Typer(help="Send single commands of token copy, and see every field.", no_args_is_help=True)


def register(root: typer.Typer) -> None:
    """Add the subcommand."""
    root.add_typer(app, name="token")


def number(text: str) -> int:
    """A number in decimal, or in hexadecimal after 0x. Raises typer.BadParameter."""
    try:
        return int(text, 0)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number") from None


def block_range(text: str) -> BlockRange:
    """`LBA,COUNT`. Raises typer.BadParameter."""
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]{1,16}|\d{1,20}),(0[xX][0-9a-fA-F]{1,8}|\d{1,10})", text)
    if not match:
        raise typer.BadParameter(f"{text!r}: a range is LBA,COUNT")
    found = BlockRange(number(match[1]), number(match[2]))
    if found.lba >= 1 << 64 or found.count_blocks >= 1 << 32:
        raise typer.BadParameter(f"{text!r}: LBA has 64 bits, COUNT 32")
    return found


def list_identifier(text: str | int) -> int:
    """32 bits; typer hands its default in as it is. Raises typer.BadParameter."""
    found = number(str(text))
    if not 0 <= found < 1 << 32:
        raise typer.BadParameter(f"{text}: a list identifier has 32 bits")
    return found


def rod_type(text: str) -> int:
    """A name of ROD_TYPES or a number. Raises typer.BadParameter."""
    if text in ROD_TYPES:
        return ROD_TYPES[text]
    if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|\d{1,9}", text):
        raise typer.BadParameter(f"{text!r} is none of {', '.join(ROD_TYPES)}, and no number")
    return number(text)


Url = Annotated[str, typer.Argument(metavar="URL", help="iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN")]
Ranges = Annotated[
    list[BlockRange] | None, typer.Option("--range", parser=block_range, metavar="LBA,COUNT", help="May be repeated.")
]
Identifier = Annotated[int, typer.Option("--list-identifier", parser=list_identifier, metavar="N")]
Immediate = Annotated[bool, typer.Option("--immed", help="IMMED: run in the background, and poll until it ends.")]
TokenOut = Annotated[Path | None, typer.Option("--token-file", metavar="FILE", help="Write the token there.")]
Timeout: TypeAlias = host.CommandTimeout
Name: TypeAlias = host.InitiatorName


@app.command()
def populate(
    url: Url,
    ranges: Ranges = None,
    kind: Annotated[int | None, typer.Option("--rod-type", parser=rod_type, metavar="TYPE", help=", ".join(ROD_TYPES))] = None,
    inactivity_timeout: Annotated[int, typer.Option(min=0, max=0xFFFFFFFF, metavar="SECONDS", help="0: the default.")] = 0,
    identifier: Identifier = 0,
    immed: Immediate = False,
    token_file: TokenOut = None,
    initiator_name: Name = DEFAULT_INITIATOR_NAME,
    command_timeout: Timeout = 60.0,
) -> None:
    """POPULATE TOKEN, then RECEIVE ROD TOKEN INFORMATION for the token."""
    data = populate_token_list(ranges or [], inactivity_timeout_s=inactivity_timeout, rod_type=kind, immediate=immed)

    async def work(disk: Disk) -> None:
        result = await _send(disk, "POPULATE TOKEN", cdb.populate_token(identifier, len(data)), data)
        failed = result.status != Status.GOOD
        try:
            operation = await _receive(disk, identifier, poll=immed)
        except CommandFailure:
            if not failed:
                raise
            operation = None
        if operation is not None and operation.tokens:
            _keep_token(operation.tokens[0], token_file)
        elif failed:
            raise CommandFailure(f"POPULATE TOKEN: {describe_result(result)}")
        else:
            raise CommandFailure("POPULATE TOKEN gave no token")

    _with_disk(url, initiator_name, command_timeout, work)


@app.command()
def write(
    url: Url,
    ranges: Ranges = None,
    token_file: Annotated[Path | None, typer.Option("--token-file", metavar="FILE", help="The token to use.")] = None,
    zero: Annotated[bool, typer.Option("--zero", help="Use the block device zero token: write zeros.")] = False,
    offset_into_rod: Annotated[int, typer.Option(min=0, metavar="BLOCKS", help="Blocks of the destination.")] = 0,
    del_tkn: Annotated[bool, typer.Option("--del-tkn", help="Delete the token afterwards.")] = False,
    identifier: Identifier = 0,
    immed: Immediate = False,
    initiator_name: Name = DEFAULT_INITIATOR_NAME,
    command_timeout: Timeout = 60.0,
) -> None:
    """WRITE USING TOKEN; if it fails or runs in the background, RECEIVE ROD TOKEN INFORMATION for the true count."""
    if zero == (token_file is not None):
        raise typer.BadParameter("give either --token-file or --zero")
    token = ZERO_TOKEN if token_file is None else _read_token(token_file)
    data = write_using_token_list(
        token, ranges or [], offset_into_rod_blocks=offset_into_rod, delete_token=del_tkn, immediate=immed
    )

    async def work(disk: Disk) -> None:
        result = await _send(disk, "WRITE USING TOKEN", cdb.write_using_token(identifier, len(data)), data)
        if result.status != Status.GOOD:
            with suppress(CommandFailure):
                await _receive(disk, identifier, poll=immed)
            raise CommandFailure(f"WRITE USING TOKEN: {describe_result(result)}")
        if immed and (await _receive(disk, identifier, poll=True)).status != CopyOperationStatus.COMPLETED:
            raise CommandFailure("WRITE USING TOKEN did not complete in the background")

    _with_disk(url, initiator_name, command_timeout, work)


@app.command()
def info(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="Ask this LUN for the results of an operation.")] = None,
    token_file: Annotated[Path | None, typer.Option("--token-file", metavar="FILE", help="A token; with URL, written.")] = None,
    identifier: Identifier = 0,
    initiator_name: Name = DEFAULT_INITIATOR_NAME,
    command_timeout: Timeout = 60.0,
) -> None:
    """Show what a token file says; or, with a URL, what RECEIVE ROD TOKEN INFORMATION says."""
    if url is not None:
        receive(url, identifier, token_file, False, initiator_name, command_timeout)
    elif token_file is not None:
        print_rows("token", token_rows(_read_token(token_file)))
    else:
        raise typer.BadParameter("give a URL or --token-file")


@app.command()
def receive(
    url: Url,
    identifier: Identifier = 0,
    token_file: TokenOut = None,
    poll: Annotated[bool, typer.Option("--poll", help="Ask again until the operation has ended.")] = False,
    initiator_name: Name = DEFAULT_INITIATOR_NAME,
    command_timeout: Timeout = 60.0,
) -> None:
    """RECEIVE ROD TOKEN INFORMATION."""

    async def work(disk: Disk) -> None:
        operation = await _receive(disk, identifier, poll=poll)
        for token in operation.tokens[:1]:
            _keep_token(token, token_file)

    _with_disk(url, initiator_name, command_timeout, work)


@app.command()
def status(
    url: Url,
    identifier: Identifier = 0,
    initiator_name: Name = DEFAULT_INITIATOR_NAME,
    command_timeout: Timeout = 60.0,
) -> None:
    """RECEIVE COPY STATUS (LID4)."""

    async def work(disk: Disk) -> None:
        command = cdb.receive_copy_status(identifier, ANSWER_ALLOCATION_BYTES)
        result = await _send(disk, "RECEIVE COPY STATUS (LID4)", command, data_in_bytes=ANSWER_ALLOCATION_BYTES)
        _must_be_good("RECEIVE COPY STATUS (LID4)", result)
        print_rows("copy operation", operation_rows(bytes(result.data_in)))

    _with_disk(url, initiator_name, command_timeout, work)


@app.command()
def abort(
    url: Url,
    identifier: Identifier = 0,
    initiator_name: Name = DEFAULT_INITIATOR_NAME,
    command_timeout: Timeout = 60.0,
) -> None:
    """COPY OPERATION ABORT."""

    async def work(disk: Disk) -> None:
        result = await _send(disk, "COPY OPERATION ABORT", cdb.copy_operation_abort(identifier))
        _must_be_good("COPY OPERATION ABORT", result)

    _with_disk(url, initiator_name, command_timeout, work)


@app.command("list")
def list_tokens(url: Url, initiator_name: Name = DEFAULT_INITIATOR_NAME, command_timeout: Timeout = 60.0) -> None:
    """REPORT ALL ROD TOKENS."""

    async def work(disk: Disk) -> None:
        command = cdb.report_all_rod_tokens(LIST_ALLOCATION_BYTES)
        result = await _send(disk, "REPORT ALL ROD TOKENS", command, data_in_bytes=LIST_ALLOCATION_BYTES)
        _must_be_good("REPORT ALL ROD TOKENS", result)
        body = bytes(result.data_in)[8:]
        for start in range(0, len(body) - MANAGEMENT_TOKEN_BYTES + 1, MANAGEMENT_TOKEN_BYTES):
            token = body[start : start + MANAGEMENT_TOKEN_BYTES]
            print_rows(f"token {start // MANAGEMENT_TOKEN_BYTES}", token_rows(token))
        count = len(body) // MANAGEMENT_TOKEN_BYTES
        typer.echo(f"{count} token{'s' if count != 1 else ''}")

    _with_disk(url, initiator_name, command_timeout, work)


def _with_disk(text: str, initiator_name: str, command_timeout_s: float, work: Callable[[Disk], Awaitable[None]]) -> None:
    place = host.url(text, "URL")
    host.run(_on_disk, place, host.options(initiator_name, command_timeout_s), work)


async def _on_disk(place: IscsiUrl, wishes: SessionOptions, work: Callable[[Disk], Awaitable[None]]) -> None:
    async with host.open_target(place, wishes) as session:
        disk = Disk(session.logical_unit(place.lun), trio.sleep, str(place))
        await disk.command(cdb.test_unit_ready())  # takes the unit attentions of a new session
        await work(disk)


async def _send(
    disk: Disk,
    name: str,
    command: bytes,
    data: bytes = b"",
    data_in_bytes: int = 0,
) -> CommandResult:
    """Send one command, once, and show both sides of it."""
    typer.echo(f"{name} to {disk.name}")
    print_bytes("CDB", command)
    if data:
        print_bytes("parameter list", data)
    print_rows("sent", sent_rows(command, data))
    result = await disk.executor.execute(command, [data] if data else (), data_in_bytes)
    print_rows("received", result_rows(result))
    if len(result.data_in):
        print_bytes("data", bytes(result.data_in))
    return result


async def _receive(disk: Disk, identifier: int, *, poll: bool) -> CopyOperation:
    """RECEIVE ROD TOKEN INFORMATION, shown. Raises CommandFailure if the target refuses it, BadAnswer."""
    while True:
        command = cdb.receive_rod_token_information(identifier, ANSWER_ALLOCATION_BYTES)
        result = await _send(disk, "RECEIVE ROD TOKEN INFORMATION", command, data_in_bytes=ANSWER_ALLOCATION_BYTES)
        _must_be_good("RECEIVE ROD TOKEN INFORMATION", result)
        operation = read_rod_token_information(result.data_in)
        print_rows("copy operation", operation_rows(bytes(result.data_in)))
        if not poll or operation.status not in IN_PROGRESS:
            return operation
        await trio.sleep(_poll_delay_s(operation.update_delay_ms))


def _poll_delay_s(update_delay_ms: int) -> float:
    """The target's estimate, if it has one, within reason."""
    if not 0 < update_delay_ms < 0xFFFFFFFE:
        return POLL_DELAY_S
    return min(update_delay_ms / 1000, MAXIMUM_POLL_DELAY_S)


def _must_be_good(name: str, result: CommandResult) -> None:
    if result.status != Status.GOOD:
        raise CommandFailure(f"{name}: {describe_result(result)}")


def _keep_token(token: bytes, token_file: Path | None) -> None:
    if token_file is not None:
        write_private(token_file, token)
        typer.echo(f"token written to {token_file}")


def _read_token(token_file: Path) -> bytes:
    """The token that a file holds. Raises typer.BadParameter."""
    try:
        with token_file.open("rb") as file:
            token = file.read(TOKEN_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"{token_file}: {error.strerror}", param_hint="--token-file") from None
    if len(token) != TOKEN_BYTES:
        raise typer.BadParameter(
            f"{token_file}: a ROD token has {TOKEN_BYTES} bytes, this has {'more' if token[TOKEN_BYTES:] else len(token)}",
            param_hint="--token-file",
        )
    return token
