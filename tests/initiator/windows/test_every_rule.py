"""Every rule has a scripted target that breaks it, and every such row names the step at which Windows stops."""

from collections.abc import Sequence
from typing import Any

from odx_target.initiator.errors import Breach
from odx_target.initiator.windows.rules import BREACHES, Rule
from tests.initiator.windows import test_chap, test_declines, test_live_sessions, test_login, test_notes, test_wire

DECLINED: Sequence[Sequence[tuple[Any, ...]]] = (
    # rule, step, function that breaks the rule
    test_live_sessions.BROKEN_DISCOVERY,
    test_live_sessions.BROKEN_RESETS,
    test_login.BROKEN_LOGINS,
    test_login.REFUSED_DIGESTS,
    test_chap.BROKEN_CHAP,
    test_chap.SECRETS,
    test_wire.BROKEN_PDUS,
    test_wire.BROKEN_DIGESTS,
    test_declines.DISCOVERY,
    test_declines.UNUSABLE,
    test_declines.READ_SIDE,
    test_declines.WRITE_SIDE,
    test_declines.ANYWHERE,
)
NOTED_ELSEWHERE = {
    # rule: the test in which it is met
    Rule.NARROW_COMMAND_WINDOW: test_login.test_a_narrow_window_is_noted,
    Rule.REJECTED: test_live_sessions.test_a_command_that_is_rejected_is_sent_again,
    Rule.COMMAND_UNANSWERED: test_live_sessions.test_a_reset_without_answer_ends_in_a_new_session,
    Rule.LOGOUT_UNANSWERED: test_live_sessions.test_a_logout_without_answer_is_noted,
    Rule.FUA_REFUSED: test_notes.test_a_target_that_refuses_fua_is_taken_to_have_no_cache,
    Rule.FOREIGN_ANSWER: test_notes.test_an_answer_for_another_command,
}
IN_SCRIPTS = {Rule.TOKEN_SHORT, Rule.TOO_LONG, Rule.WRITE_SHORT, Rule.DESCRIPTOR_FORMAT}
IN_THE_SENSE_TABLE = {Rule.CAPACITY_CHANGED, Rule.INQUIRY_CHANGED, Rule.SOFT_THRESHOLD}


def test_every_reason_to_decline_is_brought_about() -> None:
    assert {row[0] for table in DECLINED for row in table} == {rule for rule in Rule if rule.declines}


def test_every_row_says_at_which_step() -> None:
    assert all(row[1] for table in DECLINED for row in table)


def test_every_note_is_brought_about() -> None:
    noted = {rule for rule, _ in test_notes.NOTES} | NOTED_ELSEWHERE.keys() | IN_SCRIPTS | IN_THE_SENSE_TABLE
    assert noted == {rule for rule in Rule if not rule.declines}


def test_every_breach_of_the_protocol_is_a_rule_to_windows() -> None:
    assert set(BREACHES) == set(Breach)


def test_reasons_are_told_apart() -> None:
    assert len({rule.reason for rule in Rule}) == len(Rule)
