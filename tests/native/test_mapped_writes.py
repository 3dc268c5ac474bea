"""Writes through mapped segments: their content, what happens if they are impossible, and mappings that are taken over."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odx_target.native.choice import NATIVE
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.segments import directory
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment_file import DirectorySegment
from odx_target.store.segments.watch import SegmentCall
from tests.native.built import compiled

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native module is switched off")

BLOCKS = 40
SIZE_BYTES = BLOCKS * BLOCK_BYTES


@pytest.fixture
def segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DirectorySegments]:
    """Segments that take their directory for one in memory."""
    monkeypatch.setattr(directory, "is_in_memory", lambda _: True)
    made = DirectorySegments(tmp_path)
    yield made
    made.close()


def mapping_of(path: Path, *, is_writable: bool = True):  # type: ignore[no-untyped-def]
    path.write_bytes(bytes(SIZE_BYTES))
    descriptor = os.open(path, os.O_RDWR)
    try:
        return compiled.SegmentMapping(descriptor, SIZE_BYTES, is_writable)
    finally:
        os.close(descriptor)


def filled(segments: DirectorySegments, number: int, value: int) -> DirectorySegment:
    segment = segments.create(number, BLOCKS)
    segment.write(0, [bytes([value]) * SIZE_BYTES])
    segment.sync()
    segment.seal(BLOCKS - 1)
    segment.sync()
    return segment


def no_pwritev(*_: object) -> int:
    raise AssertionError("the mapping should be used")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, BLOCKS + 1), st.lists(st.integers(0, 5 * BLOCK_BYTES), max_size=8))
def test_a_mapping_takes_the_bytes_that_pwritev_takes(tmp_path: Path, block: int, sizes: list[int]) -> None:
    mapping = mapping_of(tmp_path / "mapped")
    buffers: list[bytes | bytearray | memoryview] = [Random(index).randbytes(size) for index, size in enumerate(sizes)]
    buffers[1:2] = [memoryview(bytearray(buffer)) for buffer in buffers[1:2]]
    fits = block * BLOCK_BYTES + sum(sizes) <= SIZE_BYTES
    assert mapping.write_now(block * BLOCK_BYTES, buffers) == (fits or not sizes)
    if fits:
        expected = bytearray(SIZE_BYTES)
        expected[block * BLOCK_BYTES : block * BLOCK_BYTES + sum(sizes)] = b"".join(buffers)
        assert (tmp_path / "mapped").read_bytes() == expected
    mapping.close()


def test_mappings_that_take_no_bytes(tmp_path: Path) -> None:
    closed, read_only, cut = (mapping_of(tmp_path / name, is_writable=name != "b") for name in "abc")
    closed.close()
    os.truncate(tmp_path / "c", 0)
    for mapping in (closed, read_only, cut):
        mapping.populate()
        assert not mapping.write_now(0, [b"new"])
    assert [mapping.is_writable for mapping in (closed, read_only, cut)] == [False, False, True]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == bytes(SIZE_BYTES)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0,), TypeError),
        ((0, b"new"), TypeError),
        ((0, (b"new",)), TypeError),
        ((0, ["new"]), TypeError),
        (("0", [b"new"]), TypeError),
        ((-1, [b"new"]), OverflowError),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, arguments: tuple[object, ...], error: type[Exception]) -> None:
    mapping = mapping_of(tmp_path / "mapped")
    with pytest.raises(error):
        mapping.write_now(*arguments)
    assert not mapping.write_now((1 << 64) - 1, [b"new"])
    mapping.close()


def test_a_populated_mapping_keeps_its_content(tmp_path: Path) -> None:
    mapping = mapping_of(tmp_path / "mapped")
    assert mapping.write_now(5, [b"kept"])
    mapping.populate()
    assert (tmp_path / "mapped").read_bytes()[:10] == b"\0\0\0\0\0kept\0"
    assert mapping.size_bytes == SIZE_BYTES
    mapping.close()


def test_a_new_segment_is_written_through_its_mapping(segments: DirectorySegments, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = segments.create(1, BLOCKS), segments.create(2, BLOCKS)
    monkeypatch.setattr(os, "pwritev", no_pwritev)
    for segment in (first, second):
        segment.write(3, [b"a" * BLOCK_BYTES, b"b" * BLOCK_BYTES])
        assert segment.is_pinned
        assert segment.read(3, 2) == b"a" * BLOCK_BYTES + b"b" * BLOCK_BYTES


def test_a_write_that_the_mapping_cannot_take_goes_through_the_descriptor(segments: DirectorySegments) -> None:
    segment = segments.create(1, BLOCKS)
    os.truncate(segment.path, 0)
    segment.write(3, [b"a" * BLOCK_BYTES])
    assert segment.path.read_bytes() == bytes(3 * BLOCK_BYTES) + b"a" * BLOCK_BYTES


def test_a_watched_segment_is_written_through_its_descriptor(
    segments: DirectorySegments, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment, calls = segments.create(1, BLOCKS), []
    segments.watch(lambda call, _: calls.append(call))
    assert segment.mapping is None
    segment.write(0, [b"a" * BLOCK_BYTES])
    assert calls == [SegmentCall.WRITE]
    segments.watch(None)


def test_a_recycled_segment_takes_the_mapping_over(segments: DirectorySegments, monkeypatch: pytest.MonkeyPatch) -> None:
    former = filled(segments, 1, 1)
    mapping = former.mapping
    new = segments.recycle(1, 2, BLOCKS)
    assert mapping is not None
    assert (former.mapping, new.mapping) == (None, mapping)
    monkeypatch.setattr(os, "pwritev", no_pwritev)
    new.write(0, [b"a" * SIZE_BYTES])
    assert new.path.read_bytes() == b"a" * SIZE_BYTES


def test_a_mapping_of_another_size_is_not_taken_over(segments: DirectorySegments) -> None:
    former = filled(segments, 1, 1)
    mapping = former.mapping
    new = segments.recycle(1, 2, BLOCKS + 1)
    assert mapping is not None
    assert new.mapping is not None
    assert new.mapping is not mapping
    assert new.mapping.size_bytes == (BLOCKS + 1) * BLOCK_BYTES
    assert not mapping.is_writable


def test_a_mapping_with_views_is_not_taken_over(segments: DirectorySegments) -> None:
    former = filled(segments, 1, 1)
    mapping = former.mapping
    view = memoryview(mapping)  # type: ignore[arg-type]
    new = segments.recycle(1, 2, BLOCKS)
    new.write(0, [b"a" * SIZE_BYTES])
    assert new.mapping is not mapping
    assert bytes(view[:BLOCK_BYTES]) == b"\1" * BLOCK_BYTES


def test_a_mapping_is_closed_if_the_file_is_gone(segments: DirectorySegments) -> None:
    former = filled(segments, 1, 1)
    mapping = former.mapping
    former.path.unlink()
    with pytest.raises(OSError, match="No such file"):
        segments.recycle(1, 2, BLOCKS)
    assert mapping is not None
    assert not mapping.is_writable


def test_a_mapping_is_closed_if_a_watch_begins_while_it_is_taken_over(
    segments: DirectorySegments, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = filled(segments, 1, 1)
    mapping = former.mapping
    drop = segments.descriptors.drop

    def drop_and_watch(segment: DirectorySegment) -> None:
        drop(segment)
        segments.watch(lambda *_: None)

    monkeypatch.setattr(segments.descriptors, "drop", drop_and_watch)
    assert segments.recycle(1, 2, BLOCKS).mapping is None
    assert mapping is not None
    assert not mapping.is_writable
    segments.watch(None)
