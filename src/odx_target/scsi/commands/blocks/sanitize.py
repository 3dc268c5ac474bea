"""SANITIZE (SBC-4 4.11, 5.30). To sanitize a logical unit, the array ends all ways to its old data through this logical unit.

BLOCK ERASE and CRYPTOGRAPHIC ERASE deallocate all blocks, so that they read as zeros. The data is not encrypted, so both have
the same effect. OVERWRITE fills all blocks with a pattern. Snapshots, clones and copies that were made earlier keep the old
data.
"""

from collections.abc import Awaitable, Callable, Sequence

from odx_target.scsi.cdb.block_commands import Sanitize
from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.commands.blocks.deallocate_all import medium_blocks
from odx_target.scsi.commands.blocks.sanitize_job import begin_sanitize
from odx_target.scsi.commands.data_out import parameter_list
from odx_target.scsi.commands.durability import flushed
from odx_target.scsi.extent import Extent
from odx_target.scsi.layout import Layout, bits, flag, number
from odx_target.scsi.reply import Reply
from odx_target.scsi.sense import INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_PARAMETER_LIST, CheckCondition
from odx_target.scsi.tasks.outcome import Outcome, Waiting
from odx_target.scsi.tasks.task import Task, TaskAborted
from odx_target.scsi.unit.sanitize_operation import SanitizeOperation, drop

SANITIZE = 0x48
OVERWRITE, BLOCK_ERASE, CRYPTOGRAPHIC_ERASE, EXIT_FAILURE_MODE = 0x01, 0x02, 0x03, 0x1F

_AUSE_BIT = 5
_HIGHEST_SERVICE_ACTION_BIT = 4
_PARAMETER_LIST_LENGTH_BYTE = 7
_HIGHEST_TEST_BIT, _HIGHEST_COUNT_BIT = 6, 4
_PATTERN_LENGTH_BYTE = 2


class OverwriteHeader(Layout):
    """The header of the parameter list of OVERWRITE. The initialization pattern follows the header."""

    size_bytes = 4
    invert: bool = flag(0, 7)
    test: int = bits(0, 6, 2)
    overwrite_count: int = bits(0, 4, 5)
    initialization_pattern_length: int = number(2, 2)


def overwrite(task: Task) -> Outcome:
    """Fill all blocks with what the last pass writes: the initialization pattern. If INVERT is set, each pass inverts what the
    pass before it has written, so that the last one of an even number of passes writes the inverted pattern (SBC-4 5.30.2.2).
    """
    length = Sanitize.parse(task.cdb).parameter_list_length
    _check_mode(task)
    if not OverwriteHeader.size_bytes < length <= OverwriteHeader.size_bytes + task.logical_unit.block_bytes:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=_PARAMETER_LIST_LENGTH_BYTE)
    data = parameter_list(task, length)
    header = OverwriteHeader.parse(data)
    if header.test:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=0, bit=_HIGHEST_TEST_BIT)
    if not header.overwrite_count:
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=0, bit=_HIGHEST_COUNT_BIT)
    pattern = data[OverwriteHeader.size_bytes :]
    if not 0 < header.initialization_pattern_length <= len(pattern):
        raise CheckCondition(INVALID_FIELD_IN_PARAMETER_LIST, data_field=_PATTERN_LENGTH_BYTE)
    pattern = pattern[: header.initialization_pattern_length]
    if header.invert and header.overwrite_count % 2 == 0:
        pattern = bytes(byte ^ 0xFF for byte in pattern)
    return _begin(task, pattern if any(pattern) else b"", length)


def erase(task: Task) -> Outcome:
    """Deallocate all blocks, for BLOCK ERASE and CRYPTOGRAPHIC ERASE."""
    _check_mode(task)
    return _begin(task, b"", 0)


def exit_failure_mode(task: Task) -> Outcome:
    """End the failure of an unrestricted sanitize operation. Blocks that the operation has not reached become readable again.

    Does nothing if the last operation has not failed.
    """
    logical_unit = task.logical_unit
    operation = logical_unit.sanitize_operation
    if operation is None:
        return Reply()
    if operation.is_restricted:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=_HIGHEST_SERVICE_ACTION_BIT)
    drop(logical_unit.pool, logical_unit.volume.identity)
    logical_unit.sanitize_operation = None
    return Waiting(flushed, task)


def _check_mode(task: Task) -> None:
    """Raise CheckCondition if a restricted operation has failed, and the new operation would be unrestricted (SBC-4 4.11.1)."""
    failed = task.logical_unit.sanitize_operation
    if failed is not None and failed.is_restricted and Sanitize.parse(task.cdb).ause:
        raise CheckCondition(INVALID_FIELD_IN_CDB, cdb_field=1, bit=_AUSE_BIT)


def _begin(task: Task, pattern: bytes, transfer_bytes: int) -> Outcome:
    """Begin the operation. If IMMED is set, reply when the operation can no longer be lost. Otherwise reply at its end."""
    logical_unit, cdb = task.logical_unit, Sanitize.parse(task.cdb)
    operation = SanitizeOperation(pattern, is_restricted=not cdb.ause, make_event=logical_unit.environment.event)
    begin_sanitize(logical_unit, operation)
    wait = operation.begun.wait if cdb.immed else operation.ended.wait
    return Waiting(_reply_after, operation, wait, transfer_bytes, bool(cdb.immed))


async def _reply_after(
    operation: SanitizeOperation, wait: Callable[[], Awaitable[None]], transfer_bytes: int, is_immediate: bool
) -> Reply:
    await wait()
    if operation.has_failed:
        raise operation.condition()
    if not is_immediate and not operation.is_complete:
        raise TaskAborted  # the logical unit was removed
    return Reply(transfer_bytes=transfer_bytes)


def _extents(task: Task) -> Sequence[Extent]:
    return (Extent(0, medium_blocks(task.logical_unit), writes=True),)


def _row(name: str, service_action: int, usage: str, handler: Callable[[Task], Outcome]) -> CommandRow:
    # a host that may only read must not make old data readable by EXIT FAILURE MODE
    flags = CommandFlag.SANITIZES | CommandFlag.WRITES_MEDIUM | CommandFlag.FORMATS | CommandFlag.NOT_IN_GROUP
    extents = None if service_action == EXIT_FAILURE_MODE else _extents
    mask = bytes.fromhex(usage)
    return CommandRow(f"SANITIZE, {name}", SANITIZE, mask, handler, service_action=service_action, flags=flags, extents=extents)


ROWS = (
    _row("OVERWRITE", OVERWRITE, "48a10000000000ffff00", overwrite),
    _row("BLOCK ERASE", BLOCK_ERASE, "48a20000000000000000", erase),
    _row("CRYPTOGRAPHIC ERASE", CRYPTOGRAPHIC_ERASE, "48a30000000000000000", erase),
    _row("EXIT FAILURE MODE", EXIT_FAILURE_MODE, "48bf0000000000000000", exit_failure_mode),
)
