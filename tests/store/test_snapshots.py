"""Tests of snapshots and clones of the log store beyond its contract: cost, limits, full pools, and random pools."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random

import pytest
from tests.sim.simulated_disk import Crash
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import Machine, block, blocks, read, when_ready, write

from odx_target.store.api import BLOCK_BYTES, Change, OverLimit, PoolFull, VolumeSpace
from odx_target.store.log.records import MAX_ATTRIBUTES_BYTES, MAX_NAME_BYTES
from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.difference import changes
from odx_target.store.map.inner import FAN_OUT, Inner
from odx_target.store.map.leaf import LEAF_BLOCKS, Leaf
from odx_target.store.open import LogPool, PoolOptions, open_memory_pool
from odx_target.store.segments.memory import MemorySegment
from odx_target.store.volumes.snapshot import MAX_HOLDS
from odx_target.turns import Steps

SIZE = 200
TERABYTE = (1 << 40) // BLOCK_BYTES


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.pool.create_volume("a", SIZE, {})
    machine.pool.commit()
    return machine


# Cost


@contextmanager
def counted_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Count the nodes of maps that are made, copied or visited in the body."""
    touched: list[str] = []
    with monkeypatch.context() as patches:
        for kind, names in ((Inner, ("__init__", "copy", "present", "following", "put")), (Leaf, ("__init__", "copy", "runs"))):
            for name in names:
                patches.setattr(kind, name, _counting(getattr(kind, name), f"{kind.__name__}.{name}", touched))
        yield touched


def _counting(real: Callable[..., object], name: str, touched: list[str]) -> Callable[..., object]:
    def call(*arguments: object) -> object:
        touched.append(name)
        return real(*arguments)

    return call


@pytest.fixture(params=[0, 5000])
def terabyte(request: pytest.FixtureRequest) -> LogPool:
    """A pool with a volume of 1 TiB, empty or with scattered data."""
    environment = VirtualEnvironment()
    pool = environment.run(open_memory_pool(environment))
    volume = pool.create_volume("t", TERABYTE, {})
    draw = Random(1)
    for place in range(1, request.param):
        pool.contents.volumes[volume.number].map.assign(draw.randrange(TERABYTE), place)
    return pool


@pytest.mark.parametrize("act", ["snapshot", "clone", "clone of the volume", "restore", "rename", "delete"])
def test_no_node_is_touched(terabyte: LogPool, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    volume = terabyte.volumes["t"]
    snapshot = volume.snapshot("s")
    acts: dict[str, Callable[[], object]] = {
        "snapshot": lambda: volume.snapshot("new"),
        "clone": lambda: terabyte.create_volume("c", TERABYTE, {}, snapshot),
        "clone of the volume": lambda: terabyte.create_volume("c", TERABYTE, {}, volume),
        "restore": lambda: volume.restore(snapshot),
        "rename": lambda: snapshot.rename("other"),
        "delete": snapshot.delete,
    }
    with counted_nodes(monkeypatch) as touched:
        acts[act]()
        terabyte.commit()
    assert touched == []


def test_a_difference_takes_as_many_steps_as_it_has_leaves(terabyte: LogPool) -> None:
    volume = terabyte.volumes["t"]
    older = volume.snapshot("s")
    for at in range(10):
        volume.write(at * (TERABYTE // 10), [block(1)])
    found = [run for run in terabyte.differences(older, volume, 0, Steps(1 << 30)) if run[2] is not Change.NONE]
    assert len(found) == 10
    budget = Steps(1 << 30)
    assert len(list(terabyte.differences(older, volume, 0, budget))) <= 21
    assert (1 << 30) - budget.left < 1000
    # One leaf is compared. The other leaves below its parent are shared, so they are equal without a comparison.
    of_a_parent = LEAF_BLOCKS * FAN_OUT
    assert list(terabyte.differences(older, volume, 0, Steps(0))) == [(0, 1, Change.DATA), (1, of_a_parent - 1, Change.NONE)]


def test_64_snapshots_are_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = VirtualEnvironment()
    pool = environment.run(open_memory_pool(environment))
    names = [f"v{number}" for number in range(64)]
    for name in names:
        pool.create_volume(name, TERABYTE, {})
    pool.commit()
    writes = []
    real = MemorySegment.write
    monkeypatch.setattr(MemorySegment, "write", lambda *arguments: (writes.append(1), real(*arguments))[1])
    osn = pool.log.next_osn
    pool.snapshot_volumes({key: {} for key in names}, "all")
    pool.commit()
    assert pool.log.next_osn == osn + 64
    assert len(writes) == 1


# Crashes


def test_a_group_is_there_wholly_or_not_at_all() -> None:
    seen = set()
    for operations in range(8):
        machine = Machine(PoolOptions(segment_blocks=256))
        names = [f"v{number}" for number in range(40)]
        for name in names:
            machine.pool.create_volume(name, SIZE, {"x": "y" * 500})
        machine.pool.commit()
        machine.disk.crash_after(operations)
        with suppress(Crash):
            machine.pool.snapshot_volumes({key: {"note": "n" * 3000} for key in names}, "all")
            machine.pool.commit()
            machine.flush()
        machine.disk.crash_after(None)
        pool = machine.lose_power()
        assert len(pool.snapshots) in (0, len(names))
        seen.add(len(pool.snapshots))
    assert len(seen) == 2


def test_snapshots_survive_a_checkpoint_and_a_kill(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    write(machine, volume, 0, [blocks(1, 2, 3)])
    volume.snapshot("one").hold("me")
    machine.checkpoint()
    write(machine, volume, 0, [block(9)])
    volume.snapshot("two")
    machine.pool.commit()
    machine.checkpoint()
    pool = machine.kill()
    found = pool.volumes["a"].snapshots
    assert [read(machine, found[name], 0, 3) for name in ("one", "two")] == [blocks(1, 2, 3), blocks(9, 2, 3)]
    assert list(found["one"].holds) == ["me"]


# Limits


def test_limits_of_a_snapshot(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    snapshot = volume.snapshot("n" * MAX_NAME_BYTES, {"k": "v" * (MAX_ATTRIBUTES_BYTES - 5)})
    acts: list[Callable[[], object]] = [
        lambda: volume.snapshot("n" * (MAX_NAME_BYTES + 1)),
        lambda: volume.snapshot("m", {"k": "v" * (MAX_ATTRIBUTES_BYTES - 4)}),
        lambda: snapshot.change_attributes({"k": "v" * (MAX_ATTRIBUTES_BYTES - 4)}),
        lambda: snapshot.hold("o" * (MAX_NAME_BYTES + 1)),
        lambda: volume.rename("n" * (MAX_NAME_BYTES + 1)),
    ]
    for act in acts:
        with pytest.raises(OverLimit):
            act()
    for number in range(MAX_HOLDS):
        owner = f"{number:0{MAX_NAME_BYTES}}"
        when_ready(machine.environment, lambda owner=owner: snapshot.hold(owner))  # type: ignore[misc]
    with pytest.raises(OverLimit):
        snapshot.hold("one more")
    machine.pool.commit()
    (again,) = machine.kill().snapshots.values()
    assert len(again.holds) == MAX_HOLDS
    assert len(again.attributes["k"]) == MAX_ATTRIBUTES_BYTES - 5


def test_a_full_pool_deletes_snapshots_but_takes_none() -> None:
    machine = Machine(PoolOptions(cleaning=False, segment_blocks=32, limit_bytes=8 * 32 * BLOCK_BYTES))
    volume = machine.pool.create_volume("a", SIZE, {})
    first = volume.snapshot("first")
    first.hold("owner")

    def fill() -> None:
        for number in range(10_000):
            write(machine, volume, number % SIZE, [block(number)])
            machine.pool.commit()

    def take_many() -> None:
        for number in range(10_000):
            when_ready(machine.environment, lambda number=number: volume.snapshot(f"s{number}"))  # type: ignore[misc]
            machine.pool.commit()

    for act in (fill, take_many):
        with pytest.raises(PoolFull):
            act()
    first.unhold("owner")
    volume.restore(first)
    first.delete()
    machine.pool.commit()
    assert first.guid not in machine.kill().snapshots


# Random maps


@pytest.mark.parametrize("seed", range(30))
def test_changes_in_pieces_are_those_of_a_naive_model(seed: int) -> None:
    draw = Random(seed)
    size = draw.choice([100, 5 * LEAF_BLOCKS, LEAF_BLOCKS * LEAF_BLOCKS * 2])
    live = BlockMap(size)
    model: dict[int, int] = {}
    moments = []
    for place in range(1, 400):
        at, count = draw.randrange(min(size, 3 * LEAF_BLOCKS)), draw.choice([1, 5, 700])
        at = at if draw.random() < 0.5 else size - 1 - at
        count = min(count, size - at)
        if draw.random() < 0.7:
            live.assign(at, place * 1000, count)
            model.update((at + index, place * 1000 + index) for index in range(count))
        else:
            live.clear(at, count)
            model = {key: value for key, value in model.items() if not at <= key < at + count}
        if draw.random() < 0.05:
            moments.append((live.freeze(), dict(model)))
    moments.append((live, dict(model)))
    for _ in range(10):
        (older, old), (newer, new) = draw.choice(moments), draw.choice(moments)
        found: dict[int, Change] = {}
        at = 0
        while at < size:
            for start, count, change in changes(older, newer, at, Steps(draw.choice([1, 40, 1000]))):
                assert start == at
                at += count
                if change is not Change.NONE:
                    found.update((start + index, change) for index in range(count))
        assert at == size
        expected = {
            key: Change.DATA if key in new else Change.HOLE for key in old.keys() | new.keys() if old.get(key) != new.get(key)
        }
        assert found == expected


@pytest.mark.parametrize("seed", range(10))
def test_room_is_that_of_a_naive_model(seed: int) -> None:
    draw = Random(seed)
    machine = Machine(PoolOptions(segment_blocks=64))
    pool = machine.pool
    pool.create_volume("v0", SIZE, {})
    for number in range(1, 60):
        volume = pool.volumes[draw.choice(sorted(pool.volumes))]
        action = draw.choice(["write", "write", "snapshot", "clone", "copy", "unmap", "delete"])
        at, count = draw.randrange(SIZE - 20), draw.randrange(1, 20)
        if action == "write":
            write(machine, volume, at, [blocks(*range(number, number + count))])
        elif action == "snapshot":
            volume.snapshot(f"s{number}")
        elif action == "clone":
            pool.create_volume(f"v{number}", SIZE, {}, volume)
        elif action == "copy":
            frozen = volume.freeze()
            volume.copy_from(frozen, at, draw.randrange(SIZE - count), count)
            frozen.release()
        elif action == "unmap":
            volume.unmap(at, count)
        elif pool.snapshots:
            draw.choice(list(pool.snapshots.values())).delete()
        pool.commit()
    sources = [*pool.volumes.values(), *pool.snapshots.values()]
    places = [
        {place + index for place, length in source.block_map.runs(0, SIZE) if place for index in range(length)}  # type: ignore[attr-defined]
        for source in sources
    ]
    for number, source in enumerate(sources):
        others = set().union(*places[:number], *places[number + 1 :])
        space = machine.environment.run(pool.space_of(source))
        assert space.unique_bytes == len(places[number] - others) * BLOCK_BYTES
        assert space.shared_bytes == len(places[number] & others) * BLOCK_BYTES
    assert_space_of_pool(machine, places, [each.name if each in pool.volumes.values() else None for each in sources])


def assert_space_of_pool(machine: Machine, places: list[set[int]], names: list[str | None]) -> None:
    """Compare the count of the whole pool with sets of the places of each source. The name of a snapshot is None."""
    pool = machine.pool
    space = machine.environment.run(pool.count_space())
    assert pool.space is space
    users: dict[int, set[str | None]] = {}
    for name, each in zip(names, places, strict=True):
        for place in each:
            users.setdefault(place, set()).add(name)
    alone = Counter(next(iter(found)) for found in users.values() if len(found) == 1)
    assert space.frozen_bytes == alone.pop(None, 0) * BLOCK_BYTES
    assert space.unique_bytes == alone.total() * BLOCK_BYTES
    assert space.unique_bytes + space.shared_bytes + space.frozen_bytes == len(users) * BLOCK_BYTES
    for name, volume in pool.volumes.items():
        mapped_blocks = sum(count for _, count, mapped in volume.extents(0) if mapped)
        assert space.volumes[name] == VolumeSpace(
            mapped_blocks * BLOCK_BYTES, mapped_blocks * BLOCK_BYTES, alone[name] * BLOCK_BYTES
        )
