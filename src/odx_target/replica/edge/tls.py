"""TLS 1.3 with pinned certificates.

A pinned certificate is its own authority, so TLS accepts exactly the pinned certificates. All of them have the same subject, so
OpenSSL must look for the certificate itself instead of its issuer: among several of the same name, it would take any. Sessions
are never resumed, because a resumed session would not show the certificate again.
"""

import os
import socket
import ssl
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from odx_target.replica.edge.tls_connection import TlsConnection

UNSENT_BYTES = 256 << 10
"""Number of bytes that the kernel keeps for a slow line before the array waits. Urgent frames wait for no more than these."""

Prepare = Callable[[socket.socket], None]
"""Sets options of the socket of a new connection that depend on the machine."""


def prepare_nothing(_connected: socket.socket) -> None:
    """Leave the options of a socket as they are."""


class OwnCertificate(NamedTuple):
    """The certificate (DER) and the private key (PEM) of this array."""

    certificate: bytes
    private_key: bytes

    def __repr__(self) -> str:
        return f"OwnCertificate({len(self.certificate)} bytes)"


def server_context(own: OwnCertificate, pinned: Sequence[bytes]) -> ssl.SSLContext:
    """Make the context of the acceptor. A peer without a certificate is accepted, but it may only pair."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, own)
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    if pinned:
        context.load_verify_locations(cadata=b"".join(pinned))
    return context


def client_context(own: OwnCertificate, pinned: bytes) -> ssl.SSLContext:
    """Make the context of the dialler of a path."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, own)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pinned)
    return context


def is_certificate(content: bytes) -> bool:
    """True if `content` is exactly one certificate (DER) that can be pinned, so that it does not spoil a context."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT, None)
    try:
        context.load_verify_locations(cadata=content)
    except (ssl.SSLError, ValueError):
        return False
    return context.get_ca_certs(binary_form=True) == [content]


def pairing_context() -> ssl.SSLContext:
    """Make the context of the dialler of a pairing, which shows no certificate and verifies none. The pairing verifies it."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, None)


def _context(protocol: int, own: OwnCertificate | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if own is not None:
        _load(context, own)
    return context


def _load(context: ssl.SSLContext, own: OwnCertificate) -> None:
    """Load the certificate and its key. The module `ssl` reads them only from files, so they are put into a file in memory.

    A system without such files gets a temporary file that only its owner can read.
    """
    content = own.private_key + ssl.DER_cert_to_PEM_cert(own.certificate).encode()
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("odx-target"), "wb") as file:
            file.write(content)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            context.load_cert_chain(file.name)


def tls_connection(plain: socket.socket, context: ssl.SSLContext, *, is_server: bool) -> TlsConnection:
    """Put TLS on a connected socket. Its handshake has not begun. Takes the socket over. Raises OSError if it is closed."""
    try:
        # If the peer has reset the connection, the module `ssl` raises an exception too, but leaves the socket open.
        if number := plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number))
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        return TlsConnection(context.wrap_socket(plain, server_side=is_server, do_handshake_on_connect=False))
    except BaseException:
        plain.close()
        raise
