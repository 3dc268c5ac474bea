"""The measure of the progress of the cleaner: commits of hosts do not change it, and moves cost their blocks and headers."""

from random import Random

import pytest
from tests.store.cleaning.cleaned_pools import SEGMENT_BLOCKS, Modelled, machine_with

from odx_target.store.cleaning.need import HOPE_SHARE


@pytest.mark.parametrize("blocks_of_a_commit", [1, 5])
def test_a_commit_of_a_host_neither_gains_nor_loses_room(blocks_of_a_commit: int) -> None:
    machine = machine_with(20, cleaning=False)
    model = Modelled(machine, 400)
    need = machine.pool.cleaner._need
    model.end_turn()
    before = need.room_and_written()
    for at in range(0, 40, blocks_of_a_commit):
        model.write(at, blocks_of_a_commit)
        model.end_turn()
    assert need.room_and_written() == before


def test_a_move_costs_its_blocks_and_headers() -> None:
    machine = machine_with(None, cleaning=False)
    model = Modelled(machine, 400)
    model.fill()
    for at in range(0, 400, 2):
        model.write(at)
        model.end_turn()
    log, before = machine.pool.log, machine.pool.log.logged_blocks
    machine.pool.cleaner._start()
    machine.environment.settle()
    moved = machine.pool.cleaner.mover.moved_blocks
    assert 0 < moved < log.moved_blocks <= moved + moved // 16 + 8
    assert log.moved_blocks <= log.logged_blocks - before


def test_hosts_give_hope_by_writing_while_the_last_cycle_runs() -> None:
    machine = machine_with(20)
    model = Modelled(machine, 400)
    need = machine.pool.cleaner._need
    need.marking_begins()
    for at in range(SEGMENT_BLOCKS // HOPE_SHARE - 1):  # The first commit also writes a block with the headers of all of them.
        assert not _is_hopeful_after_nothing(need)
        model.write(at)
        model.end_turn()
    assert _is_hopeful_after_nothing(need)


def _is_hopeful_after_nothing(need) -> bool:  # type: ignore[no-untyped-def]
    need.nothing_to_gain()
    return bool(need.is_hopeful())


@pytest.mark.parametrize("seed", range(4))
def test_a_pool_with_many_dead_headers_never_refuses_a_write(seed: int) -> None:
    """Commits also write headers, so a cycle may gain no more than hosts use up meanwhile."""
    machine = machine_with(16)
    model = Modelled(machine, 7 * SEGMENT_BLOCKS)
    random = Random(seed)
    model.fill()
    for _ in range(3000):
        model.write(random.randrange(model.size_blocks))
        machine.pool.commit()
        for _ in range(random.randrange(4)):
            machine.environment.step()
    model.check()
