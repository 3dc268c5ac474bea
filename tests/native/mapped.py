"""A segment of random blocks in a mapped file, and a map of a volume with these blocks."""

import os
from array import array
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace

from crc32c import crc32c

from odx_target.native.choice import SegmentMapping
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.leaf import LEAF_BITS
from odx_target.store.segments.segment import PLACE_BITS
from tests.native.built import compiled

BLOCKS = 40
NO_DESCRIPTOR = -1


@dataclass
class MappedSegment:
    """A segment that can be read only through its mapping."""

    mapping: SegmentMapping
    descriptor: int = NO_DESCRIPTOR
    read_flags: int = 0


class Mapped:
    """A segment with random blocks, and a map of a volume with the same blocks in the same order."""

    def __init__(self, path: Path, content: bytes, segment: MappedSegment) -> None:
        self.path = path
        self.content = content
        self.segment = segment
        table = array("I", (crc32c(self.content[at : at + BLOCK_BYTES]) for at in range(0, len(self.content), BLOCK_BYTES)))
        filling = SimpleNamespace(pending_place=2 << PLACE_BITS)
        self.reader = compiled.BlockReader({1: table}, {1: self.segment}, filling, MappedSegment, LEAF_BITS)
        self.block_map = BlockMap(BLOCKS)
        self.block_map.assign(0, 1 << PLACE_BITS, BLOCKS)

    def read(self, block: int, count: int) -> bytearray | None:
        found = self.reader.read_now(self.block_map, block, count)
        assert found is None or isinstance(found, bytearray)
        return found


def mapped_file(path: Path) -> Mapped:
    """Make a file of random blocks, and map it. The caller must close the mapping."""
    content = Random(1).randbytes(BLOCKS * BLOCK_BYTES)
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return Mapped(path, content, MappedSegment(compiled.SegmentMapping(descriptor, len(content))))
    finally:
        os.close(descriptor)
