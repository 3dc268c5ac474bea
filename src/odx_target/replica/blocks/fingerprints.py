"""Fingerprints: keyed BLAKE3 hashes of blocks, of which 128 bits are used.

The key belongs to one path, so an array cannot compute fingerprints that another pair of arrays uses. Two different blocks with
equal fingerprints are as unlikely as a guessed key.
"""

from collections.abc import Sequence

from blake3 import blake3

from odx_target.environment import Buffer
from odx_target.replica.blocks.formats import FINGERPRINT_BYTES
from odx_target.replica.pairing.path_key import derived
from odx_target.replica.paths.path import Path

KEY_BYTES = 32


def fingerprint_key(path: Path) -> bytes:
    """Return the key of the fingerprints on a path. Both arrays have the same key, and no other array has it."""
    return derived(path.settings.secret, "fingerprints")


def fingerprints_of(key: bytes, blocks: Sequence[Buffer]) -> list[bytes]:
    """Compute the fingerprint of each block. Takes 2 to 4 microseconds for a block, so many blocks need several turns."""
    return [blake3(block, key=key).digest(length=FINGERPRINT_BYTES) for block in blocks]
