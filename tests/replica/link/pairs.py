"""Two sessions, whose bytes the test moves between them."""

from collections import deque
from dataclasses import dataclass, field

from odx_target.replica.link.events import Event
from odx_target.replica.link.hello import Hello, Side
from odx_target.replica.link.session import Session
from odx_target.replica.link.throttle import Rates, Throttle

POOLS = {Side.DIALLER: bytes([1]) * 16, Side.ACCEPTOR: bytes([2]) * 16}
OTHER = {Side.DIALLER: Side.ACCEPTOR, Side.ACCEPTOR: Side.DIALLER}


def hello_of(side: Side) -> Hello:
    return Hello(POOLS[side], life=bytes([9]) * 16)


def session_of(side: Side, now_s: float = 0.0, hello: Hello | None = None, rates: Rates | None = None) -> Session:
    throttle = Throttle(rates or Rates(), now_s)
    return Session(side, hello or hello_of(side), POOLS[OTHER[side]], throttle, now_s)


@dataclass
class Pair:
    """Two sessions at one time. `in_flight` has the bytes that a side has sent, and `events` what has happened there."""

    now_s: float = 0.0
    sessions: dict[Side, Session] = field(init=False)
    in_flight: dict[Side, bytearray] = field(init=False)
    events: dict[Side, deque[Event]] = field(init=False)

    def __post_init__(self) -> None:
        self.sessions = {side: session_of(side, self.now_s) for side in Side}
        self.in_flight = {side: bytearray() for side in Side}
        self.events = {side: deque() for side in Side}

    def send(self, side: Side) -> None:
        """Move the output of a side to its bytes in flight."""
        while output := self.sessions[side].take_output():
            self.in_flight[side] += b"".join(bytes(each) for each in output)

    def deliver(self, side: Side, size_bytes: int) -> None:
        """Deliver some of the bytes in flight that a side has sent."""
        data = bytes(self.in_flight[side][:size_bytes])
        del self.in_flight[side][:size_bytes]
        if data:
            self.events[OTHER[side]] += self.sessions[OTHER[side]].receive(data, self.now_s)

    def settle(self, sides: tuple[Side, ...] = tuple(Side)) -> None:
        """Send and deliver everything."""
        while True:
            for side in sides:
                self.send(side)
            if not any(self.in_flight[side] for side in sides):
                return
            for side in sides:
                self.deliver(side, len(self.in_flight[side]))

    def opened(self) -> "Pair":
        """Exchange the HELLOs."""
        self.settle()
        for side in Side:
            self.events[side].clear()
        return self
