"""The interface to the network: a connection is a stream of bytes to a peer that was authenticated before."""

from collections.abc import Sequence
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.replica.link.errors import LinkError
from odx_target.replica.paths.settings import PathSettings


class ConnectionLost(LinkError):
    """The connection is broken, or was closed by `Connection.close`. The message is one line."""


class DialFailed(LinkError):
    """The peer cannot be reached. The message is one line. `needs_operator` is True if another attempt cannot help."""

    def __init__(self, reason: str, *, needs_operator: bool = False) -> None:
        super().__init__(reason)
        self.needs_operator = needs_operator


class Connection(Protocol):
    """A stream of bytes in both directions. One task receives while another task sends."""

    async def receive(self) -> Buffer:
        """Wait for bytes, and return them. Empty if the peer has closed the connection. Raises ConnectionLost."""
        ...

    async def send(self, buffers: Sequence[Buffer]) -> None:
        """Send buffers, and wait until the operating system has taken all bytes. Raises ConnectionLost."""
        ...

    def close(self) -> None:
        """Close the connection at once. Waiting calls raise ConnectionLost. A second call does nothing."""
        ...


class Dialler(Protocol):
    """Connects to the peers of paths."""

    async def dial(self, settings: PathSettings) -> Connection:
        """Connect to the peer of a path, and authenticate both sides. Raises DialFailed."""
        ...
