"""The interface by which a trace gets the bytes of every connection.

Without a tap, a connection needs only one comparison with None for received bytes and one for sent bytes.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from odx_target.environment import Buffer

Address: TypeAlias = tuple[str, int]
"""Host and port, without the flow and scope of an IPv6 address."""


class ConnectionTap(Protocol):
    """Gets the bytes of one connection. Its methods must not raise. Buffers are valid only during the call."""

    def received(self, data: memoryview) -> None:
        """Called with bytes that the peer has sent: whole PDUs, or the remaining bytes of a stream that is not understood."""

    def sent(self, buffers: Sequence[Buffer]) -> None:
        """Called with buffers of whole PDUs that are about to be sent to the peer."""

    def closed(self) -> None:
        """Called when the connection has ended."""


class Tap(Protocol):
    """Gets the bytes of every connection of an array."""

    def errors(self) -> list[str]:
        """Return the reasons why a trace cannot be written at present."""

    def connected(self, peer: Address, local: Address) -> ConnectionTap:
        """Called for each accepted connection, from `peer` to the portal at `local`."""


def tap_of(tap: Tap | None, connected: Any) -> ConnectionTap | None:
    """Return the tap of a connected socket; None if `tap` is None or the peer has already gone."""
    if tap is None:
        return None
    try:
        peer, local = connected.getpeername(), connected.getsockname()
    except OSError:  # the peer has already closed the connection
        return None
    return tap.connected(peer[:2], local[:2])
