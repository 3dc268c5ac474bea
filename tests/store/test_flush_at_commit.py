"""Commits that also flush, in pools whose segments are synced without waiting."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.store.pools import SMALL, Directory, Machine, block, blocks, read, write

from odx_target.environment import Work
from odx_target.store.api import OutOfResources, PoolFailed
from odx_target.store.open import LogPool
from odx_target.store.segments import directory
from odx_target.store.segments.watch import SegmentCall

SIZE = 200


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.disk.syncs_at_once = True
    machine.pool.create_volume("a", SIZE, {})
    machine.pool.commit()
    machine.flush()
    return machine


@pytest.fixture
def in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Directory]:
    monkeypatch.setattr(directory, "is_in_memory", lambda _: True)
    opened = Directory(tmp_path / "pool")
    opened.pool.create_volume("a", SIZE, {}).write(0, [block(1)])
    assert opened.pool.flushes_at_once
    opened.pool.flush_at_commit()
    yield opened
    if not opened.pool.failure:
        opened.close()


@contextmanager
def no_flush_in_a_thread(target: Directory) -> Iterator[None]:
    in_thread = target.environment.in_thread

    def started(*arguments: Any, work: Work = Work.READS) -> Any:
        assert work is not Work.FLUSHES
        return in_thread(*arguments, work=work)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target.environment, "in_thread", started)
        yield


def test_no_loss_of_power_undoes_a_commit_that_has_flushed(machine: Machine) -> None:
    random, expected = Random(4), [0] * SIZE
    for value in range(1, 60):
        at = random.randrange(SIZE - 3)
        write(machine, machine.pool.volumes["a"], at, [blocks(value, value, value)])
        expected[at : at + 3] = [value] * 3
        if machine.pool.flushes_at_once:
            machine.pool.flush_at_commit()
            machine.pool.commit()
        else:  # The batch before has filled a segment.
            machine.environment.run(machine.pool.committed())
            machine.flush()
        assert machine.pool.durable_osn == machine.pool.log.next_osn
        if random.random() < 0.3:
            machine.lose_power()
            assert read(machine, machine.pool.volumes["a"], 0, SIZE) == blocks(*expected)


def test_commits_flush_only_if_they_must(in_memory: Directory) -> None:
    osn = in_memory.pool.commit()
    assert in_memory.pool.durable_osn == osn
    in_memory.pool.volumes["a"].write(1, [block(2)])
    assert in_memory.pool.commit() > in_memory.pool.durable_osn
    in_memory.pool.flush_at_commit()
    osn = in_memory.pool.commit()
    assert in_memory.pool.durable_osn == osn, "the commit of an empty batch flushes what is written"


def test_a_flush_needs_no_thread(in_memory: Directory) -> None:
    in_memory.pool.commit()
    in_memory.pool.volumes["a"].write(1, [block(2)])
    osn = in_memory.pool.commit()
    with no_flush_in_a_thread(in_memory):
        in_memory.environment.run(in_memory.pool.flush())
    assert in_memory.pool.durable_osn == osn


def test_a_flush_on_a_disk_or_under_a_watch_waits(tmp_path: Path, in_memory: Directory) -> None:
    assert not Machine().pool.flushes_at_once
    in_memory.pool.commit()
    seen: list[SegmentCall] = []
    in_memory.pool.watch_segments(lambda call, _: seen.append(call))
    in_memory.pool.volumes["a"].write(1, [block(2)])
    assert not in_memory.pool.flushes_at_once
    osn = in_memory.pool.commit()
    assert in_memory.pool.durable_osn < osn
    in_memory.environment.run(in_memory.pool.flush())
    assert in_memory.pool.durable_osn == osn
    assert seen.count(SegmentCall.FLUSH) == 1
    in_memory.pool.watch_segments(None)


def failing_sync(error_number: int) -> Callable[[int], None]:
    def sync(_descriptor: int) -> None:
        raise OSError(error_number, os.strerror(error_number))

    return sync


def test_a_failed_sync_is_reported_once_and_ends_writing(in_memory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdatasync", failing_sync(errno.EIO))
    with pytest.raises(PoolFailed, match="flushing failed"):
        in_memory.pool.commit()
    in_memory.pool.commit()
    assert not in_memory.pool.flushes_at_once
    with pytest.raises(PoolFailed):
        in_memory.pool.volumes["a"].write(1, [block(2)])


def test_a_pool_that_has_failed_syncs_nothing_more(in_memory: Directory) -> None:
    before_osn = in_memory.pool.durable_osn
    in_memory.pool.health.fail("flushing", OSError(errno.EIO, "a sync in a thread has failed"))
    with pytest.raises(PoolFailed):
        in_memory.pool.commit()
    in_memory.pool.commit()
    in_memory.pool.flush_at_commit()
    with pytest.raises(PoolFailed):
        in_memory.pool.commit()
    assert in_memory.pool.durable_osn == before_osn


def test_the_caller_of_the_commit_learns_of_a_sync_that_failed_for_another(
    in_memory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fdatasync", failing_sync(errno.EIO))
    with pytest.raises(PoolFailed):
        in_memory.pool.log.commit_for_another()
    with pytest.raises(PoolFailed):
        in_memory.pool.commit()


def test_a_commit_that_cannot_sync_now_is_repeated(in_memory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:

        def refuse(_segment: object) -> None:
            raise OutOfResources("no descriptors")

        patch.setattr(directory.DirectorySegment, "sync", refuse)
        with pytest.raises(OutOfResources):
            in_memory.pool.commit()
    osn = in_memory.pool.commit()
    assert in_memory.pool.durable_osn == osn


def synced_beside(target: Machine, act: Callable[[LogPool], None]) -> None:
    """Do something while a sync runs in a thread."""
    target.disk.syncs_at_once = False
    flushing = target.environment.spawn(target.pool.flush())
    target.environment.step()
    act(target.pool)
    target.environment.settle()
    assert flushing.done


def test_a_sync_in_a_thread_does_not_undo_a_later_sync(machine: Machine) -> None:
    def act(pool: LogPool) -> None:
        assert not pool.flushes_at_once, "a sync is running"
        machine.disk.syncs_at_once = True
        assert not pool.flushes_at_once, "a sync is running"
        pool.volumes["a"].write(1, [block(2)])
        pool.commit()
        pool._flusher.sync_written()
        assert pool.durable_osn == pool.log.next_osn

    machine.pool.volumes["a"].write(0, [block(1)])
    machine.pool.commit()
    synced_beside(machine, act)
    assert machine.pool.durable_osn == machine.pool.log.next_osn
    machine.lose_power()
    assert read(machine, machine.pool.volumes["a"], 0, 2) == blocks(1, 2)


def test_records_that_wait_for_room_need_a_checkpoint() -> None:
    machine = Machine(SMALL)
    machine.disk.syncs_at_once = True
    machine.pool.log.deferred.append(b"")
    assert not machine.pool.flushes_at_once
