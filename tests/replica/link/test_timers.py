"""Tests of the keep-alive and of the times of reconnection."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.keep_alive import KeepAlive
from odx_target.replica.link.limits import MAX_RETRY_S, MIN_RETRY_S, REFUSED_RETRY_S
from odx_target.replica.link.reconnection import Dialling, Reconnection
from tests.settings import searching


def silent_until_dead(keep_alive: KeepAlive, now_s: float) -> tuple[list[float], float]:
    """Pass the time at each deadline. Return the times of the PINGs and of the death."""
    pings = []
    while True:
        now_s = keep_alive.deadline_s
        if keep_alive.is_dead(now_s):
            return pings, now_s
        if keep_alive.wants_ping(now_s):
            pings.append(now_s)


def test_a_silent_peer_gets_pings_and_is_dead_after_five_seconds() -> None:
    assert silent_until_dead(KeepAlive(100.0), 100.0) == ([101.0, 102.0, 103.0, 104.0], 105.0)


def test_received_bytes_start_the_time_again() -> None:
    keep_alive = KeepAlive(0.0)
    assert keep_alive.wants_ping(1.0)
    keep_alive.heard(1.5)
    assert not keep_alive.wants_ping(2.4)
    assert silent_until_dead(keep_alive, 1.5)[1] == 6.5


@searching(25)
@given(st.floats(0, 1000))
def test_a_pause_of_this_array_is_no_silence_of_the_peer(pause_s: float) -> None:
    keep_alive = KeepAlive(0.0)
    now_s = max(1.0, pause_s)
    assert not keep_alive.is_dead(now_s)
    assert keep_alive.wants_ping(now_s)
    assert not keep_alive.is_dead(now_s + 3.9)
    assert keep_alive.is_dead(now_s + 5.0)


def reconnection() -> Reconnection:
    return Reconnection(random.Random(1).randbytes, 10.0)


def test_the_first_attempt_is_at_once_and_later_ones_wait_longer() -> None:
    path = reconnection()
    assert (path.state, path.dial_at_s) == (Dialling.WAITING, 10.0)
    longest_s = MIN_RETRY_S
    for _ in range(100):
        path.dial()
        assert path.state is Dialling.DIALLING
        path.failed(50.0)
        assert longest_s / 2 <= path.dial_at_s - 50.0 <= longest_s
        longest_s = min(MAX_RETRY_S, longest_s * 2)


def test_a_connection_resets_the_delay() -> None:
    path = reconnection()
    for _ in range(20):
        path.failed(0.0)
    path.connected()
    assert path.state is Dialling.CONNECTED
    path.failed(0.0)
    assert path.dial_at_s <= MIN_RETRY_S


def test_a_cause_that_an_operator_must_remove_is_tried_again_each_minute() -> None:
    path = reconnection()
    path.failed(5.0, needs_operator=True)
    assert path.dial_at_s == 5.0 + REFUSED_RETRY_S


def test_a_path_that_is_awaited_dials_sooner_but_not_before_an_operator_has_acted() -> None:
    path = reconnection()
    for _ in range(20):
        path.failed(50.0)
    path.dial_by(51.0)
    assert path.dial_at_s == 51.0
    path.dial_by(51.5)
    assert path.dial_at_s == 51.0
    path.failed(60.0, needs_operator=True)
    path.dial_by(61.0)
    assert path.dial_at_s == 60.0 + REFUSED_RETRY_S
    path.dial_now(62.0)
    path.failed(62.0)
    path.dial_by(62.0)
    assert path.dial_at_s == 62.0


def test_an_operator_can_shorten_the_wait() -> None:
    path = reconnection()
    path.failed(5.0, needs_operator=True)
    path.dial_now(7.0)
    assert path.dial_at_s == 7.0
    path.connected()
    path.dial_now(8.0)
    assert path.state is Dialling.CONNECTED


@pytest.mark.parametrize("seed", range(5))
def test_two_arrays_do_not_stay_in_step(seed: int) -> None:
    ours, theirs = Reconnection(random.Random(seed).randbytes, 0.0), Reconnection(random.Random(-seed - 1).randbytes, 0.0)
    for _ in range(6):
        ours.failed(0.0)
        theirs.failed(0.0)
    assert ours.dial_at_s != theirs.dial_at_s
