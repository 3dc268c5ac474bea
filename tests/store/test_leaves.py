"""Tests of leaves that are not in memory: loading, dropping, damage, and the data that a checkpoint must keep for them."""

import errno
from array import array
from pathlib import Path

import pytest
from tests.little_memory import bytes_of_leaves
from tests.store.pools import Directory, Machine, block, blocks, read, when_ready, write

from odx_target.store.api import (
    Change,
    DamagedBlock,
    OutOfResources,
    PoolBusy,
    TroubleKind,
    Unreadable,
    Volume,
)
from odx_target.store.catalogue import leaf_loader, transactional
from odx_target.store.catalogue.leaf_loader import LEAVES_AHEAD, LEAVES_OF_A_CALL
from odx_target.store.map.leaf import LEAF_BLOCKS, Epoch, Leaf
from odx_target.store.map.leaf_memory import UNIT_BYTES, LeafMemory, units_of
from odx_target.store.map.tally import Tally
from odx_target.store.open import PoolOptions
from odx_target.turns import Steps

LEAVES = 12
SIZE = LEAVES * LEAF_BLOCKS


def reopened(leaves: int | None = None, frozen: bool = False) -> tuple[Machine, Volume]:
    """Make a pool with a volume of LEAVES leaves, of which only the first block is written, and open it again.

    `leaves` is the number of leaves for which the opened pool has memory.
    """
    machine = Machine(PoolOptions(segment_blocks=64, cleaning=False))
    volume = machine.pool.create_volume("a", SIZE, {})
    for leaf in range(LEAVES):
        write(machine, volume, leaf * LEAF_BLOCKS, [block(leaf + 1)])
    if frozen:
        volume.freeze(durable=True)
    machine.close()
    memory_bytes = None if leaves is None else bytes_of_leaves(leaves)
    machine.options = PoolOptions(segment_blocks=64, cleaning=False, map_memory_bytes=memory_bytes)
    return machine, machine.open().volumes["a"]


def present(machine: Machine, name: str = "a") -> list[int]:
    """Return the numbers of the leaves of a volume that have entries."""
    volume = next(each for each in machine.pool.contents.volumes.values() if each.name == name)
    return [at // LEAF_BLOCKS for at, leaf in volume.map.leaves() if leaf.entries]


def leaf_of(machine: Machine, number: int) -> Leaf:
    (volume,) = machine.pool.contents.volumes.values()
    leaf = volume.map.leaf(number * LEAF_BLOCKS)
    assert leaf is not None
    return leaf


def calls_of(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Note the numbers of the leaves of each call of the catalogue."""
    calls: list[list[int]] = []
    real = machine.pool.leaves.catalogue.leaf_entries

    def noted(numbers: list[int]) -> object:
        calls.append(list(numbers))
        return real(numbers)

    monkeypatch.setattr(machine.pool.leaves.catalogue, "leaf_entries", noted)
    return calls


def test_an_opened_pool_has_no_leaves_in_memory() -> None:
    machine, volume = reopened()
    assert present(machine) == []
    assert volume.read_now(0, 1) is None
    assert read(machine, volume, 5 * LEAF_BLOCKS, 2) == blocks(6, 0)
    assert present(machine) == [5]


def test_a_range_of_present_and_missing_leaves_is_read_as_at_the_call() -> None:
    machine, volume = reopened()
    write_when_ready(machine, volume, 3 * LEAF_BLOCKS + 1, block(100))
    waiting = machine.environment.spawn(volume.read(2 * LEAF_BLOCKS, 2 * LEAF_BLOCKS + 1))
    when_ready(machine.environment, lambda: volume.unmap(2 * LEAF_BLOCKS, 2 * LEAF_BLOCKS))
    write_when_ready(machine, volume, 4 * LEAF_BLOCKS, block(200))
    machine.environment.settle()
    content = b"".join(waiting.value())
    assert content[:4096] == block(3)
    at = LEAF_BLOCKS * 4096
    assert content[at : at + 2 * 4096] == blocks(4, 100)
    assert content[-4096:] == block(5)


def write_when_ready(machine: Machine, volume: Volume, at: int, data: bytes) -> None:
    when_ready(machine.environment, lambda: volume.write(at, [data]))


@pytest.mark.parametrize("act", ["write", "write two leaves", "unmap", "copy", "unaligned copy", "resize"])
def test_a_change_waits_for_its_leaves_and_changes_nothing_before(act: str) -> None:
    machine, volume = reopened(frozen=True)
    pool = machine.pool
    (frozen,) = pool.frozen_maps.values()
    copies = {"copy": (LEAF_BLOCKS, 2 * LEAF_BLOCKS, LEAF_BLOCKS + 7), "unaligned copy": (LEAF_BLOCKS, 4 * LEAF_BLOCKS + 1, 9)}

    def change() -> None:
        if act == "write":
            volume.write(LEAF_BLOCKS + 1, [block(50)])
        elif act == "write two leaves":
            volume.write(2 * LEAF_BLOCKS - 1, [blocks(50, 51)])
        elif act == "unmap":
            volume.unmap(2 * LEAF_BLOCKS, 1)
        elif act == "resize":
            volume.resize(2 * LEAF_BLOCKS + 1)
        else:
            assert volume.copy_from(frozen, *copies[act]) == copies[act][2]

    osn = pool.log.next_osn
    told: list[tuple[int, int]] = []
    volume.on_change.append(lambda *changed: told.append(changed))
    with pytest.raises(PoolBusy):
        change()
    assert (pool.log.next_osn, told, present(machine)) == (osn, [], [])
    machine.environment.run(volume.room_made())
    change()
    pool.commit()
    if act == "write":
        assert read(machine, volume, LEAF_BLOCKS, 2) == blocks(2, 50)
    elif act == "write two leaves":
        assert read(machine, volume, 2 * LEAF_BLOCKS - 1, 2) == blocks(50, 51)
    elif act == "unmap":
        assert read(machine, volume, 2 * LEAF_BLOCKS, 1) == blocks(0)
    elif act == "resize":
        assert read(machine, volume, 2 * LEAF_BLOCKS, 1) == blocks(3)
    elif act == "copy":
        assert read(machine, volume, 2 * LEAF_BLOCKS, 1) == blocks(2)
        assert read(machine, volume, 3 * LEAF_BLOCKS, 1) == blocks(3)
    else:
        assert read(machine, volume, 4 * LEAF_BLOCKS, 2) == blocks(5, 2)


def test_whole_leaves_are_replaced_without_loading_them(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, volume = reopened()
    calls = calls_of(machine, monkeypatch)
    when_ready(machine.environment, lambda: volume.write(LEAF_BLOCKS, [bytes(2 * LEAF_BLOCKS * 4096)]))
    volume.unmap(4 * LEAF_BLOCKS, 3 * LEAF_BLOCKS)
    assert calls == []
    machine.pool.commit()
    machine.kill()
    volume = machine.pool.volumes["a"]
    assert read(machine, volume, LEAF_BLOCKS, 1) == read(machine, volume, 5 * LEAF_BLOCKS, 1) == bytes(4096)
    assert read(machine, volume, 3 * LEAF_BLOCKS, 1) == block(4)


def test_loads_of_one_leaf_share_one_call_and_many_leaves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, volume = reopened(frozen=True)
    (frozen,) = machine.pool.frozen_maps.values()
    calls = calls_of(machine, monkeypatch)
    reads = [machine.environment.spawn(source.read(at * LEAF_BLOCKS, 1)) for at in (3, 1, 3, 7) for source in (volume, frozen)]
    machine.environment.settle()
    assert [b"".join(each.value()) for each in reads] == [block(at + 1) for at in (3, 1, 3, 7) for _ in range(2)]
    assert [number for call in calls for number in call] == [leaf_of(machine, at).stored for at in (3, 1, 7)]
    assert len(calls) <= 2


def test_reads_in_sequence_load_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, volume = reopened()
    assert LEAVES_AHEAD < LEAVES_OF_A_CALL
    read(machine, volume, 0, LEAF_BLOCKS)
    assert present(machine) == [0]
    read(machine, volume, LEAF_BLOCKS, LEAF_BLOCKS)
    assert present(machine) == list(range(2 + LEAVES_AHEAD))
    machine, volume = reopened()
    for at in (5, 2, 9):
        read(machine, volume, at * LEAF_BLOCKS, 1)
    assert present(machine) == [2, 5, 9]


@pytest.mark.parametrize("is_missing", [False, True])
def test_a_damaged_leaf_is_damage_of_its_blocks(is_missing: bool) -> None:
    machine, volume = reopened()
    nodes, number = machine.disk.catalogue_content.nodes, leaf_of(machine, 4).stored
    if is_missing:
        del nodes[number]
    else:
        nodes[number] = nodes[number][:-1] + bytes([nodes[number][-1] ^ 1])
    at = 4 * LEAF_BLOCKS
    for _ in range(2):
        with pytest.raises(DamagedBlock) as damage:
            machine.environment.run(volume.read(at - 3, 5))
        assert damage.value.block == at
    assert volume.read_now(at, 1) is None
    with pytest.raises(DamagedBlock):
        write_when_ready(machine, volume, at + 1, block(9))
    with pytest.raises(DamagedBlock):
        when_ready(machine.environment, lambda: volume.unmap(at + 1, 1))
    (place,) = [each for each in machine.pool.status().damaged if each.block == at]
    assert (place.volume, place.count) == ("a", 2)
    assert read(machine, volume, at - LEAF_BLOCKS, 1) == block(4)
    machine.checkpoint()
    when_ready(machine.environment, lambda: volume.write(at, [bytes(LEAF_BLOCKS * 4096)]))
    assert read(machine, volume, at, 1) == bytes(4096)


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EMFILE, OutOfResources), (errno.ENOMEM, OutOfResources), (errno.EIO, Unreadable)]
)
def test_a_lack_of_resources_passes(number: int, kind: type[Exception]) -> None:
    machine, volume = reopened()
    machine.disk.failing.add("load")
    machine.disk.error_number = number
    with pytest.raises(kind):
        machine.environment.run(volume.read(0, 1))
    with pytest.raises(kind):
        write_when_ready(machine, volume, 1, block(9))
    assert machine.pool.status().damaged == ()
    assert machine.pool.status().met[0].kind in (TroubleKind.SCARCE, TroubleKind.UNREADABLE_BLOCK)
    machine.disk.failing.clear()
    write_when_ready(machine, volume, 1, block(9))
    assert read(machine, volume, 0, 2) == blocks(1, 9)


def test_a_save_keeps_the_leaf_that_a_waiting_read_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactional, "SWEEP_AFTER_NODES", 0)
    machine, volume = reopened()
    waiting = volume.read(0, 1)
    number = leaf_of(machine, 0).stored
    volume.unmap(0, SIZE)
    machine.pool.create_volume("b", SIZE, {})
    for index in range(40):
        write(machine, machine.pool.volumes["b"], index % LEAVES * LEAF_BLOCKS, [block(index)])
        machine.checkpoint()
    assert number in machine.disk.catalogue_content.nodes
    assert number + 1 not in machine.disk.catalogue_content.nodes
    assert b"".join(machine.environment.run(waiting)) == block(1)
    for index in range(40):
        write(machine, machine.pool.volumes["b"], index % LEAVES * LEAF_BLOCKS, [block(index)])
        machine.checkpoint()
    assert number not in machine.disk.catalogue_content.nodes


def test_a_save_keeps_the_leaves_that_a_walk_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactional, "SWEEP_AFTER_NODES", 0)
    machine, volume = reopened()
    numbers = {leaf_of(machine, at).stored for at in range(LEAVES)}
    state = machine.pool.contents.frozen_state()
    volume.unmap(0, SIZE)
    machine.pool.create_volume("b", SIZE, {})

    def save_often() -> None:
        for index in range(40):
            write(machine, machine.pool.volumes["b"], index % LEAVES * LEAF_BLOCKS, [block(index)])
            machine.checkpoint()

    save_often()
    assert numbers <= machine.disk.catalogue_content.nodes.keys()
    machine.pool.contents.discard_state(*state)
    save_often()
    assert not numbers & machine.disk.catalogue_content.nodes.keys()


def test_the_comparison_of_shared_leaves_loads_none(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, volume = reopened(frozen=True)
    (frozen,) = machine.pool.frozen_maps.values()
    calls = calls_of(machine, monkeypatch)
    assert list(machine.pool.differences(frozen, volume)) == [(0, SIZE, Change.NONE)]
    write_when_ready(machine, volume, 3 * LEAF_BLOCKS + 2, block(1))
    assert len(calls) == 1
    found = list(machine.pool.differences(frozen, volume))
    assert found == [
        (0, 3 * LEAF_BLOCKS + 2, Change.NONE),
        (3 * LEAF_BLOCKS + 2, 1, Change.DATA),
        (3 * LEAF_BLOCKS + 3, SIZE - 3 * LEAF_BLOCKS - 3, Change.NONE),
    ]
    assert len(calls) == 1


def test_extents_and_differences_end_before_a_missing_leaf_and_then_wait_for_it() -> None:
    machine, volume = reopened(frozen=True)
    (frozen,) = machine.pool.frozen_maps.values()
    with pytest.raises(PoolBusy):
        next(volume.extents(0))
    machine.environment.run(volume.map_loaded())
    assert len(list(volume.extents(0))) == 2 * LEAVES
    machine, volume = reopened(frozen=True)
    (frozen,) = machine.pool.frozen_maps.values()
    other = machine.pool.create_volume("b", SIZE, {})
    machine.environment.run(volume.load(0, 2 * LEAF_BLOCKS))
    assert list(volume.extents(0)) == [
        (0, 1, True),
        (1, LEAF_BLOCKS - 1, False),
        (LEAF_BLOCKS, 1, True),
        (LEAF_BLOCKS + 1, LEAF_BLOCKS - 1, False),
    ]
    assert len(list(machine.pool.differences(frozen, other))) == 4
    with pytest.raises(PoolBusy):
        next(machine.pool.differences(frozen, other, 2 * LEAF_BLOCKS))
    machine.environment.run(frozen.map_loaded())
    assert len(list(machine.pool.differences(frozen, other))) == 2 * LEAVES


def test_leaves_stay_within_the_bound_and_lose_nothing() -> None:
    machine, volume = reopened(leaves=3)
    memory = machine.pool.leaves.memory
    for _ in range(3):
        for at in range(LEAVES):
            assert read(machine, volume, at * LEAF_BLOCKS, 1) == block(at + 1)
            machine.environment.settle()
            assert memory.used_bytes <= bytes_of_leaves(3)


def write_often(machine: Machine, volume: Volume) -> None:
    """Write to a new leaf again and again, and wait whenever the pool is busy."""
    for at in range(LEAVES):
        while True:
            try:
                volume.write(at * LEAF_BLOCKS + 1, [block(at)])
                break
            except PoolBusy:
                machine.environment.run(volume.room_made())


def test_changed_leaves_stay_and_changes_wait_for_a_checkpoint() -> None:
    machine, _ = reopened(leaves=4)
    volume = machine.pool.create_volume("b", SIZE, {})
    for at in range(3):
        volume.write(at * LEAF_BLOCKS, [block(at)])
    changes = (
        lambda: volume.write(3 * LEAF_BLOCKS, [block(3)]),
        lambda: volume.unmap(0, 1),
        lambda: volume.copy_from(volume.freeze(), 0, 3 * LEAF_BLOCKS, 1),
    )
    for change in changes:
        with pytest.raises(PoolBusy, match="saved"):
            change()
    assert present(machine, "b") == [0, 1, 2]
    machine.environment.run(volume.room_made())
    write_often(machine, volume)
    machine.pool.commit()
    assert machine.pool.leaves.memory.used_bytes <= bytes_of_leaves(4)
    machine.kill()
    assert read(machine, machine.pool.volumes["b"], 5 * LEAF_BLOCKS, 2) == blocks(0, 5)


def test_changes_are_refused_while_no_checkpoint_can_be_saved() -> None:
    machine, volume = reopened(leaves=4)
    machine.disk.failing.add("save")
    with pytest.raises(OutOfResources, match="no checkpoint was saved"):
        write_often(machine, volume)
    machine.disk.failing.clear()
    machine.checkpoint()
    write_often(machine, volume)
    machine.pool.commit()
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 5 * LEAF_BLOCKS, 2) == blocks(6, 5)


def memory_of(*leaves: Leaf, bound: int) -> LeafMemory:
    memory = LeafMemory(Tally(), bound * units_of(leaves[0].entries) * 64)
    memory.add_clean(leaves)
    return memory


def leaf_with(place: int, volume: dict[int, Leaf]) -> Leaf:
    leaf = volume[place] = Leaf(array("Q", [place] * LEAF_BLOCKS), Epoch(), place)
    return leaf


def test_a_leaf_that_is_used_in_time_gets_a_second_chance() -> None:
    leaves: dict[int, Leaf] = {}
    for at in range(1, 9):
        leaf_with(at, leaves)
    memory = memory_of(*leaves.values(), bound=8)
    leaf_with(9, leaves)
    memory.add_clean([leaves[9]])
    memory.evict(Steps(1), 1, ())
    assert [at for at, leaf in leaves.items() if not leaf.entries] == [1]
    assert memory.entries_of(leaves[1])
    assert memory.recall(leaves[1])
    memory.evict(Steps(100), 100, ())
    assert not memory.is_over()
    assert leaves[1].entries
    assert not memory.entries_of(leaves[2])
    assert not memory.recall(leaves[2])


def test_a_changed_leaf_is_not_dropped_until_it_is_stored_again() -> None:
    leaves: dict[int, Leaf] = {}
    for at in range(1, 5):
        leaf_with(at, leaves)
    memory = memory_of(*leaves.values(), bound=1)
    memory.changed(leaves[2], leaves[3].entries[:])
    memory.evict(Steps(100), 100, ())
    memory.evict(Steps(100), 100, ())
    assert [at for at in leaves if memory.entries_of(leaves[at])] == [2]
    memory.checkpoint_saved(1)
    memory.add_clean([leaves[2], leaves[2]])
    assert memory.used_bytes == units_of(leaves[2].entries) * 64


@pytest.mark.parametrize("steps", [1, 2, 600])
def test_the_search_for_leaves_to_drop_ends_if_all_leaves_must_stay(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, volume = reopened(leaves=4)
    turns, memory = machine.environment.turns, machine.pool.leaves.memory
    for leaf in range(2):
        read(machine, volume, leaf * LEAF_BLOCKS, 1)
    turns.of_a_turn = turns.left = steps
    memory.tally.made = 100
    assert memory.is_over()
    real, waits = turns.next, 0

    async def counted() -> None:
        nonlocal waits
        waits += 1
        assert waits < 100, "the search does not end"
        await real()

    monkeypatch.setattr(turns, "next", counted)
    search = machine.environment.spawn(machine.pool.leaves._relieve())
    machine.environment.settle()
    search.value()
    assert waits
    assert present(machine) == [0, 1]


def test_leaves_that_no_map_has_any_more_are_forgotten() -> None:
    leaves: dict[int, Leaf] = {}
    for at in range(1, 5):
        leaf_with(at, leaves)
    memory = memory_of(*leaves.values(), bound=100)
    del leaves[1], leaves[3]
    assert memory.drop_unused(Steps(100), memory.queue_length()) == 4
    assert memory.queue_length() == 2
    assert memory.used_bytes == 2 * units_of(leaves[2].entries) * 64


def test_leaves_cannot_be_read_from_a_closed_catalogue(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("a", SIZE, {})
    write(directory, volume, 0, [block(1)])
    directory.close()
    volume = directory.open().volumes["a"]
    waiting = volume.read(0, 1)
    directory.close()
    with pytest.raises(OutOfResources, match="closed"):
        directory.environment.run(waiting)
    assert directory.pool.status().damaged == ()


def failed(machine: Machine, leaf: int) -> None:
    """Fail to load a leaf that a change needs. The caller does not try again."""
    machine.disk.failing.add("load")
    with pytest.raises(PoolBusy):
        machine.pool.volumes["a"].write(leaf * LEAF_BLOCKS + 1, [block(9)])
    machine.environment.settle()
    machine.disk.failing.clear()


def test_a_new_failure_replaces_the_oldest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_loader, "MAX_FAILURES", 2)
    machine, volume = reopened()
    for leaf in (1, 2, 3):
        failed(machine, leaf)
    with pytest.raises(PoolBusy):
        volume.write(LEAF_BLOCKS + 1, [block(9)])
    for leaf in (2, 3):
        with pytest.raises(Unreadable):
            volume.write(leaf * LEAF_BLOCKS + 1, [block(9)])


def test_a_leaf_that_was_loaded_since_has_no_old_failure() -> None:
    machine, volume = reopened()
    failed(machine, 1)
    assert read(machine, volume, LEAF_BLOCKS, 1) == block(2)
    assert machine.pool.leaves._failures == {}
    write_when_ready(machine, volume, LEAF_BLOCKS + 1, block(9))


@pytest.mark.parametrize("steps", range(1, 16))
def test_a_save_goes_on_although_the_change_that_waits_for_it_is_aborted(steps: int) -> None:
    machine, _ = reopened()
    volume = machine.pool.create_volume("b", SIZE, {})
    for at in range(3):
        volume.write(at * LEAF_BLOCKS, [block(at)])
    memory = machine.pool.leaves.memory
    machine.pool.leaves.memory._bound_units = bytes_of_leaves(4) // UNIT_BYTES
    waiting = machine.environment.spawn(machine.pool.leaves.changes_saved())
    for _ in range(steps):
        machine.environment.step()
    machine.environment.cancel([waiting])
    machine.environment.settle()
    assert waiting.done
    assert not memory.has_many_changes()
    leaves = [leaf for each in machine.pool.contents.volumes.values() for _, leaf in each.map.leaves() if leaf.entries]
    assert all(leaf.units > 0 for leaf in leaves)
