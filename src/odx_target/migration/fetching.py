"""Reads of the old LUN in store blocks, for hosts and for the background copy."""

from odx_target.environment import Buffer, Environment
from odx_target.migration.limits import PIECE_BLOCKS, SOURCE_RETRY_S, SOURCE_WAIT_S
from odx_target.migration.source import BadBlock, Source, SourceError, SourceLun
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, SourceAway


class Fetcher:
    """Reads the blocks of one source. The last store block may be longer than the rest of the LUN; zeros fill it."""

    def __init__(self, source: Source, lun: SourceLun, environment: Environment) -> None:
        self.source = source
        self._lun = lun
        self._per_block = BLOCK_BYTES // lun.block_bytes
        self._environment = environment
        self.size_blocks = -(-lun.capacity_blocks // self._per_block)

    @property
    def piece_blocks(self) -> int:
        """Largest number of store blocks of one read of the old array."""
        return max(1, min(PIECE_BLOCKS, self.source.max_read_blocks // self._per_block))

    async def read(self, block: int, count_blocks: int) -> bytes:
        """Read store blocks with one attempt. Raises SourceError, and BadBlock with the number of the store block.

        If the old array does not allow a read of this size, several reads follow each other.
        """
        parts = []
        while count_blocks:
            count = min(count_blocks, self.piece_blocks)
            parts.append(await self._read(block, count))
            block += count
            count_blocks -= count
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _read(self, block: int, count_blocks: int) -> bytes:
        lba = block * self._per_block
        count = min(count_blocks * self._per_block, self._lun.capacity_blocks - lba)
        try:
            data = bytes(await self.source.read(lba, count))
        except BadBlock as error:
            raise BadBlock(min(max(error.lba // self._per_block, block), block + count_blocks - 1), str(error)) from error
        if len(data) != count * self._lun.block_bytes:
            raise SourceError(f"the old array sent {len(data)} bytes instead of {count * self._lun.block_bytes}")
        return data.ljust(count_blocks * BLOCK_BYTES, b"\0")

    async def wait_and_read(self, block: int, count_blocks: int) -> Buffer:
        """Read store blocks for a host. If the old array does not answer, repeat the read for SOURCE_WAIT_S.

        Raises SourceAway, or DamagedBlock with a number of a block of the base.
        """
        until_s = self._environment.monotonic() + SOURCE_WAIT_S
        parts = []
        while count_blocks:
            count = min(count_blocks, self.piece_blocks)
            try:
                parts.append(await self.read(block, count))
            except BadBlock as error:
                raise DamagedBlock(error.lba, f"cannot be read by the old array: {error}") from error
            except SourceError as error:
                if self._environment.monotonic() + SOURCE_RETRY_S > until_s:
                    raise SourceAway(f"the old array does not answer: {error}") from error
                await self._environment.sleep(SOURCE_RETRY_S)
                continue
            block += count
            count_blocks -= count
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def zeros(self, block: int) -> tuple[int, bool]:
        """Return the number of store blocks from `block` on that have the same provisioning status, at least one, and True if
        they read as zeros. If the old array does not tell, returns (0, False). Raises SourceError.
        """
        lba = block * self._per_block
        count, are_zeros = await self.source.zeros(lba)
        if not count:
            return 0, False
        if lba + count >= self._lun.capacity_blocks:
            return self.size_blocks - block, are_zeros
        return max(count // self._per_block, 1), are_zeros and count >= self._per_block
