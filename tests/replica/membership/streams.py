"""The streams of a pair of arrays: lists of numbers that the primary sends to the other array over a connection."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from odx_target.replica.membership.member import Member
from odx_target.replica.membership.messages import MemberRecord, Message, RegisterNews

NAMES = ("a", "b")


class Violation(AssertionError):
    """The model has found a wrong state."""


@dataclass
class Connection:
    """A connection of the two streams. Bytes arrive in order until it is cut."""

    epoch: int
    is_open: bool = True
    arrives_at_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))


@dataclass
class Array:
    """An array: its member while it runs, its record, and its stream. `durable` is the length of the flushed part."""

    name: str
    record: MemberRecord
    drift: float
    member: Member | None = None
    stream: list[int] = field(default_factory=list)
    durable: int = 0
    connection: Connection | None = None
    peer_has: int = 0
    """Length of the peer's stream, as far as the connection has told."""
    waits_for: int | None = None
    """Length of the peer's stream that this array must reach to be proven."""
    was_alone: bool = False
    heard_at_s: float = 0.0
    sends_new: bool = False


class Streams:
    """The streams of both arrays. The model that is made from this class has the time, the network and the hosts."""

    arrays: dict[str, Array]
    cut: set[frozenset[str]]
    """The links that are cut."""
    now_s: float

    def at_time(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        raise NotImplementedError

    def clock(self, name: str) -> float:
        """The monotonic clock of an array or of the witness."""
        raise NotImplementedError

    def delay(self) -> float:
        """The time that something takes to the other end of a link."""
        raise NotImplementedError

    def deliver(self, sender: str, receiver: str, message: Message) -> None:
        """Send a message outside of the connection."""
        raise NotImplementedError

    def acknowledge(self, array: Array) -> None:
        """Report to hosts that their changes are made."""
        raise NotImplementedError

    def connect(self) -> None:
        """Connect the streams of both arrays, if the network does not keep them apart."""
        first, second = self.arrays.values()
        if first.member is None or second.member is None or frozenset(NAMES) in self.cut or first.connection is not None:
            return
        registers = first.record.register, second.record.register
        if registers[0].epoch != registers[1].epoch:  # rule 8
            for array in (first, second):
                self.deliver(array.name, other(array.name), RegisterNews(array.record.register))
            return
        connection = Connection(registers[0].epoch)
        for array in (first, second):
            array.connection = connection
            array.peer_has, array.waits_for, array.sends_new = 0, None, False
        for array in (first, second):
            member, length = array.member, len(array.stream)
            assert member is not None
            is_proven = member.is_proven
            self.pass_on(array, partial(self.greeted, peer_length=length, peer_is_proven=is_proven))

    def disconnect(self) -> None:
        """Cut the connection of the streams."""
        for array in self.arrays.values():
            if array.connection is not None:
                array.connection.is_open = False
                array.connection = None

    def pass_on(self, sender: Array, action: Callable[[Array], None]) -> None:
        """Make something happen at the other end of the connection, in order."""
        connection, receiver = sender.connection, self.arrays[other(sender.name)]
        if connection is None:
            return

        def arrive() -> None:
            if connection.is_open and receiver.member is not None:
                receiver.heard_at_s = self.clock(receiver.name)
                action(receiver)

        at_s = max(self.now_s + self.delay(), connection.arrives_at_s[receiver.name])
        connection.arrives_at_s[receiver.name] = at_s
        self.at_time(at_s, arrive)

    def greeted(self, array: Array, peer_length: int, peer_is_proven: bool) -> None:
        """Compare the streams of both arrays at the start of a connection."""
        member = array.member
        assert member is not None
        both = member.register.in_sync == set(NAMES)
        if not both:
            if member.is_primary and not member.record.is_adding:
                self.send_all(array)
            return
        array.peer_has = min(peer_length, len(array.stream))
        if member.is_proven and peer_is_proven and not member.is_primary and len(array.stream) > peer_length:
            raise Violation(f"{array.name} has more than a proven primary")
        if len(array.stream) >= peer_length:
            member.compared(len(array.stream), peer_length)
            if len(array.stream) > peer_length:
                self.send(array, peer_length)
        else:
            array.waits_for = peer_length
        array.sends_new = member.is_primary

    def send_all(self, array: Array) -> None:
        """Bring the whole stream to a member that is out of sync."""
        copied = list(array.stream)

        def begin(it: Array) -> None:
            assert it.member is not None
            it.member.fell_behind()
            it.stream, it.durable = copied, 0
            it.member.caught_up()
            self.reply(it)

        self.pass_on(array, begin)
        array.sends_new = True
        array.peer_has = 0

    def send(self, array: Array, start: int) -> None:
        """Send the stream from a position on."""
        part = list(array.stream[start:])
        if part:
            self.pass_on(array, lambda it: self.received(it, start, part))

    def ship(self, array: Array) -> None:
        """Send what the peer does not have yet. Sending again what is under way is harmless."""
        if array.connection is not None and array.sends_new:
            self.send(array, array.peer_has)

    def received(self, array: Array, start: int, part: list[int]) -> None:
        """Append a part of the stream."""
        member = array.member
        assert member is not None
        if start > len(array.stream) or not member.takes_changes:
            return
        known = array.stream[start : start + len(part)]
        if known != part[: len(known)]:
            raise Violation(f"the streams contradict each other at {start}: {known} and {part}")
        array.stream += part[len(known) :]
        if array.waits_for is not None and len(array.stream) >= array.waits_for:
            member.compared(len(array.stream), array.waits_for)
            array.waits_for = None
        self.reply(array)

    def reply(self, array: Array) -> None:
        """Acknowledge the stream."""
        length = len(array.stream)
        self.pass_on(array, lambda it: self.replied(it, length))

    def replied(self, array: Array, length: int) -> None:
        """Take an acknowledgement."""
        array.peer_has = max(array.peer_has, min(length, len(array.stream)))
        self.acknowledge(array)


def other(name: str) -> str:
    """Return the name of the other array."""
    return NAMES[1 - NAMES.index(name)]
