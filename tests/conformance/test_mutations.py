"""Every check that sends commands fails against a target with a fault that the check is meant to find."""

import pytest

from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Check, Need, Verdict
from odx_target.conformance.features import Features
from odx_target.conformance.runner import run_checks
from tests.conformance.mutation_table import MUTATIONS, rows
from tests.conformance.simulated import SimulatedEquipment
from tests.conformance.test_our_array import COMMANDS, explained


class Unprobed(SimulatedEquipment):
    """Equipment of a target that has all features, so that a fault does not make its checks skipped."""

    async def features(self) -> Features:
        return Features({})


@pytest.mark.parametrize("check", COMMANDS, ids=lambda check: check.identifier)
async def test_a_check_finds_its_fault(check: Check) -> None:
    equipment = Unprobed(MUTATIONS[check.identifier]())
    (result,) = await run_checks([check], equipment, given=~Need.PORTAL, report=lambda _: None)
    assert result.verdict is Verdict.FAIL, explained(result)
    assert "cannot be decoded" not in result.reason


def test_every_check_has_one_fault() -> None:
    assert sorted(identifier for identifier, _ in rows()) == sorted(check.identifier for check in COMMANDS)


def test_identifiers_are_different() -> None:
    identifiers = [check.identifier for check in CHECKS]
    assert len(set(identifiers)) == len(identifiers)
