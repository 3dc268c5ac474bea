"""An array under stress refuses new copies, with sense data after which hosts copy by reads and writes."""

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.copymgr.stepping_aside import OPERATOR, STEP_ASIDE_S
from tests.copymgr.array import CopyArray, code_of
from tests.copymgr.extended_copy import HERE, BlocksSegment, copy_cdb, lid1_list

REFUSED = "5/55/03"
STEPS = CopyLimits(copy_step_bytes=4096, command_budget_s=1000.0)


def copying(options: CopyOptions, count: int) -> CopyArray:
    """Return an array with `count` copies under way, each of which takes a second for a step."""
    array = CopyArray(STEPS, options)
    token = array.token(0, 1, [(1, 16)])
    array.manager.copies.before_step = lambda operation: array.environment.sleep(1.0)
    for number in range(count):
        array.start_write_using(1, 10 + number, token, [(64 * number + 9, 16)], flags=ListFlag.IMMED)
    assert len(array.manager.copies.operations) == count
    return array


def populate(array: CopyArray) -> str:
    array.manager.copies.before_step = None
    return code_of(array.populate(0, 2, [(0, 8)]))


def extended_copy(array: CopyArray) -> str:
    parameters = lid1_list([], [BlocksSegment(HERE, 0, HERE, 8, 8).build()])
    return code_of(array.command(0, copy_cdb(len(parameters)), parameters))


@pytest.mark.parametrize("new_copy", [populate, extended_copy])
@pytest.mark.parametrize(("count", "expected"), [(1, "good"), (2, REFUSED), (3, REFUSED)])
def test_the_threshold_of_running_copies(new_copy: object, count: int, expected: str) -> None:
    array = copying(CopyOptions(step_aside_copies=2), count)
    assert callable(new_copy)
    assert new_copy(array) == expected
    assert array.manager.copies.stepping_aside.refused == (expected == REFUSED)


def test_a_token_is_still_used_and_copies_begin_again_after_a_while() -> None:
    array = copying(CopyOptions(step_aside_copies=1), 0)
    token = array.token(0, 1, [(0, 8)])
    array.manager.copies.before_step = lambda operation: array.environment.sleep(1.0)
    array.start_write_using(1, 2, token, [(9, 8)], flags=ListFlag.IMMED)
    assert populate(array) == REFUSED
    assert code_of(array.write_using(1, 3, token, [(64, 8)])) == "good"
    array.environment.advance(STEP_ASIDE_S - 1.0)
    assert array.manager.copies.operations == {}
    assert populate(array) == REFUSED, "the array waits for a while after the stress"
    array.environment.advance(2.0)
    assert populate(array) == "good"


@pytest.mark.parametrize("new_copy", [populate, extended_copy])
def test_the_threshold_of_the_latency(new_copy: object) -> None:
    array = CopyArray(options=CopyOptions(step_aside_latency_s=0.05))
    stepping_aside, environment = array.manager.copies.stepping_aside, array.environment
    assert callable(new_copy)
    stepping_aside.note_latency(0.05, environment.monotonic())
    assert new_copy(array) == "good"
    stepping_aside.note_latency(0.051, environment.monotonic())
    assert new_copy(array) == REFUSED
    environment.advance(STEP_ASIDE_S / 2)
    stepping_aside.note_latency(0.06, environment.monotonic())
    environment.advance(STEP_ASIDE_S - 1.0)
    assert new_copy(array) == REFUSED, "the time begins again at each sign of stress"
    environment.advance(1.0)
    assert new_copy(array) == "good"


def test_the_reason_is_kept_for_the_operator() -> None:
    array = CopyArray(options=CopyOptions(step_aside_latency_s=0.05))
    array.manager.copies.stepping_aside.note_latency(1.0, array.environment.monotonic())
    assert populate(array) == REFUSED
    (refusal,) = array.manager.copies.refusals.latest
    assert (refusal["limit"], refusal["allowed"]) == ("step-aside-latency in milliseconds", 50)


@pytest.mark.parametrize("new_copy", [populate, extended_copy])
def test_the_operator_asks_for_a_time(new_copy: object) -> None:
    array = CopyArray()
    stepping_aside, environment = array.manager.copies.stepping_aside, array.environment
    token = array.token(0, 1, [(0, 8)])
    assert callable(new_copy)
    stepping_aside.begin(600, environment.monotonic())
    assert stepping_aside.cause(environment.monotonic()) == OPERATOR
    environment.advance(60.0)
    assert stepping_aside.remaining_s(environment.monotonic()) == 540.0
    assert new_copy(array) == REFUSED
    assert code_of(array.write_using(1, 3, token, [(64, 8)])) == "good", "a token that a host has is still used"
    environment.advance(540.0)
    assert stepping_aside.remaining_s(environment.monotonic()) is None
    assert stepping_aside.cause(environment.monotonic()) is None
    assert new_copy(array) == "good"


def test_the_operator_ends_it_early_whatever_the_cause() -> None:
    array = CopyArray(options=CopyOptions(step_aside_latency_s=0.05))
    stepping_aside, environment = array.manager.copies.stepping_aside, array.environment
    stepping_aside.begin(600, environment.monotonic())
    stepping_aside.note_latency(1.0, environment.monotonic())
    stepping_aside.begin(1, environment.monotonic())
    environment.advance(2.0)
    assert stepping_aside.cause(environment.monotonic()) == "step-aside-latency in milliseconds: 50"
    assert populate(array) == REFUSED, "the stress goes on when the operator's time is over"
    stepping_aside.end()
    assert populate(array) == "good"
    stepping_aside.note_latency(1.0, environment.monotonic())
    assert populate(array) == REFUSED, "until the next sign of stress"


def test_by_default_an_array_never_steps_aside() -> None:
    array = copying(CopyOptions(), 30)
    array.manager.copies.stepping_aside.note_latency(1000.0, array.environment.monotonic())
    assert populate(array) == "good"
