"""The mappings of a segment in a file, which any thread may replace."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment_file import DirectorySegment


class FakeMapping:
    """A mapping with a view. `on_close` is called while it is closed."""

    is_writable = False
    size_bytes = 0

    def __init__(self, on_close: Callable[[], None] = lambda: None) -> None:
        self._on_close = on_close
        self.has_views = True

    def populate(self) -> None: ...

    def write_now(self, _offset_bytes: int, _buffers: list[Buffer], /) -> bool:
        return False

    def close(self) -> None:
        self._on_close()

    def __buffer__(self, _flags: int, /) -> memoryview:
        return memoryview(b"")


@pytest.fixture
def store(tmp_path: Path) -> DirectorySegments:
    return DirectorySegments(tmp_path)


def test_views_count_that_two_threads_have_unmapped_at_once(store: DirectorySegments) -> None:
    """While a thread closes the first mapping, another thread maps the segment again and closes that mapping too."""
    segment = store.create(1, 8)
    second = FakeMapping()
    other = Thread(target=lambda: (segment.map(second), segment.unmap()))
    first = FakeMapping(other.start)
    segment.map(first)
    segment.unmap()
    other.join()
    for mapping in (first, second):
        first.has_views = second.has_views = False
        assert not segment.has_views
        mapping.has_views = True
        assert segment.has_views


class MappingThatIsUnmapped(FakeMapping):
    """A writable mapping that another thread unmaps while its size is asked for, unless a lock prevents this."""

    is_writable = True

    def __init__(self, segment: DirectorySegment) -> None:
        super().__init__()
        self.has_views = self.is_closed = False
        self._segment = segment

    @property
    def size_bytes(self) -> int:
        if self._segment._mapping_lock.acquire(blocking=False):
            self._segment._mapping_lock.release()
            self._segment.unmap()
        return 8 * BLOCK_BYTES

    def close(self) -> None:
        self.is_closed = True


def test_no_thread_closes_a_mapping_while_it_is_given_up(store: DirectorySegments) -> None:
    segment = store.create(1, 8)
    mapping = MappingThatIsUnmapped(segment)
    segment.map(mapping)
    assert segment.give_mapping_up(8 * BLOCK_BYTES) is mapping
    assert not mapping.is_closed
    segment.unmap()
    assert not mapping.is_closed
