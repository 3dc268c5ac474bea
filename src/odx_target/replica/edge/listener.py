"""Accepts peers at the link port: connections of paths, and pairings.

A peer that shows a certificate must show a pinned one, which names its path. A peer without a certificate may only pair, and
only while a path waits for its pairing. A stranger gets one line in the log, and nothing else.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import trio

from odx_target.replica.edge.greetings import Greetings, network_of
from odx_target.replica.edge.tls import (
    OwnCertificate,
    Prepare,
    is_certificate,
    prepare_nothing,
    server_context,
    tls_connection,
)
from odx_target.replica.edge.tls_connection import TlsConnection, reason_of
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.pairing.desk import NotWaiting, PairingDesk
from odx_target.replica.pairing.handshake import PAIRING_TIMEOUT_S, AcceptorHandshake, Paired, PairingFailed, refusal
from odx_target.replica.pairing.messages import NONCE_BYTES, Identity
from odx_target.replica.paths.connection import ConnectionLost
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.path_table import PathTable


class ListenerCallbacks(NamedTuple):
    """Functions that the listener calls. `on_paired` is awaited before the peer is told that the pairing has succeeded.

    `on_refused` is called with one line about each peer that is refused.
    """

    on_paired: Callable[[Paired], Awaitable[None]]
    on_refused: Callable[[str], None]


class PeerListener:
    """Serves the connections of peers. `own` is the identity of this array, and `entropy` returns random bytes."""

    def __init__(
        self,
        certificate: OwnCertificate,
        own: Identity,
        paths: PathTable,
        desk: PairingDesk,
        entropy: Callable[[int], bytes],
        callbacks: ListenerCallbacks,
        prepare: Prepare = prepare_nothing,
    ) -> None:
        self._certificate = certificate
        self._prepare = prepare
        self._own = own
        self._paths = paths
        self._desk = desk
        self._entropy = entropy
        self._callbacks = callbacks
        self._greetings = Greetings()
        self._context: tuple[list[bytes], ssl.SSLContext] | None = None

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve an accepted connection until it is closed."""
        plain = socket.socket(fileno=stream.socket.detach())
        self._prepare(plain)
        path: Path | None = None
        connection: TlsConnection | None = None
        with self._greetings.greeting(_network(plain)) as scope:
            path, connection = await self._greet(plain)
        if scope.cancelled_caught:
            self._callbacks.on_refused("newer connections take the place of a peer that has not shown who it is")
        elif path is not None and connection is not None:
            await path.accept(connection)

    async def _greet(self, plain: socket.socket) -> tuple[Path | None, TlsConnection | None]:
        """Find out who the peer is. Pair with a peer that shows no certificate. Returns the path of a known peer.

        The connection of any other peer is closed.
        """
        try:
            connection = tls_connection(plain, self._present_context(), is_server=True)
        except OSError as error:  # The peer has closed the socket already.
            self._callbacks.on_refused(reason_of(error))
            return None, None
        path: Path | None = None
        try:
            await connection.handshake()
            certificate = connection.peer_certificate
            if certificate is None:
                await self._pair(connection)
            else:
                path = self._paths.to_certificate(certificate)
                if path is None:
                    raise ConnectionLost("the certificate of the peer belongs to no path")
        except ConnectionLost as error:
            self._callbacks.on_refused(str(error))
        finally:
            if path is None:
                connection.close()
        return path, connection

    def _present_context(self) -> ssl.SSLContext:
        """Return the TLS context that knows the certificates of the present paths. Make it only when they have changed."""
        pinned = [path.settings.peer_certificate for path in self._paths.values()]
        if self._context is None or self._context[0] != pinned:
            # A remembered certificate that is damaged must not keep out the peers of the other paths.
            self._context = pinned, server_context(self._certificate, list(filter(is_certificate, pinned)))
        return self._context[1]

    async def _pair(self, connection: TlsConnection) -> None:
        try:
            self._desk.keys()  # Raises NotWaiting at once.
            with trio.fail_after(PAIRING_TIMEOUT_S):
                await self._converse(connection, AcceptorHandshake(self._desk.keys, self._own, self._entropy(NONCE_BYTES)))
        except (NotWaiting, PairingFailed, PeerFault) as error:
            if isinstance(error, PairingFailed) and error.is_attempt:
                self._desk.failed(str(error))
            self._callbacks.on_refused(f"pairing: {error}")
            await connection.send([refusal(str(error))])
        except trio.TooSlowError:
            self._callbacks.on_refused("pairing: the peer takes too long")

    async def _converse(self, connection: TlsConnection, handshake: AcceptorHandshake) -> None:
        while True:
            data = await connection.receive()
            if not data:
                raise PairingFailed("the peer has closed the connection", is_attempt=False)
            output, paired = handshake.receive(data)
            if paired is not None:
                await self._callbacks.on_paired(paired)
            await connection.send([output])
            if paired is not None:
                return


def _network(plain: socket.socket) -> str:
    """Return the network of the peer of a connected socket. All peers that are gone already are one network."""
    try:
        return network_of(str(plain.getpeername()[0]))
    except (OSError, IndexError):
        return ""
