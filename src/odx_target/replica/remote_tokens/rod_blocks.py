"""The data of a token as blocks of 4 KiB, counted from the first byte of the data.

The blocks of the source that the token was made from may begin at another offset. Then each block of the token is put together
from two blocks of the source. The last block is filled up with zeros.
"""

from collections.abc import Iterator
from contextlib import suppress

from odx_target.copymgr.tokens.rod_source import PieceKind, RodSource, SourceUnreadable
from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, Unreadable
from odx_target.turns import Steps


class RodBlocks:
    """The blocks of a ROD that is not endless, as `BlockSource` describes them."""

    def __init__(self, rod: RodSource) -> None:
        assert rod.size_bytes is not None, "an endless ROD is never sent"
        self._rod = rod
        self._size_bytes = rod.size_bytes

    @property
    def size_blocks(self) -> int:
        return -(-self._size_bytes // BLOCK_BYTES)

    def read_now(self, block: int, count_blocks: int) -> list[Buffer] | None:
        size_bytes = self._bytes_in(block, count_blocks)
        try:
            data = self._rod.read_now(block * BLOCK_BYTES, size_bytes)
        except SourceUnreadable as error:
            raise _damaged(block, error) from error
        return None if data is None else _filled_up(data, count_blocks * BLOCK_BYTES - size_bytes)

    async def read(self, block: int, count_blocks: int) -> list[Buffer]:
        """Read blocks. Raises DamagedBlock also if the medium has an error, because the receiver treats both alike."""
        size_bytes = self._bytes_in(block, count_blocks)
        try:
            data = await self._rod.read(block * BLOCK_BYTES, size_bytes)
        except SourceUnreadable as error:
            raise _damaged(block, error) from error
        return _filled_up(data, count_blocks * BLOCK_BYTES - size_bytes)

    def extents(self, block: int, steps: Steps | None = None) -> Iterator[tuple[int, int, bool]]:
        while block < self.size_blocks:
            count_blocks, is_mapped = self._run_at(block, steps)
            yield block, count_blocks, is_mapped
            block += count_blocks
            if steps is not None and steps.take() < 0:
                return

    async def map_loaded(self) -> None:
        await self._rod.map_loaded()

    async def load(self, block: int, count_blocks: int) -> None:
        """Do nothing, because `read` loads the maps that it needs."""

    def _bytes_in(self, block: int, count_blocks: int) -> int:
        return min(self._size_bytes, (block + count_blocks) * BLOCK_BYTES) - block * BLOCK_BYTES

    def _run_at(self, block: int, steps: Steps | None) -> tuple[int, bool]:
        """Return the number of blocks of the run at a block, and if they may have data. May raise PoolBusy."""
        piece = self._rod.piece_at(block * BLOCK_BYTES)
        whole_blocks = piece.size_bytes // BLOCK_BYTES
        if not whole_blocks:
            return 1, True  # The block belongs to two pieces, or is the last one.
        if piece.kind is PieceKind.ZEROS:
            return whole_blocks, False
        if piece.frozen is None:
            return whole_blocks, True
        with suppress(DamagedBlock, Unreadable):  # The read of the block will fail, and then the receiver is told.
            source_block, count_blocks, is_mapped = next(
                iter(piece.frozen.extents(piece.map_offset_bytes // BLOCK_BYTES, steps))
            )
            blocks = ((source_block + count_blocks) * BLOCK_BYTES - piece.map_offset_bytes) // BLOCK_BYTES
            return (min(blocks, whole_blocks), is_mapped) if blocks else (1, True)
        return 1, True


def _filled_up(data: list[Buffer], missing_bytes: int) -> list[Buffer]:
    return [*data, bytes(missing_bytes)] if missing_bytes else data


def _damaged(block: int, error: SourceUnreadable) -> DamagedBlock:
    return DamagedBlock(block + error.good_bytes // BLOCK_BYTES)
