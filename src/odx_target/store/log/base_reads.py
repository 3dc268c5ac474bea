"""The interface through which the reader reads blocks whose data is in a base."""

from typing import Protocol

from odx_target.environment import Buffer


class BaseReads(Protocol):
    """Reads runs of consecutive base places."""

    def read_now(self, place: int, count_blocks: int, block: int) -> Buffer | None:
        """Read without waiting. Returns None if the blocks must be fetched, or read from the disk.

        `block` is the number of the first block in the volume that is read, for the message of an error. Raises DamagedBlock.
        """
        ...

    async def read(self, place: int, count_blocks: int, block: int) -> Buffer:
        """Read, and fetch the blocks that the base does not have yet.

        Raises SourceAway if blocks cannot be fetched now. Raises DamagedBlock, Unreadable, OutOfResources.
        """
        ...
