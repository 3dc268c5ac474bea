"""Links between arrays in one process, without sockets. A line between two arrays can be cut and mended."""

from collections import deque
from collections.abc import Sequence

import trio

from odx_target.environment import Buffer
from odx_target.replica.paths.connection import Connection, ConnectionLost, DialFailed
from odx_target.replica.paths.settings import Address, PathSettings
from odx_target.target.array import Array


class End:
    """One end of a connection. `close` breaks it for both ends."""

    def __init__(self) -> None:
        self.other: End
        self._received: deque[bytes] = deque()
        self._news = trio.Event()
        self._is_broken = False

    async def receive(self) -> Buffer:
        while not self._received:
            if self._is_broken:
                raise ConnectionLost("the line is cut")
            await self._news.wait()
        return self._received.popleft()

    async def send(self, buffers: Sequence[Buffer]) -> None:
        await trio.lowlevel.checkpoint()
        if self._is_broken:
            raise ConnectionLost("the line is cut")
        self.other._received.append(b"".join(buffers))
        self.other._notify()

    def close(self) -> None:
        for end in (self, self.other):
            end._is_broken = True
            end._received.clear()
            end._notify()

    def _notify(self) -> None:
        self._news.set()
        self._news = trio.Event()


class MemoryNetwork:
    """The lines between arrays, which are known by their names."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._down: set[frozenset[str]] = set()
        self._ends: list[tuple[frozenset[str], End]] = []

    def cut(self, one: str, other: str) -> None:
        line = frozenset((one, other))
        self._down.add(line)
        for each, end in self._ends:
            if each == line:
                end.close()

    def mend(self, one: str, other: str) -> None:
        self._down.discard(frozenset((one, other)))

    def pair(self, one: str, other: str) -> None:
        """Give two arrays paths to each other, as a pairing does. The path has the name of the peer."""
        secret = self.arrays[one].environment.entropy(32)
        for own, theirs in ((one, other), (other, one)):
            peering, peer = self.arrays[own].peering, self.arrays[theirs].peering
            assert peering is not None
            assert peer is not None
            peering.paths._dialler = _Dialler(self, own)
            identity = peer.identity
            peering.paths.add(PathSettings(theirs, Address(theirs, 1), identity.pool, identity.maker, identity.pool, secret))

    def connect(self, own: str, theirs: str) -> Connection:
        peer, line = self.arrays[theirs].peering, frozenset((own, theirs))
        if line in self._down or peer is None:
            raise DialFailed("the peer does not answer")
        here, there = End(), End()
        here.other, there.other = there, here
        self._ends.append((line, here))
        peer._environment.start_soon(peer.paths[own].accept, there)
        return here


class _Dialler:
    def __init__(self, network: MemoryNetwork, own: str) -> None:
        self._network = network
        self._own = own

    async def dial(self, settings: PathSettings) -> Connection:
        await trio.lowlevel.checkpoint()
        assert settings.address is not None
        return self._network.connect(self._own, settings.address.host)
