"""The mover, which writes the live blocks of a segment again at the end of the log.

A thread reads the blocks in pieces and verifies their checksums. The thread also compresses an extent again if some of its
blocks are dead, or if the extent is marked for stronger compression. The event loop adds each piece to the log as `Moved`
records.
"""

from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from odx_target.environment import Buffer, Environment, Work
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.cleaning.live_marking import Live
from odx_target.store.cleaning.relocating import Moves
from odx_target.store.cleaning.repacking import repacked
from odx_target.store.errors import DamagedBlock, PoolBusy, Scarcity
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.reader import check_blocks, check_extent
from odx_target.store.log.records import MOVED
from odx_target.store.log.writer import Log
from odx_target.store.segments.segment import Segment
from odx_target.store.segments.supply import SegmentSupply
from odx_target.store.troubles import Troubles

PIECE_BLOCKS = 128
"""Largest number of blocks in a piece: 512 KiB. One call in a thread reads a piece, and one turn of the event loop (see
`turns`) adds it to the log."""

COMMIT_BLOCKS = 128
"""Number of moved blocks after which the mover commits them to the log. With smaller commits, more headers would be written."""

COMMIT_PAUSE_S = 0.1
"""Pause before the next attempt to commit blocks, if the operating system did not accept the last write."""

STEPS_OF_A_RUN = 3
BLOCKS_OF_A_STEP = 2


class Piece(NamedTuple):
    """Live runs of a segment that are read at once. `first` is the first block of the first run, and `end` is the block after
    the last run.
    """

    first: int
    end: int
    runs: Sequence[Live]


class Mover:
    """Moves live blocks of sealed segments to the end of the log.

    `unmovable` has the numbers of the segments of which `move_if_readable` could not read a block.
    """

    def __init__(
        self, log: Log, supply: SegmentSupply, index: ChecksumIndex, environment: Environment, troubles: Troubles
    ) -> None:
        self.moved_blocks = 0
        self.unmovable: set[int] = set()
        self._troubles = troubles
        self._log = log
        self._supply = supply
        self._index = index
        self._environment = environment
        self._uncommitted_blocks = 0

    async def move(self, number: int, runs: Iterable[Live], moves: Moves, pause: Callable[[], Awaitable[None]]) -> None:
        """Move the live runs of a segment, and store the new places in `moves`. `pause` is awaited after each piece.

        Raises DamagedBlock or OSError if a block cannot be read. Raises PoolFull, OutOfResources or PoolFailed if a block
        cannot be written. After an exception, `moves` has the new places of the blocks that were moved before the exception.
        """
        segment, size_blocks = self._supply.segments[number], self._supply.size_blocks[number]
        table = self._index.tables.get(number)
        for piece in pieces(runs):
            table, data = await self._environment.in_thread(
                self._read_and_repack, segment, size_blocks, table, piece, work=Work.UPKEEP
            )
            await pause()
            await self._append(number, piece.runs, data, moves, pause)
        await self.end(pause)

    async def move_if_readable(
        self, number: int, runs: Iterable[Live], moves: Moves, pause: Callable[[], Awaitable[None]]
    ) -> bool:
        """Do the same as `move`. If a block cannot be read, report this, add the segment to `unmovable`, and return False.

        Raises PoolFull, OutOfResources or PoolFailed.
        """
        try:
            await self.move(number, runs, moves, pause)
        except (DamagedBlock, OSError) as error:
            self.unmovable.add(number)
            self._troubles.not_cleaned(error)
            await self.end(pause)
            return False
        return True

    async def end(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Commit the moved blocks. Repeat the commit until the operating system accepts the write.

        After the commit, maps may refer to the new places. Raises PoolFailed.
        """
        while self._uncommitted_blocks:
            try:
                self._log.commit_for_another()
            except Scarcity:
                await self._environment.sleep(COMMIT_PAUSE_S)
                await pause()
            else:
                self._uncommitted_blocks = 0

    async def _append(
        self, number: int, runs: Sequence[Live], data: Sequence[Buffer], moves: Moves, pause: Callable[[], Awaitable[None]]
    ) -> None:
        log, turns = self._log, self._environment.turns
        while True:
            try:
                log.require_moved(_needed_blocks(runs, data))
                break
            except PoolBusy:
                await self._supply.made()
                await pause()
        for (block, _, pairs), buffer in zip(runs, data, strict=True):
            count_blocks = len(buffer) // BLOCK_BYTES
            if pairs:
                extent_place = log.move_extent(number, block, buffer)
                if extent_place is not None:
                    moves.note_extent(number, block, extent_place)
            else:
                for at, place, count in log.write(number, block, [buffer], count_blocks, MOVED):
                    moves.note(number, at, place, count)
            turns.take(STEPS_OF_A_RUN + count_blocks // BLOCKS_OF_A_STEP)
            self.moved_blocks += count_blocks
            self._uncommitted_blocks += count_blocks
        if self._uncommitted_blocks >= COMMIT_BLOCKS:
            await pause()  # The commit copies up to 512 KiB to the operating system, so it gets a turn of its own.
            await self.end(pause)

    def _read_and_repack(
        self, segment: Segment, size_blocks: int, table: "array[int] | None", piece: Piece
    ) -> tuple["array[int]", list[Buffer]]:
        table, data = read_piece(self._index, segment, size_blocks, table, piece)
        runs = zip(piece.runs, data, strict=True)
        return table, [repacked(part, run.pairs, run.block) if run.pairs else part for run, part in runs]


def read_piece(
    index: ChecksumIndex, segment: Segment, size_blocks: int, table: "array[int] | None", piece: Piece
) -> tuple["array[int]", list[memoryview]]:
    """Read the runs of a piece, and verify their checksums. Waits for the disk, so call it in a thread.

    Returns the checksums of the segment, and the data of each run as it is in the segment. Raises DamagedBlock, OSError.
    """
    if table is None:
        table = index.load(segment, size_blocks)
    view = memoryview(segment.read(piece.first, piece.end - piece.first))
    data = []
    for block, count_blocks, pairs in piece.runs:
        start = (block - piece.first) * BLOCK_BYTES
        part = view[start : start + count_blocks * BLOCK_BYTES]
        if pairs:
            check_extent(part, table, block, block)
        else:
            check_blocks(part, table, block, count_blocks, block)
        data.append(part)
    return table, data


def pieces(runs: Iterable[Live]) -> Iterator[Piece]:
    """Divide the runs of a segment into pieces. The runs are in ascending order. Each piece covers at most PIECE_BLOCKS blocks
    of the segment.

    A run of plain blocks may be divided between pieces. An extent is never divided.
    """
    waiting: list[Live] = []
    for block, count_blocks, pairs in runs:
        end = block + count_blocks
        while block < end:
            least_blocks = end - block if pairs else 1
            if waiting and block + least_blocks - waiting[0].block > PIECE_BLOCKS:
                yield _piece(waiting)
                waiting = []
            first = waiting[0].block if waiting else block
            count = min(end - block, first + PIECE_BLOCKS - block)
            waiting.append(Live(block, count, pairs))
            block += count
    if waiting:
        yield _piece(waiting)


def _piece(runs: list[Live]) -> Piece:
    return Piece(runs[0].block, runs[-1].block + runs[-1].count_blocks, runs)


def _needed_blocks(runs: Sequence[Live], data: Sequence[Buffer]) -> int:
    """Return the largest number of blocks that the log may need for the runs. An extent is counted twice, because it may not
    fit into the rest of a segment, and these blocks then stay unused.
    """
    return sum(len(buffer) // BLOCK_BYTES * (2 if run.pairs else 1) for run, buffer in zip(runs, data, strict=True))
