"""The control socket of a running array: it receives requests, performs `operations` and sends responses.

The control socket is a stream socket in the file system (see `socket_file`). Each line from a client is a request. The server
answers each request with one line, the response. Requests and responses are JSON objects:

    {"operation": "resize", "arguments": {"name": "first", "size": "2G"}}
    {"result": {"lun": 0, "name": "first", "size_bytes": 2147483648, "block_bytes": 512}}
    {"error": "there is no LUN third", "usage": false}

`usage` is true if the request itself was invalid. A client may send any number of requests on a connection, one after another.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import trio

from odx_target.target.accepting_clients import accept_all
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.encoding import encoded
from odx_target.target.control.socket_file import listen_at, remove_socket
from odx_target.target.event_log import log

CANNOT_ACCEPT = "cannot accept a connection to the control socket"

MAX_LINE_BYTES = 1 << 16
"""Maximum length of a request to the control socket. Every valid request is much shorter than this."""

MAX_CONTROL_CONNECTIONS = 16
"""Maximum number of connections to the control socket, which is enough for a person and some scripts.

If this number of connections is open, a new client gets an error at once.
"""

IDLE_TIMEOUT_S = 60.0
"""Maximum time between two requests of a client of the control socket."""

SEND_TIMEOUT_S = 10.0
"""Maximum time that a client may take to receive a response."""

Perform: TypeAlias = Callable[[str, Mapping[str, object]], Awaitable[Mapping[str, object]]]
"""Function that performs the operation with a name and arguments, and returns the result of the operation.

Raises ManagementError.
"""


@asynccontextmanager
async def serve_control(path: Path, perform: Perform) -> AsyncIterator[bool]:
    """Serve the control socket at `path` while the body runs. If the socket cannot be made, log a warning and yield False."""
    try:
        listening, identity = await trio.to_thread.run_sync(listen_at, path, MAX_CONTROL_CONNECTIONS)
    except OSError as error:
        log.warning("no control socket", path=str(path), reason=error.strerror or str(error))
        yield False
        return
    try:
        async with trio.open_nursery() as nursery:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            nursery.start_soon(accept_all, listener, _Conversations(perform).serve, nursery, CANNOT_ACCEPT)
            yield True
            nursery.cancel_scope.cancel()
    finally:
        listening.close()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(remove_socket, path, identity)


class _Conversations:
    """All connections of one control socket."""

    def __init__(self, perform: Perform) -> None:
        self._perform = perform
        self._count = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        self._count += 1
        try:
            async with stream:
                with suppress(trio.BrokenResourceError):
                    if self._count > MAX_CONTROL_CONNECTIONS:
                        await _send(stream, _failure(f"there are {MAX_CONTROL_CONNECTIONS} connections already"))
                    else:
                        await self._converse(stream)
        finally:
            self._count -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        buffer = bytearray()
        while (line := await _receive_line(stream, buffer)) is not None:
            if len(line) > MAX_LINE_BYTES:
                await _send(stream, _failure(f"a request has at most {MAX_LINE_BYTES} bytes", is_usage=True))
                return
            if not await _send(stream, await self._answer(line)):
                return

    async def _answer(self, line: bytes) -> Mapping[str, object]:
        try:
            return {"result": await self._perform(*_request(line))}
        except ManagementError as error:
            return _failure(str(error), is_usage=error.is_usage)
        except Exception as error:
            log.error("an operation failed inside the array", error=repr(error), exc_info=error)
            return _failure("the operation failed inside the array; its log says more")


def _request(line: bytes) -> tuple[str, Mapping[str, object]]:
    """Return the name and the arguments of the operation in a line. Raises ManagementError."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise ManagementError("a request is one line of JSON", is_usage=True) from None
    if isinstance(request, dict):
        operation, arguments = request.get("operation"), request.get("arguments", {})
        if isinstance(operation, str) and isinstance(arguments, dict) and request.keys() <= {"operation", "arguments"}:
            return operation, arguments
    raise ManagementError('a request is {"operation": TEXT, "arguments": {...}}', is_usage=True)


def _failure(message: str, *, is_usage: bool = False) -> Mapping[str, object]:
    return {"error": message, "usage": is_usage}


async def _receive_line(stream: trio.SocketStream, buffer: bytearray) -> bytes | None:
    """Return the next line, or the beginning of a line that is too long.

    Returns None if the client has closed the connection, or if no line has arrived in time.
    """
    with trio.move_on_after(IDLE_TIMEOUT_S):
        while (end := buffer.find(b"\n")) < 0:
            if len(buffer) > MAX_LINE_BYTES:
                return bytes(buffer)
            received = await stream.receive_some()
            if not received:
                return None
            buffer += received
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        return line
    return None


async def _send(stream: trio.SocketStream, answer: Mapping[str, object]) -> bool:
    """Send a response. Return False if the client does not receive the response in time."""
    with trio.move_on_after(SEND_TIMEOUT_S) as scope:
        await stream.send_all(await encoded(answer) + b"\n")
    return not scope.cancelled_caught
