"""The simplest store: blocks in a dictionary. A test decides which reads must wait for a disk."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, PoolBusy, PoolFull, Usage
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

    def _content(self, block: int, count_blocks: int) -> list[Buffer]:
        assert block >= 0
        assert block + count_blocks <= self.size_blocks
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


class MemoryFrozenMap(MemoryBlocks):
    identifier = 1

    def release(self) -> None:
        self.blocks = {}


class MemoryVolume(MemoryBlocks):
    def __init__(self, environment: VirtualEnvironment, size_blocks: int, name: str = "volume") -> None:
        super().__init__(environment, size_blocks, {})
        self.name = name
        self.identity = hashlib.md5(name.encode()).digest()
        self.attributes: Mapping[str, str] = {}
        self.writes = 0
        self.on_change: list[Callable[[int, int], None]] = []
        self.is_full = False
        self.times_busy = 0
        self.failure: Exception | None = None

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        joined = b"".join(data)
        assert joined
        assert not len(joined) % BLOCK_BYTES
        self._changing(block, len(joined) // BLOCK_BYTES)
        for index in range(len(joined) // BLOCK_BYTES):
            self.blocks[block + index] = joined[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]

    async def room_made(self) -> None:
        await self.environment.sleep(0.0)

    def unmap(self, block: int, count_blocks: int) -> None:
        self._changing(block, count_blocks)
        for index in range(count_blocks):
            self.blocks.pop(block + index, None)

    def copy_from(self, source: MemoryBlocks, source_block: int, block: int, count_blocks: int) -> int:
        self._changing(block, count_blocks)
        for index in range(count_blocks):
            self.blocks[block + index] = source.blocks.get(source_block + index, ZEROS)
        return count_blocks

    def freeze(self, *, durable: bool = False) -> MemoryFrozenMap:
        return MemoryFrozenMap(self.environment, self.size_blocks, dict(self.blocks))

    def resize(self, size_blocks: int) -> None:
        self.size_blocks = size_blocks
        self.blocks = {block: data for block, data in self.blocks.items() if block < size_blocks}

    def _changing(self, block: int, count_blocks: int) -> None:
        assert block >= 0
        assert count_blocks > 0
        assert block + count_blocks <= self.size_blocks
        if self.is_full:
            raise PoolFull("the pool is full")
        if self.times_busy:
            self.times_busy -= 1
            raise PoolBusy("room is being made")
        if self.failure is not None:
            raise self.failure
        for listener in tuple(self.on_change):
            listener(block, count_blocks)
        self.writes += 1


class MemoryPool:
    """A pool with one volume, which counts the calls of its methods."""

    identity = bytes(16)

    def __init__(self, environment: VirtualEnvironment, size_blocks: int = 1024) -> None:
        self.environment = environment
        self.volume = MemoryVolume(environment, size_blocks)
        self.volumes = {self.volume.name: self.volume}
        self.frozen_maps: dict[int, MemoryFrozenMap] = {}
        self.commits = 0
        self.flushes = 0
        self.flush_delay_s = 0.0
        self.flush_failure: Exception | None = None
        self.failure: str | None = None
        self.room = Usage(0, None)
        self.values: dict[str, bytes] = {}
        self.is_full = False

    def usage(self) -> Usage:
        return self.room

    def commit(self) -> None:
        self.commits += 1

    async def committed(self) -> None:
        self.commit()

    async def flush(self) -> None:
        if self.flush_delay_s:
            await self.environment.sleep(self.flush_delay_s)
        if self.flush_failure is not None:
            raise self.flush_failure
        self.flushes += 1

    def remembered(self, key: str) -> bytes | None:
        return self.values.get(key)

    def remember(self, key: str, value: bytes, *, spare: bool = False) -> None:
        if self.is_full and not spare:
            raise PoolFull("the pool is full")
        self.values[key] = value

    def forget(self, key: str) -> None:
        self.values.pop(key, None)
