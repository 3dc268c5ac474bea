"""Where the bytes of a ROD come from: a frozen map of this pool, zeros without end, later another array.

A source is asked for the *piece* at an offset: the longest run from there that can be treated in one way. It can also be read
across pieces, for the blocks that two of them share.
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from enum import Enum, auto
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

from odx_target.copymgr.commands.parameter_lists import Range
from odx_target.environment import Buffer
from odx_target.scsi.logical_blocks import read_bytes, read_bytes_now
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, FrozenMap, Unreadable


class PieceKind(Enum):
    MAPPED = auto()
    """Blocks of a frozen map: can be shared where they are aligned."""
    ZEROS = auto()
    BYTES = auto()
    """Can only be read."""


class Piece(NamedTuple):
    """A run of a ROD: `size_bytes` from the given offset on; for a mapped run also its place in the frozen map."""

    kind: PieceKind
    size_bytes: int
    frozen: FrozenMap | None = None
    map_offset_bytes: int = 0


class SourceUnreadable(Exception):
    """The source cannot be read at a block; `good_bytes` of what was asked for lie before it, and `cause` says why."""

    def __init__(self, good_bytes: int, cause: DamagedBlock | Unreadable) -> None:
        super().__init__(f"the source ends after {good_bytes} bytes: {cause}")
        self.good_bytes = good_bytes
        self.cause = cause


class RodSource(Protocol):
    """The bytes that a token represents."""

    @property
    def size_bytes(self) -> int | None:
        """The size of the ROD in bytes; None for one without an end."""
        ...

    def piece_at(self, offset_bytes: int) -> Piece:
        """The run from an offset below `size_bytes` on; at least one byte long."""
        ...

    def read_now(self, offset_bytes: int, size_bytes: int) -> list[Buffer] | None:
        """Bytes within the ROD, None when they must be waited for. Raises SourceUnreadable."""
        ...

    async def read(self, offset_bytes: int, size_bytes: int) -> list[Buffer]:
        """As `read_now`, waiting. Raises SourceUnreadable."""
        ...

    def release(self) -> None:
        """Nobody will use it any more. Does nothing the second time."""
        ...


class ZeroRod:
    """The block device zero ROD token: zeros for ever."""

    size_bytes: int | None = None
    _MAX_PIECE_BYTES = 1 << 62

    def piece_at(self, offset_bytes: int) -> Piece:  # noqa: ARG002 - the same everywhere
        return Piece(PieceKind.ZEROS, self._MAX_PIECE_BYTES)

    def read_now(self, offset_bytes: int, size_bytes: int) -> list[Buffer] | None:  # noqa: ARG002 - the same everywhere
        return [bytes(size_bytes)]

    async def read(self, offset_bytes: int, size_bytes: int) -> list[Buffer]:
        return self.read_now(offset_bytes, size_bytes) or []

    def release(self) -> None:
        pass


class FrozenRod:
    """Extents (offset_bytes, size_bytes) of a frozen map, in their order; packed, because there may be many tokens."""

    def __init__(self, frozen: FrozenMap, extents: Sequence[tuple[int, int]]) -> None:
        self.frozen = frozen
        joined = _joined(extents)
        self._starts = array("Q", [start for start, _ in joined])
        self._ends = array("Q", accumulate(size_bytes for _, size_bytes in joined))
        self.size_bytes: int | None = self._ends[-1] if joined else 0

    @classmethod
    def of_ranges(cls, frozen: FrozenMap, ranges: Sequence[Range], block_bytes: int) -> "FrozenRod":
        """The ROD of ranges of logical blocks."""
        return cls(frozen, [(lba * block_bytes, count_blocks * block_bytes) for lba, count_blocks in ranges])

    @property
    def extents(self) -> list[tuple[int, int]]:
        """(offset in the frozen map, size) in bytes: no extent is empty, and adjacent ones are joined."""
        before = [0, *self._ends[:-1]]
        return [(start, end - first) for start, first, end in zip(self._starts, before, self._ends, strict=True)]

    @property
    def count_extents(self) -> int:
        return len(self._starts)

    def piece_at(self, offset_bytes: int) -> Piece:
        """The rest of the extent at an offset."""
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

    def release(self) -> None:
        self.frozen.release()

    def store_blocks(self) -> list[tuple[int, int]]:
        """The store's blocks that hold a part of the ROD, as (first, end), in the order of the extents."""
        return [(start // BLOCK_BYTES, -(-(start + size_bytes) // BLOCK_BYTES)) for start, size_bytes in self.extents]

    def _parts(self, offset_bytes: int, size_bytes: int) -> list[tuple[int, int, int]]:
        """(bytes before it, offset in the frozen map, size) of each extent's share of a run."""
        parts, done_bytes = [], 0
        while done_bytes < size_bytes:
            piece = self.piece_at(offset_bytes + done_bytes)
            part_bytes = min(piece.size_bytes, size_bytes - done_bytes)
            parts.append((done_bytes, piece.map_offset_bytes, part_bytes))
            done_bytes += part_bytes
        return parts


def _joined(extents: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The extents without empty ones, and with adjacent ones joined: longer runs share more."""
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
