"""Connects to peers over TCP and TLS: for the links of paths, and for pairings."""

import os
import socket
import ssl

import trio

from odx_target.replica.edge.tls import (
    OwnCertificate,
    Prepare,
    client_context,
    pairing_context,
    prepare_nothing,
    tls_connection,
)
from odx_target.replica.edge.tls_connection import TlsConnection, reason_of
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.pairing.handshake import PAIRING_TIMEOUT_S, DiallerHandshake, Paired, PairingFailed
from odx_target.replica.pairing.messages import NONCE_BYTES, Identity
from odx_target.replica.paths.connection import Connection, ConnectionLost, DialFailed
from odx_target.replica.paths.settings import Address, PathSettings

CONNECT_TIMEOUT_S = 5.0


class TlsDialler:
    """Dials with the certificate of this array; `Dialler` describes `dial`."""

    def __init__(self, own: OwnCertificate, prepare: Prepare = prepare_nothing) -> None:
        self._own = own
        self._prepare = prepare

    async def dial(self, settings: PathSettings) -> Connection:
        assert settings.address is not None
        try:
            context = client_context(self._own, settings.peer_certificate)
        except (OSError, ValueError) as error:
            raise DialFailed("the certificate of the pairing cannot be read", needs_operator=True) from error
        connection = await _connected_with_tls(settings.address, context, self._prepare)
        try:
            await connection.handshake()
        except ConnectionLost as error:
            raise DialFailed(str(error)) from error
        except BaseException:
            connection.close()
            raise
        if connection.peer_certificate != settings.peer_certificate:
            connection.close()
            raise DialFailed("the peer shows another certificate than at the pairing", needs_operator=True)
        return connection


async def pair_with(address: Address, key: bytes, own: Identity, nonce: bytes) -> Paired:
    """Pair with the array at an address. `nonce` are random bytes, and `key` is the stretched path key.

    Raises DialFailed if the peer cannot be reached, and PairingFailed. Every end after this side has sent its proof counts as
    an attempt, whatever the peer does, because the peer may have guessed.
    """
    assert len(nonce) == NONCE_BYTES
    connection = await _connected_with_tls(address, pairing_context())
    handshake: DiallerHandshake | None = None
    try:
        with trio.move_on_after(PAIRING_TIMEOUT_S):
            await connection.handshake()
            certificate = connection.peer_certificate
            if certificate is None:
                raise PairingFailed("the peer shows no certificate", is_attempt=False)
            handshake = DiallerHandshake(key, own, certificate, nonce)
            return await converse(connection, handshake)
        failure = "the pairing takes too long"
    except (ConnectionLost, PeerFault) as error:
        if isinstance(error, PeerFault) or _has_proved(handshake):
            raise PairingFailed(str(error), is_attempt=_has_proved(handshake)) from error
        raise DialFailed(str(error)) from error
    finally:
        connection.close()
    raise PairingFailed(failure, is_attempt=_has_proved(handshake))


def _has_proved(handshake: DiallerHandshake | None) -> bool:
    return handshake is not None and handshake.has_proved


async def converse(connection: Connection, handshake: DiallerHandshake) -> Paired:
    """Exchange the frames of a pairing. Raises PairingFailed, PeerFault and ConnectionLost."""
    output = handshake.output
    while True:
        if output:
            await connection.send([output])
        data = await connection.receive()
        if not data:
            raise PairingFailed("the peer has ended the pairing", is_attempt=handshake.has_proved)
        output, paired = handshake.receive(data)
        if paired is not None:
            return paired


async def _connected_with_tls(address: Address, context: ssl.SSLContext, prepare: Prepare = prepare_nothing) -> TlsConnection:
    """Connect to an address, and put TLS on the connection. Raises DialFailed."""
    plain = await _connected(address)
    prepare(plain)
    try:
        return tls_connection(plain, context, is_server=False)
    except OSError as error:  # The peer has closed the connection already.
        raise DialFailed(f"{address}: {reason_of(error)}") from error


async def _connected(address: Address) -> socket.socket:
    """Connect to an address. Raises DialFailed."""
    try:
        with trio.fail_after(CONNECT_TIMEOUT_S):
            stream = await trio.open_tcp_stream(address.host, address.port)
    except trio.TooSlowError:
        raise DialFailed(f"{address} does not answer") from None
    except OSError as error:
        raise DialFailed(f"{address}: {_first_reason(error)}") from error
    file_number = stream.socket.detach()
    return socket.socket(fileno=file_number)


def _first_reason(error: BaseException) -> str:
    """Return the reason of a failed connection. If a name has several addresses, trio has put their errors into a group."""
    while error.__cause__ is not None or isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__  # type: ignore[assignment]
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno).lower()  # The text of trio repeats the address.
    return reason_of(error) if isinstance(error, OSError) else "cannot connect"
