"""Every check that sends commands, against the array of this project in memory."""

from collections.abc import Callable

import pytest

from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Check, Need, Verdict
from odx_target.conformance.exchange import Records
from odx_target.conformance.reservations.commands import OTHER_KEY, Action, keys, send
from odx_target.conformance.runner import Result, run_checks
from odx_target.initiator.errors import BadRequest
from tests.conformance.mutations import put, sent
from tests.conformance.simulated import SimulatedEquipment
from tests.copymgr.array import CopyArray

COMMANDS = [check for check in CHECKS if not check.needs & Need.PORTAL]


@pytest.mark.parametrize("check", COMMANDS, ids=lambda check: check.identifier)
async def test_our_array_passes(check: Check) -> None:
    (result,) = await run_checks([check], SimulatedEquipment(), given=~Need.PORTAL, report=lambda _: None)
    assert result.verdict is Verdict.PASS, explained(result)


ABOVE_32_BITS = (1 << 32) // 8 + 4096
"""A size in store blocks. The LUN has more than 2^32 blocks of 512 bytes."""


@pytest.mark.parametrize(
    "check", [check for check in COMMANDS if check.area in {"block", "xcopy"}], ids=lambda check: check.identifier
)
async def test_a_lun_of_more_than_2_tib_passes(check: Check) -> None:
    equipment = SimulatedEquipment(array=CopyArray(size_store_blocks=ABOVE_32_BITS))
    (result,) = await run_checks([check], equipment, given=~Need.PORTAL, report=lambda _: None)
    assert result.verdict is Verdict.PASS, explained(result)


@pytest.mark.parametrize("check", COMMANDS, ids=lambda check: check.identifier)
async def test_the_smallest_lun_passes(check: Check) -> None:
    (result,) = await run_checks(
        [check], SimulatedEquipment(array=CopyArray(size_store_blocks=1024)), given=~Need.PORTAL, report=lambda _: None
    )
    assert result.verdict is Verdict.PASS, explained(result)


async def test_a_lun_that_is_too_small_is_an_error_of_the_run() -> None:
    with pytest.raises(BadRequest, match="has 8184 blocks, and the checks need 8192 or more"):
        await run_checks(
            COMMANDS, SimulatedEquipment(array=CopyArray(size_store_blocks=1023)), given=~Need.PORTAL, report=print
        )


RESERVING = [check for check in COMMANDS if check.identifier in {"reserve.key.register", "reserve.refuse.short-list"}]


@pytest.mark.parametrize("check", RESERVING, ids=lambda check: check.identifier)
async def test_registrations_of_other_hosts_stay(check: Check) -> None:
    equipment = SimulatedEquipment()
    async with equipment.open(Records()) as bench, bench.other_initiator("third") as other:
        await send(other, Action.REGISTER, 0, OTHER_KEY)
        (result,) = await run_checks([check], equipment, given=~Need.PORTAL, report=lambda _: None)
        assert result.verdict is Verdict.SKIP, explained(result)
        assert await keys(bench.first) == [OTHER_KEY]


@pytest.mark.parametrize(
    ("mutation", "verdict", "reason"),
    [
        (put(20, 0), Verdict.FAIL, "MULTIP is 1, and only port 1 is registered"),
        (put(20, 4), Verdict.PASS, ""),
        (put(20, 5), Verdict.PASS, ""),
    ],
)
async def test_a_target_that_ignores_all_tg_pt_is_found(
    mutation: Callable[[bytes], bytes], verdict: Verdict, reason: str
) -> None:
    check = next(check for check in COMMANDS if check.identifier == "reserve.report.all-ports")
    equipment = SimulatedEquipment(sent((0x5F, 0), mutation))
    (result,) = await run_checks([check], equipment, given=~Need.PORTAL, report=lambda _: None)
    assert (result.verdict, result.reason) == (verdict, reason)


def explained(result: Result) -> str:
    return "\n".join([result.reason, *(line for exchange in result.exchanges for line in exchange.lines())])
