"""Polling before a wait: how long, how often, and when it pauses."""

import os

import pytest

from odx_target.target.readiness import polling
from odx_target.target.readiness.polling import (
    GOOD_POLLS,
    MAX_POLLING_S,
    MAX_POLLS,
    MAX_VAIN_POLLS,
    MAX_WAITS_WITHOUT_POLLING,
    SHORT_WAIT_S,
    WAITS_WITHOUT_POLLING,
    Polling,
)

READY = [(7, 1)]


class Machine:
    """A poller and a clock. The socket becomes readable after `polls_to_ready` polls, and each poll takes `poll_s`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.poll_s = 0.0
        self.polls_to_ready: int | None = None
        self.polls = 0
        self.closed = False
        self.polling = Polling(self, lambda: self.now_s)

    def register(self, fd: int, eventmask: int, /) -> None: ...

    def unregister(self, fd: int, /) -> None: ...

    def close(self) -> None: ...

    def poll(self, timeout: float, maxevents: int, /) -> list[tuple[int, int]]:
        assert (timeout, maxevents) == (0, polling.MAX_EVENTS)
        self.polls += 1
        self.now_s += self.poll_s
        return READY if self.polls == self.polls_to_ready else []

    def polls_before_wait(self, wait_s: float = 1.0) -> int:
        """Poll once, and wait if no socket is readable. Returns the number of polls."""
        self.polls = 0
        if not self.polling.poll():
            self.now_s += wait_s
            self.polling.has_waited()
        return self.polls

    def polls_before_waits(self, waits: int) -> list[int]:
        return [self.polls_before_wait() for _ in range(waits)]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(os, "sched_yield", lambda: None)
    return Machine()


def test_polling_ends_when_a_socket_is_readable(machine: Machine) -> None:
    machine.polls_to_ready = 5
    assert machine.polling.poll() == READY
    assert machine.polls == 5


def test_polling_in_vain_becomes_rare(machine: Machine) -> None:
    found = machine.polls_before_waits(MAX_VAIN_POLLS + 2 * WAITS_WITHOUT_POLLING)
    assert found[:MAX_VAIN_POLLS] == [MAX_POLLS] * MAX_VAIN_POLLS
    assert found[MAX_VAIN_POLLS:] == ([0] * (WAITS_WITHOUT_POLLING - 1) + [MAX_POLLS]) * 2


def test_a_poll_that_succeeds_makes_polling_usual_again(machine: Machine) -> None:
    machine.polls_before_waits(MAX_VAIN_POLLS + WAITS_WITHOUT_POLLING - 1)
    machine.polls_to_ready = 1
    assert machine.polls_before_wait() == 1
    machine.polls_to_ready = None
    assert machine.polls_before_waits(MAX_VAIN_POLLS) == [MAX_POLLS] * MAX_VAIN_POLLS


@pytest.mark.parametrize(("wait_s", "polls"), [(SHORT_WAIT_S / 2, MAX_POLLS), (1.01 * SHORT_WAIT_S, 0)])
def test_a_short_wait_makes_polling_usual_again(machine: Machine, wait_s: float, polls: int) -> None:
    machine.polls_before_waits(MAX_VAIN_POLLS)
    assert machine.polls_before_wait(wait_s) == 0
    assert machine.polls_before_wait() == polls


@pytest.mark.parametrize("polls_to_ready", [1, None])
def test_polling_pauses_at_once_on_a_busy_machine(machine: Machine, polls_to_ready: int | None) -> None:
    machine.poll_s, machine.polls_to_ready = MAX_POLLING_S, polls_to_ready
    assert machine.polls_before_wait() == 1
    assert machine.polls_before_waits(WAITS_WITHOUT_POLLING) == [0] * WAITS_WITHOUT_POLLING
    assert machine.polls_before_wait() == 1


def test_short_waits_do_not_end_the_pause_on_a_busy_machine(machine: Machine) -> None:
    machine.poll_s = MAX_POLLING_S
    machine.polls_before_wait(SHORT_WAIT_S / 2)
    assert [machine.polls_before_wait(SHORT_WAIT_S / 2) for _ in range(WAITS_WITHOUT_POLLING)] == [0] * WAITS_WITHOUT_POLLING


def pause_of(machine: Machine) -> int:
    """Poll on a busy machine, and return the number of waits without polling after that."""
    machine.poll_s = MAX_POLLING_S
    assert machine.polls_before_wait() == 1
    machine.poll_s, waits = 0.0, 0
    while not machine.polls_before_wait():
        waits += 1
    return waits


def test_pauses_on_a_busy_machine_become_longer_up_to_a_limit(machine: Machine) -> None:
    machine.polls_to_ready = 1
    pauses = [pause_of(machine) for _ in range(9)]
    assert pauses[:3] == [WAITS_WITHOUT_POLLING, 2 * WAITS_WITHOUT_POLLING, 4 * WAITS_WITHOUT_POLLING]
    assert pauses[-2:] == [MAX_WAITS_WITHOUT_POLLING] * 2


@pytest.mark.parametrize(("good_polls", "pause"), [(GOOD_POLLS, 1), (GOOD_POLLS - 1, 4)])
def test_pauses_are_short_again_after_many_successful_polls(machine: Machine, good_polls: int, pause: int) -> None:
    machine.polls_to_ready = 1
    pause_of(machine)
    pause_of(machine)
    machine.polls_before_waits(good_polls - 1)  # the pause has ended with a successful poll
    assert pause_of(machine) == pause * WAITS_WITHOUT_POLLING
