"""The hardware acceleration state: each event, each interval, and a comparison with a naive model."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from odx_target.initiator.esxi.acceleration import Acceleration, State, device_state
from odx_target.initiator.esxi.settings import RELEASES, Release


@pytest.mark.parametrize("release", [Release.V5_0, Release.V6_0])
def test_after_a_failure_five_minutes_pass(release: Release) -> None:
    clone = Acceleration(RELEASES[release])
    assert clone.may_try(0.0)
    clone.note_failure(100.0)
    for _ in range(20_000):
        clone.note_piece_by_host()
    assert not clone.may_try(399.9)
    assert clone.may_try(400.0)


def test_after_a_failure_release_4_1_waits_for_16384_pieces() -> None:
    clone = Acceleration(RELEASES[Release.V4_1])
    clone.note_failure(100.0)
    for _ in range(16_383):
        clone.note_piece_by_host()
    assert not clone.may_try(1e9)
    clone.note_piece_by_host()
    assert clone.may_try(100.0)
    clone.note_failure(101.0)
    assert not clone.may_try(1e9), "the count begins again after each failure"


def test_an_absent_primitive_is_never_tried() -> None:
    clone = Acceleration(RELEASES[Release.V6_0])
    clone.set_absent()
    assert clone.state is State.NOT_SUPPORTED
    assert not clone.may_try(1e9)


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ("uuu", State.UNKNOWN),
        ("sss", State.SUPPORTED),
        ("nnn", State.NOT_SUPPORTED),
        ("ssn", State.UNKNOWN),
        ("ssu", State.UNKNOWN),
        ("nnu", State.UNKNOWN),
    ],
)
def test_state_of_a_disk(states: str, shown: State) -> None:
    names = {"u": State.UNKNOWN, "s": State.SUPPORTED, "n": State.NOT_SUPPORTED}
    assert device_state([names[letter] for letter in states]) is shown


class AccelerationMachine(RuleBasedStateMachine):
    """The model keeps the list of all events since the last end of an offload."""

    def __init__(self) -> None:
        super().__init__()
        self.row = RELEASES[Release.V5_0]._replace(retry_pieces=3, retry_s=10.0)
        self.real = Acceleration(self.row)
        self.events: list[tuple[str, float]] = []
        self.now_s = 0.0

    def expected(self) -> bool:
        ends = [at for at, (what, _) in enumerate(self.events) if what in ("good", "bad")]
        if not ends or self.events[ends[-1]][0] == "good":
            return True
        pieces = sum(what == "piece" for what, _ in self.events[ends[-1] :])
        return pieces >= 3 or self.now_s - self.events[ends[-1]][1] >= 10.0

    @rule(delay_s=st.sampled_from([0.0, 1.0, 9.0, 10.0]))
    def wait(self, delay_s: float) -> None:
        self.now_s += delay_s

    @precondition(lambda self: self.expected())
    @rule()
    def succeed(self) -> None:
        self.real.note_success()
        self.events.append(("good", self.now_s))

    @precondition(lambda self: self.expected())
    @rule()
    def fail(self) -> None:
        self.real.note_failure(self.now_s)
        self.events.append(("bad", self.now_s))

    @rule()
    def copy_by_host(self) -> None:
        self.real.note_piece_by_host()
        self.events.append(("piece", self.now_s))

    @invariant()
    def agrees(self) -> None:
        assert self.real.may_try(self.now_s) == self.expected()


TestAccelerationMachine = AccelerationMachine.TestCase
TestAccelerationMachine.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
