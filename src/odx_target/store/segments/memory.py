"""Segments in memory, for tests and for arrays whose data need not survive the process."""

import errno
from collections.abc import Sequence

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.segments.watch import BeforeCall, SegmentCall, SegmentWatch


class MemorySegment:
    """A segment in memory. The segment occupies memory only up to the last written block."""

    __slots__ = ("_bytes", "_watch", "number", "size_blocks")

    def __init__(
        self, number: int, size_blocks: int, content: bytearray | None = None, watch: SegmentWatch | None = None
    ) -> None:
        self._watch = watch or SegmentWatch()
        self.number = number
        self.size_blocks = size_blocks
        self._bytes = content if content is not None else bytearray()

    def write(self, block: int, buffers: Sequence[Buffer]) -> None:
        self.write_at(block * BLOCK_BYTES, buffers)

    def write_at(self, offset_bytes: int, buffers: Sequence[Buffer]) -> None:
        if self._watch.before is not None:
            self._watch.before(SegmentCall.WRITE, self.number)
        offset = offset_bytes
        if offset > len(self._bytes):
            self._bytes.extend(bytes(offset - len(self._bytes)))
        for buffer in buffers:
            end = offset + len(buffer)
            self._bytes[offset:end] = buffer
            offset = end

    def read_now(self, block: int, count_blocks: int) -> bytearray | None:
        if block + count_blocks > self.size_blocks or self._watch.before is not None:
            return None
        return self._copy(block, count_blocks)

    def _copy(self, block: int, count_blocks: int) -> bytearray:
        buffer = self._bytes[block * BLOCK_BYTES : (block + count_blocks) * BLOCK_BYTES]
        if len(buffer) < count_blocks * BLOCK_BYTES:
            buffer.extend(bytes(count_blocks * BLOCK_BYTES - len(buffer)))
        return buffer

    def read(self, block: int, count_blocks: int) -> bytearray:
        self._watch.see(SegmentCall.READ, self.number)
        if block + count_blocks > self.size_blocks:
            raise OSError(errno.ENODATA, f"segment {self.number} ends before block {block + count_blocks}")
        return self._copy(block, count_blocks)

    def sync(self) -> None:
        self._watch.see(SegmentCall.FLUSH, self.number)

    def given_up(self) -> bytearray:
        """Return the buffer of this segment, so that a new segment can use it. This segment must not be used afterwards."""
        return self._bytes

    def seal(self, size_blocks: int) -> None:
        self.size_blocks = size_blocks
        del self._bytes[size_blocks * BLOCK_BYTES :]


class MemorySegments:
    def __init__(self) -> None:
        self._segments: dict[int, MemorySegment] = {}
        self._watch = SegmentWatch()

    syncs_at_once = False
    """A sync has nothing to do. But pools in memory are for tests, and their flushes take a turn as those of a disk do."""

    def names(self) -> dict[int, int]:
        return {number: segment.size_blocks for number, segment in self._segments.items()}

    def room_blocks(self) -> int | None:
        return None

    def describe(self, number: int) -> str:
        return f"segment {number} in memory"

    def create(self, number: int, size_blocks: int) -> MemorySegment:
        if number in self._segments:
            raise FileExistsError(errno.EEXIST, self.describe(number))
        self._watch.see(SegmentCall.CREATE, number)
        segment = self._segments[number] = MemorySegment(number, size_blocks, watch=self._watch)
        return segment

    def reserve(self, number: int, size_blocks: int) -> None:
        """Do nothing, because `create` reserves all room."""

    def recycle(self, former: int, number: int, size_blocks: int) -> MemorySegment:
        content = self.open(former).given_up()
        self.create(number, size_blocks)
        del self._segments[former], content[size_blocks * BLOCK_BYTES :]
        segment = self._segments[number] = MemorySegment(number, size_blocks, content, self._watch)
        return segment

    def open(self, number: int) -> MemorySegment:
        try:
            return self._segments[number]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, self.describe(number)) from None

    def delete(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._segments.pop(number, None)

    def watch(self, before: BeforeCall | None) -> None:
        self._watch.before = before

    def close(self) -> None:
        pass
