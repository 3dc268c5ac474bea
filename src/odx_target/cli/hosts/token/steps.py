"""The steps of `odx-target token`: each sends one SCSI command of token copy.

Each function checks its arguments and returns the work of the step.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import typer

from odx_target.cli.failure import CommandFailure
from odx_target.cli.hosts.token import parameters
from odx_target.cli.hosts.token.describe import describe_copy_operation, describe_rod_token
from odx_target.cli.hosts.token.exchange import must_be_good, receive_information, send
from odx_target.cli.hosts.token.output import Output, TextOutput
from odx_target.cli.hosts.token.parameters import read_token
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    ANSWER_ALLOCATION_BYTES,
    ZERO_TOKEN,
    CopyOperationStatus,
    populate_token_list,
    write_using_token_list,
)
from odx_target.initiator.disk import Disk
from odx_target.initiator.result import Status
from odx_target.initiator.sense import describe_result
from odx_target.target.config.private_file import write_private

MANAGEMENT_TOKEN_BYTES = 96
LIST_ALLOCATION_BYTES = 8 + 1024 * MANAGEMENT_TOKEN_BYTES

Work: TypeAlias = Callable[[Disk], Awaitable[None]]
"""A function that performs a step on a disk. Raises CommandFailure, InitiatorError, OSError."""


BuildStep: TypeAlias = Callable[..., Work]
"""A function that returns the work of a step. The arguments of the function are a Steps object and the arguments of the
command. Raises typer.BadParameter."""


@dataclass(slots=True)
class Steps:
    """The state that all steps of one session share: whether more steps may follow, the last token, and the output."""

    others_follow: bool = False
    token: bytes = b""
    output: Output = field(default_factory=TextOutput)

    def keep(self, token: bytes, token_file: Path | None) -> None:
        """Store a token for later steps. If a file is given, write the token to this file."""
        self.token = token
        if token_file is not None:
            write_private(token_file, token)
            self.output.show_token_file(token_file)


def populate(
    steps: Steps,
    ranges: parameters.Ranges = None,
    kind: parameters.Kind = None,
    inactivity_timeout: parameters.InactivityTimeout = 0,
    identifier: parameters.Identifier = 0,
    immed: parameters.Immediate = False,
    token_file: parameters.TokenOut = None,
) -> Work:
    """Send POPULATE TOKEN and get the token. The token is read by RECEIVE ROD TOKEN INFORMATION."""
    data = populate_token_list(ranges or [], inactivity_timeout_s=inactivity_timeout, rod_type=kind, immediate=immed)

    async def work(disk: Disk) -> None:
        result = await send(steps.output, disk, "POPULATE TOKEN", cdb.populate_token(identifier, len(data)), data)
        failed = result.status != Status.GOOD
        if immed and steps.others_follow and not failed:
            return
        try:
            operation = await receive_information(steps.output, disk, identifier, poll=immed)
        except CommandFailure:
            if not failed:
                raise
            operation = None
        if operation is not None and operation.tokens:
            steps.keep(operation.tokens[0], token_file)
        elif failed:
            raise CommandFailure(f"POPULATE TOKEN: {describe_result(result)}")
        else:
            raise CommandFailure("POPULATE TOKEN gave no token")

    return work


def write(
    steps: Steps,
    ranges: parameters.Ranges = None,
    token_file: parameters.TokenIn = None,
    zero: parameters.Zero = False,
    offset_into_rod: parameters.Offset = 0,
    del_tkn: parameters.DeleteToken = False,
    identifier: parameters.Identifier = 0,
    immed: parameters.Immediate = False,
) -> Work:
    """Send WRITE USING TOKEN. If the command fails or runs in the background, also send RECEIVE ROD TOKEN INFORMATION to get
    the transfer count.
    """
    if (zero and token_file is not None) or not (zero or token_file or steps.others_follow):
        raise typer.BadParameter("give either --token-file or --zero")
    given = ZERO_TOKEN if zero else read_token(token_file) if token_file is not None else None

    async def work(disk: Disk) -> None:
        data = write_using_token_list(
            given or steps.token, ranges or [], offset_into_rod_blocks=offset_into_rod, delete_token=del_tkn, immediate=immed
        )
        result = await send(steps.output, disk, "WRITE USING TOKEN", cdb.write_using_token(identifier, len(data)), data)
        if result.status != Status.GOOD:
            with suppress(CommandFailure):
                await receive_information(steps.output, disk, identifier, poll=immed)
            raise CommandFailure(f"WRITE USING TOKEN: {describe_result(result)}")
        if immed and not steps.others_follow:
            ended = await receive_information(steps.output, disk, identifier, poll=True)
            if ended.status != CopyOperationStatus.COMPLETED:
                raise CommandFailure("WRITE USING TOKEN did not complete in the background")

    async def checked(disk: Disk) -> None:
        if given is None and not steps.token:
            raise CommandFailure("no token was made yet: give --token-file or --zero, or populate first")
        await work(disk)

    return checked


def receive(
    steps: Steps,
    identifier: parameters.Identifier = 0,
    token_file: parameters.TokenOut = None,
    poll: parameters.Poll = False,
) -> Work:
    """Send RECEIVE ROD TOKEN INFORMATION."""

    async def work(disk: Disk) -> None:
        operation = await receive_information(steps.output, disk, identifier, poll=poll)
        for token in operation.tokens[:1]:
            steps.keep(token, token_file)

    return work


def status(steps: Steps, identifier: parameters.Identifier = 0) -> Work:
    """Send RECEIVE COPY STATUS (LID4)."""

    async def work(disk: Disk) -> None:
        command = cdb.receive_copy_status(identifier, ANSWER_ALLOCATION_BYTES)
        result = await send(steps.output, disk, "RECEIVE COPY STATUS (LID4)", command, data_in_bytes=ANSWER_ALLOCATION_BYTES)
        must_be_good("RECEIVE COPY STATUS (LID4)", result)
        steps.output.show_fields("copy operation", describe_copy_operation(bytes(result.data_in)))

    return work


def abort(steps: Steps, identifier: parameters.Identifier = 0) -> Work:
    """Send COPY OPERATION ABORT."""

    async def work(disk: Disk) -> None:
        result = await send(steps.output, disk, "COPY OPERATION ABORT", cdb.copy_operation_abort(identifier))
        must_be_good("COPY OPERATION ABORT", result)

    return work


def list_tokens(steps: Steps) -> Work:
    """Send REPORT ALL ROD TOKENS."""

    async def work(disk: Disk) -> None:
        command = cdb.report_all_rod_tokens(LIST_ALLOCATION_BYTES)
        result = await send(steps.output, disk, "REPORT ALL ROD TOKENS", command, data_in_bytes=LIST_ALLOCATION_BYTES)
        must_be_good("REPORT ALL ROD TOKENS", result)
        body = bytes(result.data_in)[8:]
        for start in range(0, len(body) - MANAGEMENT_TOKEN_BYTES + 1, MANAGEMENT_TOKEN_BYTES):
            token = body[start : start + MANAGEMENT_TOKEN_BYTES]
            steps.output.show_fields(f"token {start // MANAGEMENT_TOKEN_BYTES}", describe_rod_token(token))
        steps.output.show_count(len(body) // MANAGEMENT_TOKEN_BYTES)

    return work


STEPS: dict[str, BuildStep] = {
    "populate": populate,
    "write": write,
    "receive": receive,
    "status": status,
    "abort": abort,
    "list": list_tokens,
}
"""The steps, by the name of their command."""
