"""The parts of the open batch. The commit writes each part as one batch of the log."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import chain

from odx_target.environment import Buffer
from odx_target.native.checksum import crc32c
from odx_target.native.choice import NATIVE
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.batch import HEAD_BYTES
from odx_target.store.log.shared_headers import slot_after
from odx_target.store.segments.segment import Segment


class Part:
    """A batch that has not been written yet. Its segment and its first block are known when it is made. The commit makes the
    header.

    `count_blocks` is the number of its data blocks. `table` has the checksums of all blocks of the segment. If `slot` is not 0,
    the part has no header block: its header will be at this offset of the segment, in bytes, in the header block of an earlier
    batch. The native module also adds writes to parts (`native/writes/block_writer.c`).
    """

    __slots__ = (
        "block",
        "count_blocks",
        "data",
        "first_osn",
        "header",
        "header_blocks",
        "records",
        "room_bytes",
        "segment",
        "slot",
        "table",
    )

    def __init__(
        self, segment: Segment, block: int, header_blocks: int, first_osn: int, table: "array[int]", slot: int = 0
    ) -> None:
        self.segment = segment
        self.block = block
        self.header_blocks = header_blocks
        self.header: bytearray | None = None
        self.first_osn = first_osn
        self.slot = slot
        self.room_bytes = (-slot % BLOCK_BYTES if slot else header_blocks * BLOCK_BYTES) - HEAD_BYTES
        self.records: list[bytes] = []
        self.count_blocks = 0
        self.table = table
        self.data: list[Buffer] = []

    @property
    def header_bytes(self) -> int:
        """Size of the header without the zeros after it."""
        return (-self.slot % BLOCK_BYTES if self.slot else self.header_blocks * BLOCK_BYTES) - self.room_bytes

    @property
    def next_slot(self) -> int:
        """Offset at which the header of the next batch may be if it shares the header block, or 0. See `Position.slot`."""
        if self.header_blocks > 1:
            return 0
        return slot_after((self.slot or self.block * BLOCK_BYTES) + self.header_bytes)

    @property
    def checksums(self) -> "array[int]":
        """The checksums of the data blocks."""
        start = self.block + self.header_blocks
        return self.table[start : start + self.count_blocks]

    def data_block(self, index: int) -> bytes:
        """Return a copy of a data block. It may span several buffers."""
        skip_bytes, missing_bytes, pieces = index * BLOCK_BYTES, BLOCK_BYTES, list[bytes]()
        for buffer in self.data:
            piece = bytes(buffer[skip_bytes : skip_bytes + missing_bytes])
            pieces.append(piece)
            skip_bytes, missing_bytes = max(0, skip_bytes - len(buffer)), missing_bytes - len(piece)
            if not missing_bytes:
                break
        return b"".join(pieces)

    def data_blocks(self) -> Iterator[bytes]:
        """Yield copies of the data blocks."""
        joined = b"".join(self.data)
        for index in range(self.count_blocks):
            yield joined[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES]


def block_checksums(data: Sequence[Buffer]) -> list[int]:
    """Return the CRC32C of each block of the joined buffers. A block may span several buffers."""
    if len(data) == 1 and len(data[0]) == BLOCK_BYTES:
        return [crc32c(data[0])]
    if NATIVE is not None and not any(len(buffer) % BLOCK_BYTES for buffer in data):
        return list(chain.from_iterable(map(NATIVE.block_checksums, data)))
    checksums = []
    checksum = held_bytes = 0
    for buffer in data:
        view = memoryview(buffer)
        offset = 0
        while offset < len(view):
            piece = view[offset : offset + BLOCK_BYTES - held_bytes]
            checksum = crc32c(piece, checksum)
            offset += len(piece)
            held_bytes += len(piece)
            if held_bytes == BLOCK_BYTES:
                checksums.append(checksum)
                checksum = held_bytes = 0
    return checksums


class BufferCutter:
    """Cuts a sequence of buffers into pieces without copying."""

    def __init__(self, data: Sequence[Buffer]) -> None:
        self._rest = [memoryview(buffer) for buffer in reversed(data)]

    def take(self, size_bytes: int) -> list[Buffer]:
        """Return views of the next `size_bytes` bytes."""
        taken: list[Buffer] = []
        while size_bytes:
            view = self._rest.pop()
            if len(view) > size_bytes:
                self._rest.append(view[size_bytes:])
                view = view[:size_bytes]
            taken.append(view)
            size_bytes -= len(view)
        return taken
