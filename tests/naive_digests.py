"""Digests of blocks, computed from their content by the definition."""

from bisect import bisect_left
from collections.abc import Collection, Mapping

from blake3 import blake3
from crc32c import crc32c

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.map.leaf import LEAF_BLOCKS

ZEROS = bytes(BLOCK_BYTES)


class NaiveTree:
    """The tree of digests of some blocks. `blocks` has the content of the blocks that are not holes."""

    def __init__(self, size_blocks: int, blocks: Mapping[int, bytes], lost: Collection[int] = ()) -> None:
        self.size_blocks = size_blocks
        self._blocks = blocks
        self._lost = lost
        self._used = sorted({*blocks, *lost})
        self._holes: dict[int, bytes] = {}
        self.level = 1
        while size_blocks > LEAF_BLOCKS ** (self.level + 1):
            self.level += 1

    def root(self) -> bytes:
        return self.node(self.level, 0)

    def node(self, level: int, index: int) -> bytes:
        span = LEAF_BLOCKS ** (level + 1)
        if bisect_left(self._used, index * span) == bisect_left(self._used, (index + 1) * span):
            return self._hole(level)
        return self._hash(self.below(level, index) + self._bitmap(level, index))

    def below(self, level: int, index: int) -> bytes:
        slots = range(index * LEAF_BLOCKS, (index + 1) * LEAF_BLOCKS)
        if level:
            return b"".join(self.node(level - 1, slot) for slot in slots)
        return b"".join(self._checksum(slot).to_bytes(4, "little") for slot in slots)

    def lost_in(self, index: int) -> tuple[int, ...]:
        return tuple(slot for slot in range(LEAF_BLOCKS) if index * LEAF_BLOCKS + slot in self._lost)

    def _checksum(self, block: int) -> int:
        return 0 if block in self._lost else crc32c(self._blocks.get(block, ZEROS))

    def _bitmap(self, level: int, index: int) -> bytes:
        lost = self.lost_in(index) if not level else ()
        return sum(1 << slot for slot in lost).to_bytes(-(-LEAF_BLOCKS // 8), "little") if lost else b""

    def _hole(self, level: int) -> bytes:
        if level not in self._holes:
            below = self._hole(level - 1) if level else crc32c(ZEROS).to_bytes(4, "little")
            self._holes[level] = self._hash(below * LEAF_BLOCKS)
        return self._holes[level]

    @staticmethod
    def _hash(data: bytes) -> bytes:
        return bytes(blake3(data).digest())[:16]
