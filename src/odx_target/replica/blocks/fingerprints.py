"""Fingerprints: keyed BLAKE3 hashes of blocks, of which 128 bits are used.

The key belongs to one path, so an array cannot compute fingerprints that another pair of arrays uses. Two different blocks with
equal fingerprints are as unlikely as a guessed key.
"""

from collections.abc import Iterable

from blake3 import blake3

from odx_target.environment import Buffer
from odx_target.replica.blocks.formats import FINGERPRINT_BYTES
from odx_target.replica.blocks.limits import TURN_BLOCKS
from odx_target.replica.pairing.path_key import derived
from odx_target.replica.paths.path import Path
from odx_target.store.api import BLOCK_BYTES
from odx_target.turns import Turns

KEY_BYTES = 32

MIN_BLOCKS = 16
"""Number of blocks that are hashed at once even if fewer steps of the turn remain. A round of the event loop costs as much."""


def fingerprint_key(path: Path) -> bytes:
    """Return the key of the fingerprints on a path. Both arrays have the same key, and no other array has it."""
    return derived(path.settings.secret, "fingerprints")


def fingerprints_of(key: bytes, content: Buffer) -> bytes:
    """Compute the fingerprints of the blocks of a buffer that has whole blocks. Returns them joined.

    Takes 1.5 to 3 microseconds for a block, so many blocks need several turns.
    """
    hasher = blake3(key=key)
    update, reset, view = hasher.update, hasher.reset, memoryview(content)
    found: list[bytes] = []
    for at in range(0, len(view), BLOCK_BYTES):
        found.append(update(view[at : at + BLOCK_BYTES]).digest(FINGERPRINT_BYTES))
        reset()  # One hasher for all blocks saves a fifth of the time.
    return b"".join(found)


async def fingerprints_in_turns(key: bytes, contents: Iterable[memoryview], turns: Turns) -> bytes:
    """Compute the fingerprints of the blocks of all buffers, and let other tasks run when the turn is spent. Returns them
    joined.
    """
    found: list[bytes] = []
    for content in contents:
        at = 0
        while at < len(content):
            piece = content[at : at + min(TURN_BLOCKS, max(MIN_BLOCKS, turns.left)) * BLOCK_BYTES]
            found.append(fingerprints_of(key, piece))
            at += len(piece)
            turns.take(len(piece) // BLOCK_BYTES)
            await turns.next_if_spent()
    return b"".join(found)
