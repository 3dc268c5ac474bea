"""The contract of `store.api`, as tests that run against each kind of pool.

A module of tests imports all names of this module and provides the fixture `kept`. Troubles and room of the disk are left to
the tests of the log store, because only it has a disk.
"""

from collections.abc import Callable
from typing import Protocol

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import block, blocks

from odx_target.store.api import (
    BLOCK_BYTES,
    Absent,
    BlockSource,
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


def test_allocated_ranges_are_those_of_the_extents(kept: Kept, volume: Volume) -> None:
    for at in range(0, SIZE, 3):
        volume.write(at, [block(1)])
    expected = [at for at, _, mapped in volume.extents(1) if mapped]
    for waits in (False, True):
        found, at = [], 1
        while at < SIZE:
            part = kept.environment.run(volume.allocated(at, SIZE)) if waits else volume.allocated_now(at, Steps(2))
            assert part is not None
            found += part.blocks.tolist()
            assert set(part.counts.tolist()) <= {1}
            assert at < part.end <= SIZE
            at = part.end
        assert found == expected


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


def test_a_commit_that_flushes(kept: Kept, pool: Pool, volume: Volume) -> None:
    volume.write(0, [block(1)])
    if pool.flushes_at_once:
        pool.flush_at_commit()
        assert pool.commit() == pool.durable_osn


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
