"""Tests of callers that wait for the end of a save of a checkpoint: all callers that wait at once share one save."""

import errno

import pytest
from tests.little_memory import bytes_of_leaves
from tests.store.pools import Machine, block

from odx_target.store.api import OutOfResources, PoolBusy
from odx_target.store.catalogue.checkpointer import NEEDED_RETRY_S, RETRY_S
from odx_target.store.catalogue.interface import Checkpoint
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.map.leaf_memory import UNIT_BYTES

CALLERS = 32


class CountedSaves:
    """Counts the saves of the catalogue of a machine whose changed leaves need too much memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.machine = Machine()
        self.environment = self.machine.environment
        self.pool = self.machine.pool
        volume = self.pool.create_volume("a", 12 * LEAF_BLOCKS, {})
        for at in range(3):
            volume.write(at * LEAF_BLOCKS, [block(at)])
        self.pool.leaves.memory._bound_units = bytes_of_leaves(4) // UNIT_BYTES
        assert self.pool.leaves.memory.has_too_many_changes()
        real = self.pool._catalogue.save

        def counted(checkpoint: Checkpoint) -> None:
            self.count += 1
            real(checkpoint)

        monkeypatch.setattr(self.pool._catalogue, "save", counted)


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> CountedSaves:
    return CountedSaves(monkeypatch)


@pytest.mark.parametrize("is_begun", [False, True])
def test_callers_that_wait_for_a_save_share_it(saves: CountedSaves, is_begun: bool) -> None:
    environment, leaves = saves.environment, saves.pool.leaves
    if is_begun:
        saves.pool.checkpointer.start_soon()
    callers = [environment.spawn(leaves.changes_saved()) for _ in range(CALLERS)]
    environment.settle()
    assert all(caller.done for caller in callers)
    assert 1 <= saves.count <= 1 + is_begun
    assert not leaves.memory.has_many_changes()


@pytest.mark.parametrize("steps", range(1, 2 * CALLERS, 5))
def test_a_cancelled_caller_does_not_end_the_save_of_the_others(saves: CountedSaves, steps: int) -> None:
    environment, leaves = saves.environment, saves.pool.leaves
    callers = [environment.spawn(leaves.changes_saved()) for _ in range(CALLERS)]
    for _ in range(steps):
        environment.step()
    environment.cancel(callers[:1])
    environment.settle()
    assert all(caller.done for caller in callers)
    for caller in callers[1:]:
        caller.value()
    assert saves.count == 1
    assert not leaves.memory.has_many_changes()


def test_a_save_that_fails_ends_the_wait_of_all_callers(saves: CountedSaves) -> None:
    environment, checkpointer = saves.environment, saves.pool.checkpointer
    saves.machine.disk.failing.add("save")
    callers = [environment.spawn(checkpointer.save_ended()) for _ in range(CALLERS)]
    environment.settle()
    for caller in callers:
        caller.value()
    assert saves.pool.troubles.checkpoint_error is not None
    assert saves.count == 1
    saves.machine.disk.failing.clear()
    environment.run(checkpointer.save_ended())
    assert saves.count == 2
    assert saves.pool.troubles.checkpoint_error is None


def test_a_pool_that_stops_ends_the_wait_of_all_callers(saves: CountedSaves) -> None:
    environment, checkpointer = saves.environment, saves.pool.checkpointer
    callers = [environment.spawn(checkpointer.save_ended()) for _ in range(CALLERS)]
    for _ in range(CALLERS + 1):
        environment.step()
    environment.stop()
    assert all(caller.done for caller in callers)


def refuses_a_change(saves: CountedSaves) -> bool:
    """Return True if a change is refused because no checkpoint was saved."""
    try:
        saves.pool.leaves.check_changes()
    except OutOfResources:
        return True
    except PoolBusy:  # a save is under way
        pass
    return False


@pytest.mark.parametrize("is_full", [False, True])
def test_a_change_that_needs_a_checkpoint_is_refused_only_while_the_disk_fails(saves: CountedSaves, is_full: bool) -> None:
    environment, pool = saves.environment, saves.pool
    saves.machine.disk.failing.add("save")
    if is_full:
        saves.machine.disk.error_number = errno.ENOSPC
    pool.checkpointer.start_soon()
    environment.settle()
    for _ in range(3):
        assert refuses_a_change(saves)
        environment.advance(NEEDED_RETRY_S)
    assert saves.count == (1 if is_full else 4)
    saves.machine.disk.failing.clear()
    assert refuses_a_change(saves)
    environment.advance(RETRY_S if is_full else NEEDED_RETRY_S)
    assert not refuses_a_change(saves)
    assert not pool.leaves.memory.has_many_changes()


def test_a_checkpoint_that_no_change_needs_is_tried_again_after_a_long_pause(saves: CountedSaves) -> None:
    environment = saves.environment
    saves.machine.disk.failing.add("save")
    saves.pool.checkpointer.start_soon()
    environment.advance(RETRY_S - NEEDED_RETRY_S)
    assert saves.count == 1
    environment.advance(NEEDED_RETRY_S)
    assert saves.count == 2
