"""One connection between two arrays without I/O: bytes and times go in, events and bytes come out.

Each side sends HELLO at once. After the HELLO of the peer, the session is open. Then the owner calls `open`, `answer`, `send`
and `close` for channels. After each call, the owner takes the bytes to send with `take_output`. The owner also calls
`time_passed` at `deadline_s`. After an `Ended` event, the owner sends the remaining output and closes the connection.
"""

from collections.abc import Mapping
from enum import Enum, auto

from odx_target.environment import Buffer
from odx_target.replica.link.bounded_json import Json, encode_object
from odx_target.replica.link.channel_frames import ChannelFrames
from odx_target.replica.link.channel_table import ChannelTable
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ConnectionEnded, LinkError, PeerFault
from odx_target.replica.link.events import Ended, Event, Opened
from odx_target.replica.link.frame import Frame, FrameReader, encode_header
from odx_target.replica.link.greeting import Greeting, NotAgreed
from odx_target.replica.link.hello import (
    Farewell,
    Goodbye,
    Hello,
    Side,
    decode_goodbye,
    encode_goodbye,
    encode_hello,
)
from odx_target.replica.link.keep_alive import KeepAlive
from odx_target.replica.link.kinds import BY_NUMBER, NO_FLAGS, Flag, Kind
from odx_target.replica.link.limits import MAX_BODY_BYTES, MAX_HELLO_BYTES
from odx_target.replica.link.outbox import Outbox
from odx_target.replica.link.refusals import encode_refusal
from odx_target.replica.link.throttle import Throttle

OUTPUT_BYTES = 256 << 10
"""Size at which one call of `take_output` stops. Frames that become urgent later wait only for this output."""


class State(Enum):
    """State of a session."""

    GREETING = auto()
    """The HELLO of the peer has not arrived yet."""
    OPEN = auto()
    ENDED = auto()


class Session:
    """One side of a connection. `expected_pool` is the identity of the pool that the peer must have.

    `throttle` limits the frames of channels. The owner calls `Throttle.advance` before `take_output`.
    """

    def __init__(self, side: Side, hello: Hello, expected_pool: bytes, throttle: Throttle, now_s: float) -> None:
        self.side = side
        self.state = State.GREETING
        self.peer: Hello | None = None
        """The HELLO of the peer. None until it has arrived."""
        self.version = 0
        self.throttle = throttle
        self.sent_bytes = 0
        self.received_bytes = 0
        self._greeting = Greeting(hello, expected_pool, now_s)
        self._reader = FrameReader(MAX_HELLO_BYTES)
        self._keep_alive = KeepAlive(now_s)
        self._pings = 0
        self._channels = ChannelTable(side)
        self._outbox = Outbox(throttle)
        self._frames = ChannelFrames(self._channels, self._outbox)
        self._outbox.put_urgent(Frame(Kind.HELLO, body=encode_hello(hello)))

    def receive(self, data: Buffer, now_s: float) -> list[Event]:
        """Take received bytes, and return what has happened. A violation of the protocol raises nothing, but ends the
        session.
        """
        if self.state is State.ENDED:
            return []
        self._keep_alive.heard(now_s)
        self.received_bytes += len(data)
        events: list[Event] = []
        try:
            for frame in self._reader.feed(data):
                events.extend(self._handle(frame))
                if self._has_ended:
                    break
        except PeerFault as fault:
            events.append(self._end(Farewell.FAULT, str(fault)))
        return events

    @property
    def _has_ended(self) -> bool:
        return self.state is State.ENDED

    def _handle(self, frame: Frame) -> list[Event]:
        if self.state is State.GREETING and frame.kind not in (Kind.HELLO, Kind.GOODBYE):
            raise PeerFault(f"the first frame is {frame.kind.name}, not HELLO")
        match frame.kind:
            case Kind.HELLO:
                return [self._greeted(bytes(frame.body))]
            case Kind.GOODBYE:
                return [self._dismissed(decode_goodbye(bytes(frame.body)))]
            case Kind.PING:
                self._outbox.put_pong(frame.argument)
            case Kind.PONG:
                pass
            case _:
                return self._frames.handle(frame)
        return []

    def _greeted(self, body: bytes) -> Event:
        if self.state is not State.GREETING:
            raise PeerFault("a second HELLO has arrived")
        try:
            peer, version = self._greeting.agreed(body)
        except NotAgreed as error:
            return self._end(error.code, str(error))
        self.peer, self.version, self.state = peer, version, State.OPEN
        self._reader.max_body_bytes = MAX_BODY_BYTES
        return Opened(peer, version)

    def _dismissed(self, goodbye: Goodbye) -> Event:
        self._drop_all()
        return Ended(goodbye.code, goodbye.text or goodbye.code.value, is_ours=False)

    def open(self, document: Mapping[str, Json], traffic_class: TrafficClass) -> int:
        """Open a channel with a request, and return the number of the channel.

        Raises ConnectionEnded if the session is not open, and TooManyChannels.
        """
        if self.state is not State.OPEN:
            raise ConnectionEnded("the connection to the peer is not open")
        channel = self._channels.open(traffic_class)
        self._outbox.put(channel, Frame(Kind.REQUEST, channel.number, traffic_class, encode_object(document)))
        return channel.number

    def answer(self, number: int, document: Mapping[str, Json]) -> None:
        """Accept a request of the peer. Raises ChannelEnded if the channel has ended."""
        self._put_answer(Frame(Kind.ANSWER, number, body=encode_object(document)))

    def refuse(self, number: int, code: str, text: str) -> None:
        """Refuse a request of the peer, and close the channel. A request that was answered can be refused too: its exchange
        cannot go on, and its waiting frames are dropped.

        Raises ChannelEnded if the channel has ended.
        """
        channel = self._channels.usable(number)
        if channel.is_ours:
            raise LinkError(f"channel {number} has no request of the peer")
        channel.is_answered = True
        channel.drop_waiting()
        self._outbox.put(channel, Frame(Kind.REFUSAL, number, body=encode_refusal(code, text)))
        self._frames.put_close(channel)

    def _put_answer(self, frame: Frame) -> None:
        channel = self._channels.usable(frame.channel)
        if channel.is_ours or channel.is_answered:
            raise LinkError(f"channel {channel.number} has no open request of the peer")
        channel.is_answered = True
        self._outbox.put(channel, frame)

    def send(self, number: int, kind: Kind, argument: int = 0, body: Buffer = b"", flags: Flag = NO_FLAGS) -> None:
        """Send a frame of the exchange on a channel. The caller must not change `body`.

        The frame waits until the credit and the other channels allow it. The owner should send only while `has_room`. Raises
        ChannelEnded if the channel has ended.
        """
        channel = self._channels.usable(number)
        row = BY_NUMBER[kind]
        if not row.is_credited or not channel.is_answered or len(body) > row.max_body_bytes:
            raise LinkError(f"a frame {kind.name} of {len(body)} bytes cannot be sent on channel {number} now")
        self._outbox.put(channel, Frame(kind, number, argument, body, flags))

    def has_room(self, number: int) -> bool:
        """True if the owner of a channel may send another frame. Raises ChannelEnded if the channel has ended."""
        return self._channels.usable(number).has_room

    def consumed(self, number: int, size_bytes: int) -> None:
        """Note that received frames of a channel need no more memory. `size_bytes` is the sum of `Frame.size_bytes`."""
        channel = self._channels.get(number)
        if channel is not None and not channel.has_received_close and not channel.has_sent_close:
            channel.consumed(size_bytes)
            self._outbox.grant(channel)

    def widen(self, number: int, size_bytes: int) -> int:
        """Grant the peer up to `size_bytes` of credit for a channel, and return the new credit. It may be less than requested.

        Raises ChannelEnded if the channel has ended.
        """
        channel = self._channels.usable(number)
        credit_bytes = self._channels.widen(channel, size_bytes)
        self._outbox.grant(channel)
        return credit_bytes

    def close(self, number: int, *, drop_waiting: bool = False) -> None:
        """Close a channel after its waiting frames, or instead of them. Frames that arrive later are dropped.

        A second call does nothing.
        """
        channel = self._channels.get(number)
        if channel is not None and not channel.has_sent_close:
            if drop_waiting:
                channel.drop_waiting()
            self._frames.put_close(channel)

    def end(self, code: Farewell, text: str) -> Ended | None:
        """End the session from this side. Returns the event, or None if the session has ended already."""
        return None if self.state is State.ENDED else self._end(code, text)

    def lost(self, text: str) -> Ended | None:
        """End the session because the connection is lost. Returns the event, or None if the session has ended already."""
        if self.state is State.ENDED:
            return None
        self._drop_all()
        return Ended(Farewell.STOPPING, text, is_ours=False)

    def _end(self, code: Farewell, text: str) -> Ended:
        self._drop_all()
        self._outbox.put_urgent(Frame(Kind.GOODBYE, body=encode_goodbye(Goodbye(code, text))))
        return Ended(code, text, is_ours=True)

    def _drop_all(self) -> None:
        self.state = State.ENDED
        self._outbox.clear()
        self._channels.clear()

    @property
    def deadline_s(self) -> float:
        """Time at which the owner must call `time_passed`."""
        if self.state is State.ENDED:
            return float("inf")
        deadline_s = self._keep_alive.deadline_s
        return min(deadline_s, self._greeting.deadline_s) if self.state is State.GREETING else deadline_s

    def time_passed(self, now_s: float) -> list[Event]:
        """Send PING if it is due, or end the session if the peer is dead."""
        if self.state is State.ENDED:
            return []
        if self.state is State.GREETING and now_s >= self._greeting.deadline_s:
            return [self._end(Farewell.FAULT, "the peer has sent no HELLO in time")]
        if self._keep_alive.is_dead(now_s):
            self._drop_all()
            return [Ended(Farewell.STOPPING, "the peer has sent nothing for too long", is_ours=True)]
        if self._keep_alive.wants_ping(now_s) and self.state is State.OPEN:
            self._pings += 1
            self._outbox.put_urgent(Frame(Kind.PING, argument=self._pings))
        return []

    @property
    def has_channels(self) -> bool:
        """True if a channel is open."""
        return len(self._channels) > 0

    @property
    def granted_bytes(self) -> int:
        """Memory that received frames of all channels may take."""
        return self._channels.granted_bytes

    @property
    def has_output(self) -> bool:
        """True if frames may be sent, perhaps only later because of the throttle."""
        return not self._outbox.is_empty

    def take_output(self) -> list[Buffer]:
        """Return the bytes to send next, as buffers. Empty if there is nothing to send now."""
        output: list[Buffer] = []
        for frame, channel in self._outbox.take(OUTPUT_BYTES):
            output.append(encode_header(frame))
            if frame.body:
                output.append(frame.body)
            self.sent_bytes += frame.size_bytes
            if channel is not None:
                self._channels.forget_if_ended(channel)
        return output
