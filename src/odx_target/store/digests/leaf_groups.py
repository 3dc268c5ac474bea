"""Digests and checksums of groups of leaves. These functions run in a thread and may wait for the disk."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from odx_target.store.digests.definition import CHECKSUM_BYTES, HOLE_CHECKSUM, leaf_digest
from odx_target.store.digests.gathering import Gatherer, places_of
from odx_target.store.digests.table_rows import LogView
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries
from odx_target.store.numpy_on_demand import np

_LEAF_BYTES = LEAF_BLOCKS * CHECKSUM_BYTES


class LeafResult(NamedTuple):
    """The places and the CRC32Cs of the blocks in a leaf, and the numbers of the lost blocks in the leaf."""

    places: "array[int]"
    checksums: "array[int]"
    lost: Sequence[int]


HOLES = LeafResult(array("Q", [0]) * LEAF_BLOCKS, array("I", [HOLE_CHECKSUM]) * LEAF_BLOCKS, ())
"""The places and the checksums of a leaf of holes."""


def digests_of_leaves(gatherer: Gatherer, leaves: Sequence[Entries], view: LogView) -> list[bytes]:
    """Return the digest of each leaf. Raises OSError."""
    digests: list[bytes] = []
    for found in gatherer.gather(leaves, view):
        data = found.checksums.astype("<u4", copy=False).data.cast("B")
        some = [leaf_digest(data[start : start + _LEAF_BYTES]) for start in range(0, len(data), _LEAF_BYTES)]
        if found.lost.any():
            for leaf, lost in enumerate(found.lost.reshape(-1, LEAF_BLOCKS)):
                if lost.any():
                    some[leaf] = leaf_digest(data[leaf * _LEAF_BYTES :][:_LEAF_BYTES], np.flatnonzero(lost).tolist())
        digests += some
    return digests


def checksums_of_leaves(gatherer: Gatherer, leaves: Sequence[Entries], view: LogView) -> list[LeafResult]:
    """Return the places and the checksums of the blocks in each leaf. Raises OSError."""
    checksums, lost = zip(*gatherer.gather(leaves, view), strict=True)
    rows = np.concatenate(checksums).reshape(-1, LEAF_BLOCKS), np.concatenate(lost).reshape(-1, LEAF_BLOCKS)
    return [
        LeafResult(array("Q", places_of([leaf]).tobytes()), array("I", each.tobytes()), np.flatnonzero(are_lost).tolist())
        for leaf, each, are_lost in zip(leaves, *rows, strict=True)
    ]
