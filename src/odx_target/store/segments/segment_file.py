"""A segment that is a preallocated file. Data in the page cache is read without waiting for the disk.

The descriptor of a new segment stays open until all data of the segment is durable, for two reasons:

- Writes and syncs then need no new descriptor. A process that has too many open
  descriptors cannot open another one.
- If the kernel fails to write data to the disk, a sync of a descriptor that was opened later may not report the error.
"""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.native.choice import SegmentMapping
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import of_write
from odx_target.store.segments.descriptor_cache import NO_DESCRIPTOR, DescriptorCache
from odx_target.store.segments.watch import SegmentCall, SegmentWatch

MAX_BUFFERS_PER_WRITE = 1024
"""Largest number of buffers in one pwritev call: IOV_MAX of Linux."""

WAITS_ALWAYS = -1
"""Value of `DirectorySegment.read_flags` if every read may wait for the disk."""


class SegmentFiles(Protocol):
    """The files of all segments of a directory, as one segment uses them; see `DirectorySegments`."""

    descriptors: DescriptorCache
    watched: SegmentWatch
    waits_always: bool
    read_flags: int

    def path(self, number: int) -> Path: ...

    def hold(self, segment: "DirectorySegment") -> int:
        """Open a segment for writing and cache its descriptor. Raises OSError."""
        ...

    def keep(self, segment: "DirectorySegment", descriptor: int) -> None:
        """Put a descriptor of a segment into the cache. If later reads cannot use the descriptor, close it instead."""
        ...

    def sync_name(self, number: int) -> None:
        """Make the directory entry of the file of a segment durable. Raises OSError."""
        ...

    def end_reserving(self, number: int) -> None:
        """Reserve no further room for a segment."""
        ...


class DirectorySegment:
    """A segment that is a file. `is_filling` is True if it is new and has not been sealed.

    `read_flags` are the flags of preadv with which a read does not wait for the disk. Unless `mapping` is None, the native
    module reads through it, and writes go through it until the segment is full. Views of the mapping may be waiting to be sent.

    Each read in a thread opens a descriptor of its own. So the cached descriptor may be closed while a thread reads.
    """

    __slots__ = (
        "_closed_mappings",
        "_count_synced",
        "_count_writes",
        "_mapping_lock",
        "_store",
        "descriptor",
        "is_filling",
        "mapping",
        "number",
        "read_flags",
    )

    def __init__(self, store: SegmentFiles, number: int, *, is_filling: bool = False) -> None:
        self.number = number
        self.descriptor = NO_DESCRIPTOR
        self.is_filling = is_filling
        self.mapping: SegmentMapping | None = None
        self._closed_mappings: list[SegmentMapping] = []
        self._mapping_lock = Lock()  # Any thread that reads the segment may map it, or close the oldest descriptors.
        self.read_flags = WAITS_ALWAYS if store.waits_always else store.read_flags
        self._store = store
        self._count_writes = self._count_synced = 0

    @property
    def is_pinned(self) -> bool:
        return self.is_filling or self._count_writes != self._count_synced

    def map(self, mapping: SegmentMapping) -> None:
        """Read the segment through a mapping. A mapping that another thread has made at the same time is closed, and its views
        still count.
        """
        with self._mapping_lock:
            self._unmap()
            self.mapping = mapping

    def unmap(self) -> None:
        with self._mapping_lock:
            self._unmap()

    def _unmap(self) -> None:
        mapping, self.mapping = self.mapping, None
        if mapping is not None:
            mapping.close()
            self._closed_mappings = [each for each in (*self._closed_mappings, mapping) if each.has_views]

    def give_mapping_up(self, size_bytes: int) -> SegmentMapping | None:
        """Return the mapping, if it is writable and has this size, so that a new segment in the same file can use it. This
        segment then has no mapping. The pages that were written stay mapped, so later writes to them are faster.
        """
        with self._mapping_lock:
            mapping = self.mapping
            if mapping is None or not mapping.is_writable or mapping.size_bytes != size_bytes:
                return None
            self.mapping = None
            return mapping

    @property
    def has_views(self) -> bool:
        """True while views of the segment are being sent, so that its blocks must not change."""
        with self._mapping_lock:
            mappings = [*self._closed_mappings, *([] if self.mapping is None else [self.mapping])]
            return any(each.has_views for each in mappings)

    def write(self, block: int, buffers: Sequence[Buffer]) -> None:
        self.write_at(block * BLOCK_BYTES, buffers)

    def write_at(self, offset_bytes: int, buffers: Sequence[Buffer]) -> None:
        if self._store.watched.before is not None:
            self._store.watched.before(SegmentCall.WRITE, self.number)
        self._count_writes += 1
        mapping = self.mapping
        if mapping is not None and isinstance(buffers, list) and mapping.write_now(offset_bytes, buffers):
            return
        descriptor = self.descriptor
        if descriptor < 0:
            descriptor = self._store.hold(self)
        if len(buffers) <= MAX_BUFFERS_PER_WRITE:
            size_bytes = sum(map(len, buffers))
            if os.pwritev(descriptor, buffers, offset_bytes) == size_bytes:
                return
        _write_in_pieces(descriptor, buffers, offset_bytes)

    def read_now(self, block: int, count_blocks: int) -> bytearray | None:
        descriptor = self.descriptor
        if descriptor < 0:
            return None
        store = self._store
        store.descriptors.in_use = descriptor
        if descriptor != self.descriptor or store.waits_always:
            return None
        buffer = bytearray(count_blocks * BLOCK_BYTES)
        try:
            count_bytes = os.preadv(descriptor, (buffer,), block * BLOCK_BYTES, store.read_flags)
        except OSError:
            return None
        return buffer if count_bytes == len(buffer) else None

    def read(self, block: int, count_blocks: int) -> bytearray:
        size_bytes = count_blocks * BLOCK_BYTES
        buffer = bytearray(size_bytes)
        view = memoryview(buffer)
        done_bytes = 0
        self._store.watched.see(SegmentCall.READ, self.number)
        descriptor = self._store.descriptors.open(self.path, os.O_RDWR)
        try:
            while done_bytes < size_bytes:
                count_bytes = os.preadv(descriptor, (view[done_bytes:],), block * BLOCK_BYTES + done_bytes)
                if count_bytes == 0:
                    raise OSError(errno.ENODATA, f"{self.path} ends before block {block + count_blocks}")
                done_bytes += count_bytes
        except BaseException:
            os.close(descriptor)
            raise
        self._store.keep(self, descriptor)
        return buffer

    def sync(self) -> None:
        self._store.watched.see(SegmentCall.FLUSH, self.number)
        count_writes = self._count_writes
        if self.is_pinned and self.descriptor >= 0:
            sync_descriptor(self.descriptor)
        else:
            self._sync_anew()
        self._store.sync_name(self.number)
        self._count_synced = count_writes

    def seal(self, size_blocks: int) -> None:
        self._store.end_reserving(self.number)
        os.truncate(self.path, size_blocks * BLOCK_BYTES)
        self._count_writes += 1
        self.is_filling = False

    @property
    def path(self) -> Path:
        return self._store.path(self.number)

    def _sync_anew(self) -> None:
        """Open a new descriptor, and sync the file through it. Needed only for data that an earlier process wrote."""
        try:
            descriptor = self._store.descriptors.open(self.path, os.O_RDWR)
        except OSError as error:
            raise of_write("flushing", error) from error  # No sync was started, so no data can be lost.
        try:
            sync_descriptor(descriptor)
        finally:
            os.close(descriptor)


def sync_descriptor(descriptor: int, call: Callable[[int], None] | None = None) -> None:
    """Sync a descriptor with `call`, by default fdatasync(2). Repeat the call if a signal interrupted it. Any other error means
    that data may be lost.
    """
    while True:
        try:
            (call or os.fdatasync)(descriptor)
        except InterruptedError:
            continue
        return


def _write_in_pieces(descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
    rest = [memoryview(buffer) for buffer in buffers if len(buffer)]
    while rest:
        count_bytes = os.pwritev(descriptor, rest[:MAX_BUFFERS_PER_WRITE], offset)
        if count_bytes == 0:
            raise OSError(errno.EIO, "the disk takes nothing more")
        offset += count_bytes
        whole = 0
        while whole < len(rest) and count_bytes >= len(rest[whole]):
            count_bytes -= len(rest[whole])
            whole += 1
        del rest[:whole]
        if rest:
            rest[0] = rest[0][count_bytes:]
