"""Functions that return the changed ranges or the allocated ranges of snapshots and volumes, page by page."""

from contextlib import aclosing

from odx_target.store.api import BLOCK_BYTES, BlockSource, Change, ChangedRanges
from odx_target.target.control.storage.answers import Range, Ranges
from odx_target.target.control.storage.names import find_snapshot, find_source
from odx_target.target.control.storage.storage import Storage

ROWS_OF_A_PAGE = 16_384
"""A response with this number of ranges or more ends. A range needs about 70 bytes of JSON, and a part of the stream has at
most 4,096 ranges, so a response has at most 1.5 MiB. Each response begins a new comparison, which looks ahead, so small
responses would cost more."""

ROWS_WITHOUT_ARRAY = 65_536
"""The same number if no array serves the pool. No other task waits meanwhile, and no response has to be sent."""

PARTS_OF_A_PAGE = 64
"""Largest number of parts of the stream in one response. A longer comparison is divided into several responses, so that its
progress is visible."""

_KINDS = {Change.DATA.value: "data", Change.HOLE.value: "hole"}


async def differences(storage: Storage, older: str, newer: str | None, block: int) -> Ranges:
    """Return a page of the ranges in which `newer` differs from `older`. `block` is the first block of the page.

    `next` in the result is the first block of the next page. On the last page, `next` is None. `newer` is a snapshot, or a
    volume in its present state. If `newer` is None, the volume of the snapshot `older` is used.
    """
    before = find_snapshot(storage.pool, older)
    name = older.partition("@")[0] if newer is None else newer
    return await _page(storage, before, find_source(storage.pool, name), block)


async def allocated(storage: Storage, source: str, block: int) -> Ranges:
    """Return a page of the ranges that contain data in a snapshot or volume. `block` is the first block of the page.

    `next` in the result is the first block of the next page. On the last page, `next` is None.
    """
    return await _page(storage, None, find_source(storage.pool, source), block)


async def _page(storage: Storage, older: BlockSource | None, newer: BlockSource, block: int) -> Ranges:
    ranges: list[Range] = []
    parts, most = 0, ROWS_OF_A_PAGE if storage.array is not None else ROWS_WITHOUT_ARRAY
    async with aclosing(storage.pool.changed_ranges(older, newer, block)) as stream:
        async for part in stream:
            _add(ranges, part)
            block = part.end
            parts += 1
            if len(ranges) >= most or parts >= PARTS_OF_A_PAGE:
                break
    is_last = block >= max(newer.size_blocks, 0 if older is None else older.size_blocks)
    return {"ranges": ranges, "next": None if is_last else block}


def _add(ranges: list[Range], part: ChangedRanges) -> None:
    """Add the ranges of a part. The first one may continue the last range."""
    offsets, lengths = (part.blocks * BLOCK_BYTES).tolist(), (part.counts * BLOCK_BYTES).tolist()
    kinds = [_KINDS[kind] for kind in part.kinds.tolist()]
    if ranges and kinds:
        last = ranges[-1]
        if (last["offset_bytes"] + last["length_bytes"], last["kind"]) == (offsets[0], kinds[0]):
            offsets[0], lengths[0] = last["offset_bytes"], last["length_bytes"] + lengths[0]
            ranges.pop()
    for offset_bytes, length_bytes, kind in zip(offsets, lengths, kinds, strict=True):
        ranges.append({"offset_bytes": offset_bytes, "length_bytes": length_bytes, "kind": kind})
