"""A repair keeps only a few leaves in memory, however large the maps are."""

import weakref
from array import array
from pathlib import Path

import pytest
from tests.store.pools import Directory, block, flip_bit, read, write

from odx_target.store.api import DamagedBlock
from odx_target.store.catalogue import kept_trees, stored_bodies
from odx_target.store.map.leaf import LEAF_BLOCKS, Entries
from odx_target.store.opening import recovery, replay_leaves
from odx_target.store.repairing import remains
from odx_target.store.repairing.directory_repair import repairing

LEAVES = 120
FEW = 8


class Decoded:
    """The decoded leaves that are in memory. `most` is the largest number of such leaves."""

    def __init__(self) -> None:
        self._living: dict[int, weakref.ref[array[int]]] = {}
        self.most = self.all = 0

    def add(self, entries: Entries) -> Entries:
        self._living[self.all] = weakref.ref(entries)
        self._living = {key: each for key, each in self._living.items() if each() is not None}
        self.all += 1
        self.most = max(self.most, len(self._living))
        return entries


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decoded:
    counted = Decoded()
    for module in (kept_trees, stored_bodies, remains):
        real = module.decode_leaf
        monkeypatch.setattr(module, "decode_leaf", lambda body, real=real: counted.add(real(body)))
    monkeypatch.setattr(replay_leaves, "MAX_LOADED_LEAVES", FEW)
    monkeypatch.setattr(recovery, "LEAVES_AT_ONCE", FEW)
    return counted


def test_few_leaves_are_in_memory(tmp_path: Path, decoded: Decoded) -> None:
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("a", LEAVES * LEAF_BLOCKS, {})
    for leaf in range(LEAVES):
        write(directory, volume, leaf * LEAF_BLOCKS + 5, [block(leaf + 1)])
    directory.pool.commit()
    volume.snapshot("monday")
    write(directory, volume, 5, [block(1000)])
    directory.pool.commit()
    directory.close()
    flip_bit(directory.path, block(31))
    with repairing(directory.path, lambda _count: None) as found:
        assert found.plan.checkpoint is not None
        assert found.plan.report.lost_ranges == 2
        found.carry_out()
    assert decoded.all > 2 * LEAVES
    assert decoded.most < 4 * FEW
    directory.open()
    for source, first in ((directory.pool.volumes["a"], 1000), (next(iter(directory.pool.snapshots.values())), 1)):
        for leaf in range(1, LEAVES):
            if leaf == 30:
                with pytest.raises(DamagedBlock):
                    read(directory, source, leaf * LEAF_BLOCKS + 5, 1)
            else:
                assert read(directory, source, leaf * LEAF_BLOCKS + 5, 1) == block(leaf + 1)
        assert read(directory, source, 5, 1) == block(first)
    directory.close()
