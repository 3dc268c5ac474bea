"""A state machine: two sessions, whose bytes arrive in any pieces, against a model with a list of messages for each channel.

Each channel delivers all that was sent on it, in order and once, until it is closed. No side has more unconsumed bytes than it
has granted. When both sides have closed all channels, nothing is left.
"""

from collections import deque
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import TooManyChannels
from odx_target.replica.link.events import Answered, Closed, Ended, Event, Received, Requested, RequestRefused
from odx_target.replica.link.hello import Farewell, Side
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.limits import INITIAL_CREDIT_BYTES, MAX_BODY_BYTES, MAX_CREDIT_BYTES, MAX_OPENED_CHANNELS
from tests.replica.link.pairs import OTHER, Pair
from tests.settings import searching

CLASSES = [each for each in TrafficClass if each is not TrafficClass.CONTROL]
MARK = b"nothing arrives from here on"


@dataclass
class End:
    """One side's knowledge of a channel."""

    is_open: bool = False
    """True if this side may send frames of the exchange."""
    is_asked: bool = False
    """True if this side has a request that it has not answered."""
    to_arrive: deque[bytes] = field(default_factory=deque)
    """Messages that the other side has sent on this channel, and that have not arrived."""
    unconsumed_bytes: int = 0
    credit_bytes: int = INITIAL_CREDIT_BYTES


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair().opened()
        self.ends: dict[tuple[Side, int], End] = {}
        self.count = 0
        self.has_ended = False

    def channels(self, side: Side, **wanted: bool) -> list[int]:
        return [
            number
            for (where, number), end in self.ends.items()
            if where is side and all(getattr(end, name) is value for name, value in wanted.items())
        ]

    @precondition(lambda self: not self.has_ended)
    @rule(side=st.sampled_from(Side), traffic_class=st.sampled_from(CLASSES))
    def open(self, side: Side, traffic_class: TrafficClass) -> None:
        try:
            number = self.pair.sessions[side].open({"n": self.count}, traffic_class)
        except TooManyChannels:
            parity = 0 if side is Side.DIALLER else 1
            assert len([1 for where, number in self.ends if number % 2 == parity]) >= MAX_OPENED_CHANNELS
            return
        self.ends[side, number] = End()
        self.ends[OTHER[side], number] = End()

    @precondition(lambda self: not self.has_ended)
    @rule(side=st.sampled_from(Side), data=st.data(), accepts=st.sampled_from([True, True, False]))
    def answer(self, side: Side, data: st.DataObject, accepts: bool) -> None:
        asked = self.channels(side, is_asked=True)
        if not asked:
            return
        number = data.draw(st.sampled_from(asked))
        self.ends[side, number].is_asked = False
        if accepts:
            self.pair.sessions[side].answer(number, {"n": number})
            self.ends[side, number].is_open = True
        else:
            self.pair.sessions[side].refuse(number, "no", "a reason")

    @precondition(lambda self: not self.has_ended)
    @rule(side=st.sampled_from(Side), data=st.data(), size=st.sampled_from([0, 1, 1000, 70_000, MAX_BODY_BYTES - 9]))
    def send(self, side: Side, data: st.DataObject, size: int) -> None:
        numbers = [each for each in self.channels(side, is_open=True) if self.pair.sessions[side].has_room(each)]
        if not numbers:
            return
        number = data.draw(st.sampled_from(numbers))
        self.count += 1
        body = self.count.to_bytes(8, "little") + bytes(size)
        self.pair.sessions[side].send(number, Kind.DATA, self.count, body)
        self.ends[OTHER[side], number].to_arrive.append(body)

    @precondition(lambda self: not self.has_ended)
    @rule(side=st.sampled_from(Side), data=st.data(), drops=st.booleans())
    def close(self, side: Side, data: st.DataObject, drops: bool) -> None:
        numbers = self.channels(side, is_open=True)
        if numbers:
            number = data.draw(st.sampled_from(numbers))
            self.pair.sessions[side].close(number, drop_waiting=drops)
            self.ends[side, number].is_open = False
            if drops:
                self.ends[OTHER[side], number].to_arrive.append(MARK)

    @precondition(lambda self: not self.has_ended)
    @rule(side=st.sampled_from(Side), data=st.data())
    def refuse_after_the_answer(self, side: Side, data: st.DataObject) -> None:
        parity = 1 if side is Side.DIALLER else 0
        numbers = [number for number in self.channels(side, is_open=True) if number % 2 == parity]
        if numbers:
            number = data.draw(st.sampled_from(numbers))
            self.pair.sessions[side].refuse(number, "storage", "a reason")
            self.ends[side, number].is_open = False
            self.ends[OTHER[side], number].to_arrive.append(MARK)

    @precondition(lambda self: not self.has_ended)
    @rule(side=st.sampled_from(Side), data=st.data())
    def consume(self, side: Side, data: st.DataObject) -> None:
        numbers = [number for number in self.channels(side, is_open=True) if self.ends[side, number].unconsumed_bytes]
        if numbers:
            number = data.draw(st.sampled_from(numbers))
            end = self.ends[side, number]
            self.pair.sessions[side].consumed(number, end.unconsumed_bytes)
            end.unconsumed_bytes = 0

    @precondition(lambda self: not self.has_ended)
    @rule(side=st.sampled_from(Side), data=st.data())
    def widen(self, side: Side, data: st.DataObject) -> None:
        numbers = self.channels(side, is_open=True)
        if numbers:
            number = data.draw(st.sampled_from(numbers))
            self.ends[side, number].credit_bytes = self.pair.sessions[side].widen(number, 2 << 20)

    @rule(side=st.sampled_from(Side), size=st.sampled_from([1, 23, 100, 5000, 300_000, 10_000_000]))
    def deliver(self, side: Side, size: int) -> None:
        self.pair.send(side)
        self.pair.deliver(side, size)
        self.handle(OTHER[side])

    def handle(self, side: Side) -> None:
        while self.pair.events[side]:
            self.happened(side, self.pair.events[side].popleft())

    def happened(self, side: Side, event: Event) -> None:
        if isinstance(event, Ended):
            assert self.has_ended, event
            return
        if self.has_ended:
            return
        if isinstance(event, Received):
            end = self.ends[side, event.frame.channel]
            assert end.to_arrive.popleft() == event.frame.body
            end.unconsumed_bytes += event.frame.size_bytes
            return
        assert isinstance(event, Requested | Answered | RequestRefused | Closed)
        end = self.ends[side, event.channel]
        match event:
            case Requested():
                end.is_asked = True
            case Answered():
                end.is_open = True
            case Closed():
                end.is_open = end.is_asked = False
                # A side that has closed without its waiting frames has left the mark.
                assert not end.to_arrive or MARK in end.to_arrive

    @invariant()
    def received_bytes_are_bounded_by_credit(self) -> None:
        assert all(end.unconsumed_bytes <= min(end.credit_bytes, MAX_CREDIT_BYTES) for end in self.ends.values())

    @precondition(lambda self: not self.has_ended)
    @rule(side=st.sampled_from(Side))
    def end(self, side: Side) -> None:
        if self.count % 7 == 6:
            self.has_ended = True
            self.pair.sessions[side].end(Farewell.STOPPING, "")

    def teardown(self) -> None:
        if self.has_ended:
            return
        for side in Side:
            self.pair.settle()
            self.handle(side)
        for side, number in self.ends:
            self.pair.sessions[side].close(number)
        self.pair.settle()
        assert [len(session._channels) for session in self.pair.sessions.values()] == [0, 0]
        assert not any(session.has_output for session in self.pair.sessions.values())


SessionMachine.TestCase.settings = searching(60, steps=40)
TestSessionMachine = SessionMachine.TestCase
