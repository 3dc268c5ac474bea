"""Compression of the writes of a volume.

The data of a write is cut into pieces at multiples of 64 KiB of the volume. Each piece that becomes smaller is stored as an
extent (see `log.extents`). The event loop compresses a short write itself, if steps of the present turn remain (see `turns`). A
thread compresses a long write before it is written (`ChangeableBlocks.prepare`).

Incompressible data must cost nearly no time. Therefore a sample of the data is compressed first. If a write does not become
smaller, some of the following writes are stored uncompressed without a sample. The number of these writes grows with each
further write that does not become smaller.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from weakref import finalize

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.compressed.codecs import Codec, compress
from odx_target.store.log.compressed.compressed_extents import GAIN_SHARE, MIN_EXTENT_BLOCKS, encode_extent
from odx_target.store.log.open_batch import BufferCutter
from odx_target.store.segments.places import MAX_EXTENT_BLOCKS
from odx_target.store.volumes.compression_attribute import OFF, ZSTANDARD, compression_of
from odx_target.turns import Steps

MAX_INLINE_BLOCKS = 64
"""Largest write that the event loop compresses: 256 KiB, which takes half a millisecond. A thread compresses a larger write."""

STEPS_OF_AN_EXTENT = 100
"""Number of steps (see `turns`) that the compression of 64 KiB takes if the data becomes smaller."""

STEPS_WITHOUT_GAIN = 10
"""Number of steps (see `turns`) that the compression of 64 KiB takes if the data does not become smaller."""

SAMPLE_PART_BYTES = 1024
"""Size of each of the four parts of a write that are compressed as a sample."""

MAX_SKIPPED_WRITES = 127
"""Largest number of successive writes that are stored without a trial, after the trials of earlier writes have failed. A
*trial* is the compression of a sample of a write. So the array notices after at most this number of writes that the data has
become compressible. A trial takes 3 microseconds, and a write takes at least 20 microseconds."""


MAX_PREPARED_BYTES = 32 << 20
"""Largest total size of the writes of a pool that were compressed in threads and are not written yet. When this size is
reached, further large writes are stored uncompressed."""


class Piece(NamedTuple):
    """A part of a write. `stored` is the extent with the compressed data of the part, or None if the part is stored
    uncompressed.
    """

    count_blocks: int
    stored: bytes | None
    data: list[Buffer]


class PreparedMemory:
    """The memory for data of writes that were compressed in threads and are not written yet. All volumes of a pool share one
    limit.
    """

    def __init__(self, max_bytes: int = MAX_PREPARED_BYTES) -> None:
        self.taken_bytes = 0
        self._max_bytes = max_bytes

    def has_room(self, size_bytes: int) -> bool:
        return self.taken_bytes + size_bytes <= self._max_bytes

    def take_for(self, data: "PreparedData", size_bytes: int) -> None:
        """Count `size_bytes` as taken until Python frees the object `data`."""
        self.taken_bytes += size_bytes
        finalize(data, self._give_back, size_bytes)

    def _give_back(self, size_bytes: int) -> None:
        self.taken_bytes -= size_bytes


class PreparedData(list[Buffer]):
    """The data of a write that begins at `block`. `pieces` has the same data, compressed by a thread if possible."""

    def __init__(self, block: int, data: Sequence[Buffer]) -> None:
        super().__init__(data)
        self.block = block
        self.pieces: Sequence[Piece] = [Piece(sum(map(len, data)) // BLOCK_BYTES, None, list(data))]


class Compressor:
    """Compresses the writes of one volume, and remembers if the writes become smaller.

    Set `condense` if the cleaner should later compress the data more strongly. `skipped_writes` is the number of following
    writes that are stored uncompressed without a trial. `skips` counts them.
    """

    def __init__(self, *, condense: bool) -> None:
        self._condense = condense
        self.skipped_writes = 0
        self._pause_writes = 0

    def skips(self, data: Sequence[Buffer]) -> bool:
        """True if a write with this data is stored uncompressed without a trial. The write is then counted.

        If the pool is busy and the write is tried again, it is counted again, so the next trial comes a little earlier.
        """
        if self.skipped_writes and type(data) is not PreparedData:
            self.skipped_writes -= 1
            return True
        return False

    def is_worth_it(self, data: Sequence[Buffer]) -> bool:
        """True if a sample of the data of a write becomes smaller. Otherwise, some of the following writes are skipped."""
        sample = sample_of(data)
        if len(compress(Codec.LZ4, sample)) < len(sample) - len(sample) // GAIN_SHARE:
            return True
        self.note(())
        return False

    def note(self, pieces: Sequence[Piece]) -> None:
        """Remember if compression made any piece of a write smaller. If it did not, `skipped_writes` is raised."""
        if any(piece.stored is not None for piece in pieces):
            self._pause_writes = 0
        else:
            self._pause_writes = min(2 * self._pause_writes + 1, MAX_SKIPPED_WRITES)
            self.skipped_writes = self._pause_writes

    def pieces(self, block: int, data: Sequence[Buffer], count_blocks: int, steps: Steps | None = None) -> list[Piece]:
        """Cut a write into pieces and compress them. When no steps of the budget `steps` remain, the remaining data stays
        uncompressed.
        """
        pieces: list[Piece] = []
        cutter = BufferCutter(data)
        end = block + count_blocks
        while block < end:
            count = min(MAX_EXTENT_BLOCKS - block % MAX_EXTENT_BLOCKS, end - block)
            buffers = cutter.take(count * BLOCK_BYTES)
            stored = None
            if count >= MIN_EXTENT_BLOCKS and (steps is None or steps.left > 0):
                content = buffers[0] if len(buffers) == 1 else b"".join(buffers)
                stored = encode_extent(Codec.LZ4, content, condense=self._condense)
                if steps is not None:
                    steps.take(STEPS_WITHOUT_GAIN if stored is None else STEPS_OF_AN_EXTENT)
            if stored is None and pieces and pieces[-1].stored is None:
                former = pieces.pop()
                count_of_piece, buffers = former.count_blocks + count, former.data + buffers
            else:
                count_of_piece = count
            pieces.append(Piece(count_of_piece, stored, buffers))
            block += count
        return pieces


def steps_of_write(count_blocks: int) -> int:
    """Return the number of steps (see `turns`) that the compression of a write takes at most."""
    return -(-count_blocks // MAX_EXTENT_BLOCKS) * STEPS_OF_AN_EXTENT


def sample_of(data: Sequence[Buffer]) -> bytes:
    """Return some bytes from each quarter of the data, from odd and even blocks and from different parts of the blocks.

    So the sample represents the data even if a file system has one kind of data in every second block, or in one part of each
    block.
    """
    size_bytes = sum(map(len, data))
    middles = [(2 * quarter + 1) * size_bytes // 8 for quarter in range(4)]
    wanted = [middle - quarter % 2 * BLOCK_BYTES + quarter * SAMPLE_PART_BYTES for quarter, middle in enumerate(middles)]
    parts = []
    offset = 0
    for buffer in data:
        view = memoryview(buffer)
        while wanted and wanted[0] < offset + len(view):
            start = wanted.pop(0) - offset
            parts.append(view[start : start + SAMPLE_PART_BYTES])
        offset += len(view)
    return b"".join(parts)


def compressor_of(attributes: Mapping[str, str]) -> Compressor | None:
    """Make the compressor of a volume with these attributes. Returns None if the volume stores its data uncompressed."""
    choice = compression_of(attributes)
    return None if choice == OFF else Compressor(condense=choice == ZSTANDARD)
