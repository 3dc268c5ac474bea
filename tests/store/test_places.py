"""Tests that a place of a compressed block names its log blocks, in the order of the log."""

from array import array

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from odx_target.store.map.leaf import PLACE_LIMIT
from odx_target.store.segments.places import (
    COMPRESSED,
    MAX_EXTENT_BLOCKS,
    MAX_EXTENT_SEGMENT,
    MAX_STORED_BLOCKS,
    Located,
    are_compressed,
    end_of_run,
    extent_of,
    extent_place,
    indexes_in_extents,
    is_run,
    located,
    log_place,
    log_places,
    segment_of,
    sizes_of_extents,
)
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, PLACE_BITS

segments = st.one_of(st.integers(1, 100), st.integers(1, MAX_EXTENT_SEGMENT), st.just(MAX_EXTENT_SEGMENT))
log_blocks = st.integers(0, MAX_SEGMENT_BLOCKS - 1)
sizes = st.integers(1, MAX_STORED_BLOCKS)
offsets = st.integers(0, MAX_EXTENT_BLOCKS - 1)
places = st.one_of(
    st.just(0),
    st.builds(lambda segment, block: segment << PLACE_BITS | block, segments, log_blocks),
    st.builds(
        lambda segment, block, size, offset: extent_place(segment << PLACE_BITS | block, size) + offset,
        segments,
        log_blocks,
        sizes,
        offsets,
    ),
)


@given(segments, log_blocks, sizes, offsets)
def test_a_compressed_place_has_all_its_parts(segment: int, block: int, size: int, offset: int) -> None:
    first = extent_place(segment << PLACE_BITS | block, size)
    place = first + offset
    assert COMPRESSED <= place < PLACE_LIMIT
    assert located(place) == Located(segment, block, size, offset)
    assert (extent_of(place), segment_of(place), log_place(place)) == (first, segment, segment << PLACE_BITS | block)
    assert end_of_run(place, 1) == log_place(place) + size


@given(segments, log_blocks, st.integers(1, 100))
def test_a_plain_place_is_its_own_log_place(segment: int, block: int, count: int) -> None:
    place = segment << PLACE_BITS | block
    assert place < COMPRESSED
    assert located(place) == Located(segment, block, 1, 0)
    assert (log_place(place), end_of_run(place, count), segment_of(place)) == (place, place + count, segment)


@given(segments, log_blocks, sizes)
def test_places_of_two_extents_are_never_consecutive(segment: int, block: int, size: int) -> None:
    # An extent at the same block has another size only if it were another extent, and a segment has one extent at a block.
    after = extent_place(segment << PLACE_BITS | block, size) + MAX_EXTENT_BLOCKS
    if after < PLACE_LIMIT and located(after).block == block:
        assert located(after).stored_blocks == size + 1
    else:
        assert located(after).stored_blocks == 0


@given(st.lists(places, min_size=1, max_size=50))
def test_arrays_of_places_have_the_same_parts(some: list[int]) -> None:
    array = np.array(some, dtype=np.int64)
    assert log_places(array).tolist() == [log_place(place) for place in some]
    compressed = array[are_compressed(array)]
    assert compressed.tolist() == [place for place in some if place >= COMPRESSED]
    assert indexes_in_extents(compressed).tolist() == [located(place).offset for place in compressed.tolist()]
    assert sizes_of_extents(compressed).tolist() == [located(place).stored_blocks for place in compressed.tolist()]


def test_runs_of_places_are_consecutive() -> None:
    assert all(map(is_run, ([7], [7, 8, 9], array("Q", [7, 8, 9]))))
    assert not any(map(is_run, ([], [7, 9], [9, 8, 7], [7, 9, 9], [7, 8, 8, 10], [0, 0])))
