"""Access to a closed pool in a directory, for a check or a repair. Nothing in the directory is changed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from odx_target.store.errors import HeadDamaged, StoreError
from odx_target.store.opening.capacity_directory import require_lost, with_capacity
from odx_target.store.opening.directory_pool import HEAD_NAME, SEGMENTS_NAME, DirectoryHead, DirectoryLock, prepare_segments
from odx_target.store.opening.format_head import OpenHead
from odx_target.store.segments.directory import DirectorySegments
from odx_target.store.segments.segment import SEGMENT_DESCRIPTORS, SegmentStore


def present_head(path: Path) -> OpenHead:
    """Return the head of a closed pool. Raises HeadDamaged, PoolDamaged, OSError."""
    store = DirectoryHead(path)
    document = store.read()
    if document is None:
        raise HeadDamaged(f"{store.describe()} is missing; `odx-target pool repair` makes it again")
    return OpenHead(store, document)


@contextmanager
def closed_pool(
    path: Path, *, without_capacity: bool = False, find_head: Callable[[Path], OpenHead] = present_head
) -> Iterator[tuple[OpenHead, SegmentStore]]:
    """Lock the pool in a directory, and yield its head and the segments of both tiers. The pool must not be open. `find_head`
    returns the head.

    If `without_capacity` is True, the capacity tier of the pool is lost, and its segments are left out. Raises PoolInUse,
    PoolDamaged and OSError. Raises StoreError if there is no pool in the directory, if the pool needs a capacity tier that is
    missing, or if `without_capacity` is True although the tier can be found.
    """
    if not (path / SEGMENTS_NAME).is_dir() and not (path / HEAD_NAME).exists():
        raise StoreError(f"there is no pool in {path}")
    with ExitStack() as stack:
        stack.callback(DirectoryLock(path).release)
        head = find_head(path)
        fast = DirectorySegments(prepare_segments(path, is_new=False), SEGMENT_DESCRIPTORS)
        stack.callback(fast.close)
        segments: SegmentStore = fast
        if without_capacity:
            require_lost(head.fields, path)
        else:
            segments, _ = with_capacity(fast, path, head.fields, None, SEGMENT_DESCRIPTORS, may_write=False)
            stack.callback(segments.close)
        yield head, segments
