"""Missing blocks of a base in the runs of a map, and blocks of zeros in fetched data."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from odx_target.environment import Buffer
from odx_target.store.map.leaf import LEAF_BLOCKS, PLACE_MASK, Entries
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.base_place import are_base_places, is_base_place
from odx_target.store.volumes.source_interface import BLOCK_BYTES

_WORDS = BLOCK_BYTES // 8


def missing_in(runs: Sequence[tuple[int, int]], block: int) -> Iterator[tuple[int, int]]:
    """Yield the runs (block, count_blocks) of missing blocks. The runs (place, count_blocks) of the base begin at `block`."""
    for place, count_blocks in runs:
        if is_base_place(place):
            yield block, count_blocks
        block += count_blocks


def parts_of(data: Buffer) -> Iterator[tuple[int, int, bool]]:
    """Divide data into runs (first block, count_blocks, is_zeros). `is_zeros` is True if all bytes of these blocks are zero."""
    words = np.frombuffer(data, dtype=np.uint64).reshape(-1, _WORDS)
    flags: Sequence[bool] = np.logical_or.reduce(words, axis=1).tolist()
    block = 0
    for has_data, group in groupby(flags):
        count_blocks = len(list(group))
        yield block, count_blocks, not has_data
        block += count_blocks


def refers_to_bases(entries: Entries) -> bool:
    """True if a block of a leaf with these entries has a base place."""
    places = np.frombuffer(entries, dtype=np.int64)
    if len(entries) < LEAF_BLOCKS:
        places = places & PLACE_MASK
    return bool(are_base_places(places).any())
