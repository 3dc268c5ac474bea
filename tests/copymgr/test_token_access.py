"""The policies that restrict the initiators that can use a token."""

from dataclasses import replace

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyOptions, TokenAccess
from odx_target.copymgr.tokens import durable
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.copymgr.tokens.zero_token import ZERO_TOKEN
from tests.copymgr.array import CopyArray, code_of

NOT_REPORTABLE = "5/23/00"
PERSISTENT = {"flags": int(ListFlag.RTV), "rod_type": int(RodType.POINT_IN_TIME_PERSISTENT)}

ALLOWED = {
    # The initiators that can use a token of LUN 0 that "iqn.creator" made, by policy. "iqn.reader" also has LUN 0.
    TokenAccess.ANYONE: {"iqn.creator", "iqn.reader", "iqn.stranger"},
    TokenAccess.SOURCE: {"iqn.creator", "iqn.reader"},
    TokenAccess.CREATOR: {"iqn.creator"},
}


def outcomes(array: CopyArray, token: bytes) -> dict[str, str]:
    """Return the result of a WRITE USING TOKEN to LUN 1 for each initiator."""
    found = {}
    for initiator in ("iqn.creator", "iqn.reader", "iqn.stranger"):
        nexus = array.new_nexus(initiator, "2")
        if initiator == "iqn.stranger":
            nexus.logical_units = {1: array.logical_units[1]}
        found[initiator] = code_of(array.write_using(1, 1, token, [(0, 8)], nexus=nexus))
    return found


def populated(array: CopyArray, **fields: int) -> bytes:
    creator = array.new_nexus("iqn.creator")
    assert code_of(array.populate(0, 7, [(0, 8)], nexus=creator, **fields)) == "good"
    return array.manager.copies.tokens.live[max(array.manager.copies.tokens.live)].data


@pytest.mark.parametrize("policy", list(TokenAccess))
def test_the_initiators_of_each_policy(policy: TokenAccess) -> None:
    array = CopyArray(options=CopyOptions(token_access=policy))
    codes = outcomes(array, populated(array))
    assert {initiator for initiator, code in codes.items() if code == "good"} == ALLOWED[policy]
    assert {code for code in codes.values() if code != "good"} <= {NOT_REPORTABLE}


@pytest.mark.parametrize("policy", list(TokenAccess))
def test_everybody_can_use_the_zero_token(policy: TokenAccess) -> None:
    assert set(outcomes(CopyArray(options=CopyOptions(token_access=policy)), ZERO_TOKEN).values()) == {"good"}


@pytest.mark.parametrize("policy", list(TokenAccess))
def test_a_persistent_token_keeps_its_creator_after_a_restart(policy: TokenAccess) -> None:
    array = CopyArray(options=CopyOptions(token_access=policy))
    token = populated(array, **PERSISTENT)
    array.restart()
    codes = outcomes(array, token)
    assert {initiator for initiator, code in codes.items() if code == "good"} == ALLOWED[policy]


def test_a_token_without_a_stored_name_belongs_to_no_initiator(monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray(options=CopyOptions(token_access=TokenAccess.CREATOR))
    copies = array.manager.copies
    token = populated(array, **PERSISTENT)
    stored = copies.tokens.live[max(copies.tokens.live)]
    stored.initiator_name = ""
    monkeypatch.setattr(durable, "FORMAT_VERSION", durable.FORMAT_WITHOUT_NAME)
    copies.durable_tokens.put(stored)
    monkeypatch.undo()
    array.restart()
    assert array.manager.copies.durable_tokens.damaged == 0
    assert set(outcomes(array, token).values()) == {NOT_REPORTABLE}
    array.manager.copies.options = replace(array.options, token_access=TokenAccess.ANYONE)
    assert set(outcomes(array, token).values()) == {"good"}


def test_the_source_must_still_be_served() -> None:
    array = CopyArray(options=CopyOptions(token_access=TokenAccess.SOURCE))
    token = populated(array)
    unit = array.logical_units.pop(0)
    array.manager.detach_logical_unit(unit)
    assert set(outcomes(array, token).values()) == {NOT_REPORTABLE}


def test_the_reason_of_a_refusal_is_in_the_log() -> None:
    array = CopyArray(options=CopyOptions(token_access=TokenAccess.CREATOR))
    outcomes(array, populated(array))
    assert array.manager.copies.refusals.latest[-1]["rule"] == "another initiator made the token"
