"""The interface of bases, re-exported by `store.api`. A *base* is a volume whose blocks are fetched from outside of the pool.

A new base has no data: all its blocks are *missing*. A clone of the base can be used at once. Reads of missing blocks, in the
base, in its clones, in their snapshots, and wherever a copy has put these blocks, call a function that fetches the data. The
owner of the base stores fetched data with `keep`. When no block is missing any more, `settle` gives all maps the places of the
data and deletes the base.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, TypeAlias

from odx_target.environment import Buffer
from odx_target.store.volumes.interface import Volume

Fetch: TypeAlias = Callable[[int, int], Awaitable[Buffer]]
"""Function that returns the data of missing blocks. The arguments are the first block of the base and the number of blocks.

The function may wait for a while. It raises SourceAway if the data cannot be fetched now, and DamagedBlock if the source has
lost a block.
"""


class Bases(Protocol):
    """The bases of one pool."""

    async def create(self, name: str, size_blocks: int, attributes: Mapping[str, str]) -> Volume:
        """Create a base whose blocks are all missing. May raise the exceptions of `Pool.create_volume`, and OverLimit if the
        pool has had too many bases or the base is too large.
        """
        ...

    def is_base(self, volume: Volume) -> bool: ...

    def volumes(self) -> list[Volume]:
        """The volumes of all bases."""
        ...

    def attach(self, volume: Volume, fetch: Fetch | None) -> None:
        """Set the function that fetches missing blocks of a base. While it is None, reads of missing blocks raise SourceAway.
        Raises Absent if the volume is not a base.
        """
        ...

    async def next_missing(self, volume: Volume, block: int, most_blocks: int) -> tuple[int, int] | None:
        """Return the next run (block, count_blocks) of missing blocks from `block` on, with at most `most_blocks` blocks.

        Returns None if no later block is missing. Raises DamagedBlock, Unreadable or OutOfResources if the map cannot be
        loaded.
        """
        ...

    async def count_missing(self, volume: Volume) -> int:
        """Return the number of missing blocks of a base. May raise the exceptions of `next_missing`."""
        ...

    def keep(self, volume: Volume, block: int, data: Buffer | int) -> int:
        """Store fetched data from `block` on. Blocks that are not missing stay as they are. Blocks of zeros become holes.

        If `data` is a number, so many blocks are zeros. Returns the number of blocks that were missing. Raises PoolBusy, and
        may raise the other exceptions of `Volume.write`. Then some of the blocks may have been stored.
        """
        ...

    async def needs(self, volume: Volume, besides: Collection[Volume]) -> str | None:
        """Return the description of a volume, snapshot or persistent token that refers to a base. Returns None if only the base
        itself and the volumes in `besides` refer to it. Raises StoreError if a map cannot be read.
        """
        ...

    async def settle(self, volume: Volume) -> bool:
        """Give all blocks that refer to a base the places of their data, and delete the base. No block may be missing.

        Returns False if this has failed, for example because no checkpoint could be saved. Then the base stays, and the call
        can be repeated. Raises StoreError if a block is missing.
        """
        ...

    def delete(self, volume: Volume) -> None:
        """Delete a base. Reads of blocks that still refer to it raise DamagedBlock. May raise the exceptions of
        `Volume.write`.
        """
        ...
