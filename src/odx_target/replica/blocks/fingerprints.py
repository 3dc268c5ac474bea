"""Fingerprints: keyed BLAKE3 hashes of blocks, of which 128 bits are used.

The key belongs to one path, so an array cannot compute fingerprints that another pair of arrays uses. Two different blocks with
equal fingerprints are as unlikely as a guessed key.
"""

from collections.abc import Sequence

from blake3 import blake3

from odx_target.environment import Buffer
from odx_target.replica.blocks.formats import FINGERPRINT_BYTES

KEY_BYTES = 32


def fingerprints_of(key: bytes, blocks: Sequence[Buffer]) -> list[bytes]:
    """Compute the fingerprint of each block. Takes 2 to 4 microseconds for a block, so many blocks need several turns."""
    return [blake3(block, key=key).digest(length=FINGERPRINT_BYTES) for block in blocks]
