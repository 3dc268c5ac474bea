"""The latency of the reads and writes of hosts, and an array that steps aside because of it."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from odx_target.copymgr.refusal import Refusal
from odx_target.scsi.traffic import CommandKind, Traffic
from odx_target.target.array import UPKEEP_INTERVAL_S
from odx_target.target.config.settings import Config
from odx_target.target.foreground_latency import ForegroundLatency
from tests.scsi.array import UnitUnderTest
from tests.target.running import LUNS, running


def test_the_mean_latency_since_the_last_measurement() -> None:
    units = [UnitUnderTest(), UnitUnderTest()]
    logical_units, removed, latency = [unit.logical_unit for unit in units], Traffic(), ForegroundLatency()

    def measure() -> float | None:
        environment = units[0].environment
        return environment.run(latency.measure(logical_units, removed, environment.turns))

    assert measure() is None
    logical_units[0].traffic.kinds[CommandKind.READ].add(3, 4096, 0.25)
    logical_units[1].traffic.kinds[CommandKind.WRITE].add(1, 4096, 0.75)
    logical_units[1].traffic.kinds[CommandKind.OTHER].add(100, 0, 9.0)
    assert measure() == 0.375
    assert measure() is None
    logical_units[0].traffic.kinds[CommandKind.READ].add(1, 4096, 0.5)
    removed.add_all(logical_units.pop().traffic)
    assert measure() == 0.5, "a removed unit changes nothing"


async def test_an_array_measures_every_second(autojump_clock: MockClock) -> None:
    async with running(replace(Config(luns=LUNS), step_aside_latency_s=0.01)) as array:
        stepping_aside = array.copy_manager.copies.stepping_aside
        await trio.sleep(1.5 * UPKEEP_INTERVAL_S)
        array.logical_units[0].traffic.kinds[CommandKind.WRITE].add(10, 4096, 0.02)
        stepping_aside.require_calm(0, array.environment.monotonic())
        await trio.sleep(UPKEEP_INTERVAL_S)
        with pytest.raises(Refusal, match="under stress"):
            stepping_aside.require_calm(0, array.environment.monotonic())
    assert stepping_aside.refused == 1
