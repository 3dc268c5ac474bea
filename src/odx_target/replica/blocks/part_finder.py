"""Division of a range of a source into parts. Blocks that the receiver has already are left out.

What a receiver has is known from its *base*: a snapshot that both arrays have, or a volume of holes. Without a base, all blocks
are in a part.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from odx_target.environment import Environment
from odx_target.replica.blocks.limits import MAX_SILENCE_S
from odx_target.replica.blocks.ranges import part_end
from odx_target.store.api import Absent, BlockSource, Change, Pool, PoolBusy
from odx_target.turns import Steps


class Run(NamedTuple):
    """Adjacent blocks. `change` is the difference of the source from what the receiver has."""

    block: int
    count_blocks: int
    change: Change


class Base(Protocol):
    """The content that the receiver has before the exchange."""

    is_known: bool
    """True if blocks with Change.NONE may be left out."""

    def changes(self, source: BlockSource, block: int, steps: Steps) -> Iterator[tuple[int, int, Change]]:
        """Yield the differences of the source from the base; see `Pool.differences`."""
        ...


class Unknown:
    """The receiver may have anything, so all blocks of the source are offered, and also its holes."""

    is_known = False

    def changes(self, source: BlockSource, block: int, steps: Steps) -> Iterator[tuple[int, int, Change]]:
        for at, count_blocks, is_mapped in source.extents(block, steps):
            yield at, count_blocks, Change.DATA if is_mapped else Change.HOLE


class Holes:
    """The receiver has a volume of holes."""

    is_known = True

    def changes(self, source: BlockSource, block: int, steps: Steps) -> Iterator[tuple[int, int, Change]]:
        for at, count_blocks, is_mapped in source.extents(block, steps):
            yield at, count_blocks, Change.DATA if is_mapped else Change.NONE


class Older:
    """The receiver has the content of another snapshot of the pool. Blocks beyond the end of this snapshot are holes."""

    is_known = True

    def __init__(self, pool: Pool, older: BlockSource) -> None:
        self._pool = pool
        self._older = older

    def changes(self, source: BlockSource, block: int, steps: Steps) -> Iterator[tuple[int, int, Change]]:
        yield from self._pool.differences(self._older, source, block, steps)


class PartFinder:
    """Finds the parts of the blocks from `first` to `end`, one after the other. A part has up to `part_blocks`.

    If the last blocks of the range are left out, the last part is the last block of the range, so that the receiver knows the
    end. While blocks are left out, a part is returned every `MAX_SILENCE_S`, so that the receiver knows that the sender works.
    """

    def __init__(
        self, source: BlockSource, base: Base, first: int, end: int, environment: Environment, part_blocks: int
    ) -> None:
        self._source = source
        self._base = base
        self._at = first
        self._end = end
        self._environment = environment
        self._part_blocks = part_blocks
        self._runs: deque[Run] = deque()
        self.has_ended = False
        """True if the last part was returned."""

    async def next(self) -> list[Run]:
        """Return the runs of the next part. Raises Absent, and the exceptions of `BlockSource.extents` except PoolBusy."""
        silent_until_s = self._environment.monotonic() + MAX_SILENCE_S
        while self._base.is_known and self._at < self._end and (await self._run()).change is Change.NONE:
            if self._environment.monotonic() >= silent_until_s:
                break
            self._take(self._end)
        if self._at >= self._end:
            self.has_ended = True
            return [Run(self._end - 1, 1, Change.NONE)]
        following, runs = part_end(self._at, self._end, self._part_blocks), []
        while self._at < following:
            await self._run()
            runs.append(self._take(following))
        self.has_ended = following == self._end
        return runs

    def _take(self, end: int) -> Run:
        """Take the beginning of the first run, up to `end`."""
        run = self._runs.popleft()
        taken = min(run.block + run.count_blocks, end) - run.block
        if taken < run.count_blocks:
            self._runs.appendleft(Run(run.block + taken, run.count_blocks - taken, run.change))
        self._at = run.block + taken
        return Run(run.block, taken, run.change)

    async def _run(self) -> Run:
        """Return the run that begins at the present block."""
        turns = self._environment.turns
        while not self._runs:
            if self._end > self._source.size_blocks:
                raise Absent("the snapshot was deleted while it was sent")
            try:
                self._runs.extend(Run(*run) for run in self._base.changes(self._source, self._at, turns))
            except PoolBusy:
                await self._source.map_loaded()
            await turns.next_if_spent()
        return self._runs[0]
