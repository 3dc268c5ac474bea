"""A simulated network of arrays: ordered streams of bytes that are divided, delayed, stalled and cut at any byte.

A connection has two directions. Each direction delivers its bytes in order, in pieces of random sizes and after random delays.
A fault may lose one direction from some byte on (the sender notices nothing), stall it for a while, or cut the connection after
any byte of one direction. After a cut, each end notices it at a random time, or does not notice it at all (half-open).
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from odx_target.environment import Buffer, Event
from odx_target.replica.paths.connection import Connection, ConnectionLost
from tests.sim.world import World, WorldEnvironment

MAX_IN_FLIGHT_BYTES = 256 << 10
"""Number of bytes of one direction at which a sender waits, as for a full buffer of a socket."""


@dataclass
class Line:
    """The properties of the network between two arrays."""

    min_delay_s: float = 0.0002
    max_delay_s: float = 0.01
    max_piece_bytes: int = 64 << 10
    bytes_per_s: float | None = None
    """Speed of one direction. None means that bytes take only the delay."""
    is_down: bool = False
    """True if no connection can be made."""


@dataclass(eq=False)
class Direction:
    """The bytes from one end to the other."""

    name: str
    receiver: "End"
    in_flight_bytes: int = 0
    sent_bytes: int = 0
    delivered_bytes: int = 0
    ready_at_s: float = 0.0
    cut_after_bytes: int | None = None
    """Number of delivered bytes after which the connection is cut."""
    lost_after_bytes: int | None = None
    """Number of delivered bytes after which nothing arrives any more. `lose_after` sets it."""
    queue: deque[bytes] = field(default_factory=deque)

    def lose_after(self, more_bytes: int) -> None:
        """Lose all bytes after this number of further ones. What is lost already stays lost, because a later byte never arrives
        after a gap.
        """
        at_bytes = self.delivered_bytes + more_bytes
        self.lost_after_bytes = at_bytes if self.lost_after_bytes is None else min(self.lost_after_bytes, at_bytes)


class End:
    """One end of a connection, as `Connection` describes it."""

    def __init__(self, world: World, environment: WorldEnvironment, name: str, link: "SimulatedLink") -> None:
        self.name = name
        self.environment = environment
        self.outgoing: Direction
        self._world = world
        self._link = link
        self._inbox: deque[bytes] = deque()
        self._has_ended = False
        self._failure: str | None = None
        self._waiting: list[Event] = []

    @property
    def is_open(self) -> bool:
        return self._failure is None and not self._has_ended

    async def receive(self) -> Buffer:
        while True:
            if self._failure is not None:
                raise ConnectionLost(self._failure)
            if self._inbox:
                return self._inbox.popleft()
            if self._has_ended:
                return b""
            await self._wait()

    async def send(self, buffers: Sequence[Buffer]) -> None:
        data = b"".join(bytes(each) for each in buffers)
        while self.outgoing.in_flight_bytes > MAX_IN_FLIGHT_BYTES:
            self._check()
            await self._wait()
        self._check()
        self._link.send(self.outgoing, data)

    def close(self) -> None:
        if self._failure is None:
            self.fail("the connection was closed")
            self._link.closed(self)

    def fail(self, reason: str) -> None:
        """Break this end. The other end does not notice it by this call."""
        if self._failure is None:
            self._failure = reason
            self.wake()

    def end(self) -> None:
        """Note that the other end has closed the connection after its last byte."""
        self._has_ended = True
        self.wake()

    def arrived(self, data: bytes) -> None:
        self._inbox.append(data)
        self.wake()

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise ConnectionLost(self._failure)

    async def _wait(self) -> None:
        event = self.environment.event()
        self._waiting.append(event)
        await event.wait()


class SimulatedLink:
    """One connection between two arrays."""

    def __init__(self, world: World, line: Line, number: int, environments: tuple[WorldEnvironment, WorldEnvironment]) -> None:
        self.world = world
        self.line = line
        self.number = number
        self.ends = tuple(End(world, environment, f"{number}{environment.name}", self) for environment in environments)
        for end, other in (self.ends, self.ends[::-1]):
            end.outgoing = Direction(f"{end.name}>{other.name}", other, ready_at_s=world.now_s)
        self.is_cut = False

    @property
    def is_open(self) -> bool:
        """True if neither end was closed or has failed, and the connection was not cut."""
        return not self.is_cut and all(end.is_open for end in self.ends)

    def send(self, direction: Direction, data: bytes) -> None:
        """Put bytes on the line, in pieces."""
        world, line = self.world, self.line
        direction.sent_bytes += len(data)
        direction.in_flight_bytes += len(data)
        at = 0
        while at < len(data):
            piece = data[at : at + world.random.randint(1, line.max_piece_bytes)]
            at += len(piece)
            arrives_s = world.now_s + world.random.uniform(line.min_delay_s, line.max_delay_s)
            transfer_s = 0.0 if line.bytes_per_s is None else len(piece) / line.bytes_per_s
            direction.ready_at_s = max(direction.ready_at_s + transfer_s, arrives_s)
            direction.queue.append(piece)
            world.at(direction.ready_at_s - world.now_s, lambda: self._deliver(direction))

    def stall(self, direction: Direction, delay_s: float) -> None:
        """Deliver nothing in one direction for a while."""
        direction.ready_at_s = max(direction.ready_at_s, self.world.now_s + delay_s)
        self.world.fault("stall", f"{direction.name} {delay_s:.3f}")

    def cut(self, reason: str = "the network has cut the connection", *, notices: Sequence[bool] = (True, True)) -> None:
        """Cut the connection. Each end with True in `notices` notices it soon."""
        if self.is_cut:
            return
        self.is_cut = True
        self.world.fault("cut", f"link {self.number} {notices}")
        for end, does_notice in zip(self.ends, notices, strict=True):
            if does_notice:
                self.world.at(self.world.random.uniform(0.0, 0.05), lambda end=end: end.fail(reason))  # type: ignore[misc]

    def closed(self, end: End) -> None:
        """Note that an end has closed the connection. The other end notices it after the bytes in flight."""
        direction = end.outgoing
        if not self.is_cut and direction.lost_after_bytes is None:
            delay_s = max(0.0, direction.ready_at_s - self.world.now_s) + self.line.min_delay_s
            self.world.at(delay_s, direction.receiver.end)

    def _deliver(self, direction: Direction) -> None:
        if not direction.queue:
            return
        piece = direction.queue.popleft()
        direction.in_flight_bytes -= len(piece)
        if self.is_cut:
            return
        limits = [each for each in (direction.cut_after_bytes, direction.lost_after_bytes) if each is not None]
        piece = piece[: max(0, min(limits, default=1 << 62) - direction.delivered_bytes)]
        direction.delivered_bytes += len(piece)
        if piece:
            self.world.note(f"{direction.name} {len(piece)}", piece)
            direction.receiver.arrived(piece)
        sender = next(end for end in self.ends if end.outgoing is direction)
        sender.wake()
        if direction.cut_after_bytes is not None and direction.delivered_bytes >= direction.cut_after_bytes:
            self.cut()


class Peer(Protocol):
    """An array of the network."""

    environment: WorldEnvironment
    is_running: bool

    def accept(self, connection: Connection, peer_pool: bytes) -> None: ...


class Network:
    """The lines between the arrays, and the connections on them. `on_connection` may plan faults of a new connection."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.arrays: dict[str, Peer] = {}
        self.links: list[SimulatedLink] = []
        self.on_connection: Callable[[SimulatedLink], None] | None = None
        self._lines: dict[frozenset[str], Line] = {}

    def line(self, one: str, other: str) -> Line:
        """Return the line between two arrays, which the caller may change."""
        return self._lines.setdefault(frozenset((one, other)), Line())

    def connect(self, dialler: WorldEnvironment, acceptor: WorldEnvironment) -> tuple[Connection, Connection]:
        """Connect two arrays. Returns both ends."""
        line = self.line(dialler.name, acceptor.name)
        link = SimulatedLink(self.world, line, len(self.links), (dialler, acceptor))
        self.links.append(link)
        self.world.note(f"link {link.number} {dialler.name}>{acceptor.name}")
        if self.on_connection is not None:
            self.on_connection(link)
        return link.ends[0], link.ends[1]

    def between(self, one: str, other: str) -> list[SimulatedLink]:
        """Return all connections that two arrays have had, the oldest first."""
        return [link for link in self.links if {end.environment.name for end in link.ends} == {one, other}]

    def cut(self, one: str, other: str) -> None:
        """Cut the line between two arrays."""
        self.line(one, other).is_down = True
        for link in self.between(one, other):
            link.cut()

    def mend(self, one: str, other: str) -> None:
        """Mend the line between two arrays, which then connect again."""
        self.line(one, other).is_down = False

    def break_all_of(self, environment: WorldEnvironment) -> None:
        """Cut the connections of an array whose process has died. Only the other ends can notice it."""
        for link in self.links:
            if not link.is_cut and any(end.environment is environment for end in link.ends):
                link.cut("the peer's process has died", notices=[end.environment is not environment for end in link.ends])
