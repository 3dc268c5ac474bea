"""Hints: for a fingerprint, a place at which the receiver may have its data. A hint may be wrong, and any hint may be lost.

The table has a fixed size of 12 bytes for each hint. A fingerprint belongs to one bucket of eight hints. If the bucket is full,
a new hint replaces one of them. A tag of 32 bits tells the hints of a bucket apart, so a fingerprint may find a wrong place.
The caller must read the data at the place and compare its fingerprint.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from odx_target.replica.blocks.formats import FINGERPRINT_BYTES

BUCKET_HINTS = 8
HINT_BYTES = 12
"""Memory of one hint: a tag of 4 bytes, and a place of 8 bytes."""

_WORDS = np.dtype([("bucket", "<u8"), ("tag", "<u4"), ("victim", "<u4")])
assert _WORDS.itemsize == FINGERPRINT_BYTES


Array: TypeAlias = npt.NDArray[Any]


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
        matches = self._tags[buckets] == words["tag"][:, None]
        if not np.count_nonzero(matches):
            return [0] * len(words)
        found: list[int] = np.where(matches, self._places[buckets], np.uint64(0)).max(axis=1, initial=0).tolist()
        return found

    def note(self, fingerprints: bytes, places: Sequence[int]) -> None:
        """Note a place for each of the joined fingerprints. A later hint for a fingerprint replaces the earlier one.

        Raises ValueError if the numbers of fingerprints and places differ.
        """
        words = np.frombuffer(fingerprints, dtype=_WORDS)[::-1]
        values = np.array(places, dtype=np.uint64)[::-1]
        if len(words) != len(values):
            raise ValueError("each fingerprint needs a place")
        buckets = words["bucket"] % np.uint64(self._buckets)
        if len(set(buckets.tolist())) < len(buckets):
            # Equal fingerprints of one call would take several slots. Their last hint comes first here, and is kept.
            _, kept = np.unique(words["bucket"], return_index=True)
            order = kept[np.argsort(buckets[kept], kind="stable")]
            buckets, words, values = buckets[order], words[order], values[order]
            slots = self._slots(buckets, words, values)
        else:
            slots = self._slots_of_own_buckets(buckets, words, values)
        self._tags[buckets, slots] = words["tag"]
        self._places[buckets, slots] = values

    def _slots_of_own_buckets(self, buckets: Array, words: Array, values: Array) -> Array:
        """Do the same as `_slots` if no two hints share a bucket, with less work."""
        is_used = self._places[buckets] != 0
        has_tag = is_used & (self._tags[buckets] == words["tag"][:, None])
        worth = has_tag * np.uint8(2) + ~is_used
        slots = worth.argmax(axis=1)
        any_slot = ((words["victim"] + values) % np.uint64(BUCKET_HINTS)).astype(np.int64)
        return np.where(worth[np.arange(len(slots)), slots], slots, any_slot)

    def _slots(self, buckets: Array, words: Array, values: Array) -> Array:
        """Return the slot of each new hint in its bucket: the one with its tag, or a free one, or any. `buckets` are sorted."""
        is_used = self._places[buckets] != 0
        has_tag = is_used & (self._tags[buckets] == words["tag"][:, None])
        # Hints of this call that share a bucket get different free slots.
        numbers = np.arange(len(buckets)) - np.searchsorted(buckets, buckets)
        is_own = ~is_used & (np.cumsum(~is_used, axis=1) - 1 == numbers[:, None])
        any_slot = (words["victim"] + values) % np.uint64(BUCKET_HINTS)
        free_or_any = np.where(is_own.any(axis=1), is_own.argmax(axis=1), any_slot.astype(np.int64))
        return np.where(has_tag.any(axis=1), has_tag.argmax(axis=1), free_or_any)
