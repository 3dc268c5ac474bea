"""Tests of the choice between two ways to send data."""

import pytest

from odx_target.replica.link.limits import FAST_BYTES_PER_S, MIN_GAIN, TRIAL_BYTES, TRIAL_INTERVAL_BYTES
from odx_target.replica.link.trial import Trial

STEP_BYTES = TRIAL_BYTES // 8


def send(trial: Trial, size_bytes: int, rates: tuple[float, float]) -> int:
    """Send data at the rate of the way that is chosen. Returns the bytes that were sent in the other way."""
    others = 0
    for _ in range(size_bytes // STEP_BYTES):
        is_other = trial.uses_other
        trial.note(STEP_BYTES, STEP_BYTES / rates[is_other], is_other=is_other)
        others += STEP_BYTES * is_other
    return others


@pytest.mark.parametrize("usual", [FAST_BYTES_PER_S, 10 * FAST_BYTES_PER_S])
def test_a_fast_line_needs_no_trial(usual: float) -> None:
    assert send(Trial(), 10 * TRIAL_INTERVAL_BYTES, (usual, 100 * usual)) == 0


def test_the_faster_way_is_used_and_the_usual_one_tried_again() -> None:
    trial = Trial()
    assert send(trial, 2 * TRIAL_BYTES, (1e6, 2e6)) == TRIAL_BYTES
    assert trial.uses_other
    whole = 100 * (TRIAL_INTERVAL_BYTES + 2 * TRIAL_BYTES)
    assert whole - send(trial, whole, (1e6, 2e6)) == 100 * TRIAL_BYTES


def test_a_gain_that_is_small_or_negative_is_not_worth_it() -> None:
    for gain in (0.1, 1.0, MIN_GAIN - 0.01):
        trial = Trial()
        assert send(trial, TRIAL_INTERVAL_BYTES, (1e6, gain * 1e6)) == TRIAL_BYTES
        assert not trial.uses_other


def test_a_processor_that_becomes_busy_is_noticed() -> None:
    trial = Trial()
    send(trial, TRIAL_INTERVAL_BYTES, (1e6, 2e6))
    assert trial.uses_other
    send(trial, 2 * TRIAL_INTERVAL_BYTES, (1e6, 0.5e6))
    assert not trial.uses_other


def test_data_that_was_begun_before_a_change_does_not_count() -> None:
    trial = Trial()
    send(trial, TRIAL_BYTES, (1e6, 1e6))
    assert trial.uses_other
    trial.note(TRIAL_BYTES, 1000.0, is_other=False)
    assert trial.uses_other
    send(trial, TRIAL_BYTES, (1e6, 2e6))
    assert trial.uses_other


def test_buffers_that_take_data_at_once_do_not_make_a_slow_line_fast() -> None:
    trial = Trial()
    trial.note(TRIAL_BYTES, 0.0, is_other=False)
    assert not trial.uses_other
    assert send(trial, 2 * TRIAL_BYTES, (1e6, 2e6)) == TRIAL_BYTES
    assert trial.uses_other
