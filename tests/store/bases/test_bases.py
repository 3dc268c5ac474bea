"""Bases: creation, missing blocks, what refers to a base, and a crash at every operation of the disk."""

from collections.abc import Callable

import pytest
from tests.sim.simulated_disk import Crash
from tests.store.cleaning.cleaned_pools import start_cleaner
from tests.store.pools import Machine, block, blocks, check_simulated_pool, read

from odx_target.store.api import (
    BLOCK_BYTES,
    Absent,
    DamagedBlock,
    NameTaken,
    OverLimit,
    PoolBusy,
    SourceAway,
    StoreError,
    Unreadable,
    Unsettled,
    Volume,
)
from odx_target.store.bases import pool_bases
from odx_target.store.bases.missing import parts_of
from odx_target.store.bases.pool_bases import KEY_OF_NEXT
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.open import PoolOptions
from odx_target.store.segments.base_place import MAX_BASE_BLOCKS, MAX_BASE_NUMBER, base_place, block_of_base, is_base_place
from odx_target.store.segments.places import COMPRESSED

SIZE = 24


async def fetch(first: int, count_blocks: int) -> bytes:
    return blocks(*range(1000 + first, 1000 + first + count_blocks))


@pytest.fixture
def machine() -> Machine:
    machine = Machine(PoolOptions(segment_blocks=32))
    base = machine.environment.run(machine.pool.bases.create("base", SIZE, {}))
    machine.pool.create_volume("a", SIZE, {}, base)
    return machine


def volumes(machine: Machine) -> tuple[Volume, Volume]:
    return machine.pool.volumes["a"], machine.pool.volumes["base"]


def keep_all(machine: Machine) -> None:
    bases, base = machine.pool.bases, machine.pool.volumes["base"]
    run = machine.environment.run
    while (found := run(bases.next_missing(base, 0, 5))) is not None:
        data = run(fetch(*found))
        try:
            assert bases.keep(base, found[0], data) == found[1]
        except PoolBusy:
            run(base.room_made())
        machine.pool.commit()


def test_places_of_bases_and_other_places_are_told_apart() -> None:
    for number, at in [(0, 0), (1, 5), (MAX_BASE_NUMBER, MAX_BASE_BLOCKS - 1)]:
        place = base_place(number, at)
        assert is_base_place(place)
        assert block_of_base(place) == (number, at)
        assert place < COMPRESSED
    assert not is_base_place(0)
    assert not is_base_place(COMPRESSED)
    assert not is_base_place((1 << 32) << 14)


def test_missing_blocks_are_fetched_by_each_read_until_they_are_kept(machine: Machine) -> None:
    ours, base = volumes(machine)
    bases, run = machine.pool.bases, machine.environment.run
    assert ours.read_now(3, 2) is None
    with pytest.raises(SourceAway):
        run(ours.read(3, 2))
    bases.attach(base, fetch)
    assert read(machine, ours, 3, 2) == blocks(1003, 1004)
    assert run(bases.count_missing(base)) == SIZE
    assert bases.keep(base, 4, blocks(1004, 0, 1006)) == 3
    assert run(bases.count_missing(base)) == SIZE - 3
    assert bases.keep(base, 3, blocks(9, 9, 9, 9, 9)) == 2
    assert read(machine, ours, 3, 5) == blocks(9, 1004, 0, 1006, 9)
    assert bases.keep(base, 10, 4) == 4
    assert read(machine, ours, 9, 6) == blocks(1009, 0, 0, 0, 0, 1014)
    assert run(bases.next_missing(base, 3, 100)) == (8, 2)
    assert run(bases.next_missing(base, SIZE - 1, 100)) == (SIZE - 1, 1)
    assert run(bases.next_missing(base, SIZE, 100)) is None
    with pytest.raises(StoreError):
        bases.keep(base, SIZE - 1, 2)


def test_a_damaged_block_of_the_source_has_its_number_in_the_volume_that_is_read(machine: Machine) -> None:
    ours, base = volumes(machine)

    async def damaged(_first: int, _count_blocks: int) -> bytes:
        raise DamagedBlock(7)

    machine.pool.bases.attach(base, damaged)
    other = machine.pool.create_volume("b", 2 * SIZE, {})
    frozen = ours.freeze()
    other.copy_from(frozen, 5, SIZE, 4)
    with pytest.raises(DamagedBlock) as error:
        machine.environment.run(other.read(SIZE - 1, 5))
    assert error.value.block == SIZE + 2


def test_a_digest_waits_for_the_settling(machine: Machine) -> None:
    ours, base = volumes(machine)
    machine.pool.bases.attach(base, fetch)
    run = machine.environment.run
    taken, fresh = ours.snapshot("s"), machine.pool.create_volume("fresh", SIZE, {})
    for call in (taken.digest(), taken.stored_blocks(0, 4)):
        with pytest.raises(Unsettled):
            run(call)
    fresh.write(0, [run(fetch(0, SIZE))])
    run(fresh.snapshot("s").digest())
    keep_all(machine)
    with pytest.raises(Unsettled):
        run(taken.digest())
    assert run(machine.pool.bases.settle(base))
    assert run(taken.digest()) == run(fresh.snapshots["s"].digest())


def test_a_read_that_missed_the_settling_fails_for_the_moment(machine: Machine) -> None:
    _, base = volumes(machine)
    keep_all(machine)
    assert machine.environment.run(machine.pool.bases.settle(base))
    with pytest.raises(Unreadable) as error:
        machine.pool.reader.read_now([(base_place(1, 4), 1)], 9)
    assert error.value.block == 9


def test_the_settling_does_not_wait_for_the_rests_of_the_cleaner(machine: Machine) -> None:
    _, base = volumes(machine)
    keep_all(machine)
    start_cleaner(machine.pool.cleaner)
    machine.pool.cleaner._environment.start_soon(machine.pool.cleaner._rest, 1000.0)
    began_s = machine.environment.monotonic()
    assert machine.environment.run(machine.pool.bases.settle(base))
    assert machine.environment.monotonic() - began_s < 60


def test_a_base_with_missing_blocks_is_not_settled(machine: Machine) -> None:
    _, base = volumes(machine)
    machine.pool.bases.keep(base, 0, SIZE - 1)
    with pytest.raises(StoreError, match="missing"):
        machine.environment.run(machine.pool.bases.settle(base))
    assert machine.pool.bases.is_base(base)


def test_what_needs_a_base_is_named(machine: Machine) -> None:
    ours, base = volumes(machine)
    pool, run = machine.pool, machine.environment.run
    other = pool.create_volume("b", SIZE, {})

    def needs() -> str | None:
        return run(pool.bases.needs(base, [ours]))

    assert run(pool.bases.needs(base, [])) == "volume a"
    assert needs() is None
    taken = ours.snapshot("s")
    assert needs() == "snapshot a@s"
    taken.delete()
    other.copy_from(ours.freeze(), 0, 3, 2)
    assert needs() == "volume b"
    other.unmap(0, SIZE)
    token = ours.freeze(durable=True)
    assert needs() == "a persistent token"
    token.release()
    assert needs() is None


def test_a_search_that_fails_gives_its_reason(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise Unreadable(7, "the disk is broken")

    monkeypatch.setattr(pool_bases, "first_need", fail)
    with pytest.raises(StoreError, match="could not be searched: block 7 cannot be read: the disk is broken"):
        machine.environment.run(machine.pool.bases.needs(volumes(machine)[1], []))
    monkeypatch.undo()
    assert machine.environment.run(machine.pool.bases.needs(volumes(machine)[1], [])) == "volume a"


def test_work_between_the_cycles_of_a_cleaner_that_stops_is_dropped(machine: Machine) -> None:
    _, base = volumes(machine)
    keep_all(machine)
    pool, run = machine.pool, machine.environment.run
    waiting = machine.environment.spawn(pool.bases.settle(base))
    run(pool.cleaner.stop())
    machine.environment.settle()
    assert waiting.value() is False
    assert run(pool.bases.settle(base)) is False
    with pytest.raises(StoreError, match="could not be searched"):
        run(pool.bases.needs(base, []))


def test_a_deleted_base_leaves_damaged_blocks_where_it_is_needed(machine: Machine) -> None:
    ours, base = volumes(machine)
    machine.pool.bases.keep(base, 0, blocks(1000))
    ours.write(1, [block(5)])
    machine.pool.bases.delete(base)
    assert read(machine, ours, 1, 1) == block(5)
    for at in (0, 2):
        with pytest.raises(DamagedBlock):
            machine.environment.run(ours.read(at, 1))
    with pytest.raises(Absent):
        machine.pool.bases.attach(base, fetch)
    machine.pool.commit()
    machine.kill()
    assert not machine.pool.bases.volumes()


def test_numbers_of_bases_are_never_used_again(machine: Machine) -> None:
    pool, run = machine.pool, machine.environment.run
    pool.bases.delete(volumes(machine)[1])
    run(pool.bases.create("again", SIZE, {}))
    assert pool.remembered(KEY_OF_NEXT) == b"3"
    pool.remember(KEY_OF_NEXT, b"%d" % (MAX_BASE_NUMBER + 1))
    for name, size, error in [("c", SIZE, OverLimit), ("a", SIZE, NameTaken), ("c", MAX_BASE_BLOCKS + 1, OverLimit)]:
        if name == "a":
            pool.remember(KEY_OF_NEXT, b"%d" % MAX_BASE_NUMBER)
        with pytest.raises(error):
            run(pool.bases.create(name, size, {}))
    assert set(pool.volumes) == {"a", "again"}


def test_a_large_base_is_laid_out_in_several_records(machine: Machine) -> None:
    size = 700 * LEAF_BLOCKS + 5
    base = machine.environment.run(machine.pool.bases.create("large", size, {}))
    machine.pool.commit()
    machine.kill()
    base = machine.pool.volumes["large"]
    assert machine.environment.run(machine.pool.bases.count_missing(base)) == size


def test_the_room_of_missing_blocks_is_not_counted(machine: Machine) -> None:
    ours, base = volumes(machine)
    machine.pool.bases.keep(base, 0, blocks(1000))
    ours.write(1, [block(5)])
    machine.pool.commit()
    machine.environment.run(machine.pool.count_space())
    assert machine.environment.run(machine.pool.space_of(ours)).unique_bytes == BLOCK_BYTES


@pytest.mark.parametrize("is_lost", [False, True], ids=["catalogue", "lost catalogue"])
def test_the_pool_is_sound_while_blocks_are_missing(machine: Machine, is_lost: bool) -> None:
    ours, base = volumes(machine)
    machine.pool.bases.keep(base, 0, blocks(1000))
    ours.write(1, [block(5)])
    machine.pool.commit()
    if is_lost:
        machine.disk.catalogue_content = type(machine.disk.catalogue_content)()
        machine.kill()
    else:
        machine.checkpoint()
        machine.reopen()
    ours, base = volumes(machine)
    machine.pool.bases.attach(base, fetch)
    assert read(machine, ours, 0, 3) == blocks(1000, 5, 1002)
    machine.close()
    assert check_simulated_pool(machine.disk).is_sound


def test_zeros_are_found_in_data() -> None:
    assert list(parts_of(blocks(1, 2, 0, 0, 3))) == [(0, 2, False), (2, 2, True), (4, 1, False)]
    assert list(parts_of(memoryview(blocks(0)))) == [(0, 1, True)]


class Import:
    """A small import, from the creation of the base to its end. `is_written` is True when the write of a host is durable."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.is_written = self.is_settled = False

    def run(self) -> None:
        machine, run = self.machine, self.machine.environment.run
        base = run(machine.pool.bases.create("base", SIZE, {}))
        ours = machine.pool.create_volume("a", SIZE, {}, base)
        machine.pool.commit()
        machine.pool.bases.attach(base, fetch)
        machine.pool.bases.keep(base, 0, run(fetch(0, 6)))
        ours.snapshot("s")
        ours.write(3, [block(5), block(6)])
        machine.pool.commit()
        machine.flush()
        self.is_written = True
        keep_all(machine)
        machine.checkpoint()
        if not run(machine.pool.bases.settle(base)):
            assert machine.disk.is_off
            raise Crash
        self.is_settled = True

    def check(self) -> None:
        """After a crash, finish the import and compare all data."""
        pool, run = self.machine.pool, self.machine.environment.run
        assert not self.is_written or "a" in pool.volumes
        if "a" not in pool.volumes:
            return
        if pool.bases.volumes():
            pool.bases.attach(pool.volumes["base"], fetch)
        old, new = run(fetch(0, SIZE)), run(fetch(0, 3)) + blocks(5, 6) + run(fetch(5, SIZE - 5))
        for _ in range(2):
            found = read(self.machine, pool.volumes["a"], 0, SIZE)
            assert found == new or (found == old and not self.is_written)
            for snapshot in pool.snapshots.values():
                assert read(self.machine, snapshot, 0, SIZE) == old
            if pool.bases.volumes():
                keep_all(self.machine)
                assert run(pool.bases.settle(pool.volumes["base"]))
        assert "base" not in pool.volumes


@pytest.mark.parametrize("end", [Machine.kill, Machine.lose_power])
def test_a_crash_at_every_operation_of_the_disk(end: Callable[[Machine], object]) -> None:
    crashes = 0
    for operations in range(1000):
        machine = Machine(PoolOptions(segment_blocks=32), seed=operations)
        small = Import(machine)
        machine.disk.crash_after(operations)
        try:
            small.run()
        except Crash:
            crashes += 1
        machine.disk.crash_after(None)
        is_done = small.is_settled
        end(machine)
        small.check()
        if is_done:
            break
    assert crashes > 20
