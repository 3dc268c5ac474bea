"""Segments as files of a local directory, preallocated, read from the page cache where it has the data."""

import errno
import os
import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from odx_target.store.api import BLOCK_BYTES, Buffer, PoolFull

OPEN_FILES_MAX = 512
"""Half of the usual limit of 1,024 descriptors of a process; the other half is for connections."""

BUFFERS_PER_WRITE_MAX = 1024
"""IOV_MAX of Linux: what one pwritev takes."""

_ZEROS = memoryview(bytes(64 * BLOCK_BYTES))

_NAME = re.compile(r"([0-9]{10})\.segment")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


class DirectorySegment:
    """A file. Threads read through descriptors of their own, so that closing this one never pulls it away from them."""

    __slots__ = ("_descriptor", "_store", "number")

    def __init__(self, store: "DirectorySegments", number: int) -> None:
        self.number = number
        self._store = store
        self._descriptor = -1

    def write(self, block: int, buffers: Sequence[Buffer]) -> None:
        descriptor = self._descriptor if self._descriptor >= 0 else self._store.hold(self)
        if len(buffers) <= BUFFERS_PER_WRITE_MAX:
            offset = block * BLOCK_BYTES
            size_bytes = sum(map(len, buffers))
            if os.pwritev(descriptor, buffers, offset) == size_bytes:
                return
        _write_in_pieces(descriptor, buffers, block * BLOCK_BYTES)

    def read_now(self, block: int, count_blocks: int) -> bytearray | None:
        if self._descriptor < 0 and not self._store.hold_now(self):
            return None
        buffer = bytearray(count_blocks * BLOCK_BYTES)
        try:
            count_bytes = os.preadv(self._descriptor, (buffer,), block * BLOCK_BYTES, self._store.read_flags)
        except OSError:
            return None
        return buffer if count_bytes == len(buffer) else None

    def read(self, block: int, count_blocks: int) -> bytearray:
        size_bytes = count_blocks * BLOCK_BYTES
        buffer = bytearray(size_bytes)
        view = memoryview(buffer)
        done_bytes = 0
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while done_bytes < size_bytes:
                count_bytes = os.preadv(descriptor, (view[done_bytes:],), block * BLOCK_BYTES + done_bytes)
                if count_bytes == 0:
                    raise OSError(errno.ENODATA, f"{self.path} ends before block {block + count_blocks}")
                done_bytes += count_bytes
        finally:
            os.close(descriptor)
        return buffer

    def sync(self) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        self._store.sync_name(self.number)

    def seal(self, size_blocks: int) -> None:
        os.truncate(self.path, size_blocks * BLOCK_BYTES)

    @property
    def path(self) -> Path:
        return self._store.path(self.number)

    def opened(self, descriptor: int) -> None:
        """The store gives or, with -1, takes the descriptor."""
        self._descriptor, old = descriptor, self._descriptor
        if old >= 0:
            os.close(old)


class DirectorySegments:
    """The files `NNNNNNNNNN.segment` of a directory that exists. Other files in it are left alone.

    `read_now` needs reads that do not wait: a file system in memory never waits, most others know RWF_NOWAIT; on the rest
    every read goes through a thread.
    """

    def __init__(self, directory: Path, open_files_max: int = OPEN_FILES_MAX) -> None:
        self._directory = directory
        self._open_files_max = open_files_max
        self._held: deque[DirectorySegment] = deque()
        self._closed = False
        self._unsynced_names: set[int] = set()
        self._in_memory = _file_system(directory) in _IN_MEMORY
        self._waits_always = not self._in_memory and not _knows_nowait(directory)
        self.read_flags = 0 if self._in_memory else getattr(os, "RWF_NOWAIT", 0)

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

    def create(self, number: int, size_blocks: int, *, ahead: bool = False) -> DirectorySegment:
        path = self.path(number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size_blocks * BLOCK_BYTES)
            if ahead and self._in_memory:
                _touch(descriptor, size_blocks)
        except OSError as error:
            path.unlink()
            if error.errno in _NO_ROOM:
                raise PoolFull(f"no room for another {size_blocks * BLOCK_BYTES} bytes in {self._directory}") from error
            raise
        finally:
            os.close(descriptor)
        self._unsynced_names.add(number)
        return DirectorySegment(self, number)

    def open(self, number: int) -> DirectorySegment:
        self.path(number).stat()
        return DirectorySegment(self, number)

    def delete(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.path(number).unlink(missing_ok=True)
            self._unsynced_names.discard(number)
        self._sync_directory()

    def close(self) -> None:
        self._closed = True
        while self._held:
            self._held.pop().opened(-1)

    def sync_name(self, number: int) -> None:
        if number in self._unsynced_names:
            self._sync_directory()
            self._unsynced_names.discard(number)

    def hold(self, segment: DirectorySegment) -> int:
        """Open a segment for this object's own thread; the one held longest gives way."""
        descriptor = os.open(self.path(segment.number), os.O_RDWR | os.O_CLOEXEC)
        segment.opened(descriptor)
        self._held.append(segment)
        if len(self._held) > self._open_files_max:
            self._held.popleft().opened(-1)
        return descriptor

    def hold_now(self, segment: DirectorySegment) -> bool:
        """Open a segment if reads of it can succeed without waiting."""
        if self._waits_always or self._closed:
            return False
        try:
            self.hold(segment)
        except OSError:
            return False
        return True

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _touch(descriptor: int, size_blocks: int) -> None:
    """Have the kernel find and clear the pages of a file in memory now; the first write to each would have to."""
    for block in range(0, size_blocks, len(_ZEROS) // BLOCK_BYTES):
        rest_bytes = (size_blocks - block) * BLOCK_BYTES
        os.pwrite(descriptor, _ZEROS[:rest_bytes], block * BLOCK_BYTES)


def _write_in_pieces(descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
    rest = [memoryview(buffer) for buffer in buffers if len(buffer)]
    while rest:
        count_bytes = os.pwritev(descriptor, rest[:BUFFERS_PER_WRITE_MAX], offset)
        offset += count_bytes
        whole = 0
        while whole < len(rest) and count_bytes >= len(rest[whole]):
            count_bytes -= len(rest[whole])
            whole += 1
        del rest[:whole]
        if rest:
            rest[0] = rest[0][count_bytes:]


def _file_system(directory: Path) -> str:
    """The type of the file system that holds a directory, as mountinfo (proc_pid_mountinfo(5)) names it; "" if unknown."""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split(" ")
        if fields[2] == wanted and "-" in fields:
            return fields[fields.index("-") + 1]
    return ""


def _knows_nowait(directory: Path) -> bool:
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    probe = directory / ".probe"
    descriptor = os.open(probe, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, b"probe", 0)
        os.preadv(descriptor, (bytearray(1),), 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
        probe.unlink()
    return True
