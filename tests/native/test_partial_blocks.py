"""Writes of parts of blocks: the native writer writes the same bytes to the log as Python, and the right data."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.native.choice import NATIVE
from odx_target.scsi.unit.logical_blocks import LogicalBlocks
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, PoolBusy
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.open import PoolOptions
from odx_target.store.segments import directory
from odx_target.store.segments.places import BLOCK_MASK, segment_of
from odx_target.store.volumes.volume import LogVolume
from tests.native.built import compiled
from tests.settings import searching
from tests.store.pools import Directory

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native module is switched off")

SIZE = LEAF_BLOCKS + 40
SECTOR_BYTES = 512
SECTORS = SIZE * 8
OPTIONS = PoolOptions(segment_blocks=400, cleaning=False)
Act: TypeAlias = tuple[str, int, int]

acts = st.tuples(
    st.sampled_from(["write", "write", "write", "sequence", "two buffers", "commit", "freeze", "unmap", "flush"]),
    st.integers(0, 60) | st.integers(8 * LEAF_BLOCKS - 20, 8 * LEAF_BLOCKS + 20) | st.integers(0, SECTORS - 1),
    st.sampled_from([1, 3, 7, 8, 8, 8, 8, 9, 15, 16, 40, 900]),
)


class Side(Directory):
    """A pool in a directory with one volume that is written natively, or in Python, and the expected content of the volume."""

    def __init__(self, path: Path, *, is_native: bool) -> None:
        super().__init__(path, OPTIONS)
        self._is_native = is_native
        self._count_volumes = 0

    def begin(self) -> None:
        """Begin with a new volume."""
        self._count_volumes += 1
        volume = self.pool.create_volume(f"{self._count_volumes}", SIZE, {})
        assert isinstance(volume, LogVolume)
        self.volume = volume
        self.pool.commit()
        self.environment.settle()
        if not self._is_native:
            self.volume._writer = None
        self.blocks = LogicalBlocks(volume, SECTOR_BYTES)
        self.expected = bytearray(SIZE * BLOCK_BYTES)
        self._random = Random(1)

    def do(self, act: Act) -> None:
        kind, lba, count = act
        count = min(count, SECTORS - lba)
        match kind:
            case "write":
                self.write(lba, count)
            case "sequence":
                for at in range(lba, min(lba + 12 * count, SECTORS - count), count):
                    self.write(at, count)
            case "two buffers":
                self.write(lba, count, parts=2)
            case "commit":
                self.pool.commit()
            case "freeze":
                self.volume.freeze()
            case "unmap":
                block, end = lba // 8, min(lba // 8 + count, SIZE)
                self.volume.unmap(block, end - block)
                self.expected[block * BLOCK_BYTES : end * BLOCK_BYTES] = bytes((end - block) * BLOCK_BYTES)
            case "flush":
                self.environment.run(self.pool.flush())

    def write(self, lba: int, count: int, parts: int = 1) -> None:
        data = self._random.randbytes(count * SECTOR_BYTES)
        cut = count // parts * SECTOR_BYTES
        buffers = [data] if parts == 1 else [data[:cut], data[cut:]]
        while not self.blocks.write_now(lba, [each for each in buffers if each]):
            self.environment.settle()
        self.expected[lba * SECTOR_BYTES : (lba + count) * SECTOR_BYTES] = data

    def write_natively(self, offset_bytes: int, data: bytes) -> bool:
        assert self.volume.native_writes is not None
        assert self.volume.native_reads is not None
        writer, block_map, number = self.volume.native_writes
        return writer.write_bytes_now(self.volume.native_reads[0], block_map, number, offset_bytes, data)

    @property
    def state(self) -> object:
        filling = self.pool.log.filling
        parts = [(part.room_bytes, part.records, list(part.checksums), b"".join(part.data)) for part in filling.parts]
        return filling.next_osn, filling.unused_blocks, parts, self.volume.block_map.runs(0, SIZE)

    @property
    def content(self) -> bytes:
        self.pool.commit()
        return b"".join(self.environment.run(self.volume.read(0, SIZE)))

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.path.glob("**/*.segment"))}


@pytest.fixture(scope="module", params=["on a disk", "in memory"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Side, Side]]:
    """Two pools, one of which is written natively."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(directory, "is_in_memory", lambda _: request.param == "in memory")
        made = Side(Path(folder) / "native", is_native=True), Side(Path(folder) / "python", is_native=False)
        yield made
        for each in made:
            each.close()


@pytest.fixture
def side(both: tuple[Side, Side]) -> Side:
    """A pool with a new volume. Python has made the first leaf of the volume."""
    both[0].begin()
    both[0].write(0, 8)
    return both[0]


def test_both_write_the_same(both: tuple[Side, Side]) -> None:
    """This is the first test of the module, because the pools must be equal when it begins."""
    native, python = both

    @searching(12)
    @given(st.lists(acts, max_size=12))
    def compare(found: list[Act]) -> None:
        native.begin()
        python.begin()
        for act in found:
            native.do(act)
            python.do(act)
            assert native.state == python.state
        assert native.content == python.content == native.expected

    compare()
    assert native.files == python.files


def test_a_write_sees_what_it_does_not_cover(side: Side) -> None:
    """The rest of a block may be a hole, committed, or in the open batch as a whole block or as a part of a larger write.

    All blocks fit into a new segment, because the native writer leaves a write that needs the next segment.
    """
    side.pool.commit()
    side.pool.log.filling.leave_segment()
    random, expected = Random(2), bytearray(64 * BLOCK_BYTES)
    side.volume.write(0, [first := random.randbytes(20 * BLOCK_BYTES)])
    expected[: len(first)] = first
    side.pool.commit()
    side.volume.write(10, [second := random.randbytes(20 * BLOCK_BYTES)])
    expected[10 * BLOCK_BYTES : 30 * BLOCK_BYTES] = second
    osn = side.pool.committed_osn
    for offset_bytes in (100, 5000, 9 * BLOCK_BYTES + 1, 25 * BLOCK_BYTES + 8, 29 * BLOCK_BYTES + 4000, 40 * BLOCK_BYTES + 7):
        for size_bytes in (1, 512, 4096, 9000):
            data = random.randbytes(size_bytes)
            assert side.write_natively(offset_bytes, data)
            expected[offset_bytes : offset_bytes + size_bytes] = data
    assert side.pool.committed_osn == osn, "nothing is committed to be read"
    assert side.content[: len(expected)] == expected


RANGES = (
    (0, 0),
    (-1, 8),
    (1 << 64, 8),
    (-(1 << 64), 8),
    ((1 << 63) - 1, 8),
    (SIZE * BLOCK_BYTES, 1),
    (SIZE * BLOCK_BYTES - 8, 9),
    (LEAF_BLOCKS * BLOCK_BYTES - 8, 9),
    (SIZE * BLOCK_BYTES - 8, 8),
)
"""Ranges (offset, size) that are empty, not in the volume, in two leaves, or in a leaf that does not exist yet."""


def test_other_ranges_are_left(side: Side) -> None:
    before = side.state
    for offset_bytes, size_bytes in RANGES:
        assert not side.write_natively(offset_bytes, bytes(size_bytes))
    assert side.state == before


def test_a_block_of_several_buffers_is_left(side: Side) -> None:
    side.write(4, 8, parts=2)
    parts = side.pool.log.filling.parts
    parts[-1].data[-1:] = [parts[-1].data[-1][:100], parts[-1].data[-1][100:]]
    before = side.state
    assert not side.write_natively(7 * SECTOR_BYTES, bytes(8))
    assert side.state == before
    side.write(7, 1)
    assert side.content == side.expected


def test_a_damaged_block_is_left_to_python_which_reports_it(side: Side) -> None:
    side.pool.commit()
    place = side.volume.block_map.place(0)
    side.volume._reader._tables[segment_of(place)][place & BLOCK_MASK] ^= 1
    assert not side.write_natively(8, bytes(8))
    with pytest.raises(DamagedBlock):
        side.blocks.write_now(1, [bytes(SECTOR_BYTES)])
    side.volume._reader._tables[segment_of(place)][place & BLOCK_MASK] ^= 1


def test_a_write_that_must_wait_is_left(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_count_blocks: int) -> None:
        raise PoolBusy("room is being made")

    writer = compiled.BlockWriter(side.pool.log.filling, refuse, PoolBusy, side.pool.contents.tally, 10)
    monkeypatch.setattr(side.volume, "_writer", writer)
    before = side.state
    assert not side.write_natively(8, bytes(8))
    assert side.state == before


def test_arguments(side: Side) -> None:
    assert side.volume.native_writes is not None
    writer, block_map, number = side.volume.native_writes
    for arguments in ((), (None, block_map, number, 0, b"x"), (side.volume._native, block_map, number, "0", b"x")):
        with pytest.raises(TypeError):
            writer.write_bytes_now(*arguments)  # type: ignore[call-arg,arg-type]
