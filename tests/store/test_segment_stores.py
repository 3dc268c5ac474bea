"""Tests of the contract of segment stores in `segment.py`."""

import errno
import os
from pathlib import Path

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.segment_stores import KINDS, KeptSegments

from odx_target.store.api import BLOCK_BYTES, PoolFull
from odx_target.store.segments import directory as directory_segments
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment import Segment, SegmentStore
from odx_target.store.segments.segment_file import MAX_BUFFERS_PER_WRITE


@pytest.fixture(autouse=True)
def _in_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VirtualEnvironment, "is_in_thread", True)


@pytest.fixture(params=KINDS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> KeptSegments:
    return request.param(tmp_path)


@pytest.fixture
def store(kept: KeptSegments) -> SegmentStore:
    return kept.open()


def block(value: int) -> bytes:
    return bytes([value]) * BLOCK_BYTES


def read(segment: Segment, at: int, count: int) -> bytes:
    """Read by `read_now` and by `read`; asserts that both return the same data if `read_now` returns any."""
    waited = bytes(segment.read(at, count))
    now = segment.read_now(at, count)
    assert now is None or bytes(now) == waited
    return waited


def test_a_new_segment_is_zeros_of_its_size(store: SegmentStore) -> None:
    segment = store.create(3, 16)
    assert segment.number == 3
    assert read(segment, 0, 16) == bytes(16 * BLOCK_BYTES)
    assert store.names() == {3: 16}


def test_what_was_written_is_read(store: SegmentStore) -> None:
    segment = store.create(1, 16)
    segment.write(0, [block(1), memoryview(block(2)), bytearray(block(3))])
    segment.write(5, [block(5)[:100], block(5)[100:]])
    assert read(segment, 0, 6) == block(1) + block(2) + block(3) + bytes(2 * BLOCK_BYTES) + block(5)


def test_what_is_read_is_the_readers_own(store: SegmentStore) -> None:
    segment = store.create(1, 16)
    segment.write(0, [block(1)])
    segment.read(0, 1)[0] = 9
    if (now := segment.read_now(0, 1)) is not None:
        now[0] = 9
    assert read(segment, 0, 1) == block(1)


def test_written_buffers_may_change_afterwards(store: SegmentStore) -> None:
    segment = store.create(1, 16)
    buffer = bytearray(block(1))
    segment.write(0, [buffer])
    buffer[:] = block(2)
    assert read(segment, 0, 1) == block(1)


def test_more_buffers_than_one_call_takes(store: SegmentStore) -> None:
    segment = store.create(1, 16)
    piece = BLOCK_BYTES // 256
    data = b"".join(block(value) for value in range(1, 9))
    pieces = [data[at : at + piece] for at in range(0, len(data), piece)]
    assert len(pieces) > MAX_BUFFERS_PER_WRITE
    segment.write(2, pieces)
    assert read(segment, 2, 8) == data


def test_reading_past_the_end_is_an_error(store: SegmentStore) -> None:
    segment = store.create(1, 4)
    assert segment.read_now(3, 2) is None
    with pytest.raises(OSError, match="end"):
        segment.read(3, 2)


def test_a_sealed_segment_ends_where_it_was_cut(store: SegmentStore) -> None:
    segment = store.create(1, 16)
    segment.write(0, [block(1), block(2)])
    segment.seal(2)
    segment.sync()
    assert store.names() == {1: 2}
    assert read(segment, 0, 2) == block(1) + block(2)
    assert segment.read_now(2, 1) is None


def test_segments_are_found_again(kept: KeptSegments) -> None:
    store = kept.open()
    for number in (1, 7):
        segment = store.create(number, 8)
        segment.write(number, [block(number)])
        segment.sync()
    store.close()
    again = kept.open()
    assert again.names() == {1: 8, 7: 8}
    assert read(again.open(7), 7, 1) == block(7)
    assert read(again.open(1), 1, 1) == block(1)


def test_a_recycled_segment_has_a_new_number_and_size(kept: KeptSegments) -> None:
    store = kept.open()
    former = store.create(1, 16)
    former.write(0, [block(1), block(2), block(3)])
    former.seal(3)
    former.sync()
    segment = store.recycle(1, 5, 8)
    assert segment.number == 5
    assert store.names() == {5: 8}
    segment.write(0, [block(7)])
    segment.write(6, [block(8)])
    segment.sync()
    store.close()
    again = kept.open()
    assert again.names() == {5: 8}
    assert read(again.open(5), 0, 1) == block(7)
    assert read(again.open(5), 6, 2) == block(8) + bytes(BLOCK_BYTES)


def test_a_segment_that_is_not_there_cannot_be_recycled(store: SegmentStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.recycle(1, 2, 8)


def test_deleted_segments_are_gone(store: SegmentStore) -> None:
    for number in (1, 2, 3):
        store.create(number, 4)
    store.delete([1, 3, 99])
    store.delete([])
    assert store.names() == {2: 4}
    with pytest.raises(OSError, match="1"):
        store.open(1)


def test_a_number_is_used_once(store: SegmentStore) -> None:
    store.create(1, 4)
    with pytest.raises(FileExistsError):
        store.create(1, 4)


def test_many_segments_are_read_and_written_in_turn(store: SegmentStore) -> None:
    segments = [store.create(number, 4) for number in range(1, 6)]
    for at in range(4):
        for segment in segments:
            segment.write(at, [block(10 * segment.number + at)])
    for at in range(4):
        for segment in segments:
            assert read(segment, at, 1) == block(10 * segment.number + at)


def test_a_segment_has_a_name_for_a_person(store: SegmentStore) -> None:
    assert "12" in store.describe(12)


def test_the_page_cache_is_read_without_waiting(tmp_path: Path) -> None:
    segment = DirectorySegments(tmp_path).create(1, 4)
    segment.write(0, [block(1)])
    assert segment.read_now(0, 1) == block(1)


def test_other_files_of_the_directory_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.segment").write_bytes(b"")
    (tmp_path / "1.segment").write_bytes(b"")
    store = DirectorySegments(tmp_path)
    assert store.names() == {}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_for_a_segment_is_a_full_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def refuse(*_: int) -> None:
        raise OSError(error, os.strerror(error))

    store = DirectorySegments(tmp_path)
    monkeypatch.setattr(directory_segments.os, "posix_fallocate", refuse)
    with pytest.raises(PoolFull, match="no room"):
        store.create(1, 4)
    assert store.names() == {}


def test_a_disk_error_while_a_segment_is_made_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store = DirectorySegments(tmp_path)
    monkeypatch.setattr(directory_segments.os, "posix_fallocate", fail)
    with pytest.raises(OSError, match="Input/output error"):
        store.create(1, 4)
    assert store.names() == {}


def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwritev

    def short(descriptor: int, buffers: list[bytes], offset: int) -> int:
        return real(descriptor, [memoryview(b"".join(buffers))[:1000]], offset)

    segment = DirectorySegments(tmp_path).create(1, 4)
    monkeypatch.setattr(directory_segments.os, "pwritev", short)
    segment.write(1, [block(1), block(2)])
    assert segment.read(0, 4) == bytes(BLOCK_BYTES) + block(1) + block(2) + bytes(BLOCK_BYTES)


def test_a_part_in_the_page_cache_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.preadv

    def part(descriptor: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        return real(descriptor, [memoryview(buffers[0])[:BLOCK_BYTES]], offset)

    segment = DirectorySegments(tmp_path).create(1, 4)
    segment.write(0, [block(1), block(2)])
    monkeypatch.setattr(directory_segments.os, "preadv", part)
    assert segment.read_now(0, 2) is None
    assert segment.read(0, 2) == block(1) + block(2)


def test_the_room_that_is_left_shrinks_where_it_is_known(store: SegmentStore) -> None:
    room = store.room_blocks()
    assert room is None or room > 0


def test_the_room_of_a_directory_is_that_of_its_file_system(tmp_path: Path) -> None:
    store = DirectorySegments(tmp_path)
    room_blocks = store.room_blocks()
    found = os.statvfs(tmp_path)
    assert room_blocks is not None
    assert 0 < room_blocks <= found.f_blocks * found.f_frsize // BLOCK_BYTES
    assert DirectorySegments(tmp_path).room_blocks() is not None
    store._directory = tmp_path / "gone"
    assert store.room_blocks() is None
