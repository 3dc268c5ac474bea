"""Functions that return the changed ranges or the allocated ranges of snapshots and volumes, page by page."""

from odx_target.store.api import BLOCK_BYTES, Change, PoolBusy
from odx_target.target.control.storage.answers import Ranges
from odx_target.target.control.storage.names import find_snapshot, find_source
from odx_target.target.control.storage.storage import Storage

ROWS_OF_A_PAGE = 4096
"""Maximum number of ranges in one response. This number of ranges needs a few hundred KiB of JSON."""

TURNS_OF_A_PAGE = 100
"""Maximum number of turns of the event loop for one response.

This number of turns takes about 0.2 s. A longer comparison is divided into several responses, so that its progress is visible.
"""

_KINDS = {Change.DATA: "data", Change.HOLE: "hole"}


async def differences(storage: Storage, older: str, newer: str | None, block: int) -> Ranges:
    """Return a page of the ranges in which `newer` differs from `older`. `block` is the first block of the page.

    `next` in the result is the first block of the next page. On the last page, `next` is None. `newer` is a snapshot, or a
    volume in its present state. If `newer` is None, the volume of the snapshot `older` is used.
    """
    pool, turns = storage.pool, storage.environment.turns
    before = find_snapshot(pool, older)
    name = older.partition("@")[0] if newer is None else newer
    page = _Page(block)
    for _ in range(TURNS_OF_A_PAGE):
        after = find_source(pool, name)
        end = max(before.size_blocks, after.size_blocks)
        try:
            for at, count, change in pool.differences(before, after, page.next_block, turns):
                page.add(at, count, _KINDS.get(change))
        except PoolBusy:
            await before.map_loaded()
        if page.next_block >= end:
            return page.answer(is_last=True)
        if len(page.ranges) >= ROWS_OF_A_PAGE:
            break
        await turns.next()
    return page.answer(is_last=False)


async def allocated(storage: Storage, source: str, block: int) -> Ranges:
    """Return a page of the ranges that contain data in a snapshot or volume. `block` is the first block of the page.

    `next` in the result is the first block of the next page. On the last page, `next` is None.
    """
    turns = storage.environment.turns
    page = _Page(block)
    for _ in range(TURNS_OF_A_PAGE):
        found = find_source(storage.pool, source)
        try:
            for at, count, mapped in found.extents(page.next_block, turns):
                page.add(at, count, "data" if mapped else None)
        except PoolBusy:
            await found.map_loaded()
        if page.next_block >= found.size_blocks:
            return page.answer(is_last=True)
        if len(page.ranges) >= ROWS_OF_A_PAGE:
            break
        await turns.next()
    return page.answer(is_last=False)


class _Page:
    """The ranges of one response. `next_block` is the block after the last range that was examined."""

    def __init__(self, block: int) -> None:
        self.next_block = block
        self.ranges: list[tuple[int, int, str]] = []

    def add(self, block: int, count_blocks: int, kind: str | None) -> None:
        """Add a range. If `kind` is None, only advance `next_block` to the end of the range."""
        self.next_block = block + count_blocks
        if kind is None:
            return
        if self.ranges:
            start, count, last_kind = self.ranges[-1]
            if (start + count, last_kind) == (block, kind):
                self.ranges[-1] = start, count + count_blocks, kind
                return
        self.ranges.append((block, count_blocks, kind))

    def answer(self, *, is_last: bool) -> Ranges:
        return {
            "ranges": [
                {"offset_bytes": block * BLOCK_BYTES, "length_bytes": count * BLOCK_BYTES, "kind": kind}
                for block, count, kind in self.ranges
            ],
            "next": None if is_last else self.next_block,
        }
