"""A lost catalogue is rebuilt only if the log still has all that was ever in it, at whatever moment the power was lost."""

import errno
from contextlib import suppress

import pytest
from tests.sim.simulated_disk import Crash
from tests.store.cleaning.cleaned_pools import Modelled
from tests.store.pools import Machine

from odx_target.store.api import PoolDamaged
from odx_target.store.catalogue.memory import CatalogueContent
from odx_target.store.open import PoolOptions
from odx_target.store.opening.format_head import decode_head
from odx_target.store.segments import supply

SEGMENT_BLOCKS = 64
SIZE = 600


def with_dead_segments() -> tuple[Machine, Modelled]:
    """A pool whose first segment has live blocks, and whose next segments have none."""
    machine = Machine(PoolOptions(segment_blocks=SEGMENT_BLOCKS, cleaning=False))
    model = Modelled(machine, SIZE)
    model.write(0, 55)
    model.end_turn()
    for _ in range(8):
        model.write(100, 60)
        model.end_turn()
    machine.flush()
    machine.pool.cleaner._need._is_enabled = True
    return machine, model


def clean(machine: Machine) -> None:
    machine.pool.cleaner._start()
    machine.environment.settle()


def is_cleaned(machine: Machine) -> bool:
    return decode_head(machine.disk.head.document or b"", "the head").cleaned


def lose_catalogue(machine: Machine) -> CatalogueContent:
    kept, machine.disk.catalogue_content = machine.disk.catalogue_content, CatalogueContent()
    return kept


def check_loss(machine: Machine, model: Modelled) -> bool:
    """Lose the power and the catalogue. Returns True if the pool was opened, with all its data."""
    kept = lose_catalogue(machine)
    try:
        machine.lose_power()
    except PoolDamaged:
        machine.disk.catalogue_content = kept
        machine.open()
        model.check()
        return False
    model.check()
    return True


@pytest.mark.parametrize("seed", range(6))
def test_a_lost_catalogue_is_never_replaced_by_a_part_of_the_log(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:
        monkeypatch.setattr(supply, "MAX_FREE_SEGMENTS", 0)  # Freed segments are deleted, not kept for new ones.
    opened = []
    for operations in range(1000):
        machine, model = with_dead_segments()
        machine.disk._random.seed(1000 * seed + operations)
        machine.disk.crash_after(operations)
        try:
            clean(machine)
            machine.disk.check_on()
        except Crash:
            opened.append(check_loss(machine, model))
        else:
            assert machine.pool.supply.freed >= 4
            assert 1 in machine.pool.supply.segments
            machine.disk.crash_after(None)
            assert not check_loss(machine, model)
            break
    assert operations > 10
    assert opened == sorted(opened, reverse=True), "as soon as the flag is set, the log is not used any more"
    assert opened[0]
    assert not opened[-1]


def test_nothing_is_freed_if_the_head_cannot_be_written() -> None:
    machine, model = with_dead_segments()
    machine.disk.failing.add("head")
    machine.disk.error_number = errno.EIO
    clean(machine)
    assert machine.pool.supply.freed == 0
    assert not machine.pool.supply.retired
    machine.disk.failing.clear()
    clean(machine)
    assert machine.pool.supply.freed > 0
    assert is_cleaned(machine)
    model.check()


def test_a_pool_that_was_never_cleaned_has_no_flag() -> None:
    machine, model = with_dead_segments()
    assert not is_cleaned(machine)
    machine.reopen()
    assert not is_cleaned(machine)
    lose_catalogue(machine)
    machine.kill()
    model.check()


def test_the_flag_stays_when_the_pool_is_opened_again() -> None:
    machine, _ = with_dead_segments()
    clean(machine)
    for _ in range(2):
        machine.reopen()
        assert is_cleaned(machine)


def test_a_later_segment_that_the_replay_does_not_reach_is_named() -> None:
    machine, _ = with_dead_segments()
    machine.close()
    lose_catalogue(machine)
    later = sorted(machine.disk.files)[3:]
    del machine.disk.files[later[0]]
    files = sorted(machine.disk.files)
    # Without the batches that state how much of the log was durable, only the OSNs show that a segment is missing.
    for number in later[2:]:
        del machine.disk.files[number]
        files.remove(number)
    with pytest.raises(PoolDamaged, match=rf"segment {later[1]} of the simulated disk"):
        machine.open()
    assert sorted(machine.disk.files) == files


@pytest.mark.parametrize("operations", range(0, 60, 3))
def test_a_rebuilt_pool_is_marked_only_after_its_first_checkpoint(operations: int) -> None:
    machine, model = with_dead_segments()
    machine.close()
    lose_catalogue(machine)
    machine.open()
    machine.pool.cleaner._need._is_enabled = True
    machine.disk.crash_after(operations)
    with suppress(Crash):
        clean(machine)
    machine.lose_power()
    model.check()
