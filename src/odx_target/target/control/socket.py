"""The control socket: operations of a running array for those who may use its directory.

A stream socket in the file system that only its owner can open. Each line of a client is a request, each line to it an answer,
both JSON objects:

    {"operation": "resize", "arguments": {"name": "first", "size": "2G"}}
    {"result": {"lun": 0, "name": "first", "size_bytes": 2147483648, "block_bytes": 512}}
    {"error": "there is no LUN third", "usage": false}

`usage` tells whether the request was wrong in itself. A connection may send any number of requests, one after the other.
"""

import errno
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import structlog
import trio

from odx_target.store.error_kinds import reason
from odx_target.target.control.arguments import ManagementError
from odx_target.target.reporter import Reporter

log = structlog.get_logger()

CONTROL_NAME = "control"
CONTROL_MODE = 0o600

# What accept() fails of goes away by itself, or not at all; trying again at once would spin.
ACCEPT_PAUSE_S = 0.1
# Far more than any request needs.
MAX_LINE_BYTES = 1 << 16
# A person and some scripts; more are told so at once.
MAX_CONTROL_CONNECTIONS = 16
# How long a client may take to send its next request, and to take an answer.
IDLE_TIMEOUT_S = 60.0
SEND_TIMEOUT_S = 10.0
# Texts, numbers and signs of an answer that are written down in one go: about a millisecond.
PARTS_AT_ONCE = 2000
# sockaddr_un has 108 bytes, of which the last must be zero.
MAX_SOCKET_NAME_BYTES = 107

Perform: TypeAlias = Callable[[str, Mapping[str, object]], Awaitable[Mapping[str, object]]]
"""Does an operation by name with its arguments. Raises ManagementError."""


@contextmanager
def socket_name(path: Path) -> Iterator[str]:
    """A name under which a socket can be bound and reached, however long its path is. Raises OSError."""
    if len(os.fsencode(path)) <= MAX_SOCKET_NAME_BYTES:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


@asynccontextmanager
async def opened_control(path: Path, perform: Perform) -> AsyncIterator[bool]:
    """Answer at `path` for as long as the body runs. Where that cannot be, it is one warning, and False for the body."""
    try:
        listening, identity = await trio.to_thread.run_sync(_listen, path)
    except OSError as error:
        log.warning("no control socket", path=str(path), reason=error.strerror or str(error))
        yield False
        return
    try:
        async with trio.open_nursery() as nursery:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            nursery.start_soon(_accept_all, listener, _Conversations(perform), nursery)
            yield True
            nursery.cancel_scope.cancel()
    finally:
        listening.close()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_remove, path, identity)


async def _accept_all(listener: trio.SocketListener, conversations: "_Conversations", nursery: trio.Nursery) -> None:
    """Accept clients for ever; what stands against one does not end the others, nor the array."""
    reporter = Reporter(trio.current_time)
    while True:
        try:
            stream = await listener.accept()
        except OSError as error:
            reporter.report("warning", "cannot accept a connection to the control socket", error=reason(error))
            await trio.sleep(ACCEPT_PAUSE_S)
        else:
            nursery.start_soon(conversations.serve, stream)


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
    """Operation and arguments. Raises ManagementError."""
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
    """The next line, or what there is of one that is too long; None at the end or when nothing comes."""
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
    """False if the client does not take it."""
    with trio.move_on_after(SEND_TIMEOUT_S) as scope:
        await stream.send_all(await _encoded(answer) + b"\n")
    return not scope.cancelled_caught


async def _encoded(answer: Mapping[str, object]) -> bytes:
    """JSON of an answer; of a long list of rows made in pieces, between which others are served."""
    parts = []
    for part in json.JSONEncoder().iterencode(answer):
        parts.append(part)
        if not len(parts) % PARTS_AT_ONCE:
            await trio.lowlevel.checkpoint()
    return "".join(parts).encode()


def _listen(path: Path) -> tuple[socket.socket, tuple[int, int]]:
    """A listening socket and what tells its file from others. Raises OSError."""
    with socket_name(path) as name:
        _make_way(name)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.bind(name)
            Path(name).chmod(CONTROL_MODE)  # before anybody can connect
            listening.listen(MAX_CONTROL_CONNECTIONS)
            found = Path(name).lstat()
        except BaseException:
            listening.close()
            raise
    return listening, (found.st_dev, found.st_ino)


def _make_way(name: str) -> None:
    """Remove the socket of a server that has died; nothing else. Raises OSError where something else is there."""
    try:
        mode = Path(name).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "something that is no socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(name)
        except ConnectionRefusedError:
            Path(name).unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another server answers there")


def _remove(path: Path, identity: tuple[int, int]) -> None:
    with suppress(OSError):
        found = path.lstat()
        if (found.st_dev, found.st_ino) == identity:
            path.unlink()
