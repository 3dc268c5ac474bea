"""Each rule of membership in a short story, and each mutant fails at least one of them."""

import pytest

from odx_target.replica.membership.member import Member
from odx_target.replica.membership.witness import Witness
from tests.replica.membership.mutants import MUTANTS
from tests.replica.membership.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_rules(scenario: Scenario) -> None:
    scenario(Member, Witness)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_noticed(mutant: type[Member] | type[Witness]) -> None:
    members = mutant if issubclass(mutant, Member) else Member
    witnesses = mutant if issubclass(mutant, Witness) else Witness
    failed = 0
    for scenario in SCENARIOS:
        try:
            scenario(members, witnesses)
        except AssertionError:
            failed += 1
    assert failed
