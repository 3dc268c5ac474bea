"""The HTTP server of the metrics. It answers GET and HEAD of /metrics, one request on each connection.

The sizes and times of requests are limited, and so is the number of connections. A client that is slow or sends anything else
gets an error and is disconnected. Such a client does not delay the array or other clients.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import trio

from odx_target.target.accepting_clients import accept_all
from odx_target.target.config.settings import Portal
from odx_target.target.event_log import log
from odx_target.target.listening_sockets import bind_portals, close_sockets
from odx_target.target.metrics.exposition import CONTENT_TYPE

PATH = "/metrics"

MAX_REQUEST_BYTES = 8192
"""Maximum size of the request line and all header fields. Prometheus sends less than 1 KiB."""

MAX_SCRAPERS = 4
"""Maximum number of connections that are served at the same time. Further clients get status 503."""

REQUEST_TIMEOUT_S = 5.0
"""Time in which a client must send its whole request."""

SEND_TIMEOUT_S = 10.0
"""Time in which a client must receive the response."""

LINGER_TIMEOUT_S = 1.0
MAX_LINGER_BYTES = 1 << 16
"""Maximum number of bytes that are read and discarded after a response. If a socket is closed with unread bytes, the client may
lose the response.
"""

CANNOT_ACCEPT = "cannot accept a connection to the metrics"

_RECEIVE_BYTES = 4096
_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.[01]\r?\n")
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

Collect = Callable[[], Awaitable[bytes]]


class Refused(Exception):
    """The request cannot be answered. `status` is the HTTP status code."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Request(NamedTuple):
    """A request that this server can answer."""

    method: str


@asynccontextmanager
async def serve_metrics(portal: Portal, collect: Collect) -> AsyncIterator[Portal]:
    """Answer requests at an address while the body runs. Yields the address with the actual port. Raises OSError.

    `collect` returns the text of the metrics.
    """
    (listening,) = bound = await bind_portals([portal])
    try:
        async with trio.open_nursery() as nursery:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening.socket))
            nursery.start_soon(accept_all, listener, _Scrapers(collect).serve, nursery, CANNOT_ACCEPT)
            yield listening.address
            nursery.cancel_scope.cancel()
    finally:
        close_sockets(bound)


class _Scrapers:
    """All connections of the server."""

    def __init__(self, collect: Collect) -> None:
        self._collect = collect
        self._count = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        if self._count >= MAX_SCRAPERS:
            await self._refuse_at_once(stream)
            return
        self._count += 1
        try:
            async with stream:
                with suppress(trio.BrokenResourceError):
                    await self._converse(stream)
        finally:
            self._count -= 1

    async def _refuse_at_once(self, stream: trio.SocketStream) -> None:
        """Refuse a client without waiting, so that refused clients do not accumulate. The buffer of the socket has room for the
        response.
        """
        with suppress(OSError):
            await stream.socket.send(_response(503))
        stream.socket.close()

    async def _converse(self, stream: trio.SocketStream) -> None:
        body = b""
        try:
            request = await _receive(stream)
            if request is None:
                return
            body = await self._collect()
            answer = _response(200, body, has_body=request.method == "GET")
        except trio.BrokenResourceError:  # The client has reset the connection.
            return
        except Refused as refused:
            answer = _response(refused.status)
        except Exception as error:
            log.error("the metrics could not be collected", error=repr(error), exc_info=error)
            answer = _response(500)
        with trio.move_on_after(SEND_TIMEOUT_S):
            await stream.send_all(answer)
        with trio.move_on_after(LINGER_TIMEOUT_S):
            await _linger(stream)


async def _receive(stream: trio.SocketStream) -> Request | None:
    """Receive a request. Returns None if the client has closed the connection. Raises Refused."""
    received = bytearray()
    with trio.move_on_after(REQUEST_TIMEOUT_S):
        while not _END_OF_HEADER.search(received):
            if len(received) > MAX_REQUEST_BYTES:
                raise Refused(431)
            part = await stream.receive_some(_RECEIVE_BYTES)
            if not part:
                return None
            received += part
        return _parsed(received)
    raise Refused(408)


def _parsed(received: bytearray) -> Request:
    line = _REQUEST_LINE.match(received)
    if line is None:
        raise Refused(400)
    method, target = line[1].decode(), line[2].decode()
    if target.partition("?")[0] != PATH:
        raise Refused(404)
    if method not in ("GET", "HEAD"):
        raise Refused(405)
    return Request(method)


def _response(status: int, body: bytes = b"", *, has_body: bool = True) -> bytes:
    """Return a whole response. The body of an error response is the reason of the error."""
    kind = CONTENT_TYPE
    if status != 200:
        body, kind = f"{_REASONS[status]}\n".encode(), "text/plain; charset=utf-8"
    fields = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(["Allow: GET, HEAD"] if status == 405 else []),
    ]
    return "\r\n".join([*fields, "", ""]).encode() + (body if has_body else b"")


async def _linger(stream: trio.SocketStream) -> None:
    """Discard received bytes until the client closes the connection."""
    await stream.send_eof()
    discarded_bytes = 0
    while discarded_bytes < MAX_LINGER_BYTES:
        part = await stream.receive_some(_RECEIVE_BYTES)
        if not part:
            return
        discarded_bytes += len(part)
