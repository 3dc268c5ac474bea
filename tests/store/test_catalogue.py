"""Tests of the contract that every catalogue must keep."""

import random
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.store.kept_catalogue import Kept, KeptInFile, KeptInMemory
from tests.store.map_model import places_of

from odx_target.store.api import Unwritable
from odx_target.store.catalogue import transactional as transactional_catalogue
from odx_target.store.catalogue.interface import Catalogue, Checkpoint, FrozenMapState, VolumeState
from odx_target.store.map.copy_on_write import MAX_SIZE_BLOCKS, BlockMap
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.leaf import LEAF_BLOCKS

SUBTREE = LEAF_BLOCKS * LEAF_BLOCKS


@pytest.fixture(params=[KeptInMemory, KeptInFile])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    made: Kept = request.param(tmp_path)
    return made


def written(size_blocks: int, count: int, seed: int = 1) -> BlockMap:
    """Make a map with runs of all lengths and one dense leaf."""
    draw = random.Random(seed)
    live = BlockMap(size_blocks)
    for _ in range(count):
        length = draw.choice([1, 64, 3000])
        live.assign(draw.randrange(size_blocks - length), draw.randrange(1, 1 << 40), length)
    for block in range(0, min(size_blocks, LEAF_BLOCKS), 2):
        live.assign(block, draw.randrange(1, 1 << 40))
    return live


def volume(number: int, root: FrozenRoot) -> VolumeState:
    return VolumeState(number, f"volume {number}", number.to_bytes(16, "big"), {"lun": str(number)}, root)


def checkpoint_of(*maps: BlockMap, remembered: Mapping[str, bytes] = {}, pool: Mapping[str, Any] = {}) -> Checkpoint:
    volumes = tuple(volume(number, live.freeze()) for number, live in enumerate(maps))
    return Checkpoint({"segment": 3, "offset": [1, None]}, pool, volumes, (), remembered)


def load(kept: Kept) -> Checkpoint | None:
    catalogue = kept.open()
    loaded = catalogue.load()
    catalogue.close()
    return loaded


def save(kept: Kept, checkpoint: Checkpoint) -> None:
    catalogue = opened(kept)
    catalogue.save(checkpoint)
    catalogue.close()


def opened(kept: Kept) -> Catalogue:
    catalogue = kept.open()
    catalogue.load()
    return catalogue


def described(checkpoint: Checkpoint | None) -> object:
    """Convert a checkpoint to plain values that can be compared."""
    if checkpoint is None:
        return None
    return (
        dict(checkpoint.position),
        dict(checkpoint.pool),
        {v.number: (v.name, v.identity, dict(v.attributes), v.root.size_blocks, places_of(v.root)) for v in checkpoint.volumes},
        sorted((f.identifier, f.durable, f.root.size_blocks, places_of(f.root)) for f in checkpoint.frozen_maps),
        {s.guid: s for s in checkpoint.snapshots},
        dict(checkpoint.remembered),
    )


def test_a_new_catalogue_holds_nothing(kept: Kept) -> None:
    assert load(kept) is None
    assert load(kept) is None


def test_what_was_saved_is_loaded(kept: Kept) -> None:
    live = written(2 * SUBTREE, 200)
    frozen = live.freeze()
    live.assign(5, 6, 10_000)
    checkpoint = Checkpoint(
        {"segment": 7, "deep": {"list": [1, "two", None, True]}},
        {"identity": "00ff", "next_identifier": 1 << 60},
        (volume(3, live.freeze()), volume(1, BlockMap(0).freeze()), volume(2, written(3000, 3).freeze())),
        (FrozenMapState(1 << 50, True, frozen), FrozenMapState(9, False, BlockMap(77).freeze())),
        {"token/1": b"\x00\xff" * 1000, "ключ": b"", "": b"empty key"},
    )
    save(kept, checkpoint)
    loaded = load(kept)
    assert described(loaded) == described(checkpoint)
    assert loaded is not None
    assert [each.number for each in loaded.volumes] == [1, 2, 3]


def test_an_empty_checkpoint_is_not_none(kept: Kept) -> None:
    save(kept, Checkpoint({}))
    assert described(load(kept)) == described(Checkpoint({}))


def test_the_last_of_many_checkpoints_counts(kept: Kept) -> None:
    live = written(SUBTREE + 5000, 50)
    catalogue = opened(kept)
    draw = random.Random(5)
    for step in range(20):
        live.assign(draw.randrange(SUBTREE), 1 + draw.randrange(1 << 40), 60)
        checkpoint = checkpoint_of(live, remembered={str(step): b"new", "all": bytes([step]), str(step // 2): b"old"})
        catalogue.save(checkpoint)
        if step % 7 == 6:
            catalogue.close()
            catalogue = kept.open()
            again = catalogue.load()
            assert described(again) == described(checkpoint)
            assert again is not None
            live = BlockMap.thawed(again.volumes[0].root)
    catalogue.close()
    assert described(load(kept)) == described(checkpoint)


def test_a_node_is_kept_once_whoever_shares_it(kept: Kept) -> None:
    live = BlockMap(SUBTREE)
    live.assign(0, 1, 100 * LEAF_BLOCKS)
    frozen = live.freeze()
    other = BlockMap(SUBTREE)
    other.copy_range(frozen, 0, 0, 50 * LEAF_BLOCKS)
    live.assign(3, 5)
    roots = (
        FrozenMapState(1, False, frozen),
        FrozenMapState(2, False, other.freeze()),
        FrozenMapState(3, False, live.freeze()),
    )
    save(kept, Checkpoint({}, {}, (), roots))
    assert kept.node_count() == 101 + 1 + 2
    loaded = load(kept)
    assert loaded is not None
    first, second, third = (state.root for state in loaded.frozen_maps)
    assert first.leaf(0) is second.leaf(0)
    assert first.leaf(0) is not third.leaf(0)
    assert first.leaf(LEAF_BLOCKS) is third.leaf(LEAF_BLOCKS)


def test_saving_costs_what_changed(kept: Kept) -> None:
    live = BlockMap(3 * SUBTREE)
    live.assign(0, 1, 3 * SUBTREE)
    save(kept, checkpoint_of(live))
    before = kept.node_count()
    loaded = load(kept)
    assert loaded is not None
    live = BlockMap.thawed(loaded.volumes[0].root)
    catalogue = opened(kept)
    catalogue.save(checkpoint_of(live))
    live.assign(SUBTREE + 7, 9)
    live.assign(SUBTREE + 9, 9)
    catalogue.save(checkpoint_of(live))
    catalogue.save(checkpoint_of(live))
    catalogue.close()
    assert kept.node_count() == before + 3


def test_dead_nodes_are_swept_and_living_ones_are_not(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactional_catalogue, "SWEEP_AFTER_NODES", 20)
    live = written(200 * LEAF_BLOCKS, 300)
    snapshot = live.freeze()
    catalogue = opened(kept)
    draw = random.Random(2)
    for step in range(100):
        live.assign(draw.randrange(200 * LEAF_BLOCKS), step + 1)
        frozen = FrozenMapState(1, True, snapshot)
        catalogue.save(Checkpoint({}, {}, (volume(1, live.freeze()),), (frozen,)))
        if step == 50:
            catalogue.close()
            catalogue = kept.open()
            loaded = catalogue.load()
            assert loaded is not None
            live, snapshot = BlockMap.thawed(loaded.volumes[0].root), loaded.frozen_maps[0].root
    expected = places_of(live), places_of(snapshot)
    for _ in range(30):
        live.assign(draw.randrange(200 * LEAF_BLOCKS), 5)
        catalogue.save(checkpoint_of(live))
    catalogue.close()
    living = 2 + len(list(live.leaves()))
    assert kept.node_count() <= 2 * (living + 100) + 20
    live.assign(0, 1, 200 * LEAF_BLOCKS)
    assert described(load(kept)) != described(checkpoint_of(live))
    assert expected[1] == places_of(snapshot)


def test_a_catalogue_stays_small_however_often_it_is_saved(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactional_catalogue, "SWEEP_AFTER_NODES", 10)
    live = BlockMap(SUBTREE)
    live.assign(0, 1, 20 * LEAF_BLOCKS)
    catalogue = opened(kept)
    for step in range(300):
        live.assign(step * 60 % (20 * LEAF_BLOCKS), 7 + step)
        catalogue.save(checkpoint_of(live))
    catalogue.close()
    assert kept.node_count() <= 2 * 21 + 10 + 2
    assert described(load(kept)) == described(checkpoint_of(live))


def test_a_save_that_fails_changes_nothing_and_the_next_one_succeeds(kept: Kept) -> None:
    live = written(SUBTREE, 30)
    catalogue = opened(kept)
    first = checkpoint_of(live, remembered={"a": b"1", "b": b"2"})
    catalogue.save(first)
    live.assign(0, 5, 5000)
    with pytest.raises(TypeError):
        catalogue.save(checkpoint_of(live, remembered={"a": b"9"}, pool={"not for JSON": object()}))
    catalogue.close()
    assert described(load(kept)) == described(first)

    catalogue = opened(kept)
    live = written(SUBTREE, 30)
    with pytest.raises(TypeError):
        catalogue.save(checkpoint_of(live, remembered={"a": b"9"}, pool={"not for JSON": object()}))
    second = checkpoint_of(live, remembered={"b": b"3"})
    catalogue.save(second)
    catalogue.close()
    assert described(load(kept)) == described(second)


def test_a_failed_save_leaves_its_nodes_to_the_next(kept: Kept) -> None:
    live = written(SUBTREE, 30)
    catalogue = opened(kept)
    for _ in range(2):
        with pytest.raises(TypeError):
            catalogue.save(checkpoint_of(live, pool={"not for JSON": object()}))
        live.assign(3, 4)
    saved = checkpoint_of(live)
    catalogue.save(saved)
    catalogue.close()
    assert described(load(kept)) == described(saved)


@pytest.mark.parametrize("sweep_after_nodes", [transactional_catalogue.SWEEP_AFTER_NODES, 0])
def test_the_save_after_one_that_failed_at_its_end_goes_on_from_what_is_kept(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, sweep_after_nodes: int
) -> None:
    monkeypatch.setattr(transactional_catalogue, "SWEEP_AFTER_NODES", sweep_after_nodes)
    live = written(SUBTREE, 30)
    failures = [False, True, True, False, True, False]
    catalogue = kept.open_failing(lambda: fail_if(failures.pop(0)))
    catalogue.load()
    for step in range(6):
        live.assign(step * 5000, 1 + step, 5000)
        checkpoint = checkpoint_of(live, remembered={str(step): b"new", str(step // 2): b"old", "all": b"same"})
        with suppress(Unwritable):
            catalogue.save(checkpoint)
    catalogue.close()
    assert described(load(kept)) == described(checkpoint)


def test_the_first_save_may_fail_at_its_end(kept: Kept) -> None:
    failures = [True, False]
    catalogue = kept.open_failing(lambda: fail_if(failures.pop(0)))
    assert catalogue.load() is None
    live = written(SUBTREE, 30)
    with pytest.raises(Unwritable):
        catalogue.save(checkpoint_of(live, remembered={"a": b"1"}))
    second = checkpoint_of(live, remembered={"b": b"2"})
    catalogue.save(second)
    catalogue.close()
    assert described(load(kept)) == described(second)


def fail_if(is_failing: bool) -> None:
    if is_failing:
        raise Unwritable("the disk fails after the commit")


def test_maps_of_the_largest_size_are_kept(kept: Kept) -> None:
    live = BlockMap(MAX_SIZE_BLOCKS)
    live.assign(MAX_SIZE_BLOCKS - 3, 8, 3)
    save(kept, checkpoint_of(live))
    assert described(load(kept)) == described(checkpoint_of(live))


def test_saving_packs_dense_leaves_that_became_few_runs(kept: Kept) -> None:
    live = BlockMap(SUBTREE)
    for block in range(LEAF_BLOCKS):
        live.assign(block, 1 + 3 * block)
    for block in range(0, LEAF_BLOCKS, 64):
        live.assign(block, 5000 + 65 * block, 64)
    checkpoint = checkpoint_of(live)
    leaf = live.leaf(0)
    assert leaf is not None
    assert len(leaf.entries) == LEAF_BLOCKS
    save(kept, checkpoint)
    assert len(leaf.entries) == LEAF_BLOCKS // 64
    assert described(load(kept)) == described(checkpoint)


def test_data_written_in_sequence_takes_little_room(tmp_path: Path) -> None:
    live = BlockMap(SUBTREE)
    for block in range(0, SUBTREE, 64):
        live.assign(block, 1 + block // 64 * 65, 64)
    file = KeptInFile(tmp_path)
    save(file, checkpoint_of(live))
    assert file.path.stat().st_size < 240 * LEAF_BLOCKS
