"""The native reader returns the content of usual blocks, and None for all others."""

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.leaf import ABSENT, LEAF_BITS, LEAF_BLOCKS
from odx_target.store.segments.lost_place import LOST_PLACE
from odx_target.store.segments.places import COMPRESSED, extent_place
from odx_target.store.segments.segment import PLACE_BITS
from tests.native.built import compiled
from tests.settings import searching

MAP_BLOCKS = 3 * LEAF_BLOCKS + 5
SEGMENT_BLOCKS = 40
SEGMENTS = (1, 2, 7, 17, 33)
"""Some of them have the same place among the segments that a read keeps."""
NO_PLACE = 0


@dataclass
class FileSegment:
    descriptor: int
    read_flags: int = 0
    mapping: object = None


@dataclass
class Filling:
    pending_place: int = 1 << 62


@dataclass
class Disk:
    """Segments with random blocks, and a reader for them."""

    contents: dict[int, bytes]
    segments: dict[int, object]
    tables: dict[int, "array[int]"] = field(default_factory=dict)
    filling: Filling = field(default_factory=Filling)

    def __post_init__(self) -> None:
        for number, content in self.contents.items():
            blocks = [content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES)]
            self.tables[number] = array("I", map(crc32c, blocks))
        self.reader = compiled.BlockReader(self.tables, self.segments, self.filling, FileSegment, LEAF_BITS)

    def content_at(self, place: int) -> bytes:
        at = (place & (1 << PLACE_BITS) - 1) * BLOCK_BYTES
        return self.contents[place >> PLACE_BITS][at : at + BLOCK_BYTES]


@pytest.fixture(params=["read", "mapped"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    yield from made(tmp_path, is_mapped=request.param == "mapped")


@pytest.fixture(scope="module", params=["read", "mapped"])
def unchanged_disk(module_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    yield from made(module_path / request.param, is_mapped=request.param == "mapped")


def made(folder: Path, *, is_mapped: bool) -> Iterator[Disk]:
    """Make a disk. If its segments are mapped, they can be read only through the mappings."""
    folder.mkdir(exist_ok=True)
    contents = {number: Random(number).randbytes(SEGMENT_BLOCKS * BLOCK_BYTES) for number in SEGMENTS}
    segments: dict[int, object] = {}
    descriptors = []
    for number, content in contents.items():
        (folder / f"{number}").write_bytes(content)
        descriptor = os.open(folder / f"{number}", os.O_RDWR)
        descriptors.append(descriptor)
        mapping = compiled.SegmentMapping(descriptor, len(content)) if is_mapped else None
        segments[number] = FileSegment(descriptor, -1 if is_mapped else 0, mapping)
    yield Disk(contents, segments)
    for descriptor in descriptors:
        os.close(descriptor)


def place(segment: int, block: int) -> int:
    return segment << PLACE_BITS | block


pieces = st.lists(
    st.tuples(
        st.integers(0, MAP_BLOCKS - 1),
        st.sampled_from(SEGMENTS),
        st.integers(0, SEGMENT_BLOCKS - 1),
        st.integers(1, SEGMENT_BLOCKS),
        st.integers(1, 30),
    ),
    max_size=12,
)
"""Writes as (block, segment, first block in the segment, count, repetitions). Repetitions make leaves dense."""


@searching(100)
@given(pieces, st.lists(st.tuples(st.integers(0, MAP_BLOCKS - 1), st.integers(1, 80)), min_size=1, max_size=20))
def test_all_runs_of_a_map(unchanged_disk: Disk, writes: list[tuple[int, ...]], reads: list[tuple[int, int]]) -> None:
    block_map, expected = BlockMap(MAP_BLOCKS), [NO_PLACE] * MAP_BLOCKS
    for block, segment, first, count, repetitions in writes:
        for again in range(repetitions):
            start = (block + 7 * again) % MAP_BLOCKS
            size = min(count, SEGMENT_BLOCKS - first, MAP_BLOCKS - start)
            block_map.assign(start, place(segment, first), size)
            expected[start : start + size] = range(place(segment, first), place(segment, first) + size)
    for block, count in [*reads, *((block, count) for block, _, _, count, _ in writes)]:
        size = min(count, MAP_BLOCKS - block)
        places = expected[block : block + size]
        wanted = None if NO_PLACE in places else b"".join(map(unchanged_disk.content_at, places))
        assert unchanged_disk.reader.read_now(block_map, block, size) == wanted


def one_block(at: int) -> BlockMap:
    block_map = BlockMap(MAP_BLOCKS)
    block_map.assign(0, at)
    return block_map


def test_the_content_is_new_each_time(disk: Disk) -> None:
    block_map = one_block(place(1, 3))
    first = disk.reader.read_now(block_map, 0, 1)
    first[:] = bytes(BLOCK_BYTES)
    assert disk.reader.read_now(block_map, 0, 1) == disk.content_at(place(1, 3))


def test_children_in_an_array(disk: Disk) -> None:
    block_map = BlockMap(200 * LEAF_BLOCKS)
    for slot in range(200):
        block_map.assign(slot * LEAF_BLOCKS, place(1, slot % SEGMENT_BLOCKS))
    for slot in (0, 5, 199):
        expected = disk.content_at(place(1, slot % SEGMENT_BLOCKS))
        assert disk.reader.read_now(block_map, slot * LEAF_BLOCKS, 1) == expected


@pytest.mark.parametrize(
    "unusual",
    [
        NO_PLACE,
        place(3, 0),
        place(1, SEGMENT_BLOCKS),
        LOST_PLACE,
        extent_place(place(1, 3), 2),
        COMPRESSED - 1,
    ],
)
def test_unusual_places(disk: Disk, unusual: int) -> None:
    block_map = BlockMap(MAP_BLOCKS)
    if unusual:
        block_map.assign(1, unusual)
    block_map.assign(0, place(1, 0))
    assert disk.reader.read_now(block_map, 0, 1) is not None
    assert disk.reader.read_now(block_map, 0, 2) is None
    assert disk.reader.read_now(block_map, 1, 1) is None


def test_blocks_that_are_not_committed(disk: Disk) -> None:
    block_map = one_block(place(2, 3))
    disk.filling.pending_place = place(2, 3)
    assert disk.reader.read_now(block_map, 0, 1) is None
    disk.filling.pending_place = place(2, 4)
    assert disk.reader.read_now(block_map, 0, 1) is not None


def test_a_damaged_block(disk: Disk) -> None:
    disk.tables[1][3] ^= 1
    assert disk.reader.read_now(one_block(place(1, 3)), 0, 1) is None


def test_checksums_that_are_not_in_memory(disk: Disk) -> None:
    del disk.tables[1]
    assert disk.reader.read_now(one_block(place(1, 3)), 0, 1) is None


@pytest.mark.parametrize("wrong", [FileSegment(-1), FileSegment(0, read_flags=-1), object()])
def test_segments_that_may_have_to_wait(disk: Disk, wrong: object) -> None:
    disk.segments[1] = wrong
    assert disk.reader.read_now(one_block(place(1, 3)), 0, 1) is None


def test_a_segment_that_is_too_short(disk: Disk) -> None:
    segment = disk.segments[1]
    assert isinstance(segment, FileSegment)
    os.truncate(segment.descriptor, 3 * BLOCK_BYTES - 1)
    assert disk.reader.read_now(one_block(place(1, 1)), 0, 1) is not None
    assert disk.reader.read_now(one_block(place(1, 3)), 0, 1) is None


def test_a_leaf_that_is_not_in_memory(disk: Disk) -> None:
    block_map = one_block(place(1, 3))
    leaf = block_map.leaf(0)
    assert leaf is not None
    leaf.entries = ABSENT
    assert disk.reader.read_now(block_map, 0, 1) is None


@pytest.mark.parametrize(
    ("block", "count"),
    [(0, 0), (0, MAP_BLOCKS + 1), (MAP_BLOCKS, 1), (MAP_BLOCKS + 1, 1), (0, 1 << 62), (1 << 62, 1), (1 << 52, 1 << 52)],
)
def test_ranges_outside_the_map(disk: Disk, block: int, count: int) -> None:
    block_map = one_block(place(1, 3))
    block_map.assign(MAP_BLOCKS - 1, place(1, 3))
    assert disk.reader.read_now(block_map, block, count) is None


@pytest.mark.parametrize(("block", "count"), [(-1, 1), (0, -1), (1 << 70, 1), (0, 1 << 70)])
def test_numbers_that_are_no_blocks(disk: Disk, block: int, count: int) -> None:
    with pytest.raises(OverflowError):
        disk.reader.read_now(one_block(place(1, 3)), block, count)


def test_objects_of_other_types(disk: Disk) -> None:
    with pytest.raises(AttributeError):
        disk.reader.read_now(object(), 0, 1)
    with pytest.raises(TypeError):
        disk.reader.read_now(one_block(1))
    with pytest.raises(TypeError):
        compiled.BlockReader({}, [], disk.filling, FileSegment, LEAF_BITS)
    with pytest.raises(ValueError, match="leaves"):
        compiled.BlockReader({}, {}, disk.filling, FileSegment, 11)
