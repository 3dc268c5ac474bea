"""Sources of the bytes of a ROD. A source is a frozen map of this pool, endless zeros, or the ROD of another array.

A source returns the *piece* at an offset: the longest run of bytes that begins at the offset and is all of one kind. A read of
a source may cross the boundaries of pieces, because a logical block may belong to two pieces.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from enum import Enum, auto
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

from odx_target.copymgr.commands.parameter_lists import Range
from odx_target.environment import Buffer
from odx_target.scsi.buffers import read_bytes, read_bytes_now
from odx_target.scsi.sense import CheckCondition
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, FrozenMap, Unreadable


class PieceKind(Enum):
    MAPPED = auto()
    """Blocks of a frozen map, which can be shared if they are aligned."""
    ZEROS = auto()
    BYTES = auto()
    """Bytes that can only be read."""


class Piece(NamedTuple):
    """A run of `size_bytes` bytes of a ROD. If the bytes are in a frozen map, `frozen` is the map and `map_offset_bytes` is
    their position in the map.
    """

    kind: PieceKind
    size_bytes: int
    frozen: FrozenMap | None = None
    map_offset_bytes: int = 0


class SourceUnreadable(Exception):
    """A block of the source cannot be read. `good_bytes` is the number of requested bytes before that block."""

    def __init__(self, good_bytes: int, cause: DamagedBlock | Unreadable) -> None:
        super().__init__(f"the source ends after {good_bytes} bytes: {cause}")
        self.good_bytes = good_bytes
        self.cause = cause


class SourceCut(Exception):
    """The source gives no more bytes now, but may give them later: the array that has them is not reachable or is slow.

    `refusal` is the sense data for a command that has written nothing. `reason` is one line.
    """

    def __init__(self, reason: str, refusal: CheckCondition) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refusal = refusal


class RodSource(Protocol):
    """The bytes that a token represents.

    If `is_remote` is True, the bytes come from another array. Each call that waits may then raise SourceCut.
    """

    is_remote: bool

    @property
    def size_bytes(self) -> int | None:
        """The size of the ROD in bytes. None means that the ROD is endless."""
        ...

    def piece_at(self, offset_bytes: int) -> Piece:
        """Return the piece that begins at an offset, which must be less than `size_bytes`. The piece has at least one byte."""
        ...

    def read_now(self, offset_bytes: int, size_bytes: int) -> list[Buffer] | None:
        """Return bytes within the ROD. Return None if the read has to wait. Raises SourceUnreadable."""
        ...

    async def read(self, offset_bytes: int, size_bytes: int) -> list[Buffer]:
        """Return bytes within the ROD. Wait for a disk if necessary. Raises SourceUnreadable."""
        ...

    async def map_loaded(self) -> None:
        """Wait for the part of a map that the last call needed. Return when this part is in memory, or when it could not be
        loaded.
        """
        ...

    def release(self) -> None:
        """Release the resources of the source, which is not used any more. A second call does nothing."""
        ...


class ZeroRod:
    """The ROD of the block device zero token, which contains endless zeros."""

    is_remote = False
    size_bytes: int | None = None
    _MAX_PIECE_BYTES = 1 << 62

    def piece_at(self, offset_bytes: int) -> Piece:  # noqa: ARG002 - every offset is the same
        return Piece(PieceKind.ZEROS, self._MAX_PIECE_BYTES)

    def read_now(self, offset_bytes: int, size_bytes: int) -> list[Buffer] | None:  # noqa: ARG002 - every offset is the same
        return [bytes(size_bytes)]

    async def read(self, offset_bytes: int, size_bytes: int) -> list[Buffer]:
        return self.read_now(offset_bytes, size_bytes) or []

    async def map_loaded(self) -> None:
        pass

    def release(self) -> None:
        pass


class FrozenRod:
    """A ROD that consists of extents (offset_bytes, size_bytes) of a frozen map, in order.

    The extents are packed to save memory.
    """

    is_remote = False

    def __init__(self, frozen: FrozenMap, extents: Sequence[tuple[int, int]]) -> None:
        self.frozen = frozen
        joined = _joined(extents)
        self._starts = array("Q", [start for start, _ in joined])
        self._ends = array("Q", accumulate(size_bytes for _, size_bytes in joined))
        self.size_bytes: int | None = self._ends[-1] if joined else 0

    @classmethod
    def of_ranges(cls, frozen: FrozenMap, ranges: Sequence[Range], block_bytes: int) -> "FrozenRod":
        """Return the ROD of ranges of logical blocks."""
        return cls(frozen, [(lba * block_bytes, count_blocks * block_bytes) for lba, count_blocks in ranges])

    @property
    def extents(self) -> list[tuple[int, int]]:
        """The extents as (offset in the frozen map, size), both in bytes.

        No extent is empty, and adjacent extents are joined.
        """
        before = [0, *self._ends[:-1]]
        return [(start, end - first) for start, first, end in zip(self._starts, before, self._ends, strict=True)]

    @property
    def count_extents(self) -> int:
        return len(self._starts)

    def piece_at(self, offset_bytes: int) -> Piece:
        """Return the piece that begins at an offset of the ROD. A piece never extends beyond its extent."""
        index = bisect_right(self._ends, offset_bytes)
        before_bytes = self._ends[index - 1] if index else 0
        rest_bytes = self._ends[index] - offset_bytes
        return Piece(PieceKind.MAPPED, rest_bytes, self.frozen, self._starts[index] + offset_bytes - before_bytes)

    def read_now(self, offset_bytes: int, size_bytes: int) -> list[Buffer] | None:
        data: list[Buffer] = []
        for done_bytes, map_offset_bytes, part_bytes in self._parts(offset_bytes, size_bytes):
            try:
                part = read_bytes_now(self.frozen, map_offset_bytes, part_bytes)
            except (DamagedBlock, Unreadable) as error:
                raise _damaged(error, done_bytes, map_offset_bytes) from error
            if part is None:
                return None
            data += part
        return data

    async def read(self, offset_bytes: int, size_bytes: int) -> list[Buffer]:
        data: list[Buffer] = []
        for done_bytes, map_offset_bytes, part_bytes in self._parts(offset_bytes, size_bytes):
            try:
                data += await read_bytes(self.frozen, map_offset_bytes, part_bytes)
            except (DamagedBlock, Unreadable) as error:
                raise _damaged(error, done_bytes, map_offset_bytes) from error
        return data

    async def map_loaded(self) -> None:
        await self.frozen.map_loaded()

    def release(self) -> None:
        self.frozen.release()

    def store_blocks(self) -> list[tuple[int, int]]:
        """Return the store blocks that hold a part of the ROD, as (first, end), in the order of the extents."""
        return [(start // BLOCK_BYTES, -(-(start + size_bytes) // BLOCK_BYTES)) for start, size_bytes in self.extents]

    def _parts(self, offset_bytes: int, size_bytes: int) -> list[tuple[int, int, int]]:
        """Divide a run of the ROD at the boundaries of extents.

        Return for each part: the number of bytes before the part, the offset in the frozen map, and the size.
        """
        parts, done_bytes = [], 0
        while done_bytes < size_bytes:
            piece = self.piece_at(offset_bytes + done_bytes)
            part_bytes = min(piece.size_bytes, size_bytes - done_bytes)
            parts.append((done_bytes, piece.map_offset_bytes, part_bytes))
            done_bytes += part_bytes
        return parts


def _joined(extents: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Remove empty extents, and join adjacent extents, because longer runs can share more blocks."""
    present = [extent for extent in extents if extent[1]]
    if all(start + size_bytes != following for (start, size_bytes), (following, _) in pairwise(present)):
        return present
    joined: list[tuple[int, int]] = []
    for start, size_bytes in present:
        if joined and sum(joined[-1]) == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + size_bytes)
        else:
            joined.append((start, size_bytes))
    return joined


def _damaged(error: DamagedBlock | Unreadable, done_bytes: int, map_offset_bytes: int) -> SourceUnreadable:
    return SourceUnreadable(done_bytes + max(0, error.block * BLOCK_BYTES - map_offset_bytes), error)
