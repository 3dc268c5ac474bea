"""The definition of a digest: how the digests of the nodes of a map follow from the content of the blocks.

A digest depends only on the content of the blocks. It does not depend on their places, on compression, or on the shape of the
tree. A digest is the first 16 bytes of a BLAKE3 hash.

- The digest of a leaf is the hash of the CRC32Cs of its 1,024 blocks, in little-endian order. A checksum is always that of the
  uncompressed block. A hole has the checksum of a block of zeros. If blocks of the leaf are lost, their checksums are 0, and a
  bitmap of the lost blocks follows the checksums. So a leaf with lost blocks never has the digest of a leaf without lost
  blocks.
- The digest of an inner node is the hash of the digests of its 1,024 children. If a child does not exist, the digest of a
  subtree of holes is used.
"""

from collections.abc import Sequence
from functools import cache

from blake3 import blake3

from odx_target.environment import Buffer
from odx_target.native.checksum import crc32c
from odx_target.store.map.frozen_root import levels_for
from odx_target.store.map.inner import FAN_OUT
from odx_target.store.map.leaf import LEAF_BITS, LEAF_BLOCKS
from odx_target.store.volumes.source_interface import BLOCK_BYTES

DIGEST_BYTES = 16
CHECKSUM_BYTES = 4

HOLE_CHECKSUM = crc32c(bytes(BLOCK_BYTES))
"""CRC32C of a block of zeros."""

HOLES_OF_A_LEAF = HOLE_CHECKSUM.to_bytes(CHECKSUM_BYTES, "little") * LEAF_BLOCKS
"""The checksums of a leaf of holes."""

_BITMAP_BYTES = -(-LEAF_BLOCKS // 8)


def leaf_digest(checksums: Buffer, lost: Sequence[int] = ()) -> bytes:
    """Return the digest of a leaf from the checksums of its blocks. `lost` has the numbers of the lost blocks in the leaf."""
    if len(lost):
        bitmap = bytearray(_BITMAP_BYTES)
        for index in lost:
            bitmap[index >> 3] |= 1 << (index & 7)
        checksums = bytes(checksums) + bitmap
    return blake3(checksums).digest(DIGEST_BYTES)


def inner_digest(digests: Buffer) -> bytes:
    """Return the digest of an inner node from the digests of its children, which are joined in `digests`."""
    return blake3(digests).digest(DIGEST_BYTES)


@cache
def hole_digest(level: int) -> bytes:
    """Return the digest of a subtree of holes. The level of a leaf is 0."""
    if level == 0:
        return leaf_digest(HOLES_OF_A_LEAF)
    return inner_digest(hole_digest(level - 1) * FAN_OUT)


def root_level(size_blocks: int) -> int:
    """Return the level of the root in the tree of digests of a map with this size. The level is at least 1."""
    return levels_for(size_blocks)


def node_count(level: int, size_blocks: int) -> int:
    """Return the number of nodes of a level in the tree of digests of a map with this size."""
    return max(1, -(-size_blocks >> LEAF_BITS * (level + 1)))
