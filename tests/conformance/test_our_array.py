"""Every check that sends commands, against the array of this project in memory."""

import pytest

from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Check, Need, Verdict
from odx_target.conformance.runner import Result, run_checks
from tests.conformance.simulated import SimulatedEquipment

COMMANDS = [check for check in CHECKS if not check.needs & Need.PORTAL]


@pytest.mark.parametrize("check", COMMANDS, ids=lambda check: check.identifier)
async def test_our_array_passes(check: Check) -> None:
    (result,) = await run_checks([check], SimulatedEquipment(), given=~Need.PORTAL, report=lambda _: None)
    assert result.verdict is Verdict.PASS, explained(result)


def explained(result: Result) -> str:
    return "\n".join([result.reason, *(line for exchange in result.exchanges for line in exchange.lines())])
