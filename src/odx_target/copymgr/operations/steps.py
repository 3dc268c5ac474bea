"""Cuts a WRITE USING TOKEN into steps, each of one kind and each whole logical blocks of the destination."""

from enum import Enum, auto
from typing import NamedTuple

from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.tokens.rod_source import Piece, PieceKind, RodSource
from odx_target.store.api import BLOCK_BYTES, FrozenMap
from odx_target.turns import Steps

_STEPS_TO_LOOK_AHEAD = 50
"""The search for the end of a hole stops here: a longer hole becomes several steps, which cost no more than searching on."""


class StepKind(Enum):
    SHARE = auto()
    """Blocks of the store change owners; no data moves."""
    ZERO = auto()
    """The source reads as zeros: holes are made."""
    MOVE = auto()
    """Read and write."""


class Step(NamedTuple):
    """`count_blocks` logical blocks from `lba` on get the bytes of the ROD from `offset_bytes` on."""

    kind: StepKind
    offset_bytes: int
    lba: int
    count_blocks: int
    frozen: FrozenMap | None = None
    source_block: int = 0
    """Of a shared one, where it begins in the frozen map, in blocks of the store."""


class Destination(NamedTuple):
    """The rest of a range: `count_blocks` blocks of `block_bytes` from `lba`; `can_share`: it is in the pool of the source."""

    lba: int
    count_blocks: int
    block_bytes: int
    can_share: bool

    @property
    def offset_bytes(self) -> int:
        return self.lba * self.block_bytes


def plan_step(rod: RodSource, offset_bytes: int, destination: Destination, limits: CopyLimits) -> Step:
    """The next step, from an offset within the ROD; at least one block."""
    piece = rod.piece_at(offset_bytes)
    wanted_bytes = min(piece.size_bytes, destination.count_blocks * destination.block_bytes)
    if piece.kind is PieceKind.MAPPED and destination.can_share:
        shared = _share(piece, offset_bytes, destination, min(wanted_bytes, limits.remap_step_bytes))
        if shared is not None:
            return shared
    # a step that is cut short ends on a block of the store, because parts of blocks become no holes
    longest_bytes = limits.remap_step_bytes - destination.offset_bytes % BLOCK_BYTES
    zeros_blocks = min(_zero_bytes(piece, wanted_bytes), longest_bytes) // destination.block_bytes
    if zeros_blocks:
        return Step(StepKind.ZERO, offset_bytes, destination.lba, zeros_blocks)
    blocks = max(1, _move_bytes(piece, wanted_bytes, destination, limits) // destination.block_bytes)
    return Step(StepKind.MOVE, offset_bytes, destination.lba, blocks)


def _share(piece: Piece, offset_bytes: int, destination: Destination, wanted_bytes: int) -> Step | None:
    """Sharing goes by whole blocks of the store, which begin at the same place on both sides."""
    store_blocks = wanted_bytes // BLOCK_BYTES
    if piece.map_offset_bytes % BLOCK_BYTES or destination.offset_bytes % BLOCK_BYTES or not store_blocks:
        return None
    count_blocks = store_blocks * BLOCK_BYTES // destination.block_bytes
    source_block = piece.map_offset_bytes // BLOCK_BYTES
    return Step(StepKind.SHARE, offset_bytes, destination.lba, count_blocks, piece.frozen, source_block)


def _zero_bytes(piece: Piece, wanted_bytes: int) -> int:
    """The number of bytes at the start of the piece that are known to be zeros."""
    if piece.kind is PieceKind.ZEROS:
        return wanted_bytes
    if piece.frozen is None:
        return 0
    first_block = piece.map_offset_bytes // BLOCK_BYTES
    block, count_blocks, mapped = next(iter(piece.frozen.extents(first_block, Steps(_STEPS_TO_LOOK_AHEAD))))
    return 0 if mapped else min(wanted_bytes, (block + count_blocks) * BLOCK_BYTES - piece.map_offset_bytes)


def _move_bytes(piece: Piece, wanted_bytes: int, destination: Destination, limits: CopyLimits) -> int:
    """Up to where the two sides are aligned, if they ever are; else so that the next step begins on a block of the store."""
    before_bytes = destination.offset_bytes % BLOCK_BYTES
    is_alignable = piece.kind is PieceKind.MAPPED and piece.map_offset_bytes % BLOCK_BYTES == before_bytes
    if is_alignable and destination.can_share and before_bytes:
        return min(wanted_bytes, BLOCK_BYTES - before_bytes)
    return min(wanted_bytes, limits.copy_step_bytes - before_bytes)
