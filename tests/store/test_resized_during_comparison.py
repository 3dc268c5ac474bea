"""A map that is resized between two runs of a comparison."""

import pytest

from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.difference import changes
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.volumes.changes import Change
from odx_target.turns import Steps

SIZE = 900 * LEAF_BLOCKS
NOTHING = FrozenRoot(None, 1, 0)


@pytest.mark.parametrize("size_blocks", [0, 10, LEAF_BLOCKS, 2 * SIZE])
def test_a_map_may_be_resized_between_two_runs(size_blocks: int) -> None:
    live = BlockMap(SIZE)
    for leaf in range(900):
        live.assign(leaf * LEAF_BLOCKS, 1 + leaf * 5000, 100)
    runs = changes(NOTHING, live, 0, Steps(1 << 30))
    assert next(runs) == (0, 100, Change.DATA)
    live.resize(size_blocks)
    end = 100
    for block, count, _ in runs:
        assert block == end
        end += count
    assert end >= min(size_blocks, SIZE)
