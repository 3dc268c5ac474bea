"""Segments that are preallocated files in a local directory (see `segment_file`)."""

import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from odx_target.native.choice import NATIVE, SegmentMapping
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.error_kinds import ErrorKind, kind_of
from odx_target.store.errors import PoolFull
from odx_target.store.segments.descriptor_cache import DescriptorCache
from odx_target.store.segments.file_system import is_in_memory, knows_nowait
from odx_target.store.segments.preallocation import preallocate
from odx_target.store.segments.segment import SEGMENT_DESCRIPTORS
from odx_target.store.segments.segment_file import WAITS_ALWAYS, DirectorySegment, sync_descriptor
from odx_target.store.segments.watch import BeforeCall, SegmentCall, SegmentWatch

FIRST_BLOCKS = 256
"""Number of blocks for which the first segment in a file system in memory has room at once: 1 MiB. The start of an array writes
a few blocks."""

FREE_SHARE = 2
"""The rest of this segment is reserved later only if the file system has this number of times its size free."""

_NAME = re.compile(r"([0-9]{10})\.segment")


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
        sync_descriptor(self._directory_descriptor, os.fsync)

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
            sync_descriptor(self._directory_descriptor, os.fsync)
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
