"""The watch finds exactly the tokens that have a changed block, even if their ranges overlap."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from odx_target.copymgr.tokens.block_set import BlockSet
from odx_target.copymgr.tokens.change_watch import ChangeWatch
from odx_target.copymgr.tokens.rod_source import FrozenRod
from tests.settings import searching

EXTENTS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60)), min_size=1, max_size=4)
ACTIONS = st.one_of(EXTENTS, st.tuples(st.integers(0, 40), st.integers(1, 12)))


class Watched:
    """A token with only the attributes that the watch uses."""

    def __init__(self, rod: FrozenRod, blocks: set[int]) -> None:
        self.rod = rod
        self.blocks = blocks
        self.volume: Any = None


@searching(max_examples=200)
@given(actions=st.lists(ACTIONS, max_size=25))
def test_against_looking_at_each(actions: list[Any]) -> None:
    volume: Any = SimpleNamespace(on_change=[])
    alive: list[Any] = []
    cancelled: list[Any] = []

    def cancel(token: Any) -> None:
        cancelled.append(token)
        watch.remove(token)

    watch = ChangeWatch(cancel)
    for action in actions:
        if isinstance(action, list):
            rod = FrozenRod(volume, [(start * 512, count * 512) for start, count in action])
            blocks = {index * 512 // 4096 for start, count in action for index in range(start, start + count)}
            token = Watched(rod, blocks)
            watch.add(token, volume)
            alive.append(token)
        elif volume.on_change:
            block, count = action
            (changing,) = volume.on_change
            changing(block, count)
            hit = [token for token in alive if token.blocks & set(range(block, block + count))]
            assert cancelled == hit
            alive = [token for token in alive if token not in hit]
            cancelled.clear()
        assert watch.tokens_of(volume) == alive
        assert bool(volume.on_change) == bool(alive)


RUNS = st.tuples(st.integers(0, 60), st.integers(1, 20), st.booleans())


@searching(max_examples=200)
@given(st.lists(RUNS, max_size=20), st.integers(0, 60), st.integers(1, 20))
def test_a_set_of_blocks_is_a_set(changes: list[tuple[int, int, bool]], first: int, count: int) -> None:
    blocks, model = BlockSet(), set[int]()
    for start, length, adds in changes:
        run = range(start, start + length)
        (blocks.add if adds else blocks.remove)(start, start + length)
        model = model | set(run) if adds else model - set(run)
        assert [blocks.touches(at, at + 1) for at in range(80)] == [at in model for at in range(80)]
    assert blocks.touches(first, first + count) is bool(model & set(range(first, first + count)))
