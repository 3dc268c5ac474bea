"""Compression of the writes of a volume.

The data of a write is cut at multiples of 64 KiB of the volume. Each piece that becomes smaller is stored as an extent. The
event loop compresses a short write itself, if steps of the turn remain. A long write is compressed in a thread before the write
(`LogVolume.prepare`).

Incompressible data must cost nearly nothing. Therefore a sample of a write is compressed first. After each write that gains
nothing, more of the following writes are stored without a trial.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from weakref import finalize

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.log.codecs import Codec, compress
from odx_target.store.log.extents import GAIN_SHARE, MIN_EXTENT_BLOCKS, encode_extent
from odx_target.store.log.open_batch import BufferCutter
from odx_target.store.segments.places import MAX_EXTENT_BLOCKS
from odx_target.store.volumes.compression_choice import OFF, ZSTANDARD, compression_of
from odx_target.turns import Steps

MAX_INLINE_BLOCKS = 64
"""Largest write that the event loop compresses: 256 KiB, which takes half a millisecond. A larger write waits for a thread."""

STEPS_OF_AN_EXTENT = 100
"""Number of steps for compressing one extent of 64 KiB."""

STEPS_WITHOUT_GAIN = 10
"""Number of steps for compressing one extent of incompressible data."""

SAMPLE_PART_BYTES = 1024
"""Size of each of the four parts of a sample."""

MAX_SKIPPED_WRITES = 127
"""After writes that gained nothing, at most this number of successive writes are stored without a trial. A stream that becomes
compressible is noticed after at most this number of writes. A trial takes 3 microseconds, and a write takes at least 20
microseconds."""


MAX_PREPARED_BYTES = 32 << 20
"""Largest total size of compressed writes that wait to be written. Further writes are stored uncompressed."""


class Piece(NamedTuple):
    """A part of a write. `stored` has the bytes of its extent, or is None if the part is uncompressed."""

    count_blocks: int
    stored: bytes | None
    data: list[Buffer]


class PreparedMemory:
    """The memory of compressed data that has not been written yet. All volumes of a pool share one limit."""

    def __init__(self, max_bytes: int = MAX_PREPARED_BYTES) -> None:
        self.taken_bytes = 0
        self._max_bytes = max_bytes

    def has_room(self, size_bytes: int) -> bool:
        return self.taken_bytes + size_bytes <= self._max_bytes

    def take_for(self, data: "PreparedData", size_bytes: int) -> None:
        """Take memory until `data` is freed."""
        self.taken_bytes += size_bytes
        finalize(data, self._give_back, size_bytes)

    def _give_back(self, size_bytes: int) -> None:
        self.taken_bytes -= size_bytes


class PreparedData(list[Buffer]):
    """The data of a write that begins at `block`. `pieces` has the same data after a thread has compressed it, if possible."""

    def __init__(self, block: int, data: Sequence[Buffer]) -> None:
        super().__init__(data)
        self.block = block
        self.pieces: Sequence[Piece] = [Piece(sum(map(len, data)) // BLOCK_BYTES, None, list(data))]


class Compressor:
    """Compresses the writes of one volume, and notes if this gains anything.

    Set `condense` if the cleaner should compress the data more later. `skipped_writes` is the number of following writes that
    should not be tried. Each of these writes must subtract 1.
    """

    def __init__(self, *, condense: bool) -> None:
        self._condense = condense
        self.skipped_writes = 0
        self._pause_writes = 0

    def is_worth_it(self, data: Sequence[Buffer]) -> bool:
        """True if a sample of the data of a write can be compressed."""
        sample = sample_of(data)
        if len(compress(Codec.LZ4, sample)) < len(sample) - len(sample) // GAIN_SHARE:
            return True
        self.note(())
        return False

    def note(self, pieces: Sequence[Piece]) -> None:
        """Note if compression made the data of a write smaller. Call this method only after the data was compressed."""
        if any(piece.stored is not None for piece in pieces):
            self._pause_writes = 0
        else:
            self._pause_writes = min(2 * self._pause_writes + 1, MAX_SKIPPED_WRITES)
            self.skipped_writes = self._pause_writes

    def pieces(self, block: int, data: Sequence[Buffer], count_blocks: int, steps: Steps | None = None) -> list[Piece]:
        """Cut a write into pieces and compress them. When `steps` are spent, the remaining data stays uncompressed."""
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
    """Return the number of steps for the compression of a write."""
    return -(-count_blocks // MAX_EXTENT_BLOCKS) * STEPS_OF_AN_EXTENT


def sample_of(data: Sequence[Buffer]) -> bytes:
    """Return some bytes from each quarter of the data, from odd and even blocks and from different parts of the blocks.

    The sample then does not come only from one kind of block, such as headers, or only from one part of each block, such as
    free space.
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
