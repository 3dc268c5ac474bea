"""Crashes at each operation of the disk while a schedule runs: after the restart, the moment has run once and wholly."""

from contextlib import suppress

import pytest

from tests.sim.simulated_disk import Crash
from tests.target.schedules.shop import Shop

HOUR = 3600.0
MOMENTS = ["hourly-2026-11-29T13:00Z", "hourly-2026-11-29T14:00Z"]
KEPT = 1


def crashed_run(operations: int, *, power_loss: bool) -> bool:
    """Run a schedule for the second time, and crash after some operations. Return False if the run ended before that."""
    shop = Shop()
    for name in "ab":
        shop.volume(name)
    schedule = shop.add("hourly", every="hourly", default=True, keep=KEPT)
    shop.advance(2 * HOUR - 60)
    assert shop.snapshots("a") == MOMENTS[:1]
    shop.machine.disk.crash_after(operations)
    with suppress(Crash):
        shop.advance(120)
    crashed = bool(shop.machine.disk.is_off)
    shop.machine.disk.crash_after(None)
    shop.restart(5, power_loss=power_loss)
    groups = [{shop.pool.volumes[name].snapshots[each].group for each in shop.snapshots(name)} for name in "ab"]
    assert groups[0] == groups[1], "the snapshots of one moment are there together or not at all"
    shop.advance(60)
    assert shop.snapshots("a") == shop.snapshots("b") == MOMENTS[-KEPT:]
    progress = shop.book.states[schedule.identifier].progress
    assert progress.ran == ((progress.seen - 60, progress.seen),)
    assert shop.book.states[schedule.identifier].missed == 0, "a run that is late by some seconds is not missed"
    return crashed


@pytest.mark.parametrize("power_loss", [False, True])
def test_a_crash_at_each_operation_of_a_run(power_loss: bool) -> None:
    operations = 0
    while crashed_run(operations, power_loss=power_loss):
        operations += 1
    assert operations >= 3, "the run writes to the disk"
