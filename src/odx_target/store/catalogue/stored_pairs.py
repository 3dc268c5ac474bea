"""The comparison of many pairs of leaves, some of which are only in the catalogue. Reads the catalogue, so call it in a thread.

Two dense leaves are compared in their encoded form (see `node_codec`), which is smaller than their entries. Only the blocks
that differ are decoded.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from odx_target.store.catalogue.node_codec import DENSE_LEAF, PACKED_LEAF, decode_leaf
from odx_target.store.catalogue.stored_bodies import entries_of_body
from odx_target.store.errors import PoolDamaged, StoreError
from odx_target.store.map.leaf import LEAF_BLOCKS, MAX_RUNS, START_SHIFT, Entries
from odx_target.store.map.leaf_pairs import PAIRS_AT_ONCE, Parts, Table, different_parts, in_order, single_blocks
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import Places

StoredLeaf: TypeAlias = "Entries | int"
"""The entries of a leaf, or the number under which the catalogue has them."""

_Leaf: TypeAlias = "Table | bytes | StoreError"
"""The entries of a leaf, or its encoded form if it is dense, or the reason why it could not be read."""

_WORD_BYTES = 8
_BITS_OF_A_BYTE = 8
_DENSE, _PACKED = bytes([DENSE_LEAF]), bytes([PACKED_LEAF])
_IS_LITTLE_ENDIAN = sys.byteorder == "little"
_MAX_FAST_BYTES = 1 + LEAF_BLOCKS * 6
"""Size of the encoded form of a dense leaf whose places have at most 48 bits. Such places need no check of their size."""


class BodySource(Protocol):
    """A storage of encoded leaves, such as a catalogue."""

    def leaf_bodies(self, numbers: Sequence[int]) -> list[bytes | StoreError]:
        """Read stored leaves in their encoded form; see `Catalogue.leaf_bodies`."""
        ...


class Compared(NamedTuple):
    """The parts in which pairs of leaves differ. If a leaf could not be read, `error` has the reason, and only the first
    `pairs_read` pairs were compared. Otherwise `pairs_read` is the number of all pairs.
    """

    parts: Parts
    pairs_read: int
    error: StoreError | None = None


def compare_stored(source: BodySource, blocks: Sequence[int], old: Sequence[StoredLeaf], new: Sequence[StoredLeaf]) -> Compared:
    """Compare pairs of leaves. `blocks` has the first block of each pair."""
    numbers = sorted({each for leaves in (old, new) for each in leaves if isinstance(each, int)})
    leaves = _readable(numbers, source.leaf_bodies(numbers)) if numbers else {}
    ours = [leaves[each] if isinstance(each, int) else each for each in old]
    theirs = [leaves[each] if isinstance(each, int) else each for each in new]
    count, error = (
        _first_error(ours, theirs) if any(isinstance(each, StoreError) for each in leaves.values()) else (len(blocks), None)
    )
    encoded: dict[int, list[int]] = {}
    others: list[int] = []
    for number, (one, other) in enumerate(zip(ours[:count], theirs[:count], strict=True)):
        if type(one) is bytes and type(other) is bytes and len(one) == len(other):
            encoded.setdefault(len(one), []).append(number)
        else:
            others.append(number)
    tables = [[_table(side[at]) for at in others] for side in (ours, theirs)]
    found = [different_parts([blocks[at] for at in others], *tables)]
    for some in encoded.values():
        for at in range(0, len(some), PAIRS_AT_ONCE):
            found.append(_compare_dense(some[at : at + PAIRS_AT_ONCE], blocks, ours, theirs))
    return Compared(in_order(found), count, error)


def _readable(numbers: Sequence[int], bodies: Sequence[bytes | StoreError]) -> dict[int, _Leaf]:
    """Decode the leaves with the given numbers. Large dense leaves stay encoded."""
    found: dict[int, _Leaf] = {}
    packed: dict[int, memoryview] = {}
    for number, body in zip(numbers, bodies, strict=True):
        if isinstance(body, StoreError) or _is_fast(body):
            found[number] = body
        elif body.startswith(_PACKED) and len(body) % _WORD_BYTES == 1 and _IS_LITTLE_ENDIAN:
            packed[number] = memoryview(body)[1:].cast("Q")
        else:
            found[number] = entries_of_body(body)
    found.update(packed)
    for number in _unsound(packed):
        found[number] = PoolDamaged("the catalogue contains a node that is not valid")
    return found


def _is_fast(body: bytes) -> bool:
    return body.startswith(_DENSE) and LEAF_BLOCKS < len(body) <= _MAX_FAST_BYTES and len(body) % LEAF_BLOCKS == 1


def _table(leaf: _Leaf) -> Table:
    assert not isinstance(leaf, StoreError)
    return decode_leaf(leaf) if isinstance(leaf, bytes) else leaf


def _unsound(packed: Mapping[int, memoryview]) -> Sequence[int]:
    """Return the numbers of the packed leaves that are not valid; see `is_sound` in `store.map.entries`."""
    numbers = np.fromiter(packed, np.int64, len(packed))
    sizes = np.fromiter(map(len, packed.values()), np.int64, len(packed))
    leaf = np.repeat(np.arange(len(packed)), sizes)
    starts = np.frombuffer(b"".join(packed.values()), np.uint64) >> START_SHIFT
    is_first = np.ones(len(starts), dtype=np.bool_)
    np.not_equal(leaf[1:], leaf[:-1], out=is_first[1:])
    is_wrong = is_first & (starts != 0)
    is_wrong[1:] |= ~is_first[1:] & (starts[1:] <= starts[:-1])
    bad = (sizes == 0) | (sizes > MAX_RUNS)
    bad[leaf[is_wrong]] = True
    unsound: list[int] = numbers[bad].tolist()
    return unsound


def _first_error(ours: Sequence[_Leaf], theirs: Sequence[_Leaf]) -> tuple[int, StoreError | None]:
    """Return the number of the first pair with a leaf that could not be read, and the reason."""
    for number, pair in enumerate(zip(ours, theirs, strict=True)):
        for leaf in pair:
            if isinstance(leaf, StoreError):
                return number, leaf
    return len(ours), None


def _compare_dense(some: Sequence[int], blocks: Sequence[int], old: Sequence[object], new: Sequence[object]) -> Parts:
    """Compare pairs of encoded dense leaves of equal size. `some` has the numbers of these pairs."""
    ours, theirs = _planes([old[at] for at in some]), _planes([new[at] for at in some])
    words = np.logical_or.reduce(ours.view(np.uint64) != theirs.view(np.uint64), axis=1)
    pair, word = np.nonzero(words)
    columns = word[:, np.newaxis] * _WORD_BYTES + np.arange(_WORD_BYTES)
    pair, column = np.repeat(pair, _WORD_BYTES), columns.ravel()
    before, after = _places(ours, pair, column), _places(theirs, pair, column)
    differ = np.flatnonzero(before != after)
    firsts = np.array([blocks[at] for at in some], dtype=np.int64)
    return single_blocks(firsts[pair[differ]] + column[differ], before[differ], after[differ])


def _planes(bodies: Sequence[object]) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """Return an array of bytes whose indexes are the leaf, the number of the byte in a place, and the block in the leaf."""
    joined = b"".join([memoryview(body)[1:] for body in bodies if isinstance(body, bytes)])
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(bodies), -1, LEAF_BLOCKS)


def _places(planes: "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]", pair: Places, column: Places) -> Places:
    """Return the places of blocks."""
    found = np.zeros(len(pair), dtype=np.int64)
    for number in range(planes.shape[1]):
        found |= planes[pair, number, column].astype(np.int64) << _BITS_OF_A_BYTE * number
    return found
