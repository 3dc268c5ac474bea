"""Repacking of an extent that the cleaner moves: its dead blocks are removed, or it is compressed more strongly."""

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES
from odx_target.store.cleaning.live_marking import PAIRS_SHIFT
from odx_target.store.errors import DamagedBlock
from odx_target.store.log.compressed.codecs import Codec
from odx_target.store.log.compressed.compressed_extents import (
    Extent,
    InvalidExtent,
    content_of,
    decode_extent,
    encode_extent,
    wrong_block,
)


def repacked(stored: Buffer, pairs: int, block: int, wanted: Codec | None = None) -> Buffer:
    """Return an extent that has the live blocks of the extent `stored`, at the same indexes.

    `pairs` has the marks of the live blocks; see `Live`. Blocks to which no map refers become zeros. `wanted` is the codec of
    the new extent. None means the former codec, or zstandard if the extent is marked for stronger compression. If the new
    extent would not be smaller, or if a block does not match its checksum, the result is `stored` itself. So damage stays
    visible. Raises DamagedBlock if the extent cannot be decoded. `block` is the block number for this exception: the first
    block of the extent in its segment.
    """
    try:
        extent = decode_extent(stored)
        codec = wanted or (Codec.ZSTANDARD if extent.condense else extent.codec)
        if codec is extent.codec and _all_live(extent, pairs):
            return stored
        content = content_of(extent)
        if wrong_block(content, extent.checksums, 0, extent.count_blocks) is not None:
            return stored
    except InvalidExtent:
        raise DamagedBlock(block) from None
    smaller = encode_extent(codec, _without_dead(content, pairs), condense=extent.condense)
    return stored if smaller is None or len(smaller) >= len(stored) else smaller


def _all_live(extent: Extent, pairs: int) -> bool:
    return pairs == (1 << (extent.count_blocks - 1 >> PAIRS_SHIFT) + 1) - 1


def _without_dead(content: bytes, pairs: int) -> bytes:
    pair_bytes = BLOCK_BYTES << PAIRS_SHIFT
    count = -(-len(content) // pair_bytes)
    parts = [content[pair * pair_bytes : (pair + 1) * pair_bytes] for pair in range(count)]
    return b"".join(part if pairs >> pair & 1 else bytes(len(part)) for pair, part in enumerate(parts))
