"""A naive model of a pool: dicts of blocks, which are copied as a whole to freeze them or to keep a moment."""

from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

from odx_target.store.api import BLOCK_BYTES, BlockSource

RANDOM = 1 << 40
"""Values from RANDOM on belong to blocks of random bytes, which cannot be compressed."""


def block_of(value: int) -> bytes:
    """Make the content of a block with a value; 0 is a hole. Every 8 bytes contain the value, so torn blocks are detected."""
    if value >= RANDOM:
        return value.to_bytes(8, "little") + Random(value).randbytes(BLOCK_BYTES - 8)
    return value.to_bytes(8, "little") * (BLOCK_BYTES // 8)


@dataclass
class Blocks:
    size_blocks: int
    values: dict[int, int] = field(default_factory=dict)

    def read(self) -> list[int]:
        return [self.values.get(block, 0) for block in range(self.size_blocks)]

    def put(self, block: int, values: list[int]) -> None:
        for index, value in enumerate(values):
            if value:
                self.values[block + index] = value
            else:
                self.values.pop(block + index, None)

    def resize(self, size_blocks: int) -> None:
        self.size_blocks = size_blocks
        self.values = {block: value for block, value in self.values.items() if block < size_blocks}


@dataclass
class NamedBlocks:
    """A snapshot: the name of its volume and its own name at the moment, its content and holds."""

    volume_name: str
    name: str
    blocks: Blocks
    holds: list[str] = field(default_factory=list)


@dataclass
class Moment:
    """The state of a pool that survives a restart."""

    volumes: dict[str, Blocks] = field(default_factory=dict)
    snapshots: dict[bytes, NamedBlocks] = field(default_factory=dict)
    frozen_maps: dict[int, Blocks] = field(default_factory=dict)
    remembered: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> "Moment":
        return deepcopy(self)


def values_of(source: BlockSource, buffers: list[bytes]) -> list[int]:
    """Return the values of blocks that were read from a pool; asserts that no block is torn."""
    data = b"".join(buffers)
    assert len(data) == source.size_blocks * BLOCK_BYTES
    values = []
    for offset in range(0, len(data), BLOCK_BYTES):
        value = int.from_bytes(data[offset : offset + 8], "little")
        assert data[offset : offset + BLOCK_BYTES] == block_of(value)
        values.append(value)
    return values
