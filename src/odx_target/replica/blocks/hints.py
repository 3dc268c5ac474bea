"""Hints: for a fingerprint, a place at which the receiver may have its data. A hint may be wrong, and any hint may be lost.

The table has a fixed size of 12 bytes for each hint. A fingerprint belongs to one bucket of eight hints. If the bucket is full,
a new hint replaces one of them. A tag of 32 bits tells the hints of a bucket apart, so a fingerprint may find a wrong place.
The caller must read the data at the place and compare its fingerprint.
"""

from collections.abc import Sequence

import numpy as np

from odx_target.replica.blocks.formats import FINGERPRINT_BYTES

BUCKET_HINTS = 8
HINT_BYTES = 12
"""Memory of one hint: a tag of 4 bytes, and a place of 8 bytes."""

_WORDS = np.dtype([("bucket", "<u8"), ("tag", "<u4"), ("victim", "<u4")])
assert _WORDS.itemsize == FINGERPRINT_BYTES


class Hints:
    """A table for at least `count` hints. Place 0 means that there is no hint."""

    def __init__(self, count: int) -> None:
        self._buckets = max(1, -(-count // BUCKET_HINTS))
        self._tags = np.zeros((self._buckets, BUCKET_HINTS), dtype=np.uint32)
        self._places = np.zeros((self._buckets, BUCKET_HINTS), dtype=np.uint64)

    @property
    def size_bytes(self) -> int:
        return self._tags.nbytes + self._places.nbytes

    def find(self, fingerprints: bytes) -> list[int]:
        """Return the place for each of the joined fingerprints, or 0."""
        words = np.frombuffer(fingerprints, dtype=_WORDS)
        buckets = words["bucket"] % np.uint64(self._buckets)
        matches = (self._tags[buckets] == words["tag"][:, None]) & (self._places[buckets] != 0)
        places = np.where(matches, self._places[buckets], np.uint64(0)).max(axis=1, initial=0)
        return [int(place) for place in places]

    def note(self, fingerprints: bytes, places: Sequence[int]) -> None:
        """Note a place for each of the joined fingerprints. A later hint for a fingerprint replaces the earlier one."""
        words = np.frombuffer(fingerprints, dtype=_WORDS)
        for word, place in zip(words.tolist(), places, strict=True):
            bucket, tag, victim = word
            self._note(bucket % self._buckets, tag, victim, place)

    def _note(self, bucket: int, tag: int, victim: int, place: int) -> None:
        tags, places = self._tags[bucket], self._places[bucket]
        same = np.flatnonzero((tags == tag) & (places != 0))
        free = np.flatnonzero(places == 0)
        slot = int(same[0]) if len(same) else int(free[0]) if len(free) else (victim + place) % BUCKET_HINTS
        tags[slot], places[slot] = tag, place

    def forget(self, fingerprints: bytes) -> None:
        """Remove the hints for the joined fingerprints, because they are wrong."""
        words = np.frombuffer(fingerprints, dtype=_WORDS)
        for bucket, tag, _ in words.tolist():
            row = self._places[bucket % self._buckets]
            row[self._tags[bucket % self._buckets] == tag] = 0
