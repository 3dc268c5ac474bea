"""The interfaces of links, re-exported by `store.api`. A link lets a block of a volume refer to data that is already stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, frozen=True)
class StoredBlocks:
    """The places and the CRC32Cs of adjacent blocks.

    A place is a number that only the store interprets. The place of a hole is 0. The cleaner of the pool may give data a new
    place at any time. Each checksum is that of the uncompressed data. `lost` has the indexes of lost blocks, whose checksums
    are 0.
    """

    places: Sequence[int]
    checksums: Sequence[int]
    lost: Sequence[int]


class StoredSource(Protocol):
    """A frozen map or snapshot that lists the places of its blocks."""

    async def stored_blocks(self, block: int, count_blocks: int) -> StoredBlocks:
        """Return the present places and the checksums of some blocks, without reading their data.

        Raises StoreError if the range is not inside the map, and Absent if the map was released or deleted. Raises
        DamagedBlock, Unreadable or OutOfResources if a part of the map or of the log cannot be read.
        """
        ...


class LinkTarget(Protocol):
    """A volume whose blocks can be linked to stored data."""

    def link(self, block: int, place: int, checksum: int) -> None:
        """Make a block refer to data that is already in the pool, so that no data is written.

        `place` is a place that `StoredSource.stored_blocks` returned, and `checksum` is the CRC32C that the data must have.
        Equal checksums do not prove that data is equal, so the caller must be sure in another way that it is. No data is read,
        so damage to the data is not found. The link stays valid when all other references to the data are removed.

        Raises PlaceGone if the data has another checksum, or if the data was freed or moved, or may soon be freed or moved.
        Raises PoolBusy if checksums must be loaded first. May raise the exceptions of `Volume.write`.
        """
        ...

    def places_now(self, block: int, count_blocks: int) -> Sequence[int]:
        """Return the present places of blocks of the volume. They are 0 for holes, and for blocks whose part of the map is not
        in memory. A later change of the volume, or the cleaner, may give a block another place.

        Raises StoreError if the range is not inside the volume.
        """
        ...

    def link_run(self, block: int, places: Sequence[int], checksums: Sequence[int]) -> list[int]:
        """Link adjacent blocks, of which the first is `block`, in one batch of the log. This is much faster than `link` for
        each.

        Returns the indexes of the linked blocks in ascending order. The other blocks, for which `link` would raise PlaceGone,
        are not changed. Raises PoolBusy if checksums must be loaded first; then nothing has changed. May raise the exceptions
        of `Volume.write`.
        """
        ...
