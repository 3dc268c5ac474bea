"""The comparison of pairs of leaves with numpy, tested against a comparison block by block."""

from array import array
from collections.abc import Sequence
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from odx_target.store.api import Change, PoolDamaged, StoreError
from odx_target.store.catalogue.node_codec import DENSE_LEAF, PACKED_LEAF, decode_leaf, encode_leaf
from odx_target.store.catalogue.stored_pairs import Compared, StoredLeaf, compare_stored
from odx_target.store.map.entries import HOLES, PLACE_LIMIT, START_SHIFT, Entries, expand, packed
from odx_target.store.map.leaf import LEAF_BLOCKS, Epoch, Leaf
from odx_target.store.map.leaf_pairs import HOLE, ranges_of, runs_of
from odx_target.store.segments.places import Places

NO_EPOCH = Epoch()


class Bodies:
    """A catalogue of encoded leaves."""

    def __init__(self) -> None:
        self.bodies: dict[int, bytes | StoreError] = {}

    def add(self, entries: Entries) -> int:
        return self.add_body(encode_leaf(Leaf(entries, NO_EPOCH)))

    def add_body(self, body: bytes | StoreError) -> int:
        self.bodies[len(self.bodies) + 1] = body
        return len(self.bodies)

    def leaf_bodies(self, numbers: Sequence[int]) -> list[bytes | StoreError]:
        assert list(numbers) == sorted(set(numbers))
        return [self.bodies[number] for number in numbers]


@st.composite
def leaves(draw: st.DrawFn) -> Entries:
    """Draw dense entries: some runs, and some single blocks. Low places make equal blocks probable, high ones need 7 bytes."""
    if draw(st.integers(0, 4)) == 0:
        return HOLES[:]
    entries = HOLES[:]
    if draw(st.booleans()):
        entries = array("Q", (1 + block * 7 % 2**20 for block in range(LEAF_BLOCKS)))
    place = st.sampled_from([0, 1, 5, 2**24, 2**48 + 3, PLACE_LIMIT - LEAF_BLOCKS - 1])
    for _ in range(draw(st.integers(0, 6))):
        first = draw(st.integers(0, LEAF_BLOCKS - 1))
        count = draw(st.integers(1, LEAF_BLOCKS - first))
        start = draw(place)
        entries[first : first + count] = array("Q", [start + at if start else 0 for at in range(count)])
    return entries


@st.composite
def stored(draw: st.DrawFn, source: Bodies, dense: Entries) -> StoredLeaf:
    """Draw a form of a leaf: in memory or in the catalogue, packed if possible or dense."""
    smaller = packed(dense)
    entries = dense if smaller is None or draw(st.booleans()) else smaller
    if smaller is not None and list(smaller) == [0] and draw(st.booleans()):
        return HOLE
    return source.add(entries[:]) if draw(st.booleans()) else entries


def found_by(compared: Compared, block: int, end: int, present: object = None) -> list[int]:
    """Return the value of the change of each block from `block` to `end` - 1."""
    starts, kinds = runs_of(ranges_of(compared.parts, block, present), block, end)  # type: ignore[arg-type]
    assert all(one != other for one, other in pairwise(kinds))
    found: list[int] = np.repeat(kinds, np.diff([*starts, end])).tolist()
    return found


def by_blocks(old: Entries, new: Entries) -> list[int]:
    return [
        (Change.NONE if ours == theirs else Change.DATA if theirs else Change.HOLE).value
        for ours, theirs in zip(old, new, strict=True)
    ]


def moved(places: Places) -> Places:
    """The present places of blocks: those from 5 to 600 were moved."""
    return np.where((places >= 5) & (places <= 600), places + 1000, places)


@settings(max_examples=40)
@given(st.data())
def test_any_pairs_of_leaves(data: st.DataObject) -> None:
    source = Bodies()
    pairs = data.draw(st.lists(st.tuples(leaves(), leaves(), st.booleans()), min_size=1, max_size=4))
    gaps = data.draw(st.lists(st.integers(0, 2), min_size=len(pairs), max_size=len(pairs)))
    blocks, old, new, expected, moved_apart, at = [], [], [], [], [], 0
    for (ours, theirs, is_alike), gap in zip(pairs, gaps, strict=True):
        if is_alike:
            theirs = ours[:500] + theirs[500:510] + ours[510:]
        at += gap * LEAF_BLOCKS
        expected += [0] * gap * LEAF_BLOCKS + by_blocks(ours, theirs)
        now = [array("Q", moved(np.array(each, dtype=np.int64)).tolist()) for each in (ours, theirs)]
        moved_apart += [0] * gap * LEAF_BLOCKS + by_blocks(now[0], now[1])
        blocks.append(at)
        old.append(data.draw(stored(source, ours)))
        new.append(data.draw(stored(source, theirs)))
        at += LEAF_BLOCKS
    compared = compare_stored(source, blocks, old, new)
    assert (compared.pairs_read, compared.error) == (len(pairs), None)
    block = data.draw(st.integers(0, at - 1))
    assert found_by(compared, block, at) == expected[block:]
    assert found_by(compared, block, at, moved) == moved_apart[block:]


def test_many_dense_leaves_in_both_forms() -> None:
    """More pairs than are compared at once."""
    source = Bodies()
    base = array("Q", (1 + block * 7 % 2**20 for block in range(LEAF_BLOCKS)))
    blocks = [number * LEAF_BLOCKS for number in range(70)]
    old = [source.add(base) if number % 3 else base for number in range(70)]
    new: list[StoredLeaf] = []
    for number in range(70):
        entries = base[:]
        entries[number] += 1 if number % 2 else 2**30
        new.append(source.add(entries) if number % 5 else entries)
    found = ranges_of(compare_stored(source, blocks, old, new).parts, 0, None)
    assert found.blocks.tolist() == [number * LEAF_BLOCKS + number for number in range(70)]
    assert found.counts.tolist() == [1] * 70


BAD_STARTS = [[1 << START_SHIFT], [0, 5 << START_SHIFT, 5 << START_SHIFT], [0, 7 << START_SHIFT, 6 << START_SHIFT]]
TOO_MANY_RUNS = [at << START_SHIFT | 9 for at in range(129)]


@pytest.mark.parametrize(
    "body",
    [
        *[bytes([PACKED_LEAF]) + array("Q", starts).tobytes() for starts in [*BAD_STARTS, TOO_MANY_RUNS, []]],
        b"",
        bytes([PACKED_LEAF, 1, 2]),
        bytes([DENSE_LEAF]) + bytes(LEAF_BLOCKS + 1),
        bytes([DENSE_LEAF]) + b"\xff" * LEAF_BLOCKS * 7,
        bytes([DENSE_LEAF]) + b"\xff" * LEAF_BLOCKS * 9,
        b"\x09" + bytes(8),
        PoolDamaged("the checksum is wrong"),
    ],
    ids=str,
)
def test_a_damaged_leaf_ends_the_comparison_before_it(body: bytes | StoreError) -> None:
    if isinstance(body, bytes):
        with pytest.raises(PoolDamaged):
            decode_leaf(body)
    source = Bodies()
    good, bad = source.add(array("Q", [3])), source.add_body(body)
    compared = compare_stored(source, [0, 1024, 2048, 3072], [HOLE, HOLE, bad, HOLE], [good, HOLE, good, good])
    assert compared.pairs_read == 2
    assert isinstance(compared.error, PoolDamaged)
    assert found_by(compared, 0, 2048) == [Change.DATA.value] * 1024 + [0] * 1024


def test_both_forms_of_a_leaf_are_equal() -> None:
    source = Bodies()
    runs = array("Q", [0, 100 << START_SHIFT | 7])
    number = source.add(runs)
    for other in (runs, expand(runs), number):
        assert not len(compare_stored(source, [0], [number], [other]).parts.blocks)
