"""Checks of a WRITE USING TOKEN that runs in the background: its results, its list identifier, and the events that end it.

The checks copy to blocks that are not aligned with the source, because many targets copy aligned blocks at once. If the
operation has ended before the next command, the rules cannot be checked.
"""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.faults import CheckFailed, NotSupported, require, require_equal
from odx_target.conformance.token_copy.commands import (
    IN_PROGRESS,
    IN_PROGRESS_LAST,
    MAX_POLLS,
    POLL_DELAY_S,
    WRITE,
    information,
    make_token,
    populate_list,
    require_count,
    write_using,
)
from odx_target.conformance.unit import MAX_BYTES_IN_COMMAND, Unit, pattern
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import CopyOperation, CopyOperationStatus

MAX_COPY_BYTES = 48 << 20
MARKED_BLOCKS = 8
"""Number of blocks at the end of the source and the destination whose content is known."""
OLD, NEW = 71, 72
QUIET_TIME_S = 1.0
"""Time after an event in which a target must not write any more."""


def place(unit: Unit) -> tuple[int, int]:
    """Return the first block of the destination and the number of blocks of the copy. The source begins at LBA 0."""
    middle = unit.capacity_blocks // 2
    limits = unit.copy_limits
    sizes = [middle - 2 * MARKED_BLOCKS, MAX_COPY_BYTES // unit.block_bytes, limits.max_token_transfer_blocks or middle]
    return middle + 1, min(sizes)


def end_of(unit: Unit) -> int:
    """Return the first of the marked blocks at the end of the destination."""
    lba, count = place(unit)
    return lba + count - MARKED_BLOCKS


async def begin(unit: Unit) -> None:
    """Start a copy in the background. Raises NotSupported if it has ended when its state is first queried."""
    lba, count = place(unit)
    if count < 4 * MARKED_BLOCKS:
        raise NotSupported("the LUN is too small")
    # Many targets copy blocks that were never written at once, so the whole source is written.
    part = pattern(NEW, MAX_BYTES_IN_COMMAND // unit.block_bytes, unit.block_bytes)
    for start in range(0, count, len(part) // unit.block_bytes):
        await unit.write(start, part[: (count - start) * unit.block_bytes])
    await unit.fill(NEW, count - MARKED_BLOCKS, MARKED_BLOCKS)
    await unit.fill(OLD, end_of(unit), MARKED_BLOCKS)
    token = await make_token(unit, [(0, count)])
    await write_using(unit, token, [(lba, count)], immediate=True)
    if not is_running(await information(unit, WRITE)):
        raise NotSupported("the operation ends before its state can be queried")


def is_running(operation: CopyOperation) -> bool:
    return IN_PROGRESS <= operation.status <= IN_PROGRESS_LAST


async def ended(unit: Unit) -> CopyOperation:
    """Poll the operation until it has ended. Fails if its count goes down."""
    count = 0
    for _ in range(MAX_POLLS):
        operation = await information(unit, WRITE)
        require(operation.transfer_count >= count, f"TRANSFER COUNT went from {count} to {operation.transfer_count}")
        if not is_running(operation):
            return operation
        count = operation.transfer_count
        await unit.sleep(POLL_DELAY_S)
    raise CheckFailed(f"the operation is still in progress after {MAX_POLLS * POLL_DELAY_S:g} s")


async def writes_no_more(unit: Unit) -> None:
    """Fail if the end of the destination is written although the operation was stopped before."""
    old = pattern(OLD, MARKED_BLOCKS, unit.block_bytes)
    if await unit.read(end_of(unit), MARKED_BLOCKS) != old:
        raise NotSupported("the operation has written all blocks before it was stopped")
    await unit.sleep(QUIET_TIME_S)
    await unit.holds(end_of(unit), old, "its old content some time after the operation was stopped")


async def counts_up(bench: Bench) -> None:
    unit = bench.first
    await begin(unit)
    operation = await ended(unit)
    require_equal("COPY OPERATION STATUS", operation.status, CopyOperationStatus.COMPLETED)
    require_count(operation, place(unit)[1])
    await unit.holds(end_of(unit), pattern(NEW, MARKED_BLOCKS, unit.block_bytes), "the data that the token represents")


async def has_no_tokens(bench: Bench) -> None:
    unit = bench.first
    await begin(unit)
    operation = await information(unit, WRITE)
    require_equal("number of ROD tokens", len(operation.tokens), 0)
    require_equal("length of the sense data", len(operation.sense), 0)
    await ended(unit)


async def keeps_its_identifier(bench: Bench) -> None:
    unit = bench.first
    await begin(unit)
    data = populate_list([(0, MARKED_BLOCKS)])
    await unit.refused(cdb.populate_token(WRITE, len(data)), "5/00/16", data_out=data)
    operation = await ended(unit)
    require_equal("RESPONSE TO SERVICE ACTION", operation.service_action, cdb.WRITE_USING_TOKEN)
    require_count(operation, place(unit)[1])


async def aborts(bench: Bench) -> None:
    unit = bench.first
    await begin(unit)
    await unit.good(cdb.copy_operation_abort(WRITE))
    operation = await information(unit, WRITE)
    require_equal("COPY OPERATION STATUS", operation.status, CopyOperationStatus.TERMINATED)
    require(operation.transfer_count < place(unit)[1], "TRANSFER COUNT of the aborted operation is that of a whole copy")
    await writes_no_more(unit)


async def ends_at_reset(bench: Bench) -> None:
    unit = bench.first
    await begin(unit)
    require_equal("response to LOGICAL UNIT RESET", await unit.path.reset_logical_unit(unit.lun), 0)
    await unit.refused(cdb.receive_rod_token_information(WRITE, 1024), "5/24/00", data_in_bytes=1024)
    await writes_no_more(unit)


_INFORMATION, _ABORT, _IDENTIFIERS = "SPC-4 6.28", "SPC-4 6.3", "SPC-4 5.16.4.2"
TOKEN = Need.TOKEN_COPY | Need.DESTRUCTIVE

CHECKS = (
    Check("token.progress.count", _INFORMATION, "The count of a running operation goes up to its end", counts_up, TOKEN),
    Check("token.progress.tokens", _INFORMATION, "A running operation has no tokens and no sense data", has_no_tokens, TOKEN),
    Check(
        "token.progress.identifier",
        _IDENTIFIERS,
        "The identifier of a running operation is in use",
        keeps_its_identifier,
        TOKEN,
    ),
    Check("token.progress.abort", _ABORT, "COPY OPERATION ABORT stops a running operation", aborts, TOKEN),
    Check("token.progress.reset", "SPC-4 5.16.4.3", "LOGICAL UNIT RESET stops a running operation", ends_at_reset, TOKEN),
)
