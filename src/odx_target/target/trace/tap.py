"""The interface through which a trace gets the bytes of every connection.

Without a tap, a connection only compares its tap with None when it receives or sends bytes.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from odx_target.environment import Buffer

Address: TypeAlias = tuple[str, int]
"""Host and port, without the flow label and scope of an IPv6 address."""


class ConnectionTap(Protocol):
    """Receives the bytes of one connection. Methods of a tap must not raise exceptions.

    Buffers are valid only during the call.
    """

    def received(self, data: memoryview) -> None:
        """Receive bytes that the peer has sent.

        The bytes are whole PDUs, or the remaining bytes of a stream that cannot be divided into PDUs.
        """

    def sent(self, buffers: Sequence[Buffer]) -> None:
        """Receive buffers that are about to be sent to the peer. The buffers contain whole PDUs."""

    def noted(self, text: str) -> None:
        """Note an event that explains the bytes, such as an injected fault."""

    def closed(self) -> None:
        """Note that the connection has ended."""


class Tap(Protocol):
    """Receives the bytes of every connection of an array."""

    def errors(self) -> list[str]:
        """Return the reasons why a trace cannot be written at present."""

    def connected(self, peer: Address, local: Address) -> ConnectionTap:
        """Return the tap of a new connection.

        This method is called for each accepted connection from `peer` to the portal at `local`.
        """


def tap_of(tap: Tap | None, connected: Any) -> ConnectionTap | None:
    """Return the tap of a connected socket. Return None if `tap` is None or the peer has already closed the connection."""
    if tap is None:
        return None
    try:
        peer, local = connected.getpeername(), connected.getsockname()
    except OSError:  # the peer has already closed the connection
        return None
    return tap.connected(peer[:2], local[:2])
