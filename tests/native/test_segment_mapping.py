"""Mapped files of segments: reads through them, files that other programs have cut, and their end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from odx_target.native.choice import NATIVE, SegmentMapping
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.segments import directory
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment_file import DirectorySegment
from tests.native.built import compiled
from tests.native.mapped import BLOCKS, NO_DESCRIPTOR, Mapped, mapped_file

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native module is switched off")


@pytest.fixture
def mapped(tmp_path: Path) -> Iterator[Mapped]:
    made = mapped_file(tmp_path / "segment")
    yield made
    made.segment.mapping.close()


@pytest.mark.parametrize(("block", "count"), [(0, 1), (3, 1), (1, 4), (2, 5), (0, BLOCKS), (BLOCKS - 1, 1)])
def test_reads_need_no_descriptor(mapped: Mapped, block: int, count: int) -> None:
    assert mapped.read(block, count) == mapped.content[block * BLOCK_BYTES : (block + count) * BLOCK_BYTES]


def test_a_later_write_to_the_file_is_visible(mapped: Mapped) -> None:
    with mapped.path.open("r+b") as file:
        file.write(b"changed")
    assert mapped.read(0, 1) is None  # the checksum differs
    assert mapped.read(1, 1) is not None


def test_blocks_outside_the_mapping_are_not_usual(mapped: Mapped) -> None:
    descriptor = os.open(mapped.path, os.O_RDONLY)
    mapped.segment.mapping = compiled.SegmentMapping(descriptor, 5 * BLOCK_BYTES - 1)
    os.close(descriptor)
    assert mapped.read(3, 1) is not None
    assert mapped.read(4, 1) is None
    assert mapped.read(0, BLOCKS) is None


def test_a_closed_mapping_is_not_used(mapped: Mapped) -> None:
    mapped.segment.mapping.close()
    mapped.segment.mapping.close()
    assert mapped.read(0, 1) is None
    mapped.segment.descriptor = os.open(mapped.path, os.O_RDONLY)
    try:
        assert mapped.read(0, BLOCKS) == mapped.content
    finally:
        os.close(mapped.segment.descriptor)


def test_a_file_that_was_cut_ends_no_process(mapped: Mapped) -> None:
    os.truncate(mapped.path, 6 * BLOCK_BYTES)
    for _ in range(3):
        assert mapped.read(5, 1) is not None
        assert mapped.read(6, 1) is None
        assert mapped.read(0, BLOCKS) is None


CUT = """
import mmap, os, sys
from odx_target.native import compiled
{before}
descriptor = os.open(sys.argv[1], os.O_RDWR)
compiled.SegmentMapping(descriptor, 8192)
other = mmap.mmap(descriptor, 8192)
os.ftruncate(descriptor, 0)
print(other[0])
"""


@pytest.mark.parametrize("before", ["", "import faulthandler; faulthandler.enable()"])
def test_another_missing_page_ends_the_process_as_before(tmp_path: Path, before: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    words = [sys.executable, "-c", CUT.format(before=before), str(path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == -signal.SIGBUS, ended.stderr
    assert ("Fatal Python error: Bus error" in ended.stderr) == bool(before)


def test_files_that_cannot_be_mapped(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="descriptor"):
        compiled.SegmentMapping(NO_DESCRIPTOR, BLOCK_BYTES)
    with pytest.raises(ValueError, match="one byte"):
        compiled.SegmentMapping(0, 0)


@pytest.fixture
def segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DirectorySegments]:
    """Segments that take their directory for one in memory, with at most two open descriptors."""
    monkeypatch.setattr(directory, "is_in_memory", lambda _: True)
    made = DirectorySegments(tmp_path, max_held=2)
    yield made
    made.close()


def is_mapped(segment: DirectorySegment) -> bool:
    lines = Path("/proc/self/maps").read_text().splitlines()
    in_process = any(line.endswith(str(segment.path)) for line in lines)
    assert in_process == (segment.mapping is not None)
    return in_process


def filled(segments: DirectorySegments, number: int) -> DirectorySegment:
    segment = segments.create(number, BLOCKS)
    segment.write(0, [bytes(BLOCKS * BLOCK_BYTES)])
    segment.sync()
    segment.seal(BLOCKS)
    segment.sync()
    return segment


def test_segments_are_mapped_as_long_as_their_descriptors_are_open(segments: DirectorySegments) -> None:
    first, second = filled(segments, 1), filled(segments, 2)
    assert is_mapped(first)
    assert is_mapped(second)
    third = filled(segments, 3)
    assert [is_mapped(each) for each in (first, second, third)] == [False, True, True]
    first.read(0, 1)
    assert [is_mapped(each) for each in (first, second, third)] == [True, False, True]
    segments.delete([3])
    assert third.mapping is None
    again = segments.recycle(1, 4, BLOCKS)
    assert first.mapping is None
    assert is_mapped(again)
    segments.close()
    assert not is_mapped(again)


def test_segments_on_a_disk_are_not_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "is_in_memory", lambda _: False)
    segments = DirectorySegments(tmp_path)
    assert filled(segments, 1).mapping is None
    segments.close()


def test_a_segment_that_cannot_be_mapped_is_read_through_its_descriptor(
    segments: DirectorySegments, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoMemory:
        @staticmethod
        def segment_mapping(_descriptor: int, _size_bytes: int, _is_writable: bool) -> SegmentMapping:
            raise OSError(12, "no memory")

    monkeypatch.setattr(directory, "NATIVE", NoMemory)
    segment = filled(segments, 1)
    assert segment.mapping is None
    assert segment.read_now(0, 2) == bytes(2 * BLOCK_BYTES)
