"""The connections whose peers are not known yet, and their limits.

A new connection is always accepted, because its peer may be paired. If there are too many, the oldest of the network with the
most connections is ended. A paired peer shows its certificate within milliseconds, so it is not ended; a stranger that sends
nothing is.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import trio

MAX_GREETINGS = 32
"""Maximum number of connections whose peer is not known yet. A TLS handshake takes a millisecond and 50 KiB."""

MAX_NETWORK_GREETINGS = 8
"""Maximum number of such connections of one network. An array has at most four connections of a path, and several arrays may
share one address."""

IPV6_NETWORK_BITS = 64
"""Length of the prefix of a network. The owner of one IPv6 network has any number of addresses."""


class Greetings:
    """The open connections of unknown peers, in the order of their arrival."""

    def __init__(self) -> None:
        self._open: dict[trio.CancelScope, str] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def greeting(self, network: str) -> Iterator[trio.CancelScope]:
        """Count a connection from a network while the body runs.

        The body is cancelled if newer connections need the place. The scope then has `cancelled_caught`.
        """
        self._make_place(network)
        with trio.CancelScope() as scope:
            self._open[scope] = network
            try:
                yield scope
            finally:
                self._open.pop(scope, None)

    def _make_place(self, network: str) -> None:
        counts = Counter(self._open.values())
        if counts[network] >= MAX_NETWORK_GREETINGS:
            self._end_oldest(network)
        elif len(self._open) >= MAX_GREETINGS:
            self._end_oldest(counts.most_common(1)[0][0])

    def _end_oldest(self, network: str) -> None:
        scope = next(scope for scope, each in self._open.items() if each == network)
        del self._open[scope]
        scope.cancel()


def network_of(address: str) -> str:
    """Return the network of an IP address: an IPv4 address itself, or the prefix of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, IPV6_NETWORK_BITS), strict=False))
    return str(found)
