"""Tests of reads of leaves that share the connection of the SQLite catalogue with a save, and that fail."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.store.map_model import places_of

from odx_target.store.api import CatalogueDamaged, OutOfResources
from odx_target.store.catalogue.interface import Checkpoint, VolumeState
from odx_target.store.catalogue.memory import MemoryCatalogue
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.inner import FAN_OUT, Inner
from odx_target.store.map.leaf import LEAF_BLOCKS, Epoch

LEAVES = 8
SUBTREE = FAN_OUT * LEAF_BLOCKS


def checkpoint_of(live: BlockMap, **remembered: bytes) -> Checkpoint:
    return Checkpoint({}, {}, (VolumeState(1, "a", bytes(16), {}, live.freeze()),), (), remembered)


def mapped() -> BlockMap:
    live = BlockMap(LEAVES * LEAF_BLOCKS)
    for leaf in range(LEAVES):
        live.assign(leaf * LEAF_BLOCKS, 10 * leaf + 1)
    return live


@pytest.mark.parametrize("after", ["_put_nodes", "_put_values", "_put_head"])
def test_a_failed_read_that_ends_the_transaction_fails_the_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """SQLite rolls back the whole transaction if a read has no memory, or if the disk fails."""
    catalogue = SqliteCatalogue(tmp_path / "catalogue")
    live = mapped()
    catalogue.save(checkpoint_of(live, key=b"1"))
    live.assign(5, 1000)
    real = getattr(catalogue, after)

    def ended(*arguments: object) -> None:
        real(*arguments)
        if catalogue._connection.in_transaction:
            catalogue._connection.execute("ROLLBACK")

    monkeypatch.setattr(catalogue, after, ended)
    with pytest.raises(OutOfResources, match="a failed read has ended the save"):
        catalogue.save(checkpoint_of(live, key=b"2"))
    catalogue.close()
    opened = SqliteCatalogue(tmp_path / "catalogue")
    loaded = opened.load()
    assert loaded is not None
    assert loaded.remembered == {"key": b"1"}
    assert places_of(loaded.volumes[0].root).get(5) is None
    monkeypatch.undo()
    opened.save(checkpoint_of(live, key=b"3"))
    opened.close()


def test_an_unreadable_leaf_is_the_only_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = SqliteCatalogue(tmp_path / "catalogue")
    live = mapped()
    catalogue.save(checkpoint_of(live))
    numbers = [leaf.stored for _, leaf in live.leaves()]
    real = catalogue._execute

    def execute(statement: str, values: Sequence[int] = ()) -> list[Any]:
        if values[0] <= numbers[3] <= values[-1]:
            error = sqlite3.DatabaseError("database disk image is malformed")
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return real(statement, values)

    monkeypatch.setattr(catalogue, "_execute", execute)
    found = catalogue.leaf_entries(numbers)
    assert [isinstance(each, CatalogueDamaged) for each in found] == [index == 3 for index in range(LEAVES)]
    catalogue.close()
    assert all(isinstance(each, OutOfResources) for each in catalogue.leaf_entries(numbers))


def test_inner_nodes_with_equal_content_share_their_children_but_not_later_changes() -> None:
    """A large volume of copies of the same data has many such nodes."""
    live = BlockMap(4 * SUBTREE)
    live.assign(0, 77, 100 * LEAF_BLOCKS)
    for copy in (1, 2, 3):
        live.copy_range(live.freeze(), 0, copy * SUBTREE, SUBTREE)
    catalogue = MemoryCatalogue()
    catalogue.save(checkpoint_of(separated(live)))
    loaded = MemoryCatalogue(catalogue.content).load()
    assert loaded is not None
    thawed = BlockMap.thawed(loaded.volumes[0].root)
    assert thawed.root is not None
    nodes = [child for _, child in thawed.root.present()]
    assert len({id(node) for node in nodes}) == 4
    assert len({id(node.children) for node in nodes if isinstance(node, Inner)}) == 1
    before = places_of(thawed)
    frozen = thawed.freeze()
    thawed.assign(SUBTREE + 5, 3)
    thawed.clear(2 * SUBTREE, 90 * LEAF_BLOCKS)
    assert places_of(frozen) == before
    changed = {**before, SUBTREE + 5: 3}
    cleared = range(2 * SUBTREE, 2 * SUBTREE + 90 * LEAF_BLOCKS)
    assert places_of(thawed) == {at: place for at, place in changed.items() if at not in cleared}


def separated(live: BlockMap) -> BlockMap:
    """Give each inner node below the root a copy of its own, as writes do."""
    root = live.freeze().root
    assert root is not None
    epoch = Epoch()
    copies = [(slot, child.copy(epoch)) for slot, child in root.present() if isinstance(child, Inner)]
    return BlockMap.thawed(FrozenRoot(Inner.over(copies, epoch), live.levels, live.size_blocks))
