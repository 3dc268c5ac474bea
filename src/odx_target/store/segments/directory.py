"""Segments that are preallocated files in a local directory. Data in the page cache is read without waiting for the disk.

The descriptor of a new segment stays open until all data of the segment is durable, for two reasons:

- Writes and syncs then need no new descriptor. A process that has too many open
  descriptors cannot open another one.
- If the kernel fails to write data to the disk, a sync of a descriptor that was opened later may not report the error.
"""

import errno
import os
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from odx_target.environment import Buffer
from odx_target.native.choice import NATIVE, SegmentMapping
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import ErrorKind, kind_of, of_write
from odx_target.store.errors import PoolFull
from odx_target.store.segments.descriptor_cache import NO_DESCRIPTOR, DescriptorCache
from odx_target.store.segments.file_system import is_in_memory, knows_nowait
from odx_target.store.segments.preallocation import preallocate
from odx_target.store.segments.segment import SEGMENT_DESCRIPTORS
from odx_target.store.segments.watch import BeforeCall, SegmentCall, SegmentWatch

MAX_BUFFERS_PER_WRITE = 1024
"""Largest number of buffers in one pwritev call: IOV_MAX of Linux."""

FIRST_BLOCKS = 256
"""Number of blocks for which the first segment in a file system in memory has room at once: 1 MiB. The start of an array writes
a few blocks."""

FREE_SHARE = 2
"""The rest of this segment is reserved later only if the file system has this number of times its size free."""

WAITS_ALWAYS = -1
"""Value of `DirectorySegment.read_flags` if every read may wait for the disk."""

_NAME = re.compile(r"([0-9]{10})\.segment")


class DirectorySegment:
    """A segment that is a file.

    `read_flags` are the flags of preadv with which a read does not wait for the disk. Unless `mapping` is None, the native
    module reads through it, and writes go through it until the segment is full. Views of the mapping may be waiting to be sent.

    Each read in a thread opens a descriptor of its own. So the cached descriptor may be closed while a thread reads.
    """

    __slots__ = (
        "_closed_mappings",
        "_count_synced",
        "_count_writes",
        "_is_filling",
        "_store",
        "descriptor",
        "mapping",
        "number",
        "read_flags",
    )

    def __init__(self, store: "DirectorySegments", number: int, *, is_filling: bool = False) -> None:
        self.number = number
        self.descriptor = NO_DESCRIPTOR
        self.mapping: SegmentMapping | None = None
        self._closed_mappings: list[SegmentMapping] = []
        self.read_flags = WAITS_ALWAYS if store.waits_always else store.read_flags
        self._store = store
        self._is_filling = is_filling
        self._count_writes = self._count_synced = 0

    @property
    def is_filling(self) -> bool:
        """True if the segment is new and has not been sealed."""
        return self._is_filling

    @property
    def is_pinned(self) -> bool:
        return self._is_filling or self._count_writes != self._count_synced

    def map(self, mapping: SegmentMapping) -> None:
        """Read the segment through a mapping. A mapping that another thread has made at the same time is closed, and its views
        still count.
        """
        self.unmap()
        self.mapping = mapping

    def unmap(self) -> None:
        mapping, self.mapping = self.mapping, None
        if mapping is not None:
            mapping.close()
            self._closed_mappings = [each for each in (*self._closed_mappings, mapping) if each.has_views]

    def give_mapping_up(self, size_bytes: int) -> SegmentMapping | None:
        """Return the mapping, if it is writable and has this size, so that a new segment in the same file can use it. This
        segment then has no mapping. The pages that were written stay mapped, so later writes to them are faster.
        """
        mapping = self.mapping
        if mapping is None or not mapping.is_writable or mapping.size_bytes != size_bytes:
            return None
        self.mapping = None
        return mapping

    @property
    def has_views(self) -> bool:
        """True while views of the segment are being sent, so that its blocks must not change."""
        return (self.mapping is not None and self.mapping.has_views) or any(each.has_views for each in self._closed_mappings)

    def write(self, block: int, buffers: Sequence[Buffer]) -> None:
        if self._store.watched.before is not None:
            self._store.watched.before(SegmentCall.WRITE, self.number)
        self._count_writes += 1
        mapping = self.mapping
        if mapping is not None and isinstance(buffers, list) and mapping.write_now(block * BLOCK_BYTES, buffers):
            return
        descriptor = self.descriptor
        if descriptor < 0:
            descriptor = self._store.hold(self)
        offset = block * BLOCK_BYTES
        if len(buffers) <= MAX_BUFFERS_PER_WRITE:
            size_bytes = sum(map(len, buffers))
            if os.pwritev(descriptor, buffers, offset) == size_bytes:
                return
        _write_in_pieces(descriptor, buffers, offset)

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
            _sync(self.descriptor)
        else:
            self._sync_anew()
        self._store.sync_name(self.number)
        self._count_synced = count_writes

    def seal(self, size_blocks: int) -> None:
        self._store.end_reserving(self.number)
        os.truncate(self.path, size_blocks * BLOCK_BYTES)
        self._count_writes += 1
        self._is_filling = False

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
            _sync(descriptor)
        finally:
            os.close(descriptor)


class DirectorySegments:
    """The segments in the files `NNNNNNNNNN.segment` of an existing directory. Other files in the directory are ignored.

    One descriptor of the directory and up to `max_held` descriptors of segments stay open.

    `read_now` works only if the descriptor of the segment is open and the file system can read without waiting. A file system
    in memory never waits. Most other file systems support RWF_NOWAIT. On a file system without RWF_NOWAIT, every read needs a
    thread.

    If the file system is in memory, the native module also maps each segment whose descriptor is open, and reads it without a
    system call. Files on a disk are not mapped, because an error of the disk would then end the process.
    """

    def __init__(self, directory: Path, max_held: int = SEGMENT_DESCRIPTORS) -> None:
        self._directory = directory
        self._is_closed = False
        self._unsynced_names: set[int] = set()
        self._unreserved: int | None = None
        self._reserving = threading.Lock()  # A segment that was cut, recycled or deleted must not be enlarged again.
        self._has_created = False
        self._segments: dict[int, DirectorySegment] = {}
        self._in_memory = is_in_memory(directory)
        self.descriptors = DescriptorCache(max_held)
        self.watched = SegmentWatch()
        self._cannot_read_now = not self._in_memory and not knows_nowait(directory)
        self.waits_always = self._cannot_read_now
        self.read_flags = 0 if self._in_memory else getattr(os, "RWF_NOWAIT", 0)
        self._directory_descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def syncs_at_once(self) -> bool:
        """True for a file system in memory, where fdatasync has nothing to do. A watch may wait before a sync."""
        return self._in_memory and self.watched.before is None

    def path(self, number: int) -> Path:
        return self._directory / f"{number:010d}.segment"

    def names(self) -> dict[int, int]:
        found = {}
        for path in self._directory.iterdir():
            if match := _NAME.fullmatch(path.name):
                found[int(match[1])] = path.stat().st_size // BLOCK_BYTES
        return found

    def room_blocks(self) -> int | None:
        try:
            found = os.statvfs(self._directory)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize // BLOCK_BYTES

    def describe(self, number: int) -> str:
        return str(self.path(number))

    def create(self, number: int, size_blocks: int) -> DirectorySegment:
        path = self.path(number)
        descriptor = self.descriptors.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            self.watched.see(SegmentCall.CREATE, number)
            if self._is_reserved_later(size_blocks):
                os.ftruncate(descriptor, size_blocks * BLOCK_BYTES)
                os.posix_fallocate(descriptor, 0, FIRST_BLOCKS * BLOCK_BYTES)
                self._unreserved = number
            else:
                preallocate(descriptor, 0, size_blocks, is_in_memory=self._in_memory)
        except OSError as error:
            os.close(descriptor)
            raise self._not_made(number, size_blocks, error) from error
        is_first, self._has_created = not self._has_created, True
        return self._made(number, descriptor, self._prepared_mapping(descriptor) if not is_first else None)

    def _prepared_mapping(self, descriptor: int) -> SegmentMapping | None:
        """Map a new file before the first write to it, and allocate the page tables. Returns None if it cannot be mapped."""
        mapping = self._mapped(descriptor, is_writable=True)
        if mapping is not None:
            mapping.populate()
        return mapping

    def _is_reserved_later(self, size_blocks: int) -> bool:
        """True if a new segment needs room only for its first blocks, and the rest is reserved later.

        This is so for the first segment in a file system in memory, where it takes long to reserve room.
        """
        if self._has_created or not self._in_memory or size_blocks <= FIRST_BLOCKS or not hasattr(os, "posix_fallocate"):
            return False
        room_blocks = self.room_blocks()
        return room_blocks is not None and room_blocks >= FREE_SHARE * size_blocks

    def reserve(self, number: int, size_blocks: int) -> None:
        with self._reserving:
            if self._unreserved != number:
                return
            descriptor = self.descriptors.open(self.path(number), os.O_RDWR)
            try:
                os.posix_fallocate(descriptor, 0, size_blocks * BLOCK_BYTES)
            except OSError as error:
                if kind_of(error) is ErrorKind.NO_ROOM:
                    raise PoolFull(f"no room for {size_blocks * BLOCK_BYTES} bytes in {self._directory}") from error
                raise
            finally:
                os.close(descriptor)
            self._unreserved = None

    def end_reserving(self, number: int) -> None:
        """Reserve no further room for a segment."""
        with self._reserving:
            if self._unreserved == number:
                self._unreserved = None

    def recycle(self, former: int, number: int, size_blocks: int) -> DirectorySegment:
        self.end_reserving(former)
        segment = self._segments.pop(former, None)
        has_views = segment is not None and segment.has_views
        mapping = None if segment is None or has_views else segment.give_mapping_up(size_blocks * BLOCK_BYTES)
        if segment is not None:
            self.descriptors.drop(segment)
        self._unsynced_names.discard(former)
        path = self.path(former)
        if has_views:  # The views keep the removed file.
            path.unlink()
            return self.create(number, size_blocks)
        try:
            descriptor = self.descriptors.open(path, os.O_RDWR)
            try:
                self.watched.see(SegmentCall.CREATE, number)
                former_blocks = path.stat().st_size // BLOCK_BYTES
                preallocate(descriptor, former_blocks, size_blocks, is_in_memory=self._in_memory)
                path.rename(self.path(number))
            except OSError:
                os.close(descriptor)
                raise
        except OSError as error:
            if mapping is not None:
                mapping.close()
            raise self._not_made(former, size_blocks, error) from error
        return self._made(number, descriptor, mapping)

    def open(self, number: int) -> DirectorySegment:
        segment = self._segments.get(number)
        if segment is None:
            self.path(number).stat()
            segment = self._segments[number] = DirectorySegment(self, number)
        return segment

    def delete(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.end_reserving(number)
            self.path(number).unlink(missing_ok=True)
            self._unsynced_names.discard(number)
            if segment := self._segments.pop(number, None):
                self.descriptors.drop(segment)
        _sync(self._directory_descriptor, os.fsync)

    def watch(self, before: BeforeCall | None) -> None:
        self.watched.before = before
        self.waits_always = self._cannot_read_now or before is not None
        for segment in list(self._segments.values()):
            segment.read_flags = WAITS_ALWAYS if self.waits_always else self.read_flags
            if before is not None:
                segment.unmap()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self.descriptors.close()
            os.close(self._directory_descriptor)

    def _made(self, number: int, descriptor: int, mapping: SegmentMapping | None) -> DirectorySegment:
        self._unsynced_names.add(number)
        segment = self._segments[number] = DirectorySegment(self, number, is_filling=True)
        if mapping is not None and self.watched.before is None:
            segment.map(mapping)
        elif mapping is not None:
            mapping.close()
        self._take_in(segment, descriptor)
        return segment

    def _take_in(self, segment: DirectorySegment, descriptor: int) -> None:
        """Put a descriptor into the cache, and map the file."""
        if segment.mapping is None:
            mapping = self._mapped(descriptor, is_writable=segment.is_filling)
            if mapping is not None:
                segment.map(mapping)
        self.descriptors.take_in(segment, descriptor)

    def _mapped(self, descriptor: int, *, is_writable: bool) -> SegmentMapping | None:
        """Map a file in memory. Returns None if the segments are not mapped."""
        if NATIVE is None or not self._in_memory or self.watched.before is not None:
            return None
        try:
            return NATIVE.segment_mapping(descriptor, os.fstat(descriptor).st_size, is_writable)
        except OSError:  # Without a mapping, the segment is read and written through its descriptor.
            return None

    def _not_made(self, number: int, size_blocks: int, error: OSError) -> Exception:
        """Remove the file of a segment that could not be made. Returns the exception that the caller must raise."""
        with suppress(OSError):  # A file that could not be removed is removed when the pool is opened.
            self.path(number).unlink()
        if kind_of(error) is ErrorKind.NO_ROOM:
            return PoolFull(f"no room for another {size_blocks * BLOCK_BYTES} bytes in {self._directory}")
        return error

    def sync_name(self, number: int) -> None:
        """Make the directory entry of the file of a segment durable. Raises OSError."""
        if number in self._unsynced_names:
            _sync(self._directory_descriptor, os.fsync)
            self._unsynced_names.discard(number)

    def hold(self, segment: DirectorySegment) -> int:
        """Open a segment for writing and cache its descriptor. Raises OSError."""
        self.keep(segment, self.descriptors.open(segment.path, os.O_RDWR))
        return segment.descriptor

    def keep(self, segment: DirectorySegment, descriptor: int) -> None:
        """Put a descriptor of a segment into the cache. If later reads cannot use the descriptor, close it instead."""
        if self._is_closed or (self.waits_always and not segment.is_pinned):
            os.close(descriptor)
        else:
            self._take_in(segment, descriptor)


def _sync(descriptor: int, call: Callable[[int], None] | None = None) -> None:
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
