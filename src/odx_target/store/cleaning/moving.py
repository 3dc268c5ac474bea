"""The mover, which writes the live blocks of a segment again at the end of the log.

The blocks are read in pieces, and their checksums are verified. The event loop reads a piece if it has only plain blocks that
can be read without waiting. A thread reads all other pieces. The thread also compresses an extent again if some of its blocks
are dead, or if the extent is marked for stronger compression. The event loop adds each piece to the log as `Moved` records.
"""

from array import array
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from odx_target.environment import Buffer, Environment, Work
from odx_target.native.choice import BlockReader
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.cleaning.live_marking import Live
from odx_target.store.cleaning.relocating import Moves
from odx_target.store.cleaning.repacking import repacked
from odx_target.store.errors import DamagedBlock, PoolBusy, Scarcity
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.cold_reads import check_blocks, check_extent
from odx_target.store.log.open_batch import BufferCutter
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
"""Number of steps (see `turns`) that it takes to add one run to the log, and number of blocks that are read or added in one
step."""

STEPS_OF_A_READ = 5
STEPS_OF_A_PIECE = 10
RUNS_OF_A_STEP = 2
"""Number of steps that it takes to read a piece and to add it to the log, and number of runs that are added in one step."""

STEPS_OF_A_SEGMENT = 40
SEARCHED_BLOCKS_OF_A_STEP = 160
STEPS_OF_A_COMMIT = 25
"""Number of steps that it takes to find the live runs of a segment, number of blocks that are searched in one further step, and
number of steps that a commit takes. In one turn, the blocks of many segments can be moved that have few live blocks.
"""


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
        self,
        log: Log,
        supply: SegmentSupply,
        index: ChecksumIndex,
        native: BlockReader | None,
        environment: Environment,
        troubles: Troubles,
    ) -> None:
        self.moved_blocks = 0
        self.unmovable: set[int] = set()
        self._troubles = troubles
        self._log = log
        self._supply = supply
        self._index = index
        self._native = native
        self._environment = environment
        self._turns = environment.turns
        self._uncommitted_blocks = 0

    async def move(self, number: int, runs: Iterable[Live], moves: Moves, pause: Callable[[], Awaitable[None]]) -> None:
        """Move the live runs of a segment, and store the new places in `moves`. `pause` is awaited between turns.

        Raises DamagedBlock or OSError if a block cannot be read. Raises PoolFull, OutOfResources or PoolFailed if a block
        cannot be written. After an exception, `moves` has the new places of the blocks that were moved before the exception.
        """
        segment, size_blocks = self._supply.segments[number], self._supply.size_blocks[number]
        self._turns.take(STEPS_OF_A_SEGMENT + size_blocks // SEARCHED_BLOCKS_OF_A_STEP)
        table = self._index.tables.get(number)
        for piece in pieces(runs):
            if self._turns.left <= 0:
                await pause()
            table = table or self._index.load_now(segment, size_blocks)
            if table is not None and (found := self._read_now(segment, table, piece)) is not None:
                await self._append(number, piece.runs, found, table, moves, pause)
                continue
            loaded, data = await self._environment.in_thread(
                self._read_and_repack, segment, size_blocks, table, piece, work=Work.UPKEEP
            )
            table = loaded
            await pause()
            await self._append(number, piece.runs, data, loaded, moves, pause)
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
        log = self._log
        while self._uncommitted_blocks:
            header_blocks = log.header_blocks
            try:
                log.commit_for_another()
            except Scarcity:
                await self._environment.sleep(COMMIT_PAUSE_S)
                await pause()
            else:
                log.moved_blocks += self._uncommitted_blocks + log.header_blocks - header_blocks
                self._uncommitted_blocks = 0
                self._turns.take(STEPS_OF_A_COMMIT)

    def _read_now(self, segment: Segment, table: "array[int]", piece: Piece) -> Sequence[Buffer] | None:
        """Read a piece of plain blocks without waiting, and verify their checksums. Returns the blocks of all runs one after
        the other. Returns None if a thread must read the piece, or must find the damage in it.
        """
        if any(run.pairs for run in piece.runs):
            return None
        self._turns.take(STEPS_OF_A_READ + sum(run.count_blocks for run in piece.runs) // BLOCKS_OF_A_STEP)
        if self._native is not None and (content := self._native.gather_now(segment.number, piece.runs)) is not None:
            return [content]
        buffer = segment.read_now(piece.first, piece.end - piece.first)
        try:
            return None if buffer is None else checked_runs(memoryview(buffer), table, piece)
        except DamagedBlock:
            return None

    async def _append(
        self,
        number: int,
        runs: Sequence[Live],
        data: Sequence[Buffer],
        table: "array[int]",
        moves: Moves,
        pause: Callable[[], Awaitable[None]],
    ) -> None:
        # An extent is counted twice, because it may not fit into the rest of a segment, and these blocks then stay unused.
        needed_blocks = sum(map(len, data)) // BLOCK_BYTES + sum(run.count_blocks for run in runs if run.pairs)
        while True:
            try:
                self._log.require_moved(needed_blocks)
                break
            except PoolBusy:
                await self._supply.made()
                await pause()
        if not self._append_together(number, runs, data, table, moves):
            self._append_each(number, runs, data, moves)
        if self._uncommitted_blocks >= COMMIT_BLOCKS:
            await pause()  # The commit copies up to 512 KiB to the operating system, so it gets a turn of its own.
            await self.end(pause)

    def _append_together(
        self, number: int, runs: Sequence[Live], data: Sequence[Buffer], table: "array[int]", moves: Moves
    ) -> bool:
        """Add the runs of a piece with one call. Returns False if they are not all plain, or do not fit into one part."""
        if any(run.pairs for run in runs):
            return False
        checksums = array("I")
        for block, count_blocks, _ in runs:
            checksums += table[block : block + count_blocks]
        place = self._log.move(number, runs, data, checksums)
        if place is None:
            return False
        moves.note_runs(number, runs, place)
        self._count(len(checksums))
        self._turns.take(STEPS_OF_A_PIECE + len(runs) // RUNS_OF_A_STEP)
        return True

    def _append_each(self, number: int, runs: Sequence[Live], data: Sequence[Buffer], moves: Moves) -> None:
        log = self._log
        for (block, count_blocks, pairs), buffer in zip(runs, _of_each_run(runs, data), strict=True):
            if pairs:
                extent_place = log.move_extent(number, block, buffer)
                if extent_place is not None:
                    moves.note_extent(number, block, extent_place)
            else:
                for at, place, count in log.write(number, block, [buffer], count_blocks, MOVED):
                    moves.note(number, at, place, count)
            self._count(len(buffer) // BLOCK_BYTES)
            self._turns.take(STEPS_OF_A_RUN + count_blocks // BLOCKS_OF_A_STEP)

    def _count(self, moved_blocks: int) -> None:
        self.moved_blocks += moved_blocks
        self._uncommitted_blocks += moved_blocks

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
    return table, checked_runs(memoryview(segment.read(piece.first, piece.end - piece.first)), table, piece)


def checked_runs(view: memoryview, table: "array[int]", piece: Piece) -> list[memoryview]:
    """Return the data of each run of a piece, after its checksums were verified. `view` has the blocks of the segment from the
    first block of the piece on. Raises DamagedBlock.
    """
    data = []
    for block, count_blocks, pairs in piece.runs:
        start = (block - piece.first) * BLOCK_BYTES
        part = view[start : start + count_blocks * BLOCK_BYTES]
        if pairs:
            check_extent(part, table, block, block)
        else:
            check_blocks(part, table, block, count_blocks, block)
        data.append(part)
    return data


def pieces(runs: Iterable[Live]) -> Iterator[Piece]:
    """Divide the runs of a segment into pieces. The runs are in ascending order. Each piece covers at most PIECE_BLOCKS blocks
    of the segment.

    A run of plain blocks may be divided between pieces. An extent is never divided.
    """
    waiting: list[Live] = []
    end_of_piece = 0
    for run in runs:
        block, count_blocks, pairs = run
        end = block + count_blocks
        if end <= end_of_piece:  # This is so for nearly all runs.
            waiting.append(run)
            continue
        while block < end:
            least_blocks = end - block if pairs else 1
            if waiting and block + least_blocks - waiting[0].block > PIECE_BLOCKS:
                yield _piece(waiting)
                waiting = []
            first = waiting[0].block if waiting else block
            count = min(end - block, first + PIECE_BLOCKS - block)
            waiting.append(Live(block, count, pairs))
            block += count
        end_of_piece = waiting[0].block + PIECE_BLOCKS
    if waiting:
        yield _piece(waiting)


def _piece(runs: list[Live]) -> Piece:
    return Piece(runs[0].block, runs[-1].block + runs[-1].count_blocks, runs)


def _of_each_run(runs: Sequence[Live], data: Sequence[Buffer]) -> Iterator[Buffer]:
    """Yield the data of each run. `data` has one buffer for each run, or one buffer with the blocks of all runs."""
    if len(data) == len(runs):
        yield from data
        return
    cutter = BufferCutter(data)
    for run in runs:
        (buffer,) = cutter.take(run.count_blocks * BLOCK_BYTES)
        yield buffer
