"""The interface of trees of digests, re-exported by `store.api`."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True, frozen=True)
class Digests:
    """The values below one node of a tree of digests.

    For an inner node, `values` has the digests of its 1,024 children, with 16 bytes each. For a leaf, whose level is 0,
    `values` has the CRC32Cs of its 1,024 blocks, with 4 bytes each in little-endian order. `lost` has the numbers of the lost
    blocks in the leaf. The checksum of a lost block is 0.
    """

    level: int
    index: int
    values: bytes
    lost: tuple[int, ...] = ()


class DigestTree(Protocol):
    """A tree of digests over the blocks of a frozen map.

    The node `index` of level `level` covers 1,024 ** (`level` + 1) blocks, from the block `index` * 1,024 ** (`level` + 1) on.
    The level of the root is the lowest level, but at least 1, at which one node covers all blocks.
    """

    @property
    def size_blocks(self) -> int: ...

    async def digest(self) -> bytes:
        """Return the digest of the root: 16 bytes that depend only on the content.

        Two maps of one size with equal content have equal digests, even if they are in different pools. No data is read, except
        one block of each compressed extent. The digests of all nodes are kept in memory until the pool is closed. So for a
        later snapshot, only the digests of the changed nodes are computed. If the caller is cancelled, the digests that have
        been computed are kept for the next call.

        Raises Absent. Raises DamagedBlock, Unreadable or OutOfResources if a part of the map or of the log cannot be read.
        """
        ...

    async def digests_below(self, level: int, index: int) -> Digests:
        """Return the digests of the children of a node, or the checksums of the blocks of a leaf.

        Raises StoreError if there is no such node. Raises the exceptions of `digest`.
        """
        ...
