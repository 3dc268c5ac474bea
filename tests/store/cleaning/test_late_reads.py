"""Walks that replace places, and leaves that must be read first: what hosts and checkpoints do with these leaves meanwhile."""

from collections.abc import Callable, Coroutine, Sequence

import pytest

from odx_target.store.cleaning.walking import walk
from odx_target.store.errors import PoolDamaged, StoreError
from odx_target.store.log.records import VolumeCreated
from odx_target.store.map.late_leaves import LateLeaves
from odx_target.store.map.leaf import ABSENT, LEAF_BLOCKS, Entries, Epoch, Leaf
from odx_target.store.record_effects import Contents
from odx_target.turns import Steps

LEAVES = 2


class Loader:
    """Reads leaves whose entries were dropped. `meanwhile` is called before each read. Reads of the leaves in `lost` fail."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.meanwhile: Callable[[], None] = lambda: None
        self.lost: list[Leaf] = []
        self._stored: dict[Leaf, Entries] = {}

    @property
    def memory(self) -> "Loader":
        return self

    def entries_of(self, leaf: Leaf) -> "Entries | None":
        return leaf.entries or None

    def drop(self, leaf: Leaf) -> None:
        self._stored[leaf], leaf.entries = leaf.entries, ABSENT

    def load(self, leaf: Leaf) -> None:
        leaf.entries = self._stored[leaf]

    async def read(self, leaves: Sequence[Leaf]) -> "dict[Leaf, Entries | StoreError]":
        self.meanwhile()
        return {leaf: PoolDamaged("missing") if leaf in self.lost else self._stored[leaf] for leaf in leaves}


class Walked:
    """A volume with LEAVES leaves, and a walk over it."""

    def __init__(self) -> None:
        self.contents = Contents()
        self.contents.apply(VolumeCreated(1, LEAVES * LEAF_BLOCKS, bytes(16), "a", {}))
        self.map = self.contents.volumes[1].map
        for number in range(LEAVES):
            self.map.assign(number * LEAF_BLOCKS, 10 + number)
        self.loader = Loader(self.contents)
        self.stamp = Epoch()
        self.late = self.contents.tally.late = LateLeaves(self.stamp)
        self.visited: list[Leaf] = []
        self.after_visit: Callable[[], None] = lambda: None

    def run(self) -> None:
        def visit(leaf: Leaf, _entries: Entries) -> int:
            self.visited.append(leaf)
            self.after_visit()
            return 0

        async def pause() -> None:
            pass

        walking = walk(self.contents, self.loader, Steps(10**6), self.stamp, visit, pause, late=self.late)  # type: ignore[arg-type]
        finish(walking)


def finish(walking: Coroutine[object, object, bool]) -> None:
    with pytest.raises(StopIteration):
        walking.send(None)


def test_the_copy_of_a_leaf_that_is_being_read_is_visited() -> None:
    walked = Walked()
    leaf = walked.map.leaf(0)
    assert leaf is not None
    walked.loader.drop(leaf)

    def write() -> None:
        walked.loader.load(leaf)
        walked.map.assign(1, 20)

    walked.loader.meanwhile = write
    walked.run()
    copied = walked.map.leaf(0)
    assert copied is not leaf
    assert walked.visited.count(copied) == 1
    assert walked.visited.count(leaf) == 1


def test_the_copy_of_a_late_leaf_that_is_being_read_is_visited() -> None:
    """A checkpoint during the walk may store a late leaf, and its entries may then be dropped from memory."""
    walked = Walked()
    late_leaves: list[Leaf] = []

    def copy_leaf() -> None:
        walked.contents.frozen_state()
        walked.map.assign(LEAF_BLOCKS + 1, 20)
        leaf = walked.map.leaf(LEAF_BLOCKS)
        assert leaf is not None
        late_leaves.append(leaf)

    def copy_before_its_visit() -> None:
        if not late_leaves:
            copy_leaf()
            walked.loader.drop(late_leaves[0])

    def copy_again() -> None:
        walked.loader.load(late_leaves[0])
        copy_leaf()

    walked.after_visit = copy_before_its_visit
    walked.loader.meanwhile = copy_again
    walked.run()
    assert len(late_leaves) == 2
    assert walked.visited[2:] == late_leaves


@pytest.mark.parametrize("is_late", [True, False])
def test_only_a_late_leaf_may_be_missing(is_late: bool) -> None:
    """A checkpoint during the walk may store a late leaf, and the next one may delete it, because a host has replaced it."""
    walked = Walked()
    if is_late:
        walked.contents.frozen_state()  # so that the write makes a copy
        walked.map.assign(1, 20)
    leaf = walked.map.leaf(0)
    assert leaf is not None
    walked.loader.lost.append(leaf)
    walked.loader.drop(leaf)
    if is_late:
        walked.map.clear(0, LEAF_BLOCKS)
        walked.run()
        assert not walked.late.are_complete
        assert leaf not in walked.visited
    else:
        walking = walk(walked.contents, walked.loader, Steps(9), walked.stamp, lambda *_: 0, nothing, late=walked.late)  # type: ignore[arg-type]
        with pytest.raises(PoolDamaged):
            walking.send(None)


async def nothing() -> None:
    pass
