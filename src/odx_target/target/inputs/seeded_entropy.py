"""Random bytes that follow from a seed, so that a replay has the same identities, tokens and challenges."""

import hashlib

SEED_BYTES = 32


class SeededEntropy:
    """Returns the bytes of a sequence that follows from `seed`. They are as unpredictable as the seed."""

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self._count = 0

    def __call__(self, size_bytes: int) -> bytes:
        """Return the next bytes of the sequence."""
        self._count += 1
        return hashlib.shake_256(self.seed + self._count.to_bytes(8, "big")).digest(size_bytes)
