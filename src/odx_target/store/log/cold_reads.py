"""Reads of runs of blocks that are not in the page cache, in a thread, and the check of blocks against their checksums."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.native.checksum import crc32c
from odx_target.native.choice import NATIVE
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import of_read, passes
from odx_target.store.errors import DamagedBlock, StoreError
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.compressed.extent_cache import Decompressed, decompressed
from odx_target.store.segments.places import COMPRESSED, extent_of
from odx_target.store.segments.segment import Segment


class MissingRun(NamedTuple):
    """A run of blocks that must be read from the disk. `place` is the place of the first block of the run.

    The read begins at the block `at` of the segment and has `log_blocks` blocks. `block` is the number of the first block of
    the run in the volume.
    """

    segment: Segment
    size_blocks: int
    at: int
    log_blocks: int
    place: int
    count_blocks: int
    block: int

    @property
    def extent(self) -> int:
        """The place of block 0 of the extent that contains the run. 0 if the run is not compressed."""
        return extent_of(self.place) if self.place >= COMPRESSED else 0


def read_runs(
    index: ChecksumIndex, missing: Sequence[MissingRun], tables: dict[int, "array[int]"]
) -> list[bytearray | Decompressed]:
    """Read and check runs of blocks, in a thread. A checksum table that is loaded from the disk is added to `tables`.

    Returns a bytearray for each uncompressed run. For a compressed run, returns the whole extent. If several runs are in
    the same extent, it is read and decompressed once.
    """
    found: list[bytearray | Decompressed] = []
    extents: dict[int, Decompressed] = {}
    for each in missing:
        content: bytearray | Decompressed | None = extents.get(each.extent)
        if content is None:
            content = _read_run(index, each, tables)
            if isinstance(content, Decompressed):
                extents[each.extent] = content
        found.append(content)
    return found


def _read_run(index: ChecksumIndex, missing: MissingRun, tables: dict[int, "array[int]"]) -> bytearray | Decompressed:
    """Read and check one run in a thread. For a compressed run, returns the whole extent."""
    segment, at, log_blocks, block = missing.segment, missing.at, missing.log_blocks, missing.block
    try:
        table = tables.get(segment.number)
        if table is None:
            table = tables[segment.number] = index.load(segment, missing.size_blocks)
        buffer = segment.read(at, log_blocks)
    except OSError as error:
        raise _explained(error, missing) from error
    if missing.place < COMPRESSED:
        check_blocks(buffer, table, at, log_blocks, block)
        return buffer
    check_extent(buffer, table, at, block)
    return decompressed(buffer, block)


def _explained(error: OSError, missing: MissingRun) -> StoreError:
    """Make the exception for a run that could not be read. The exception has the number of the first unreadable block, if this
    block can be found.
    """
    block = missing.block
    if passes(error) or missing.place >= COMPRESSED:
        return of_read(block, error)
    for index in range(missing.count_blocks):
        try:
            missing.segment.read(missing.at + index, 1)
        except OSError as cause:
            return of_read(block + index, cause)
    return of_read(block, error)


def check_extent(buffer: Buffer, table: "array[int]", at: int, block: int) -> None:
    """Check the log blocks of an extent. If one of them is damaged, raises DamagedBlock for `block`, a block number in a
    volume.
    """
    try:
        check_blocks(buffer, table, at, len(buffer) // BLOCK_BYTES, block)
    except DamagedBlock:
        raise DamagedBlock(block) from None


def check_blocks(buffer: Buffer, table: "array[int]", at: int, count: int, block: int) -> None:
    if at + count > len(table):
        raise DamagedBlock(block + max(0, len(table) - at))
    if count == 1:
        if crc32c(buffer) != table[at]:
            raise DamagedBlock(block)
        return
    view = memoryview(buffer)
    # A read of 4 KiB that is not aligned to blocks has two blocks. Their check without the loop takes a quarter less time.
    if count == 2 and crc32c(view[:BLOCK_BYTES]) == table[at] and crc32c(view[BLOCK_BYTES:]) == table[at + 1]:
        return
    # The native module holds the lock of the interpreter for a fraction of the time that the loop takes.
    if NATIVE is not None and NATIVE.block_checksums(view) == table[at : at + count].tolist():
        return
    offset = 0
    for index, checksum in enumerate(table[at : at + count]):
        end = offset + BLOCK_BYTES
        if crc32c(view[offset:end]) != checksum:
            raise DamagedBlock(block + index)
        offset = end
