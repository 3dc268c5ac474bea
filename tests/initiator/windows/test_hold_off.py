"""The failures after which copies by token are held off, the duration, and the disks that are affected."""

import pytest

from odx_target.initiator.result import CommandResult
from odx_target.initiator.windows.nt_status import NtStatus
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.settings import HoldOffScope, WindowsSettings
from tests.initiator.naive_target import check_condition
from tests.initiator.windows.bench import PT, RRTI, WUT, Bench
from tests.initiator.windows.faults import at
from tests.initiator.windows.scripted import (
    MIB,
)

ALL_CAUSES = frozenset(NtStatus)


@pytest.mark.parametrize("settings", [WindowsSettings(), WindowsSettings(hold_off_s=60.0)])
def test_after_a_refused_token_the_pair_rests_for_three_minutes(settings: WindowsSettings) -> None:
    bench = Bench(settings=settings).start()
    at(bench.destination, WUT, check_condition(5, 0x23, 4))
    size_bytes, rest_s = MIB, settings.hold_off_s
    bench.copy(size_bytes)
    marked_s = bench.clock.now()
    for after_s in (10.0, rest_s - 10.0):
        bench.clock.at_s = marked_s + after_s
        bench.entries.clear()
        report = bench.copy(size_bytes)
        assert report.stop is not None
        assert report.stop.rule is Rule.HELD_OFF
        assert bench.kinds() == []
        assert report.ordinary_bytes == size_bytes
    bench.clock.at_s = marked_s + rest_s + 10.0
    assert bench.copy(size_bytes).offloaded_bytes == size_bytes
    assert bench.kinds() == [PT, RRTI, WUT]


@pytest.mark.parametrize(
    ("sense", "rests"),
    [
        (check_condition(5, 0x20, 0), True),
        (check_condition(5, 0x08, 4), True),
        (check_condition(0xB, 0x55, 3), False),
        (check_condition(5, 0x24, 0), False),
    ],
)
def test_which_failures_start_it(sense: CommandResult, rests: bool) -> None:
    bench = Bench().start()
    at(bench.source, PT, sense)
    bench.copy(MIB)
    again = bench.copy(MIB)
    assert (again.offloaded_bytes == 0) == rests


@pytest.mark.parametrize(("scope", "rests"), [(HoldOffScope.PAIR, False), (HoldOffScope.LOGICAL_UNIT, True)])
def test_whose_copies_rest(scope: HoldOffScope, rests: bool) -> None:
    bench = Bench(settings=WindowsSettings(hold_off_scope=scope)).start()
    at(bench.destination, WUT, check_condition(5, 0x23, 4))
    bench.copy(MIB)
    bench.disks.reverse()
    bench.scripted.reverse()
    bench.source, bench.destination = bench.scripted
    assert (bench.copy(MIB).offloaded_bytes == 0) == rests


def test_all_failures_can_be_made_to_start_it() -> None:
    bench = Bench(settings=WindowsSettings(hold_off_statuses=ALL_CAUSES)).start()
    at(bench.source, PT, check_condition(0xB, 0x55, 3))
    bench.copy(MIB)
    assert bench.copy(MIB).offloaded_bytes == 0
