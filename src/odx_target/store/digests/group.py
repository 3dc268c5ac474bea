"""Digests and checksums of groups of leaves. These functions run in a thread and may wait for the disk."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from odx_target.store.digests.gathering import Gatherer, LogView, places_of
from odx_target.store.digests.hashing import HOLE_CHECKSUM, leaf_digest
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries


class LeafResult(NamedTuple):
    """The places and the CRC32Cs of the blocks in a leaf, and the numbers of the lost blocks in the leaf."""

    places: "array[int]"
    checksums: "array[int]"
    lost: Sequence[int]


HOLES = LeafResult(array("Q", [0]) * LEAF_BLOCKS, array("I", [HOLE_CHECKSUM]) * LEAF_BLOCKS, ())
"""The places and the checksums of a leaf of holes."""


def digests_of_leaves(gatherer: Gatherer, leaves: Sequence[Entries], view: LogView) -> list[bytes]:
    """Return the digest of each leaf. Raises OSError."""
    found = gatherer.gather(places_of(leaves), view)
    data = memoryview(found.checksums.astype("<u4", copy=False).tobytes())
    size_bytes = LEAF_BLOCKS * found.checksums.itemsize
    digests = [leaf_digest(data[start : start + size_bytes]) for start in range(0, len(data), size_bytes)]
    lost_leaves = np.unique(np.flatnonzero(found.lost) // LEAF_BLOCKS).tolist() if found.lost.any() else []
    for leaf in lost_leaves:
        lost = np.flatnonzero(found.lost[leaf * LEAF_BLOCKS : (leaf + 1) * LEAF_BLOCKS]).tolist()
        digests[leaf] = leaf_digest(data[leaf * size_bytes : (leaf + 1) * size_bytes], lost)
    return digests


def checksums_of_leaves(gatherer: Gatherer, leaves: Sequence[Entries], view: LogView) -> list[LeafResult]:
    """Return the places and the checksums of the blocks in each leaf. Raises OSError."""
    places = places_of(leaves)
    found = gatherer.gather(places, view)
    results = []
    for start in range(0, len(places), LEAF_BLOCKS):
        part = slice(start, start + LEAF_BLOCKS)
        lost = np.flatnonzero(found.lost[part]).tolist()
        results.append(LeafResult(array("Q", places[part].tobytes()), array("I", found.checksums[part].tobytes()), lost))
    return results
