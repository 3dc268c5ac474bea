"""Tests of the troubles that a pool reports, and of their end."""

import errno

import pytest
from tests.sim.simulated_disk import SimulatedSegment
from tests.store.pools import Machine, block, write

from odx_target.store.api import (
    BLOCK_BYTES,
    DamagedBlock,
    DamagedPlace,
    OutOfResources,
    PoolBusy,
    PoolFull,
    Refused,
    StoreError,
    Trouble,
    TroubleKind,
)
from odx_target.store.open import PoolOptions
from odx_target.store.segments.supply import REFUSED_S
from odx_target.store.troubles import MAX_DAMAGED_PLACES, Troubles

SIZE = 1000


class Listener:
    """A machine with a pool, and the troubles that the pool has reported."""

    def __init__(self, options: PoolOptions) -> None:
        self.machine = Machine(options)
        self.troubles: list[Trouble] = []
        self.machine.pool.on_trouble.append(self.troubles.append)
        self.machine.pool.create_volume("a", SIZE, {})

    @property
    def kinds(self) -> set[TroubleKind]:
        return {trouble.kind for trouble in self.troubles}

    def write_until_refused(self) -> None:
        with pytest.raises(StoreError):
            self._write_all()

    def _write_all(self) -> None:
        for at in range(SIZE):
            write(self.machine, self.machine.pool.volumes["a"], at, [block(at)])
            self.machine.pool.commit()


@pytest.fixture
def told() -> Listener:
    return Listener(PoolOptions(segment_blocks=32))


def test_a_full_disk_until_there_is_room(told: Listener) -> None:
    machine = told.machine
    machine.environment.settle()
    machine.disk.room_blocks = sum(file.size_blocks for file in machine.disk.files.values())
    told.write_until_refused()
    assert told.kinds == {TroubleKind.FULL}
    machine.environment.advance(5.0)
    status = machine.pool.status()
    assert (status.is_full, status.no_room_for_s) == (True, 5.0)
    machine.disk.room_blocks += 64
    write(machine, machine.pool.volumes["a"], 0, [block(1)])
    status = machine.pool.status()
    assert (status.is_full, status.no_room, status.no_room_for_s) == (False, None, None)


def test_each_refused_write_is_noted_once(told: Listener) -> None:
    machine = told.machine
    machine.environment.settle()
    machine.disk.room_blocks = sum(file.size_blocks for file in machine.disk.files.values())
    told.write_until_refused()
    volume = machine.pool.volumes["a"]
    for _ in range(3):
        before = len(told.troubles)
        with pytest.raises(PoolFull):
            volume.write(0, [block(1)])
        assert len(told.troubles) == before + 1


def test_what_stands_against_writing_is_the_last_that_was_met(told: Listener) -> None:
    troubles = Troubles(told.machine.environment)
    for report, error, is_full in (
        (troubles.refused, PoolFull("the disk is full"), True),
        (troubles.stalled, OutOfResources("no memory"), False),
        (troubles.stalled, PoolFull("a quota is used up"), True),
        (troubles.refused, Refused("read-only"), False),
    ):
        report(error)
        status = troubles.status(None)
        assert (status.no_room, status.is_full) == (str(error), is_full)


def test_a_limit_is_told_as_what_it_is() -> None:
    told = Listener(PoolOptions(segment_blocks=32, limit_bytes=3 * 32 * BLOCK_BYTES))
    told.write_until_refused()
    assert "limit" in str(told.machine.pool.status().no_room)
    assert isinstance(told.troubles[0], Trouble)


def test_segments_that_cannot_be_made(told: Listener) -> None:
    told.machine.environment.settle()
    told.machine.disk.failing.add("create")
    told.write_until_refused()
    assert told.kinds == {TroubleKind.NO_SEGMENT}
    assert not told.machine.pool.status().is_full
    told.machine.disk.failing.clear()
    told.machine.environment.advance(REFUSED_S)
    write(told.machine, told.machine.pool.volumes["a"], 0, [block(1)])
    assert told.machine.pool.status().no_room is None


def test_a_pool_that_fails_tells_it_once(told: Listener) -> None:
    told.machine.disk.failing.add("sync")
    write(told.machine, told.machine.pool.volumes["a"], 0, [block(1)])
    told.machine.pool.commit()
    for _ in range(3):
        with pytest.raises(StoreError):
            told.machine.flush()
    assert [trouble.kind for trouble in told.troubles] == [TroubleKind.FAILED]
    assert told.machine.pool.status().failure == told.troubles[0].reason


def test_waiting_for_room_is_no_trouble(told: Listener) -> None:
    with pytest.raises(PoolBusy):
        told.machine.pool.volumes["a"].write(0, [block(1)] * 500)
    assert told.troubles == []
    assert told.machine.pool.status().no_room is None


def test_damaged_blocks_are_counted_and_bounded(told: Listener) -> None:
    machine = told.machine
    volume = machine.pool.volumes["a"]
    write(machine, volume, 0, [block(at + 1) for at in range(20)])
    machine.pool.commit()
    frozen = volume.freeze()
    machine.pool.commit()
    for file in machine.disk.files.values():
        file.content[:] = bytes(byte ^ 1 for byte in file.content)
    for source, at in [(volume, 3), (volume, 3), (frozen, 4)]:
        with pytest.raises(StoreError):
            machine.environment.run(source.read(at, 1))
    assert told.kinds == {TroubleKind.DAMAGED_BLOCK}
    assert machine.pool.status().damaged == (
        DamagedPlace("a", None, 3, 2),
        DamagedPlace("a", frozen.identifier, 4, 1),
    )
    for at in range(2 * MAX_DAMAGED_PLACES):
        machine.pool.troubles.block_lost("b", None, DamagedBlock(at))
    status = machine.pool.status()
    assert len(status.damaged) == MAX_DAMAGED_PLACES
    assert status.damaged_beyond == MAX_DAMAGED_PLACES + 2


def test_checkpoints_that_fail_until_one_is_saved(told: Listener) -> None:
    machine = told.machine
    machine.disk.failing.add("save")
    machine.pool.checkpointer.start_soon()
    machine.environment.settle()
    machine.environment.advance(7.0)
    assert told.kinds == {TroubleKind.CHECKPOINT_FAILED}
    status = machine.pool.status()
    assert status.checkpoint_error is not None
    assert status.checkpoint_age_s >= 7.0
    machine.disk.failing.clear()
    machine.checkpoint()
    status = machine.pool.status()
    assert (status.checkpoint_error, status.checkpoint_age_s) == (None, 0.0)


def test_reads_and_flushes_for_which_something_is_missing(told: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = told.machine
    volume = machine.pool.volumes["a"]
    write(machine, volume, 0, [block(1)])
    machine.pool.commit()

    def refuse(_segment: object) -> None:
        raise OutOfResources("the system gives no more threads")

    with monkeypatch.context() as scarce:
        scarce.setattr(SimulatedSegment, "sync", refuse)
        with pytest.raises(OutOfResources):
            machine.flush()
    assert told.kinds == {TroubleKind.SCARCE}
    machine.disk.failing.add("read")
    machine.disk.error_number = errno.EMFILE
    for _ in range(2):
        with pytest.raises(OutOfResources):
            machine.environment.run(volume.read(0, 1))
    machine.disk.failing.clear()
    machine.environment.advance(3.0)
    (met,) = machine.pool.status().met
    assert (met.kind, met.count, met.age_s) == (TroubleKind.SCARCE, 3, 3.0)
    assert met.reason == "block 0 cannot be read: the simulated disk fails to read"
    machine.flush()
    assert machine.environment.run(volume.read(0, 1)) == [block(1)]


def test_what_was_met_stays_known_when_it_is_over(told: Listener) -> None:
    machine = told.machine
    assert machine.pool.status().met == ()
    machine.disk.failing.add("save")
    for _ in range(2):
        with pytest.raises(StoreError):
            machine.checkpoint()
    machine.disk.failing.clear()
    machine.checkpoint()
    assert [(met.kind, met.count) for met in machine.pool.status().met] == [(TroubleKind.CHECKPOINT_FAILED, 2)]
