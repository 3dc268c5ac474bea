"""Changes of the blocks of a volume: writes, unmaps, links and copies."""

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import repeat

from odx_target.environment import Buffer
from odx_target.native.choice import NATIVE, BlockReader, BlockWriter
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.errors import OutOfResources, PoolBusy, StoreError
from odx_target.store.ledger import Ledger
from odx_target.store.log.compressed.compressed_extents import MIN_EXTENT_BLOCKS
from odx_target.store.log.records import Clone, Link, Unmap
from odx_target.store.log.writer import Log
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BITS, LEAF_BLOCKS, Leaf, LeafMissing
from odx_target.store.record_effects import VolumeContents
from odx_target.store.volumes.compression import (
    MAX_INLINE_BLOCKS,
    Compressor,
    Piece,
    PreparedData,
    compressor_of,
    steps_of_write,
)
from odx_target.store.volumes.sources import STEPS_OF_A_CHANGE, Frozen, Readable

_BLOCK_MASK = BLOCK_BYTES - 1

STEPS_OF_A_LEAF = 20
"""Number of steps (see `turns`) that it takes to copy the entries of one leaf."""

LEAVES_AT_ONCE = 32
"""Largest number of leaves whose entries one call copies. A copy of 32 leaves takes nearly all the steps of one turn (see
`turns`)."""

STEPS_OF_A_LINK = 4

STEPS_OF_A_FURTHER_LINK = 2
"""Number of steps that each block of a run of links takes."""


class ChangeableBlocks(Readable):
    """The blocks of a volume. `Volume` in `store.api` describes the methods and `on_change`."""

    def __init__(self, ledger: Ledger, contents: VolumeContents) -> None:
        super().__init__(contents.map, ledger, contents.name)
        self.on_change: list[Callable[[int, int], None]] = []
        self._live_map = contents.map
        self._number = contents.number
        self._log: Log = ledger.log
        self._turns = ledger.turns
        self._compressor: Compressor | None = compressor_of(contents.attributes)
        self._tally = ledger.contents.tally
        self.native_reads: tuple[BlockReader, object] | None = None
        if self._native is not None:
            self.native_reads = self._native, self._map
        self._writer: BlockWriter | None = None
        if NATIVE is not None:
            self._writer = NATIVE.block_writer(self._log.filling, self._log.require_data, PoolBusy, self._tally, LEAF_BITS)

    @property
    def native_writes(self) -> tuple[BlockWriter, object, int] | None:
        if self._writer is None or self.on_change or self._compressor is not None:
            return None
        return self._writer, self._live_map, self._number

    def present_block(self, block: int) -> Buffer | None:
        try:
            place = self._live_map.place(block)
        except LeafMissing:
            place = 0
        filling = self._log.filling
        if place >= filling.pending_place and (content := filling.pending_block(place)) is not None:
            return content
        found = self.read_now(block, 1)
        return None if found is None else found[0]

    def write(self, block: int, data: Sequence[Buffer]) -> None:
        native = self.native_writes
        if native is not None and len(data) == 1 and native[0].write_now(native[1], native[2], block, data[0]):
            return
        size_bytes = len(data[0]) if len(data) == 1 else sum(map(len, data))
        count_blocks = size_bytes // BLOCK_BYTES
        if size_bytes & _BLOCK_MASK or not size_bytes:
            if size_bytes:
                raise StoreError(f"{size_bytes} bytes are not whole blocks")
            return
        if block < 0 or block + count_blocks > self._live_map.size_blocks:
            self.check_range(block, count_blocks)
        log = self._log
        log.require_data(count_blocks)
        if self._tally.made >= self._tally.due:
            self._leaves.check_changes()
        index = block & INDEX_MASK
        compressor = self._compressor
        if compressor is not None and (count_blocks < MIN_EXTENT_BLOCKS or compressor.skips(data)):
            compressor = None
        if compressor is not None or index + count_blocks > LEAF_BLOCKS or count_blocks == LEAF_BLOCKS:
            self._write_leaves(block, data, count_blocks, compressor)
            return
        leaf = self._leaf_to_write(block)
        if self.on_change:
            self.announce(block, count_blocks)
            leaf = self._leaf_to_write(block)  # A listener may have frozen the map.
        for at, place, count in log.write(self._number, block, data, count_blocks):
            leaf.assign(at & INDEX_MASK, place, count)

    def _write_leaves(self, block: int, data: Sequence[Buffer], count_blocks: int, compressor: Compressor | None) -> None:
        """Write a range that covers a whole leaf or parts of several leaves, or that `compressor` may compress."""
        self._require_ends(block, count_blocks)
        if self.on_change:
            self.announce(block, count_blocks)
        if compressor is not None and (pieces := self._pieces(compressor, block, data, count_blocks)) is not None:
            self._write_pieces(block, count_blocks, pieces)
            return
        covered = block, block + count_blocks
        for at, place, count in self._log.write(self._number, block, data, count_blocks):
            self._live_map.assign_part(at, place, count, covered)

    def _leaf_to_write(self, block: int) -> Leaf:
        try:
            return self._live_map.writable_leaf(block)
        except LeafMissing as missing:
            self._leaves.require([(block, missing.leaf)], self._place)
            return self._live_map.writable_leaf(block)

    def _require_ends(self, block: int, count_blocks: int) -> None:
        """If a change of a range needs leaves that are not in memory, start to load them and raise PoolBusy."""
        missing = self._live_map.missing_at_ends(block, count_blocks)
        if missing:
            self._leaves.require(missing, self._place)

    def must_prepare(self, data: Sequence[Buffer]) -> bool:
        compressor = self._compressor
        if compressor is None or compressor.skipped_writes or isinstance(data, PreparedData):
            return False
        count_blocks = sum(map(len, data)) // BLOCK_BYTES
        if count_blocks < MIN_EXTENT_BLOCKS:
            return False
        if count_blocks <= MAX_INLINE_BLOCKS and self._turns.left >= steps_of_write(count_blocks):
            return False
        return compressor.is_worth_it(data)

    async def prepare(self, block: int, data: Sequence[Buffer]) -> Sequence[Buffer]:
        compressor, memory = self._compressor, self._ledger.prepared_memory
        size_bytes = sum(map(len, data))
        count_blocks = size_bytes // BLOCK_BYTES
        if compressor is None or count_blocks < MIN_EXTENT_BLOCKS:
            return data
        prepared = PreparedData(block, data)
        if memory.has_room(size_bytes) and not compressor.skipped_writes and compressor.is_worth_it(data):
            memory.take_for(prepared, size_bytes)
            with suppress(OutOfResources):
                prepared.pieces = await self._ledger.environment.in_thread(compressor.pieces, block, data, count_blocks)
                compressor.note(prepared.pieces)
        return prepared

    async def room_made(self) -> None:
        await self._ledger.room_made()

    def unmap(self, block: int, count_blocks: int) -> None:
        self.check_range(block, count_blocks)
        if count_blocks:
            self._turns.take(STEPS_OF_A_CHANGE)
            self._check_changes()
            self._require_ends(block, count_blocks)
            announce = partial(self.announce, block, count_blocks)
            self._ledger.record(Unmap(self._number, block, count_blocks), spare=True, announce=announce)

    def link(self, block: int, place: int, checksum: int) -> None:
        """Make a block refer to data that is already in the log; see `LinkTarget` in `store.api`."""
        self.check_range(block, 1)
        self._turns.take(STEPS_OF_A_LINK)
        self._check_changes()
        self._require_ends(block, 1)
        self._ledger.linker.require(block, place, checksum)
        self._ledger.record(Link(self._number, block, place, checksum), announce=partial(self.announce, block, 1))

    def places_now(self, block: int, count_blocks: int) -> Sequence[int]:
        """Return the present places of blocks; see `LinkTarget` in `store.api`."""
        self.check_range(block, count_blocks)
        places = array("Q")
        try:
            for place, count in self._live_map.runs(block, count_blocks):
                places.extend(range(place, place + count) if place else repeat(0, count))
        except LeafMissing:
            return array("Q", bytes(8 * count_blocks))
        return places

    def link_run(self, block: int, places: Sequence[int], checksums: Sequence[int]) -> list[int]:
        """Make adjacent blocks refer to data that is already in the log; see `LinkTarget` in `store.api`."""
        self.check_range(block, len(places))
        self._turns.take(STEPS_OF_A_LINK + STEPS_OF_A_FURTHER_LINK * len(places))
        self._check_changes()
        self._require_ends(block, len(places))
        found = self._ledger.linker.linkable(block, places, checksums)
        if found:
            announce = partial(self.announce, block, len(places))
            self._ledger.record_links(self._number, block, found, places, checksums, announce)
        return found

    def copy_from(self, source: object, source_block: int, block: int, count_blocks: int) -> int:
        """Copy blocks from a frozen map; see `Volume.copy_from` in `store.api`.

        Raises StoreError if the frozen map has been released or belongs to another pool.
        """
        if not isinstance(source, Frozen) or not source.belongs_to(self._ledger):
            raise StoreError("the frozen map was released, or belongs to another pool")
        source.check_range(source_block, count_blocks)
        self.check_range(block, count_blocks)
        if count_blocks:
            self._check_changes()
            count_blocks = self._copied_at_once(source, source_block, block, count_blocks)
            missing = self._live_map.missing_at_ends(block, count_blocks)
            is_aligned = not (source_block ^ block) & INDEX_MASK
            source.require_for_copy(source_block, count_blocks, [leaf for _, leaf in missing], is_aligned=is_aligned)
            if missing:
                self._leaves.require(missing, self._place)
            record = Clone(source.identifier, source_block, self._number, block, count_blocks)
            self._ledger.record(record, announce=partial(self.announce, block, count_blocks))
            self._ledger.note_sharing()
        return count_blocks

    def _pieces(self, compressor: Compressor, block: int, data: Sequence[Buffer], count_blocks: int) -> Sequence[Piece] | None:
        """Return the pieces of a write. If the data was not prepared, it is compressed now, as long as steps of the present
        turn remain.

        Returns None if the write should be stored uncompressed.
        """
        if isinstance(data, PreparedData) and data.block == block:
            return data.pieces
        if self._turns.left <= 0 or not compressor.is_worth_it(data):
            return None
        pieces = compressor.pieces(block, data, count_blocks, self._turns)
        compressor.note(pieces)
        return pieces

    def _write_pieces(self, block: int, count_blocks: int, pieces: Sequence[Piece]) -> None:
        log = self._log
        covered = block, block + count_blocks
        for piece_blocks, stored, data in pieces:
            place = None if stored is None else log.write_extent(self._number, block, piece_blocks, stored)
            if place is not None:
                self._live_map.assign_part(block, place, piece_blocks, covered)
            else:
                for at, plain_place, count in log.write(self._number, block, data, piece_blocks):
                    self._live_map.assign_part(at, plain_place, count, covered)
            block += piece_blocks

    def _copied_at_once(self, frozen: Frozen, source_block: int, block: int, count_blocks: int) -> int:
        """Take the steps of a copy from the budget of the turn. Returns the number of blocks that one call may copy."""
        self._turns.take(STEPS_OF_A_CHANGE)
        if not (source_block ^ block) & INDEX_MASK:
            return count_blocks
        count_blocks = frozen.reach(source_block, count_blocks, LEAVES_AT_ONCE)
        self._turns.take(STEPS_OF_A_LEAF * min(count_blocks // LEAF_BLOCKS + 1, LEAVES_AT_ONCE))
        return count_blocks

    def _check_changes(self) -> None:
        if self._tally.made >= self._tally.due:
            self._leaves.check_changes()

    def announce(self, block: int, count_blocks: int) -> None:
        """Call the functions in `on_change` before blocks change. These functions may add and remove functions in
        `on_change`.
        """
        for listener in tuple(self.on_change):
            listener(block, count_blocks)
