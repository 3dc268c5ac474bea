"""The contract of `store.api` for snapshots and clones, as tests that run against each kind of pool; see `conformance`."""

import pytest
from tests.store.conformance import SIZE, Kept, read
from tests.store.pools import block, blocks
from tests.store.streamed_changes import merged, streamed

from odx_target.store.api import (
    BLOCK_BYTES,
    Absent,
    AdoptedSnapshot,
    BlockSource,
    Change,
    Held,
    NameTaken,
    OverLimit,
    Pool,
    StoreError,
    Volume,
    VolumeSpace,
    WrongSize,
)
from odx_target.turns import Steps


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


def test_changed_ranges_between_any_two(kept: Kept, pool: Pool, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2, 3)])
    older = volume.snapshot("older")
    volume.write(1, [block(9)])
    volume.unmap(2, 1)
    volume.write(20, [block(4)])
    assert streamed(kept.environment, pool, older, volume) == [(1, 1, Change.DATA), (2, 1, Change.HOLE), (20, 1, Change.DATA)]
    assert streamed(kept.environment, pool, older, volume, 2) == [(2, 1, Change.HOLE), (20, 1, Change.DATA)]
    assert streamed(kept.environment, pool, volume, older) == [(1, 2, Change.DATA), (20, 1, Change.HOLE)]
    assert streamed(kept.environment, pool, None, volume) == [(0, 2, Change.DATA), (20, 1, Change.DATA)]
    assert streamed(kept.environment, pool, None, older, 1) == [(1, 2, Change.DATA)]
    volume.resize(2 * SIZE)
    assert streamed(kept.environment, pool, older, volume, 21) == []
    older.delete()
    with pytest.raises(Absent):
        streamed(kept.environment, pool, None, older)


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
    assert pool.space is None
    space = kept.environment.run(pool.count_space())
    assert pool.space is space
    assert (space.unique_bytes, space.shared_bytes, space.frozen_bytes) == (BLOCK_BYTES, 3 * BLOCK_BYTES, 0)
    assert space.volumes["b"] == VolumeSpace(3 * BLOCK_BYTES, 3 * BLOCK_BYTES, 0)
    assert space.volumes[volume.name].unique_bytes == space.volumes[volume.name].shared_bytes == BLOCK_BYTES
    snapshot.delete()
    with pytest.raises(Absent):
        room(snapshot)


def test_snapshots_of_another_pool_are_adopted(kept: Kept, pool: Pool, volume: Volume) -> None:
    other = pool.create_volume("b", SIZE, {})
    volume.write(0, [block(1)])
    other.change_lineage(b"l" * 16)
    calls: list[int] = []
    pool.on_snapshot.append(lambda: calls.append(len(pool.snapshots)))
    one, two = (AdoptedSnapshot(name, "s", guid * 16, 5.5, b"g" * 16, {"k": name}) for name, guid in (("a", b"1"), ("b", b"2")))
    made = pool.adopt_snapshots([one, two])
    assert [(each.guid, each.created_s, each.group, each.volume_name) for each in made] == [
        (b"1" * 16, 5.5, b"g" * 16, "a"),
        (b"2" * 16, 5.5, b"g" * 16, "b"),
    ]
    assert read(kept, made[0], 0, 1) == block(1)
    assert (made[1].lineage, dict(made[1].attributes)) == (b"l" * 16, {"k": "b"})
    assert calls == [2]
    wrong = [
        ([one], NameTaken),
        ([AdoptedSnapshot("a", "t", b"1" * 16, 0.0, bytes(16), {})], NameTaken),
        ([AdoptedSnapshot("a", "t", b"3" * 16, 0.0, bytes(16), {})] * 2, NameTaken),
        ([AdoptedSnapshot("c", "t", b"3" * 16, 0.0, bytes(16), {})], Absent),
        ([AdoptedSnapshot("a", "t", b"3", 0.0, bytes(16), {})], StoreError),
    ]
    for adopted, error in wrong:
        with pytest.raises(error):
            pool.adopt_snapshots(adopted)
    assert len(pool.snapshots) == 2


def test_a_volume_gets_another_lineage_and_keeps_its_content(kept: Kept, pool: Pool, volume: Volume) -> None:
    volume.write(3, [block(1)])
    for _ in range(2):
        volume.change_lineage(b"l" * 16)
    volume.write(4, [block(2)])
    with pytest.raises(StoreError):
        volume.change_lineage(b"short")
    kept.reopen()
    volume = kept.pool.volumes["a"]
    assert volume.lineage == b"l" * 16
    snapshot = volume.snapshot("s")
    assert snapshot.lineage == b"l" * 16
    assert read(kept, snapshot, 3, 2) == blocks(1, 2)
