"""Tests of a stalled batch: it stays readable, it is written later, and no new change is accepted before that."""

import errno

import pytest
from tests.store.pools import Machine, block, blocks, read, write

from odx_target.store.api import OutOfResources, PoolFailed, PoolFull, Scarcity

PASSING = [
    (errno.EMFILE, OutOfResources),
    (errno.ENFILE, OutOfResources),
    (errno.ENOMEM, OutOfResources),
    (errno.EINTR, OutOfResources),
    (errno.ENOSPC, PoolFull),
    (errno.EDQUOT, PoolFull),
]
SIZE = 200


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.pool.create_volume("a", SIZE, {}).write(0, [blocks(1, 2, 3)])
    machine.pool.commit()
    machine.environment.settle()
    return machine


def stall(machine: Machine, number: int = errno.ENOMEM) -> None:
    machine.disk.failing.add("write")
    machine.disk.error_number = number


def go_on(machine: Machine) -> None:
    machine.disk.failing.clear()


@pytest.mark.parametrize(("number", "kind"), PASSING)
def test_a_batch_is_handed_over_when_it_is_taken_again(machine: Machine, number: int, kind: type[Scarcity]) -> None:
    volume = machine.pool.volumes["a"]
    stall(machine, number)
    volume.write(1, [blocks(8, 9)])
    for _ in range(3):
        with pytest.raises(kind, match="writing the log failed"):
            machine.pool.commit()
    assert machine.pool.failure is None
    go_on(machine)
    machine.pool.commit()
    assert read(machine, volume, 0, 4) == blocks(1, 8, 9, 0)
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, 4) == blocks(1, 8, 9, 0)


def test_what_waits_is_read_and_its_buffers_are_the_callers_again(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    stall(machine)
    data = bytearray(blocks(*range(10, 110)))  # enough for several headers and segments
    write(machine, volume, 0, [data])
    with pytest.raises(OutOfResources):
        machine.pool.commit()
    data[:] = bytes(len(data))
    assert read(machine, volume, 0, 100) == blocks(*range(10, 110))
    assert read(machine, volume, 7, 1) == block(17)
    go_on(machine)
    machine.pool.commit()
    assert not machine.pool.log.unwritten.blocks
    assert read(machine, volume, 0, 100) == blocks(*range(10, 110))
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, 100) == blocks(*range(10, 110))


def test_nothing_new_is_taken_meanwhile(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    frozen = volume.freeze()
    machine.pool.commit()
    stall(machine)
    volume.write(0, [block(7)])
    with pytest.raises(OutOfResources):
        machine.pool.commit()
    for refused in (
        lambda: volume.write(0, [block(1)]),
        lambda: volume.unmap(0, 1),
        lambda: volume.copy_from(frozen, 0, 1, 1),
        lambda: machine.pool.remember("key", b""),
        lambda: machine.pool.create_volume("c", 1, {}),
        lambda: machine.pool.delete_volume("a"),
        machine.checkpoint,
    ):
        with pytest.raises(OutOfResources):
            refused()
    assert read(machine, volume, 0, 2) == blocks(7, 2)
    frozen.release()  # The release must not fail; its record waits too.
    go_on(machine)
    volume.write(1, [block(8)])
    machine.pool.commit()
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, 3) == blocks(7, 8, 3)
    assert not machine.pool.frozen_maps


def test_a_commit_can_be_waited_for(machine: Machine) -> None:
    stall(machine)
    machine.pool.volumes["a"].write(0, [block(7)])
    waiting = [machine.environment.spawn(machine.pool.committed()) for _ in range(2)]
    machine.environment.advance(10)
    assert not any(task.done for task in waiting)
    go_on(machine)
    machine.environment.advance(1)
    assert [task.error for task in waiting] == [None, None]
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, 1) == block(7)


def test_all_who_wait_are_told_when_the_pool_fails(machine: Machine) -> None:
    stall(machine)
    machine.pool.volumes["a"].write(0, [block(7)])
    waiting = [machine.environment.spawn(machine.pool.committed()) for _ in range(3)]
    machine.environment.advance(1)
    machine.disk.error_number = errno.EIO
    machine.environment.advance(1)
    assert [type(task.error) for task in waiting] == [PoolFailed] * 3
    assert read(machine, machine.pool.volumes["a"], 0, 2) == blocks(7, 2)
    with pytest.raises(PoolFailed):
        machine.pool.volumes["a"].write(0, [block(1)])


def test_a_flush_beside_it_makes_durable_what_was_committed(machine: Machine) -> None:
    stall(machine)
    machine.pool.volumes["a"].write(0, [block(7)])
    with pytest.raises(OutOfResources):
        machine.pool.commit()
    machine.flush()
    machine.lose_power()
    assert read(machine, machine.pool.volumes["a"], 1, 2) == blocks(2, 3)


def test_a_pool_closes_without_what_it_could_not_write(machine: Machine) -> None:
    stall(machine)
    machine.pool.volumes["a"].write(0, [block(7)])
    with pytest.raises(OutOfResources):
        machine.close()
    go_on(machine)
    machine.open()
    assert read(machine, machine.pool.volumes["a"], 0, 3) in (blocks(1, 2, 3), blocks(7, 2, 3))


def test_a_footer_that_cannot_be_written_is_written_later(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    segment = machine.pool.log.filling.segment
    assert segment is not None
    real = type(segment).write
    refused: list[int] = []

    def no_footer(self: object, at: int, buffers: list[bytes]) -> None:
        if len(buffers) == 1 and bytes(buffers[0]).find(b"ODXSEGMT") > 0 and len(refused) < 3:
            refused.append(at)
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, at, buffers)  # type: ignore[arg-type]

    type(segment).write = no_footer  # type: ignore[method-assign, assignment]
    try:
        for at in range(SIZE):
            write(machine, volume, at, [block(at)])
            machine.pool.commit()
            machine.environment.settle()
    finally:
        type(segment).write = real  # type: ignore[method-assign]
    assert len(refused) == 3
    assert machine.pool.failure is None
    assert read(machine, volume, 0, SIZE) == blocks(*range(SIZE))
    assert not machine.pool.log._sealer._without_footer
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, SIZE) == blocks(*range(SIZE))
