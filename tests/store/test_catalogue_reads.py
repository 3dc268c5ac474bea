"""Tests of reads of leaves that share the connection of the SQLite catalogue with a save, and that fail."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.store.map_model import places_of

from odx_target.store.api import CatalogueDamaged, OutOfResources
from odx_target.store.catalogue.interface import Checkpoint, VolumeState
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.leaf import LEAF_BLOCKS

LEAVES = 8


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
