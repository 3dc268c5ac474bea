"""Views of mapped segments: their content, what keeps them, and what becomes of them when a segment ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odx_target.native.choice import NATIVE
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.segments import directory
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment import PLACE_BITS
from odx_target.target.server.send_queue import SendQueue
from tests.native.built import compiled
from tests.native.mapped import BLOCKS, Mapped, mapped_file

pytestmark = pytest.mark.skipif(NATIVE is None, reason="the native module is switched off")

MIN_VIEW_BYTES = 16 << 10


@pytest.fixture
def mapped(tmp_path: Path) -> Iterator[Mapped]:
    made = mapped_file(tmp_path / "segment")
    yield made
    made.segment.mapping.close()


def views_of(mapped: Mapped, offset_bytes: int, size_bytes: int) -> list[memoryview] | None:
    found: list[memoryview] | None = mapped.reader.view_now(mapped.block_map, offset_bytes, size_bytes)
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.integers(0, BLOCKS * BLOCK_BYTES - 1),
    st.integers(1, BLOCKS * BLOCK_BYTES),
    st.lists(st.tuples(st.integers(0, BLOCKS - 1), st.integers(1, 16)), max_size=3),
)
def test_views_have_the_bytes_that_a_copy_has(
    mapped: Mapped, offset_bytes: int, size_bytes: int, moved: list[tuple[int, int]]
) -> None:
    blocks = list(range(BLOCKS))  # the block of the segment at each block of the volume
    mapped.block_map.assign(0, 1 << PLACE_BITS, BLOCKS)
    for at, count in moved:
        count = min(count, BLOCKS - at)
        blocks[at : at + count] = range(count)
        mapped.block_map.assign(at, 1 << PLACE_BITS, count)
    size_bytes = min(size_bytes, BLOCKS * BLOCK_BYTES - offset_bytes)
    content = b"".join(mapped.content[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES] for block in blocks)
    if (views := views_of(mapped, offset_bytes, size_bytes)) is not None:
        assert b"".join(views) == content[offset_bytes : offset_bytes + size_bytes]
        assert all(len(view) >= MIN_VIEW_BYTES for view in views[:-1])
    else:
        assert size_bytes < MIN_VIEW_BYTES or moved


def test_a_view_of_consecutive_blocks_is_one_piece(mapped: Mapped) -> None:
    views = views_of(mapped, 512, 20 * BLOCK_BYTES)
    assert views is not None
    assert [bytes(view) for view in views] == [mapped.content[512 : 512 + 20 * BLOCK_BYTES]]
    assert views[0].readonly


@pytest.mark.parametrize(
    ("offset_bytes", "size_bytes"), [(0, MIN_VIEW_BYTES - 1), (0, 0), (BLOCKS * BLOCK_BYTES, MIN_VIEW_BYTES)]
)
def test_small_ranges_and_ranges_outside_the_map_have_no_views(mapped: Mapped, offset_bytes: int, size_bytes: int) -> None:
    assert views_of(mapped, offset_bytes, size_bytes) is None


def test_damaged_blocks_and_blocks_without_a_mapping_have_no_views(mapped: Mapped) -> None:
    with mapped.path.open("r+b") as file:
        file.write(b"changed")
    assert views_of(mapped, 0, MIN_VIEW_BYTES) is None
    assert views_of(mapped, BLOCK_BYTES, MIN_VIEW_BYTES) is not None
    mapped.segment.mapping.close()
    assert views_of(mapped, BLOCK_BYTES, MIN_VIEW_BYTES) is None


def test_a_file_that_was_cut_ends_no_process(mapped: Mapped) -> None:
    views = views_of(mapped, 0, BLOCKS * BLOCK_BYTES)
    assert views is not None
    os.truncate(mapped.path, 0)
    assert views_of(mapped, 0, MIN_VIEW_BYTES) is None
    with pytest.raises(OSError, match="Input/output error"):
        compiled.copy_if_view(views[0])
    sender, receiver = socket.socketpair()
    with sender, receiver, pytest.raises(OSError, match="Bad address"):
        sender.sendmsg(views)


def test_a_closed_mapping_stays_until_its_last_view_ends(mapped: Mapped) -> None:
    views = views_of(mapped, 0, MIN_VIEW_BYTES)
    assert views is not None
    mapping = mapped.segment.mapping
    assert mapping.has_views
    mapping.close()
    assert views[0] == mapped.content[:MIN_VIEW_BYTES]
    with pytest.raises(BufferError, match="closed"):
        memoryview(mapping)  # type: ignore[arg-type]
    views.clear()
    assert not mapping.has_views
    assert str(mapped.path) not in Path("/proc/self/maps").read_text()


def test_only_views_are_copied(mapped: Mapped) -> None:
    views = views_of(mapped, 0, MIN_VIEW_BYTES)
    assert views is not None
    copy = compiled.copy_if_view(views[0])
    assert copy == mapped.content[:MIN_VIEW_BYTES]
    assert isinstance(copy, bytes)
    for other in (b"bytes", bytearray(3), memoryview(b"bytes")):
        assert compiled.copy_if_view(other) is other


@pytest.mark.parametrize("is_evicted", [False, True])
def test_a_segment_with_views_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_evicted: bool
) -> None:
    monkeypatch.setattr(directory, "is_in_memory", lambda _: True)
    segments = DirectorySegments(tmp_path, max_held=2)
    segment = segments.create(1, BLOCKS)
    segment.write(0, [b"a" * BLOCK_BYTES])
    segment.sync()
    segment.seal(BLOCKS)
    segment.sync()
    view = memoryview(segment.mapping)[:BLOCK_BYTES]  # type: ignore[arg-type]
    if is_evicted:
        for number in (2, 3):
            segments.create(number, BLOCKS)
        assert segment.mapping is None
    assert segment.has_views
    segments.recycle(1, 9, BLOCKS).write(0, [b"b" * BLOCK_BYTES])
    assert view == b"a" * BLOCK_BYTES
    assert sorted(segments.names()) == ([2, 3, 9] if is_evicted else [9])
    view.release()
    assert not segment.has_views
    segments.close()


def test_views_count_although_two_threads_have_mapped_the_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second thread maps the segment, and a read makes a view, while the first thread asks for the size of the file."""
    monkeypatch.setattr(directory, "is_in_memory", lambda _: True)
    segments = DirectorySegments(tmp_path, max_held=1)
    for number in (1, 2):
        segments.create(number, BLOCKS)
        segments.open(number).seal(BLOCKS)
        segments.open(number).sync()
    segment = segments.open(1)
    assert segment.mapping is None
    views = []

    def slow_fstat(descriptor: int) -> os.stat_result:
        monkeypatch.undo()
        segments.keep(segment, os.open(segment.path, os.O_RDWR))
        views.append(memoryview(segment.mapping))  # type: ignore[arg-type]
        return os.fstat(descriptor)

    monkeypatch.setattr(directory.os, "fstat", slow_fstat)
    segments.keep(segment, os.open(segment.path, os.O_RDWR))
    assert segment.has_views
    views.clear()
    assert not segment.has_views
    segments.close()


@pytest.mark.parametrize("is_first", [True, False])
def test_the_send_queue_keeps_no_views(mapped: Mapped, *, is_first: bool) -> None:
    sender, receiver = socket.socketpair()
    with sender, receiver:
        sender.setblocking(False)
        queue = SendQueue(sender)
        filler = bytes(1 << 20)
        if not is_first:
            assert not queue.send_now([filler])
        views = views_of(mapped, 0, BLOCKS * BLOCK_BYTES)
        assert views is not None
        while queue.send_now([b"header", *views]):
            pass
        views.clear()
        assert not mapped.segment.mapping.has_views
        received = trio.run(drained, queue, receiver)
        assert received.endswith(b"header" + mapped.content)


async def drained(queue: SendQueue, receiver: socket.socket) -> bytes:
    """Send what is in a queue, and return all bytes that its peer has not received."""
    receiver.setblocking(False)
    received = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.drain)
        while queue.unsent_bytes:
            await trio.lowlevel.wait_readable(receiver)
            received += receiver.recv(1 << 20)
    with suppress(BlockingIOError):
        while True:
            received += receiver.recv(1 << 20)
    return bytes(received)
