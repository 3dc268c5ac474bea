"""Tests that after a failure of the disk nothing is acknowledged or written, and reads go on."""

import pytest
from tests.store.pools import Machine, block, blocks, read, write

from odx_target.store.api import PoolFailed, Unwritable
from odx_target.store.catalogue.checkpointer import RETRY_S
from odx_target.store.segments.supply import REFUSED_S

SIZE = 200


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.pool.create_volume("a", SIZE, {}).write(0, [blocks(1, 2, 3)])
    machine.pool.commit()
    machine.flush()
    machine.environment.settle()
    return machine


def write_much(machine: Machine) -> None:
    for at in range(100):
        write(machine, machine.pool.volumes["a"], at, [block(at)])
        machine.pool.commit()
        machine.environment.settle()


def check_failed(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    frozen = volume.freeze()
    for refused in (
        lambda: volume.write(0, [block(1)]),
        lambda: volume.unmap(0, 1),
        lambda: volume.copy_from(frozen, 0, 1, 1),
        lambda: volume.freeze(durable=True),
        lambda: machine.pool.remember("key", b""),
        lambda: machine.pool.create_volume("c", 1, {}),
        lambda: machine.pool.delete_volume("a"),
        machine.flush,
        machine.checkpoint,
    ):
        with pytest.raises(PoolFailed):
            refused()
    machine.pool.commit()
    frozen.release()


def test_a_failed_write_is_not_acknowledged(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    machine.disk.failing.add("write")
    volume.write(1, [blocks(8, 9)])
    with pytest.raises(PoolFailed, match="writing the log failed"):
        machine.pool.commit()
    machine.disk.failing.clear()
    check_failed(machine)
    assert read(machine, volume, 0, 4) == blocks(1, 8, 9, 0), "what was read before the commit is read after it"
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, 4) in (blocks(1, 2, 3, 0), blocks(1, 8, 9, 0))


def test_a_read_of_what_cannot_be_written(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    machine.disk.failing.add("write")
    write(machine, volume, 0, [blocks(*range(1, SIZE + 1))])
    assert read(machine, volume, 0, SIZE) == blocks(*range(1, SIZE + 1))
    assert read(machine, volume, 7, 1) == block(8)
    with pytest.raises(PoolFailed):
        volume.write(0, [block(1)])


def test_a_failed_sync_ends_writing(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    volume.write(0, [block(5)])
    machine.pool.commit()
    machine.disk.failing.add("sync")
    with pytest.raises(PoolFailed, match="flushing failed"):
        machine.flush()
    machine.disk.failing.clear()
    check_failed(machine)
    assert read(machine, volume, 0, 2) == blocks(5, 2)


def test_all_who_wait_for_a_failed_sync_are_told(machine: Machine) -> None:
    machine.pool.volumes["a"].write(0, [block(5)])
    machine.pool.commit()
    machine.disk.failing.add("sync")
    tasks = [machine.environment.spawn(machine.pool.flush()) for _ in range(3)]
    machine.environment.settle()
    assert [type(task.error) for task in tasks] == [PoolFailed] * 3


def test_a_segment_that_cannot_be_made_is_made_later(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    machine.disk.failing.add("create")
    with pytest.raises(Unwritable, match="making a segment failed"):
        write_much(machine)
    machine.disk.failing.clear()
    machine.environment.advance(REFUSED_S)
    write_much(machine)
    assert read(machine, volume, 0, 100) == blocks(*range(100))


def test_a_catalogue_that_cannot_be_saved_leaves_the_log(machine: Machine) -> None:
    machine.disk.failing.add("save")
    with pytest.raises(Unwritable):
        machine.checkpoint()
    machine.pool.volumes["a"].write(0, [block(5)])
    machine.pool.commit()
    machine.flush()
    machine.pool.checkpointer.start_soon()
    machine.environment.settle()
    assert machine.pool.status().checkpoint_error == "saving the catalogue failed: the simulated disk fails"
    with pytest.raises(Unwritable):
        machine.close()
    machine.lose_power()
    assert read(machine, machine.pool.volumes["a"], 0, 2) == blocks(5, 2)


def test_a_checkpoint_that_failed_is_tried_again_without_anything_written(machine: Machine) -> None:
    machine.disk.failing.add("save")
    machine.pool.checkpointer.start_soon()
    machine.environment.settle()
    machine.environment.advance(RETRY_S)
    assert machine.pool.status().checkpoint_error is not None
    machine.disk.failing.clear()
    machine.environment.advance(RETRY_S)
    assert machine.pool.status().checkpoint_error is None
    machine.environment.advance(RETRY_S)
    assert machine.pool.status().checkpoint_age_s == RETRY_S


def test_no_checkpoint_is_tried_again_once_the_pool_is_closed(machine: Machine) -> None:
    machine.disk.failing.add("save")
    machine.pool.checkpointer.start_soon()
    machine.environment.settle()
    machine.disk.failing.clear()
    machine.close()
    saved = machine.disk.catalogue_content.copy()
    machine.environment.advance(2 * RETRY_S)
    assert machine.disk.catalogue_content == saved
    assert all(job.done for job in machine.environment.background)


@pytest.mark.parametrize("is_overwritten", [False, True])
def test_checkpoints_go_on_after_one_that_failed_though_it_was_kept(machine: Machine, is_overwritten: bool) -> None:
    machine.pool.remember("key", b"value")
    machine.disk.failing.add("commit")
    with pytest.raises(Unwritable):
        machine.checkpoint()
    machine.disk.failing.clear()
    machine.pool.forget("key")
    if is_overwritten:
        machine.pool.volumes["a"].write(0, [block(5)])
    machine.checkpoint()
    assert machine.pool.status().checkpoint_error is None
    machine.lose_power()
    assert machine.pool.remembered_keys("") == []
    assert read(machine, machine.pool.volumes["a"], 0, 2) == blocks(5 if is_overwritten else 1, 2)


def test_a_failed_pool_gives_up_its_lock(machine: Machine) -> None:
    released: list[bool] = []
    machine.pool._release_lock = lambda: released.append(True)
    machine.disk.failing.add("write")
    machine.pool.volumes["a"].write(0, [block(5)])
    with pytest.raises(PoolFailed):
        machine.close()
    assert released == [True]


def test_a_write_lost_by_a_read_is_told_to_its_writer(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    machine.disk.failing.add("write")
    volume.write(0, [block(7)])
    assert read(machine, volume, 0, 1) == block(7)
    with pytest.raises(PoolFailed):
        machine.pool.commit()
    machine.pool.commit()


def test_a_write_lost_by_a_checkpoint_is_told_to_its_writer(machine: Machine) -> None:
    machine.pool.volumes["a"].write(0, [block(7)])
    machine.disk.failing.add("write")
    machine.pool.checkpointer.start_soon()
    machine.environment.settle()
    with pytest.raises(PoolFailed):
        machine.pool.commit()


def test_nothing_is_written_after_a_failure(machine: Machine) -> None:
    machine.disk.failing.add("sync")
    machine.pool.volumes["a"].write(0, [block(7)])
    machine.pool.commit()
    machine.pool.volumes["a"].unmap(1, 1)
    with pytest.raises(PoolFailed):
        machine.flush()
    machine.disk.failing.clear()
    with pytest.raises(PoolFailed):
        machine.pool.commit()
    assert read(machine, machine.pool.volumes["a"], 0, 3) == blocks(7, 0, 3)
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, 3) == blocks(7, 2, 3)


@pytest.mark.parametrize("durable", [False, True])
def test_what_cannot_be_forgotten_for_good_is_told(machine: Machine, durable: bool) -> None:
    machine.pool.remember("key", b"value")
    frozen = machine.pool.volumes["a"].freeze(durable=durable)
    machine.pool.commit()
    machine.disk.failing.add("write")
    machine.pool.volumes["a"].write(0, [block(7)])
    with pytest.raises(PoolFailed):
        machine.pool.commit()
    frozen.release()
    if durable:
        with pytest.raises(PoolFailed):
            machine.pool.commit()
    machine.pool.commit()
    machine.pool.forget("key")
    with pytest.raises(PoolFailed):
        machine.pool.commit()


def test_a_segment_that_cannot_be_cut_loses_nothing(machine: Machine) -> None:
    machine.disk.failing.add("seal")
    write_much(machine)
    assert len(machine.disk.files) > 3
    assert read(machine, machine.pool.volumes["a"], 0, 100) == blocks(*range(100))
    long = [number for number, file in machine.disk.files.items() if file.size_blocks == 32]
    machine.disk.failing.clear()
    for at in range(64):
        write(machine, machine.pool.volumes["a"], at, [block(at)])
        machine.pool.commit()
        machine.environment.settle()
    assert set(long[:-2]) <= set(machine.pool.log.sealed_segments()), "cut with the next that is full"
    machine.disk.failing.add("seal")
    machine.close()
    machine.disk.failing.clear()
    machine.open()
    assert read(machine, machine.pool.volumes["a"], 0, 100) == blocks(*range(100))
