"""Writes of the primary's log, packed into bodies of SHIP by the thread that has read them.

Nearly all records are writes whose data is in the log. They need nothing but the indexes of their volumes, so the event loop
does not handle them one by one. All other records, and those after them in the piece that was read, go through `shipping`.
"""

from collections.abc import Callable, Mapping

from odx_target.environment import Buffer
from odx_target.replica.sync.limits import MAX_ITEM_BLOCKS
from odx_target.replica.sync.stream.items import (
    BODY_HEAD_BYTES,
    ITEM_HEAD_BYTES,
    MAX_ITEMS_BYTES,
    ItemKind,
    item_head,
)
from odx_target.store.api import BLOCK_BYTES, Followed, Write


class _Bodies:
    """Bodies of SHIP with whole commits. The head of each body has room, and is filled in when the body is sent."""

    def __init__(self) -> None:
        self._full: list[bytearray] = []
        self._parts: list[Buffer] = []
        self.size_bytes = 0
        """Size of the items of the last body."""

    def add(self, volume: int, block: int, data: memoryview) -> None:
        """Add a write of at most MAX_ITEM_BLOCKS blocks."""
        size_bytes = ITEM_HEAD_BYTES + len(data)
        if self.size_bytes + size_bytes > MAX_ITEMS_BYTES:
            self._close()
        self._parts += (item_head(ItemKind.WRITE, volume, block, len(data) // BLOCK_BYTES), data)
        self.size_bytes += size_bytes

    def _close(self) -> None:
        self._full.append(bytearray(b"").join((bytes(BODY_HEAD_BYTES), *self._parts)))
        self._parts, self.size_bytes = [], 0

    def take(self) -> tuple[bytearray, ...]:
        """Return the bodies, and begin anew."""
        if self._parts:
            self._close()
        full, self._full = self._full, []
        return tuple(full)

    @property
    def is_long(self) -> bool:
        """True if there is more than one body."""
        return bool(self._full)


def pack(records: list[Followed], index: Mapping[int, int], is_shipped: Callable[[Followed], bool]) -> list[Followed]:
    """Put prepared objects in the place of whole commits that have only writes with data, and records that are not shipped.

    `index` has the indexes of the volumes by their numbers. `is_shipped` returns True for a record that may become an item.
    """
    found: list[Followed] = []
    bodies, packed = _Bodies(), None
    begin = 0
    for at, record in enumerate(records):
        if not record.ends_commit:
            continue
        commit, begin = records[begin : at + 1], at + 1
        writes = [each for each in commit if is_shipped(each)]
        if not all(isinstance(each.record, Write) and each.data is not None for each in writes):
            begin -= len(commit)
            break
        size_bytes = sum(_size_bytes(each) for each in writes)
        if packed is not None and (bodies.is_long or bodies.size_bytes + size_bytes > MAX_ITEMS_BYTES):
            found.append(packed._replace(prepared=bodies.take()))
        for each in writes:
            _add(bodies, each, index)
        packed = record._replace(data=None)
    if packed is not None:
        found.append(packed._replace(prepared=bodies.take()))
    return found + records[begin:]


def _size_bytes(followed: Followed) -> int:
    blocks = len(followed.data or b"") // BLOCK_BYTES
    return blocks * BLOCK_BYTES + -(-blocks // MAX_ITEM_BLOCKS) * ITEM_HEAD_BYTES


def _add(bodies: _Bodies, followed: Followed, index: Mapping[int, int]) -> None:
    record, data = followed.record, followed.data
    assert isinstance(record, Write)
    assert data is not None
    for at in range(0, record.count_blocks, MAX_ITEM_BLOCKS):
        end = min(at + MAX_ITEM_BLOCKS, record.count_blocks)
        bodies.add(index[record.volume], record.block + at, data[at * BLOCK_BYTES : end * BLOCK_BYTES])
