"""The work of a sanitize operation (SBC-4 4.11), which goes on after resets and restarts of the array.

1. A record of the operation is made durable. From then on, the operation cannot be stopped.
2. Tokens for data of the logical unit end, and its copies stop.
3. All blocks are deallocated.
4. OVERWRITE writes its pattern to the first blocks. All other blocks share these blocks, so the pattern needs little room. Each
   step doubles the part that has the pattern. So a unit of any size needs few steps, and its map has few nodes.
5. The record is removed. Only then does the logical unit accept other commands.

Data of the store is never overwritten in place. So one pass, which writes what the last pass of OVERWRITE must leave, has the
same result as the passes that OVERWRITE COUNT requests.
"""

from collections.abc import Callable
from contextlib import suppress

from odx_target.scsi.commands.blocks.deallocate_all import MadeSmaller, deallocate_all, medium_blocks
from odx_target.scsi.failures import BUSY_FAILURES
from odx_target.scsi.limits import FORMAT_RETRY_S, PATTERN_BYTES, STEPS_OF_A_MEBIBYTE
from odx_target.scsi.tasks.task import TaskAborted
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.sanitize_operation import SanitizeOperation, drop, keep
from odx_target.store.api import BLOCK_BYTES, StoreError


def begin_sanitize(logical_unit: LogicalUnit, operation: SanitizeOperation) -> None:
    """Begin a sanitize operation in the background. A failed operation before this one no longer matters.

    If this function raises an exception, nothing has begun.
    """
    pool, identity, previous = logical_unit.pool, logical_unit.volume.identity, logical_unit.sanitize_operation
    keep(pool, identity, operation)
    logical_unit.sanitize_operation = operation
    try:
        logical_unit.environment.start_soon(_sanitize_in_background, logical_unit, operation)
    except BaseException:
        logical_unit.sanitize_operation = previous
        if previous is None:
            drop(pool, identity)
        else:
            keep(pool, identity, previous)
        raise


def continue_sanitize(logical_unit: LogicalUnit) -> None:
    """Continue a sanitize operation that a restart of the array has interrupted. Does nothing if there is none."""
    operation = logical_unit.sanitize_operation
    if operation is not None and not operation.has_failed:
        logical_unit.environment.start_soon(_sanitize_in_background, logical_unit, operation)


async def _sanitize_in_background(logical_unit: LogicalUnit, operation: SanitizeOperation) -> None:
    try:
        while True:
            try:
                await _sanitize(logical_unit, operation)
                return
            except BUSY_FAILURES:  # the machine has too few resources at the moment
                await logical_unit.environment.sleep(FORMAT_RETRY_S)
    except TaskAborted:
        pass
    except StoreError:
        _fail(logical_unit, operation)
    finally:
        operation.begun.set()
        operation.ended.set()


async def _sanitize(logical_unit: LogicalUnit, operation: SanitizeOperation) -> None:
    """Do the work of an operation. A repeated call goes on after the last step that was done. Raises TaskAborted if the logical
    unit was removed.
    """

    def raise_if_removed() -> None:
        if logical_unit.sanitize_operation is not operation:
            raise TaskAborted

    await _make_durable(logical_unit)
    operation.begun.set()
    for listener in logical_unit.on_sanitize:
        await listener(logical_unit)
    await deallocate_all(logical_unit, operation, raise_if_removed)
    if operation.pattern:
        await _fill(logical_unit, operation, raise_if_removed)
    raise_if_removed()
    drop(logical_unit.pool, logical_unit.volume.identity)
    await _make_durable(logical_unit)
    raise_if_removed()
    operation.is_complete = True
    logical_unit.format_operation = None
    logical_unit.sanitize_operation = None


def _fail(logical_unit: LogicalUnit, operation: SanitizeOperation) -> None:
    """Record a failure. If the pool accepts no records any more, the operation goes on after the next start of the array."""
    if logical_unit.sanitize_operation is not operation:
        return
    operation.fail()
    with suppress(StoreError):
        keep(logical_unit.pool, logical_unit.volume.identity, operation)


async def _fill(logical_unit: LogicalUnit, operation: SanitizeOperation, before_change: Callable[[], None]) -> None:
    """Fill each logical block with the pattern. The size of the unit may change meanwhile.

    The first blocks, and those after the last whole block of the store, are written. All others are shared. Blocks beyond the
    end of the unit stay zeros, because hosts can read them after the unit has grown.
    """
    while operation.filled_blocks < _pattern_end(logical_unit):
        await logical_unit.environment.turns.next_if_spent()
        try:
            is_sharable = operation.filled_blocks >= BLOCK_BYTES // logical_unit.block_bytes
            if not is_sharable or not _missing_store_blocks(logical_unit, operation):
                await _write_pattern(logical_unit, operation, before_change)
            elif not _share_pattern(logical_unit, operation, before_change):
                await logical_unit.volume.room_made()
        except MadeSmaller:
            continue
    beyond_blocks = min(operation.filled_blocks, medium_blocks(logical_unit)) - _pattern_end(logical_unit)
    if beyond_blocks > 0:  # the unit was made smaller meanwhile
        await logical_unit.blocks.unmap(_pattern_end(logical_unit), beyond_blocks, before_change)


def _pattern_end(logical_unit: LogicalUnit) -> int:
    """Return the number of logical blocks that get the pattern: all blocks of the unit, and also those that it is about to lose
    by a change of its size that may still fail.
    """
    end, per_store_block = logical_unit.capacity_blocks, BLOCK_BYTES // logical_unit.block_bytes
    return end if end > medium_blocks(logical_unit) - per_store_block else medium_blocks(logical_unit)


async def _write_pattern(logical_unit: LogicalUnit, operation: SanitizeOperation, before_change: Callable[[], None]) -> None:
    """Write the pattern to the next blocks."""
    turns, block_bytes = logical_unit.environment.turns, logical_unit.block_bytes
    begin = operation.filled_blocks
    end = min(begin + PATTERN_BYTES // block_bytes, _pattern_end(logical_unit))

    def check() -> None:
        before_change()
        if end > _pattern_end(logical_unit):
            raise MadeSmaller

    async def pause() -> None:
        await logical_unit.pool.committed()
        turns.take(STEPS_OF_A_MEBIBYTE)
        await turns.next()

    repeated = operation.pattern * -(-block_bytes // len(operation.pattern))
    await logical_unit.blocks.write_same(begin, end - begin, repeated[:block_bytes], pause, check)
    operation.made_filling_progress(end, _pattern_end(logical_unit))


def _missing_store_blocks(logical_unit: LogicalUnit, operation: SanitizeOperation) -> int:
    """Return the number of whole blocks of the store in the logical unit that do not contain the pattern yet."""
    per_store_block = BLOCK_BYTES // logical_unit.block_bytes
    return _pattern_end(logical_unit) // per_store_block - operation.filled_blocks // per_store_block


def _share_pattern(logical_unit: LogicalUnit, operation: SanitizeOperation, before_change: Callable[[], None]) -> bool:
    """Copy the references to blocks that contain the pattern to the next blocks. Return False if the copy has to wait.

    The distance between the source and the next blocks is a power of two, so both begin at the same place in the nodes of the
    map. The map then shares whole subtrees, and the copy of any number of blocks is fast.
    """
    before_change()
    per_store_block = BLOCK_BYTES // logical_unit.block_bytes
    filled = operation.filled_blocks // per_store_block
    distance = 1 << filled.bit_length() - 1
    frozen = logical_unit.volume.freeze()
    try:
        count = min(distance, _missing_store_blocks(logical_unit, operation))
        copied = logical_unit.blocks.copy_from_now(frozen, filled - distance, filled, count)
    finally:
        frozen.release()
    logical_unit.environment.turns.take()
    operation.made_filling_progress((filled + copied) * per_store_block, _pattern_end(logical_unit))
    return bool(copied)


async def _make_durable(logical_unit: LogicalUnit) -> None:
    await logical_unit.pool.committed()
    await logical_unit.pool.flush()
