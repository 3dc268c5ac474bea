"""Sources of blocks that are kept in a dictionary, and the comparison of their contents."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES, Change, ChangedRanges, DamagedBlock, PoolSpace, Space, StoreError, VolumeSpace
from odx_target.turns import Steps
from tests.sim.virtual_environment import VirtualEnvironment

ZEROS = bytes(BLOCK_BYTES)


class MemoryBlocks:
    """A source of blocks. `is_cold()` decides whether a read must wait. Reads of `damaged` blocks fail."""

    def __init__(self, environment: VirtualEnvironment, size_blocks: int, blocks: dict[int, bytes]) -> None:
        self.environment = environment
        self.size_blocks = size_blocks
        self.blocks = blocks
        self.is_cold: Callable[[], bool] = lambda: False
        self.read_delay_s = 0.001
        self.damaged: set[int] = set()

    def read_now(self, block: int, count_blocks: int) -> list[Buffer] | None:
        if self.is_cold():
            return None
        return self._content(block, count_blocks)

    async def read(self, block: int, count_blocks: int) -> list[Buffer]:
        content = self._content(block, count_blocks)
        await self.environment.sleep(self.read_delay_s)
        return content

    async def map_loaded(self) -> None:
        pass

    async def load(self, block: int, count_blocks: int) -> None:
        self.check_range(block, count_blocks)

    def check_range(self, block: int, count_blocks: int) -> None:
        if block < 0 or count_blocks < 0 or block + count_blocks > self.size_blocks:
            raise StoreError(f"{count_blocks} blocks from block {block} lie beyond the end at {self.size_blocks}")

    def _content(self, block: int, count_blocks: int) -> list[Buffer]:
        self.check_range(block, count_blocks)
        for wanted in range(block, block + count_blocks):
            if wanted in self.damaged:
                raise DamagedBlock(wanted)
        return [self.blocks.get(wanted, ZEROS) for wanted in range(block, block + count_blocks)]

    def extents(self, block: int, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        """Yield extents, and take one step for every fourth block."""
        is_spent = False
        while block < self.size_blocks and not is_spent:
            first, mapped = block, block in self.blocks
            while block < self.size_blocks and (block in self.blocks) == mapped and not is_spent:
                block += 1
                is_spent = steps is not None and steps.take(block % 4 == 0) <= 0
            yield first, block - first, mapped

    def allocated_now(self, block: int, steps: Steps) -> ChangedRanges | None:
        return None if self.is_cold() else self._allocated(block, steps)

    async def allocated(self, block: int, count_blocks: int) -> ChangedRanges:
        await self.environment.sleep(self.read_delay_s)
        return self._allocated(block, Steps(3))

    def _allocated(self, block: int, steps: Steps) -> ChangedRanges:
        runs = list(self.extents(block, steps))
        rows = [(at, count, Change.DATA.value) for at, count, is_mapped in runs if is_mapped]
        return ChangedRanges(*np.array(rows, dtype=np.int64).reshape(-1, 3).T, end=sum(runs[-1][:2]) if runs else block)


def differences_of(
    older: MemoryBlocks, newer: MemoryBlocks, block: int = 0, steps: Steps | None = None
) -> Iterator[tuple[int, int, Change]]:
    """Yield a run for each block."""
    for at in range(block, max(older.size_blocks, newer.size_blocks)):
        old, new = older.blocks.get(at), newer.blocks.get(at)
        yield at, 1, Change.NONE if old is new else Change.HOLE if new is None else Change.DATA
        if steps is not None and steps.take() <= 0:
            return


def space_among(source: MemoryBlocks, sources: Sequence[MemoryBlocks]) -> Space:
    """Count blocks; a block is shared if another source has the same object."""
    others = {id(data) for each in sources if each is not source for data in each.blocks.values()}
    ours = {id(data) for data in source.blocks.values()}
    return Space(len(ours - others) * BLOCK_BYTES, len(ours & others) * BLOCK_BYTES)


def space_of_all(volumes: Mapping[str, MemoryBlocks], frozen: Sequence[MemoryBlocks], now_s: float) -> PoolSpace:
    """Count blocks; two blocks with the same object are one block of the log."""
    users: dict[int, set[str]] = {}
    for name, each in [*volumes.items(), *(("", each) for each in frozen)]:
        for data in each.blocks.values():
            users.setdefault(id(data), set()).add(name)
    alone = Counter(next(iter(names)) for names in users.values() if len(names) == 1)
    sizes = {name: len(each.blocks) * BLOCK_BYTES for name, each in volumes.items()}
    counted = {name: VolumeSpace(size, size, alone[name] * BLOCK_BYTES) for name, size in sizes.items()}
    frozen_bytes = alone.pop("", 0) * BLOCK_BYTES
    unique_bytes = alone.total() * BLOCK_BYTES
    shared_bytes = len(users) * BLOCK_BYTES - unique_bytes - frozen_bytes
    return PoolSpace(counted, unique_bytes, shared_bytes, frozen_bytes, now_s)
