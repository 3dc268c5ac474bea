"""Tests of copies by tokens of another array whose link is cut anywhere, or whose arrays restart."""

from collections.abc import Iterator
from random import Random

import pytest

from odx_target.store.api import BLOCK_BYTES
from tests.replica.remote_tokens.cut_copies import CutCopy, short_parts, sizes
from tests.replica.remote_tokens.play import Play, content
from tests.sim.world import World

BLOCKS = 40
PART_BLOCKS = 8
DATA = content(Random(5), BLOCKS * BLOCK_BYTES)


@pytest.fixture(autouse=True)
def _with_short_parts() -> Iterator[None]:
    with short_parts(PART_BLOCKS):
        yield


@pytest.mark.parametrize("seed", range(4))
def test_copies_continue_after_all_faults(seed: int) -> None:
    """`python -m tests.replica.remote_tokens.play` plays more seeds."""
    Play(seed).run()


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_copy_that_is_cut_after_any_byte(direction: int, comes_back: bool) -> None:
    total = sizes(DATA)[direction]
    counts = {
        CutCopy(World(5), DATA).run_cut(direction, at, comes_back=comes_back)
        for at in {*range(total // 16, total, total // 8), 1, total - 1}
    }
    assert all(count % PART_BLOCKS == 0 for count in counts)
    if not comes_back and direction:
        assert counts >= {0, PART_BLOCKS, BLOCKS - PART_BLOCKS}
