"""Division of a WRITE USING TOKEN into steps. A step has one kind, and covers whole logical blocks of the destination."""

from enum import Enum, auto
from typing import NamedTuple

from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.tokens.rod_source import Piece, PieceKind, RodSource
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, FrozenMap, Unreadable
from odx_target.turns import Steps

_STEPS_TO_LOOK_AHEAD = 50
"""Maximum number of map entries that are searched for the end of a hole.

A hole with more map entries is divided into several steps. The division does not make the copy slower.
"""


_STEPS_TO_SEE_A_HOLE = 1
"""Number of map entries that are searched to find out if a piece begins with a hole. Most pieces do not."""


class StepKind(Enum):
    SHARE = auto()
    """The destination shares store blocks with the source, and no data is copied."""
    ZERO = auto()
    """The source reads as zeros, so the step makes holes in the destination."""
    MOVE = auto()
    """The step reads data from the source and writes the data to the destination."""


class Step(NamedTuple):
    """One step, which writes `count_blocks` logical blocks at `lba`. The data begins at byte `offset_bytes` of the ROD."""

    kind: StepKind
    offset_bytes: int
    lba: int
    count_blocks: int
    frozen: FrozenMap | None = None
    source_block: int = 0
    """Number of the first store block to share, counted from the start of the frozen map. Only SHARE steps use this field."""


class Destination(NamedTuple):
    """The remaining part of a destination range: `count_blocks` blocks of `block_bytes` bytes, beginning at `lba`.

    `can_share` is True if the destination is in the same pool as the source.
    """

    lba: int
    count_blocks: int
    block_bytes: int
    can_share: bool

    @property
    def offset_bytes(self) -> int:
        return self.lba * self.block_bytes


def plan_step(rod: RodSource, offset_bytes: int, destination: Destination, limits: CopyLimits) -> Step:
    """Plan the next step, which begins at a byte offset within the ROD and has at least one block.

    Raises PoolBusy if a part of the source's map must be loaded first. The caller then awaits `RodSource.map_loaded`.
    """
    piece = rod.piece_at(offset_bytes)
    wanted_bytes = min(piece.size_bytes, destination.count_blocks * destination.block_bytes)
    if piece.kind is PieceKind.MAPPED and destination.can_share:
        shared = _share(piece, offset_bytes, destination, min(wanted_bytes, limits.remap_step_bytes))
        if shared is not None:
            return shared
    # a ZERO step that does not reach the end ends on a store block boundary, because parts of store blocks cannot become holes
    longest_bytes = limits.remap_step_bytes - destination.offset_bytes % BLOCK_BYTES
    zeros_blocks = min(_zero_bytes(piece, wanted_bytes), longest_bytes) // destination.block_bytes
    if zeros_blocks:
        return Step(StepKind.ZERO, offset_bytes, destination.lba, zeros_blocks)
    blocks = max(1, _move_bytes(piece, wanted_bytes, destination, limits) // destination.block_bytes)
    return Step(StepKind.MOVE, offset_bytes, destination.lba, blocks)


def _share(piece: Piece, offset_bytes: int, destination: Destination, wanted_bytes: int) -> Step | None:
    """Plan a SHARE step, or return None.

    Source and destination can share only whole store blocks that are aligned on both sides.
    """
    store_blocks = wanted_bytes // BLOCK_BYTES
    if piece.map_offset_bytes % BLOCK_BYTES or destination.offset_bytes % BLOCK_BYTES or not store_blocks:
        return None
    count_blocks = store_blocks * BLOCK_BYTES // destination.block_bytes
    source_block = piece.map_offset_bytes // BLOCK_BYTES
    return Step(StepKind.SHARE, offset_bytes, destination.lba, count_blocks, piece.frozen, source_block)


def _zero_bytes(piece: Piece, wanted_bytes: int) -> int:
    """Return the number of bytes at the start of the piece that are known to be zeros."""
    if piece.kind is PieceKind.ZEROS:
        return wanted_bytes
    if piece.frozen is None:
        return 0
    first_block = piece.map_offset_bytes // BLOCK_BYTES
    try:
        if _first_extent(piece.frozen, first_block, _STEPS_TO_SEE_A_HOLE)[2]:
            return 0
        block, count_blocks, mapped = _first_extent(piece.frozen, first_block, _STEPS_TO_LOOK_AHEAD)
    except (DamagedBlock, Unreadable):
        return 0  # The read of the blocks will fail, and report how many blocks before them are good.
    return 0 if mapped else min(wanted_bytes, (block + count_blocks) * BLOCK_BYTES - piece.map_offset_bytes)


def _first_extent(frozen: FrozenMap, block: int, steps: int) -> tuple[int, int, bool]:
    return next(iter(frozen.extents(block, Steps(steps))))


def _move_bytes(piece: Piece, wanted_bytes: int, destination: Destination, limits: CopyLimits) -> int:
    """Return the size of a MOVE step in bytes.

    If SHARE steps are possible from the next store block boundary on, the MOVE step ends at this boundary. Otherwise the step
    is as long as the limits allow, and the next step begins at a store block boundary.
    """
    before_bytes = destination.offset_bytes % BLOCK_BYTES
    is_alignable = piece.kind is PieceKind.MAPPED and piece.map_offset_bytes % BLOCK_BYTES == before_bytes
    if is_alignable and destination.can_share and before_bytes:
        return min(wanted_bytes, BLOCK_BYTES - before_bytes)
    return min(wanted_bytes, limits.copy_step_bytes - before_bytes)
