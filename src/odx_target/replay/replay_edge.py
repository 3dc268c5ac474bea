"""An edge that feeds an array from a recording."""

import socket
from collections.abc import Callable, Mapping, Sequence

import trio

from odx_target.environment import Buffer
from odx_target.target.config.settings import Portal
from odx_target.target.inputs.edge import Admit, ServedArray
from odx_target.target.inputs.edge_socket import EdgeSocket
from odx_target.target.listening_sockets import Listening
from odx_target.target.trace.tap import Address


class NoCommands:
    """Runs no command, and reports success. A replay must not run programs that a recording or a pool names."""

    async def run(self, command: str, variables: Mapping[str, str], timeout_s: float) -> str:  # noqa: ARG002 - an interface
        """Do nothing."""
        return ""

    async def run_to_its_end(self, command: str, variables: Mapping[str, str], timeout_s: float) -> str:  # noqa: ARG002 - an interface
        """Do nothing."""
        return ""


class ReplayEdge:
    """Stands for the portals and hosts of a recording. Nothing is bound, so the addresses need not exist here.

    `addresses` are the actual addresses of the portals. `on_sent(connection, data, is_last)` is called with the output of the
    array, see `EdgeSocket`, and `on_closed(connection)` when it closes a connection.
    """

    def __init__(self, on_sent: Callable[[int, bytes, bool], None], on_closed: Callable[[int], None]) -> None:
        self.commands = NoCommands()
        self.addresses: Sequence[Portal] = ()
        self.sockets: dict[int, EdgeSocket] = {}
        self._on_sent = on_sent
        self._on_closed = on_closed
        self._silent: list[socket.socket] = []

    async def bind(self, portals: Sequence[Portal], former: Sequence[Portal] = ()) -> list[Listening]:  # noqa: ARG002 - an interface
        """Return sockets at which nobody connects, for all portals."""
        found = []
        for portal, address in zip(portals, self.addresses, strict=True):
            listening, other = socket.socketpair()
            listening.setblocking(False)
            self._silent.append(other)
            found.append(Listening(portal, listening, address))
        return found

    def started(self, array: ServedArray, nursery: trio.Nursery) -> None:
        """Do nothing: the replay delivers the inputs."""

    def accepted(self, connected: socket.socket, accepted_at: Portal, admit: Admit) -> None:  # noqa: ARG002 - an interface
        """Refuse a connection, because nobody can connect to a replay."""
        connected.close()

    def connect(self, connection: int, peer: Address, local: Address) -> EdgeSocket:
        """Return the socket of a recorded connection. Raises OSError."""
        opened = self.sockets[connection] = EdgeSocket(
            peer,
            local,
            lambda data, is_last: self._on_sent(connection, data, is_last),
            lambda: self._on_closed(connection),
        )
        return opened

    def end_all(self) -> None:
        """End all connections, so that the array need not wait for hosts when it stops."""
        for connected in self.sockets.values():
            connected.end()

    async def operation(self, name: str, given: Mapping[str, object]) -> None:
        """Do nothing: the replay itself begins the operations."""

    async def content(self, values: Mapping[str, object], data: Buffer) -> None:
        """Do nothing: the replay itself changes contents."""

    def note(self, text: str) -> None:
        """Do nothing: the recording has the notes."""

    async def stopping(self) -> None:
        """Do nothing: the replay itself stops the array."""

    async def stopped(self) -> None:
        """Close the sockets at which nobody connects."""
        self.sockets.clear()
        while self._silent:
            self._silent.pop().close()
