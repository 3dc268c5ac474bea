"""The mappings of a segment in a file, which any thread may replace."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from odx_target.environment import Buffer
from odx_target.store.segments.directory import DirectorySegments


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
