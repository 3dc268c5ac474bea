"""Send one token-copy command, and print all data that is sent and received."""

import trio

from odx_target.cli.failure import CommandFailure
from odx_target.cli.hosts.token.describe import describe_copy_operation
from odx_target.cli.hosts.token.output import Output
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    ANSWER_ALLOCATION_BYTES,
    CopyOperation,
    CopyOperationStatus,
    read_rod_token_information,
)
from odx_target.initiator.disk import Disk
from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.sense import describe_result

IN_PROGRESS = frozenset(
    {
        CopyOperationStatus.IN_PROGRESS,
        CopyOperationStatus.IN_PROGRESS_FOREGROUND,
        CopyOperationStatus.IN_PROGRESS_BACKGROUND,
    }
)
POLL_DELAY_S = 0.5
"""Time between two polls of an operation if the target does not estimate the delay. The program ddpt uses the same time."""
MAX_POLL_DELAY_S = 5.0


async def send(
    output: Output, disk: Disk, name: str, command: bytes, data: bytes = b"", data_in_bytes: int = 0
) -> CommandResult:
    """Send a command without retries, and show the command and its result."""
    output.show_command(name, disk.name, command, data)
    result = await disk.executor.execute(command, [data] if data else (), data_in_bytes)
    output.show_result(result)
    return result


async def receive_information(output: Output, disk: Disk, identifier: int, *, poll: bool) -> CopyOperation:
    """Send RECEIVE ROD TOKEN INFORMATION and show the answer. If `poll` is True, repeat the command until the operation has
    ended. Raises CommandFailure if the target refuses the command, and BadAnswer if the answer is malformed.
    """
    while True:
        command = cdb.receive_rod_token_information(identifier, ANSWER_ALLOCATION_BYTES)
        result = await send(output, disk, "RECEIVE ROD TOKEN INFORMATION", command, data_in_bytes=ANSWER_ALLOCATION_BYTES)
        must_be_good("RECEIVE ROD TOKEN INFORMATION", result)
        operation = read_rod_token_information(result.data_in)
        output.show_fields("copy operation", describe_copy_operation(bytes(result.data_in)))
        if not poll or operation.status not in IN_PROGRESS:
            return operation
        await trio.sleep(_poll_delay_s(operation.update_delay_ms))


def must_be_good(name: str, result: CommandResult) -> None:
    """Raise CommandFailure for a status other than GOOD."""
    if result.status != Status.GOOD:
        raise CommandFailure(f"{name}: {describe_result(result)}")


def _poll_delay_s(update_delay_ms: int) -> float:
    """Return the time until the next poll. If the target estimates the time, return this estimate, but at most
    MAX_POLL_DELAY_S. Otherwise return POLL_DELAY_S.
    """
    if not 0 < update_delay_ms < 0xFFFFFFFE:
        return POLL_DELAY_S
    return min(update_delay_ms / 1000, MAX_POLL_DELAY_S)
