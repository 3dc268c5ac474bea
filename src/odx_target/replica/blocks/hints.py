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

_ROW_WORDS = BUCKET_HINTS * HINT_BYTES // 8
_WORDS = np.dtype([("bucket", "<u8"), ("tag", "<u4"), ("victim", "<u4")])
assert _WORDS.itemsize == FINGERPRINT_BYTES


Array: TypeAlias = npt.NDArray[Any]


class Hints:
    """A table for at least `count` hints. Place 0 means that there is no hint."""

    def __init__(self, count: int) -> None:
        self._buckets = max(1, -(-count // BUCKET_HINTS))
        # A bucket is one row, places first, because each bucket is anywhere in memory and is not in the cache.
        self._rows = np.zeros((self._buckets, _ROW_WORDS), dtype=np.uint64)
        self._places, self._tags = _divided(self._rows)

    @property
    def size_bytes(self) -> int:
        return self._rows.nbytes

    def find(self, fingerprints: bytes) -> list[int]:
        """Return the place for each of the joined fingerprints, or 0."""
        words = np.frombuffer(fingerprints, dtype=_WORDS)
        buckets = words["bucket"] % np.uint64(self._buckets)
        matches = self._tags[buckets] == words["tag"][:, None]
        if not np.count_nonzero(matches):
            return [0] * len(words)
        numbers, slots = (each[::-1] for each in np.nonzero(matches))
        found = np.zeros(len(words), dtype=np.uint64)
        found[numbers] = self._places[buckets[numbers], slots]  # Used slots come before free ones, so they are assigned last.
        return found.tolist()

    def note(self, fingerprints: bytes, places: Sequence[int]) -> None:
        """Note a place for each of the joined fingerprints. A later hint for a fingerprint replaces the earlier one.

        Raises ValueError if the numbers of fingerprints and places differ.
        """
        words, values = np.frombuffer(fingerprints, dtype=_WORDS), np.array(places, dtype=np.uint64)
        if len(words) != len(values):
            raise ValueError("each fingerprint needs a place")
        buckets = words["bucket"] % np.uint64(self._buckets)
        in_order = np.sort(buckets)
        if np.count_nonzero(in_order[1:] == in_order[:-1]):
            # Equal fingerprints of one call would take several slots. Their last hint is kept.
            _, kept = np.unique(words["bucket"][::-1], return_index=True)
            kept = len(words) - 1 - kept
            order = kept[np.argsort(buckets[kept], kind="stable")]
            buckets, words, values = buckets[order], words[order], values[order]
            slots = self._slots(buckets, words, values)
        else:
            slots = self._slots_of_own_buckets(buckets, words, values)
        self._tags[buckets, slots] = words["tag"]
        self._places[buckets, slots] = values

    def _slots_of_own_buckets(self, buckets: Array, words: Array, values: Array) -> Array:
        """Do the same as `_slots` if no two hints share a bucket, with less work."""
        places, tags = _divided(self._rows[buckets])
        is_free = places == 0
        worth = ((tags == words["tag"][:, None]) & ~is_free) * np.uint8(2) + is_free
        slots: Array = worth.argmax(axis=1)
        is_full = ~worth.any(axis=1)
        if np.count_nonzero(is_full):
            slots[is_full] = _any_slots(words[is_full], values[is_full])
        return slots

    def _slots(self, buckets: Array, words: Array, values: Array) -> Array:
        """Return the slot of each new hint in its bucket: the one with its tag, or a free one, or any. `buckets` are sorted."""
        places, tags = _divided(self._rows[buckets])
        is_used = places != 0
        has_tag = is_used & (tags == words["tag"][:, None])
        # Hints of this call that share a bucket get different free slots, unless they replace the hint with their tag.
        is_new = ~has_tag.any(axis=1)
        new_before, firsts = np.cumsum(is_new) - is_new, np.searchsorted(buckets, buckets)
        numbers = new_before - new_before[firsts]
        is_own = ~is_used & (np.cumsum(~is_used, axis=1) - 1 == numbers[:, None])
        free_or_any = np.where(is_own.any(axis=1), is_own.argmax(axis=1), _any_slots(words, values))
        return np.where(is_new, free_or_any, has_tag.argmax(axis=1))


def _divided(rows: Array) -> tuple[Array, Array]:
    """Return views of the places and of the tags of some buckets."""
    return rows[:, :BUCKET_HINTS], rows[:, BUCKET_HINTS:].view(np.uint32)


def _any_slots(words: Array, values: Array) -> Array:
    """Return the slots of hints that replace others."""
    return ((words["victim"] + values) % np.uint64(BUCKET_HINTS)).astype(np.int64)
