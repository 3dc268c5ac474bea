"""The interface by which a trace sees the bytes of every connection.

With no tap a connection pays one `is None` for what it receives and one for what it sends.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from odx_target.environment import Buffer

Address: TypeAlias = tuple[str, int]
"""Host and port, without the flow and scope of an IPv6 address."""


class ConnectionTap(Protocol):
    """Sees one connection. Nothing it does may raise; buffers are valid only during the call."""

    def received(self, data: memoryview) -> None:
        """The peer has sent these bytes: whole PDUs, or what is left of a stream that cannot be followed."""

    def sent(self, buffers: Sequence[Buffer]) -> None:
        """These buffers, whole PDUs, are on their way to the peer."""

    def closed(self) -> None:
        """The connection has ended."""


class Tap(Protocol):
    """Sees every connection of an array."""

    def errors(self) -> list[str]:
        """Why what is seen is not kept at present."""

    def connected(self, peer: Address, local: Address) -> ConnectionTap:
        """A connection has been accepted, from `peer` to the portal at `local`."""


def tap_of(tap: Tap | None, connected: Any) -> ConnectionTap | None:
    """The tap of a connected socket, if there is one."""
    if tap is None:
        return None
    try:
        peer, local = connected.getpeername(), connected.getsockname()
    except OSError:  # the peer has gone already
        return None
    return tap.connected(peer[:2], local[:2])
