"""What every pool must do: the contract of `store.api`, as tests that run against each kind of pool.

A module of tests imports all names of this module and provides the fixture `kept`. Troubles and room of the disk are left to
the tests of the log store, because only it has a disk.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import block, blocks

from odx_target.store.api import (
    BLOCK_BYTES,
    Absent,
    BlockSource,
    Change,
    Held,
    NameTaken,
    OverLimit,
    Pool,
    StoreError,
    Volume,
    WrongSize,
)
from odx_target.turns import Steps

SIZE = 64


class Kept(Protocol):
    """A pool for a test. `reopen` closes and opens it, and returns False if this kind of pool is lost when it is closed."""

    environment: VirtualEnvironment
    pool: Pool

    def reopen(self) -> bool: ...


@pytest.fixture
def pool(kept: Kept) -> Pool:
    return kept.pool


@pytest.fixture
def volume(pool: Pool) -> Volume:
    return pool.create_volume("a", SIZE, {"lun": "0"})


def read(kept: Kept, source: BlockSource, at: int = 0, count: int = SIZE) -> bytes:
    waited = b"".join(kept.environment.run(source.read(at, count)))
    now = source.read_now(at, count)
    assert now is None or b"".join(now) == waited
    return waited


# Blocks


def test_new_blocks_are_holes(kept: Kept, volume: Volume) -> None:
    assert read(kept, volume) == bytes(SIZE * BLOCK_BYTES)
    assert list(volume.extents(0)) == [(0, SIZE, False)]
    assert volume.size_blocks == SIZE


def test_written_blocks_are_read_and_unmapped_ones_are_holes(kept: Kept, volume: Volume) -> None:
    volume.write(10, [block(1), blocks(2, 3)])
    volume.unmap(11, 1)
    kept.pool.commit()
    assert read(kept, volume, 9, 5) == blocks(0, 1, 0, 3, 0)
    assert list(volume.extents(9)) == [(9, 1, False), (10, 1, True), (11, 1, False), (12, 1, True), (13, SIZE - 13, False)]


def test_extents_end_when_the_steps_are_spent(volume: Volume) -> None:
    for at in range(0, SIZE, 2):
        volume.write(at, [block(1)])
    found: list[tuple[int, int, bool]] = []
    while sum(count for _, count, _ in found) < SIZE:
        found += volume.extents(sum(count for _, count, _ in found), Steps(1))
    assert {at + index for at, count, mapped in found if mapped for index in range(count)} == set(range(0, SIZE, 2))


@pytest.mark.parametrize("change", ["read", "read_now", "write", "unmap"])
def test_blocks_beyond_the_end_are_refused(kept: Kept, volume: Volume, change: str) -> None:
    acts: dict[str, Callable[[], object]] = {
        "read": lambda: kept.environment.run(volume.read(SIZE - 1, 2)),
        "read_now": lambda: volume.read_now(SIZE - 1, 2),
        "write": lambda: volume.write(SIZE - 1, [blocks(1, 2)]),
        "unmap": lambda: volume.unmap(SIZE - 1, 2),
    }
    with pytest.raises(StoreError):
        acts[change]()
    assert read(kept, volume) == bytes(SIZE * BLOCK_BYTES)


def test_listeners_hear_of_a_change_before_it(kept: Kept, volume: Volume) -> None:
    volume.write(0, [block(1)])
    heard = []
    volume.on_change.append(lambda at, count: heard.append((at, count, read(kept, volume, 0, 1))))
    volume.write(0, [blocks(2, 3)])
    volume.unmap(0, 1)
    assert heard == [(0, 2, block(1)), (0, 1, block(2))]


def test_a_volume_grows_by_holes_and_loses_its_end(kept: Kept, volume: Volume) -> None:
    volume.write(SIZE - 1, [block(7)])
    volume.resize(2 * SIZE)
    assert read(kept, volume, SIZE - 1, 2) == blocks(7, 0)
    volume.resize(SIZE // 2)
    volume.resize(SIZE)
    assert read(kept, volume, SIZE - 1, 1) == block(0)


# Frozen maps


def test_a_frozen_map_keeps_the_moment(kept: Kept, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2)])
    frozen, other = volume.freeze(), volume.freeze()
    volume.write(0, [block(9)])
    assert frozen.identifier != other.identifier
    assert read(kept, frozen, 0, 2) == blocks(1, 2)
    assert frozen.identifier in kept.pool.frozen_maps
    frozen.release()
    frozen.release()
    assert frozen.identifier not in kept.pool.frozen_maps
    assert read(kept, other, 0, 2) == blocks(1, 2)


def test_blocks_are_copied_from_a_frozen_map_or_snapshot(kept: Kept, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2)])
    target = kept.pool.create_volume("b", SIZE, {})
    assert target.copy_from(volume.freeze(), 0, 5, 3) == 3
    assert target.copy_from(volume.snapshot("s"), 1, 9, 2) == 2
    assert read(kept, target, 4, 7) == blocks(0, 1, 2, 0, 0, 2, 0)


# Volumes


def test_volumes_are_listed_and_deleted(kept: Kept, pool: Pool, volume: Volume) -> None:
    other = pool.create_volume("b", SIZE, {})
    assert set(pool.volumes) == {"a", "b"}
    assert len({volume.identity, other.identity, volume.lineage, other.lineage}) >= 2
    assert volume.identity != other.identity
    assert dict(volume.attributes) == {"lun": "0"}
    pool.delete_volume("a")
    assert set(pool.volumes) == {"b"}
    with pytest.raises(Absent):
        pool.delete_volume("a")


def test_a_volume_is_renamed(kept: Kept, pool: Pool, volume: Volume) -> None:
    pool.create_volume("b", SIZE, {})
    identity = volume.identity
    with pytest.raises(NameTaken):
        volume.rename("b")
    volume.rename("c")
    volume.change_attributes({"x": "y"})
    assert set(pool.volumes) == {"b", "c"}
    assert (volume.name, volume.identity, dict(volume.attributes)) == ("c", identity, {"x": "y"})
    pool.create_volume("a", SIZE, {})


@pytest.mark.parametrize(("name", "size", "error"), [("a", SIZE, NameTaken), ("b" * 256, SIZE, OverLimit), ("b", 0, WrongSize)])
def test_a_volume_that_cannot_be_created(pool: Pool, volume: Volume, name: str, size: int, error: type[StoreError]) -> None:
    with pytest.raises(error):
        pool.create_volume(name, size, {})
    assert set(pool.volumes) == {"a"}


# Snapshots and clones


def test_a_snapshot_keeps_the_moment_under_a_name(kept: Kept, pool: Pool, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2)])
    snapshot = volume.snapshot("monday", {"by": "me"})
    volume.write(0, [block(9)])
    assert read(kept, snapshot, 0, 2) == blocks(1, 2)
    assert snapshot.size_blocks == SIZE
    assert dict(volume.snapshots) == {"monday": snapshot}
    assert dict(pool.snapshots) == {snapshot.guid: snapshot}
    assert snapshot.identifier not in pool.frozen_maps
    assert (snapshot.name, snapshot.volume_name, snapshot.volume_identity) == ("monday", "a", volume.identity)
    assert (dict(snapshot.attributes), snapshot.lineage, snapshot.group) == ({"by": "me"}, volume.lineage, bytes(16))
    assert len(snapshot.guid) == 16
    assert snapshot.created_s == pytest.approx(kept.environment.time(), abs=1.0)


def test_snapshots_of_several_volumes_are_one_group(kept: Kept, pool: Pool, volume: Volume) -> None:
    other = pool.create_volume("b", SIZE, {})
    volume.write(0, [block(1)])
    other.write(0, [block(2)])
    made = pool.snapshot_volumes({"b": {}, "a": {"k": "v"}}, "both")
    assert [dict(each.attributes) for each in made] == [{}, {"k": "v"}]
    assert [each.volume_name for each in made] == ["b", "a"]
    assert [read(kept, each, 0, 1) for each in made] == [block(2), block(1)]
    assert made[0].group == made[1].group != bytes(16)
    other.snapshot("only b")
    for names, name, error in [
        (["a", "b"], "only b", NameTaken),
        (["a", "c"], "new", Absent),
        (["a", "b"], "", StoreError),
    ]:
        with pytest.raises(error):
            pool.snapshot_volumes({key: {} for key in names}, name)
    assert set(volume.snapshots) == {"both"}


@pytest.mark.parametrize(
    ("name", "error"), [("taken", NameTaken), ("é" * 128, OverLimit), ("", StoreError), ("\udc80", StoreError)]
)
def test_a_name_that_a_snapshot_cannot_have(volume: Volume, name: str, error: type[StoreError]) -> None:
    volume.snapshot("taken")
    other = volume.snapshot("é" * 127 + "x")
    for act in (lambda: volume.snapshot(name), lambda: other.rename(name)):
        with pytest.raises(error) as caught:
            act()
        assert "\n" not in str(caught.value)
    assert len(volume.snapshots) == 2


def test_a_snapshot_is_renamed(pool: Pool, volume: Volume) -> None:
    snapshot = volume.snapshot("s")
    other = pool.create_volume("b", SIZE, {}).snapshot("t")
    snapshot.rename("t")
    snapshot.change_attributes({"k": "v"})
    assert set(volume.snapshots) == {"t"}
    assert (snapshot.name, dict(snapshot.attributes), other.name) == ("t", {"k": "v"}, "t")
    volume.snapshot("s")


def test_a_held_snapshot_is_not_deleted(pool: Pool, volume: Volume) -> None:
    snapshot = volume.snapshot("s")
    snapshot.hold("backup")
    snapshot.hold("replica")
    snapshot.hold("backup")
    with pytest.raises(Held, match=r"backup.*replica"):
        snapshot.delete()
    snapshot.unhold("backup")
    with pytest.raises(Absent):
        snapshot.unhold("backup")
    with pytest.raises(Held, match="replica"):
        snapshot.delete()
    snapshot.unhold("replica")
    snapshot.delete()
    assert not pool.snapshots
    assert not volume.snapshots
    for act in (snapshot.delete, lambda: snapshot.rename("x"), lambda: snapshot.hold("x"), lambda: volume.restore(snapshot)):
        with pytest.raises(Absent):
            act()


@pytest.mark.parametrize("kind", ["snapshot", "frozen map", "volume"])
def test_a_clone_does_not_depend_on_its_origin(kept: Kept, pool: Pool, volume: Volume, kind: str) -> None:
    volume.write(0, [blocks(1, 2)])
    snapshot, frozen = volume.snapshot("s"), volume.freeze()
    origin = {"snapshot": snapshot, "frozen map": frozen, "volume": volume}[kind]
    clone = pool.create_volume("clone", SIZE, {"lun": "1"}, origin)
    assert clone.identity != volume.identity
    assert (clone.lineage == volume.lineage) is (kind != "frozen map")
    clone.write(1, [block(5)])
    volume.write(0, [block(6)])
    assert read(kept, clone, 0, 3) == blocks(1, 5, 0)
    assert read(kept, volume, 0, 3) == blocks(6, 2, 0)
    assert read(kept, snapshot, 0, 3) == blocks(1, 2, 0)
    snapshot.delete()
    frozen.release()
    pool.delete_volume("a")
    assert read(kept, clone, 0, 3) == blocks(1, 5, 0)
    with pytest.raises(Absent):
        pool.create_volume("again", SIZE, {}, origin)


@pytest.mark.parametrize("size", [SIZE - 1, SIZE + 1])
def test_a_clone_has_the_size_of_its_origin(pool: Pool, volume: Volume, size: int) -> None:
    with pytest.raises(WrongSize):
        pool.create_volume("b", size, {}, volume)
    assert set(pool.volumes) == {"a"}


def test_a_restored_volume_has_the_content_and_the_size_of_the_snapshot(kept: Kept, pool: Pool, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2)])
    first = volume.snapshot("first")
    lineage = volume.lineage
    volume.resize(2 * SIZE)
    volume.write(1, [block(3)])
    second = volume.snapshot("second")
    heard = []
    volume.on_change.append(lambda at, count: heard.append((at, count, volume.size_blocks)))
    volume.restore(first)
    assert heard == [(0, 2 * SIZE, 2 * SIZE)]
    assert volume.size_blocks == SIZE
    assert volume.lineage not in (lineage, first.lineage)
    assert read(kept, volume, 0, 3) == blocks(1, 2, 0)
    volume.write(0, [block(8)])
    volume.restore(second)
    assert volume.size_blocks == 2 * SIZE
    assert read(kept, volume, 0, 3) == blocks(1, 3, 0)
    assert read(kept, first, 0, 3) == blocks(1, 2, 0)


def test_snapshots_outlive_their_volume(kept: Kept, pool: Pool, volume: Volume) -> None:
    volume.write(0, [block(1)])
    snapshot = volume.snapshot("s")
    pool.delete_volume("a")
    assert dict(pool.snapshots) == {snapshot.guid: snapshot}
    again = pool.create_volume("a", SIZE, {}, snapshot)
    assert not again.snapshots
    snapshot.delete()
    assert read(kept, again, 0, 1) == block(1)


# Differences and room


def merged(runs: Iterator[tuple[int, int, Change]]) -> list[tuple[int, int, Change]]:
    found: list[tuple[int, int, Change]] = []
    for at, count, change in runs:
        if found and found[-1][2] is change and sum(found[-1][:2]) == at:
            found[-1] = (found[-1][0], found[-1][1] + count, change)
        elif change is not Change.NONE:
            found.append((at, count, change))
    return found


def test_differences_between_any_two(pool: Pool, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2, 3)])
    older = volume.snapshot("older")
    volume.write(1, [block(9)])
    frozen = volume.freeze()
    volume.unmap(2, 1)
    volume.write(20, [block(4)])
    assert merged(pool.differences(older, frozen)) == [(1, 1, Change.DATA)]
    expected = [(1, 1, Change.DATA), (2, 1, Change.HOLE), (20, 1, Change.DATA)]
    assert merged(pool.differences(older, volume)) == expected
    assert merged(pool.differences(volume, older)) == [(1, 2, Change.DATA), (20, 1, Change.HOLE)]
    assert merged(pool.differences(older, older)) == []
    found: list[tuple[int, int, Change]] = []
    at = 0
    while at < SIZE:
        for run in pool.differences(older, volume, at, Steps(1)):
            assert run[0] == at
            at += run[1]
            found += [run] * (run[2] is not Change.NONE)
    assert {(at + index, change) for at, count, change in found for index in range(count)} == {
        (at + index, change) for at, count, change in expected for index in range(count)
    }
    older.delete()
    with pytest.raises(Absent):
        list(pool.differences(older, volume))


def test_differences_of_different_sizes(pool: Pool, volume: Volume) -> None:
    older = volume.snapshot("s")
    volume.resize(2 * SIZE)
    volume.write(2 * SIZE - 1, [block(1)])
    assert merged(pool.differences(older, volume)) == [(2 * SIZE - 1, 1, Change.DATA)]
    assert merged(pool.differences(volume, older)) == [(2 * SIZE - 1, 1, Change.HOLE)]


def test_unique_and_shared_room(kept: Kept, pool: Pool, volume: Volume) -> None:
    def room(source: BlockSource) -> tuple[int, int]:
        space = kept.environment.run(pool.space_of(source))
        return space.unique_bytes // BLOCK_BYTES, space.shared_bytes // BLOCK_BYTES

    assert room(volume) == (0, 0)
    volume.write(0, [blocks(1, 2, 3)])
    assert room(volume) == (3, 0)
    snapshot = volume.snapshot("s")
    assert (room(volume), room(snapshot)) == ((0, 3), (0, 3))
    volume.write(0, [block(9)])
    volume.unmap(1, 1)
    assert (room(volume), room(snapshot)) == ((1, 1), (2, 1))
    pool.create_volume("b", SIZE, {}, snapshot)
    assert (room(volume), room(snapshot)) == ((1, 1), (0, 3))
    snapshot.delete()
    with pytest.raises(Absent):
        room(snapshot)


# Values and restarts


def test_values_are_remembered(kept: Kept, pool: Pool) -> None:
    pool.remember("a/1", b"x")
    pool.remember("a/2", b"y")
    pool.remember("b", b"")
    pool.forget("a/1")
    pool.forget("a/1")
    kept.environment.run(pool.committed())
    kept.environment.run(pool.flush())
    assert pool.remembered_keys("a/") == ["a/2"]
    assert (pool.remembered("a/1"), pool.remembered("b")) == (None, b"")


def test_everything_is_there_after_a_restart(kept: Kept, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2)])
    snapshot = volume.snapshot("first", {"k": "v"})
    snapshot.hold("owner")
    (grouped,) = kept.pool.snapshot_volumes({"a": {}}, "grouped")
    volume.write(0, [block(3)])
    frozen = volume.freeze(durable=True)
    clone = kept.pool.create_volume("clone", SIZE, {}, snapshot)
    volume.restore(snapshot)
    volume.rename("renamed")
    snapshot.rename("second")
    before = (volume.identity, volume.lineage, clone.lineage, snapshot.guid, snapshot.created_s, grouped.group)
    if not kept.reopen():
        return
    volume, clone = kept.pool.volumes["renamed"], kept.pool.volumes["clone"]
    found, again = volume.snapshots["second"], volume.snapshots["grouped"]
    assert (volume.identity, volume.lineage, clone.lineage, found.guid, found.created_s, again.group) == before
    assert (list(found.holds), dict(found.attributes), found.volume_name) == (["owner"], {"k": "v"}, "a")
    assert [read(kept, each, 0, 2) for each in (volume, clone, found, again)] == [blocks(1, 2)] * 4
    assert read(kept, kept.pool.frozen_maps[frozen.identifier], 0, 2) == blocks(3, 2)
    assert len(kept.pool.frozen_maps) == 1
