"""Tests of the conditions of groups, and of their lines in the log."""

from collections.abc import Hashable, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.sync.group_states import GroupState
from odx_target.target.control.groups.conditions import CONDITIONS, Condition, Facts, condition_of
from odx_target.target.peers.group_alarms import SETTLE_S, GroupAlarms

GOOD = Facts(GroupState.SERVING, True, True, True, True, False, False, False, False)
BY_NAME = {each.name: each for each in CONDITIONS}


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (GOOD, "in sync"),
        (GOOD._replace(is_primary=False, state=GroupState.STANDBY), "in sync"),
        (GOOD._replace(has_failed=True, is_in_sync=False), "failed"),
        (GOOD._replace(state=GroupState.WAITING, is_peer_connected=False), "no lease"),
        (GOOD._replace(state=GroupState.TAKING_OVER, is_primary=False, is_peer_connected=False), "taking over"),
        (GOOD._replace(has_mismatch=True), "in sync"),
        (GOOD._replace(has_mismatch=True, is_in_sync=False, is_resyncing=True), "different"),
        (GOOD._replace(is_in_sync=False, is_resyncing=True), "resync"),
        (GOOD._replace(is_in_sync=False, is_isolated=True, is_peer_connected=False), "isolated"),
        (GOOD._replace(is_in_sync=False, is_peer_connected=False), "peer lost"),
        (GOOD._replace(is_in_sync=False), "out of sync"),
        (GOOD._replace(state=GroupState.OUT_OF_SYNC, is_primary=False, is_in_sync=False), "out of sync"),
        (GOOD._replace(is_peer_connected=False, is_witness_connected=False), "peer silent"),
        (GOOD._replace(is_witness_connected=False), "witness lost"),
    ],
)
def test_a_condition_follows_from_the_facts(facts: Facts, name: str) -> None:
    assert condition_of(facts).name == name


def all_facts() -> Iterator[Facts]:
    for state, flags in product(GroupState, product((False, True), repeat=8)):
        yield Facts(state, *flags)


def test_every_condition_is_reached_and_only_the_last_one_is_good() -> None:
    assert {condition_of(each).name for each in all_facts()} == set(BY_NAME)
    assert [each.name for each in CONDITIONS if not each.advice] == ["in sync"]
    for facts in all_facts():
        if not facts.is_peer_connected or not facts.is_witness_connected or not facts.is_in_sync or facts.has_failed:
            assert condition_of(facts).advice, facts


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, object]] = []

    def __call__(self, level: str, event: str, /, *, cause: Hashable = None, **fields: Any) -> None:
        del cause
        assert fields.get("hint", "good") != ""
        self.lines.append((level, event, fields["group"]))


def test_a_condition_is_reported_once_and_its_end_too() -> None:
    log = Log()
    alarms = GroupAlarms(log)
    for second in range(20):
        now = BY_NAME["witness lost" if 5 <= second < 12 else "in sync"]
        alarms.look([("db", now)], float(second))
    assert log.lines == [
        ("error", "a group needs attention: witness lost", "db"),
        ("info", "a group is in sync again", "db"),
    ]


def test_a_short_condition_is_not_reported() -> None:
    log = Log()
    alarms = GroupAlarms(log)
    for tenth in range(200):
        alarms.look([("db", BY_NAME["peer silent" if tenth % 40 < 10 * SETTLE_S - 1 else "in sync"])], tenth / 10)
    assert log.lines == []


def test_a_deleted_group_is_forgotten() -> None:
    log = Log()
    alarms = GroupAlarms(log)
    for second in range(10):
        alarms.look([("db", BY_NAME["peer lost"])], float(second))
    alarms.look([], 10.0)
    for second in range(11, 30):
        alarms.look([("db", BY_NAME["in sync"])], float(second))
    assert len(log.lines) == 1


@given(st.lists(st.tuples(st.sampled_from(CONDITIONS), st.floats(0.0, 5.0)), max_size=30))
def test_each_line_is_about_a_condition_that_has_lasted(steps: list[tuple[Condition, float]]) -> None:
    log, now_s = Log(), 0.0
    alarms = GroupAlarms(log)
    reported = CONDITIONS[-1]
    present, since_s = None, 0.0
    for condition, pause_s in steps:
        now_s += pause_s
        if condition is not present:
            present, since_s = condition, now_s
        before = len(log.lines)
        alarms.look([("db", condition)], now_s)
        expected = condition is not reported and now_s - since_s >= SETTLE_S
        assert len(log.lines) - before == int(expected)
        if expected:
            reported = condition
