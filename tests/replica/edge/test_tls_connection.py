"""A TLS connection moves many bytes in both directions at once, and ends while its thread uses the socket."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from odx_target.replica.edge import tls_connection as tls_connection_module
from odx_target.replica.edge import worker
from odx_target.replica.edge.certificates import make_certificate
from odx_target.replica.edge.tls import client_context, server_context, tls_connection
from odx_target.replica.edge.tls_connection import MIN_PROCESSORS, THREAD_BYTES, THREAD_VARIABLE, TlsConnection, _uses_thread
from odx_target.replica.edge.worker import Worker
from odx_target.replica.paths.connection import ConnectionLost


@pytest.fixture(autouse=True)
def _with_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREAD_VARIABLE, "1")


CERTIFICATES = make_certificate(), make_certificate()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[TlsConnection, TlsConnection]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    one, other = _on(ours, is_server=False), _on(theirs, is_server=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.handshake)
        nursery.start_soon(other.handshake)
    try:
        yield one, other
    finally:
        one.close()
        other.close()


def _on(plain: socket.socket, *, is_server: bool) -> TlsConnection:
    own, peer = CERTIFICATES
    plain.setblocking(False)
    context = server_context(own, [peer.certificate]) if is_server else client_context(peer, own.certificate)
    return TlsConnection(context.wrap_socket(plain, server_side=is_server, do_handshake_on_connect=False))


async def receive(connection: TlsConnection, size_bytes: int) -> bytes:
    found = b""
    while len(found) < size_bytes:
        data = await connection.receive()
        assert data
        found += data
    return found


async def test_many_bytes_go_in_both_directions_at_once() -> None:
    sizes = [1, THREAD_BYTES - 1, THREAD_BYTES, 5 * THREAD_BYTES, 3, 40 * THREAD_BYTES]
    found: dict[TlsConnection, bytes] = {}
    async with connected() as both:
        parts = [[Random(size + seed).randbytes(size) for size in sizes] for seed in range(2)]

        async def send(connection: TlsConnection, data: list[bytes]) -> None:
            for each in data:
                await connection.send([each[: len(each) // 2], each[len(each) // 2 :]])

        async def take(connection: TlsConnection) -> None:
            found[connection] = await receive(connection, sum(sizes))

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for connection, data in zip(both, parts, strict=True):
                    nursery.start_soon(send, connection, data)
                    nursery.start_soon(take, connection)
        assert found == {both[0]: b"".join(parts[1]), both[1]: b"".join(parts[0])}


async def test_a_connection_that_is_closed_during_a_call_of_its_thread_releases_the_socket_after_it() -> None:
    ended: list[str] = []
    async with connected() as (one, _):
        began, may_end = trio.Event(), trio.Event()

        async def call(function: object) -> None:
            began.set()
            await may_end.wait()
            raise ConnectionLost("the call has ended")

        one._worker.call = call  # type: ignore[assignment, method-assign]

        async def send() -> None:
            with pytest.raises(ConnectionLost):
                await one.send([bytes(THREAD_BYTES)])
            ended.append("send")

        async def take() -> None:
            with pytest.raises(ConnectionLost):
                await one.receive()
            ended.append("receive")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await began.wait()
            nursery.start_soon(take)
            await wait_all_tasks_blocked()
            one.close()
            assert one._socket.fileno() >= 0
            may_end.set()
        assert one._socket.fileno() == -1
        assert sorted(ended) == ["receive", "send"]


async def test_without_a_thread_the_system_is_not_asked_how_much_has_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setenv(THREAD_VARIABLE, "0")
    monkeypatch.setattr(tls_connection_module.fcntl, "ioctl", lambda *arguments: asked.append(arguments))
    async with connected() as (one, other):
        await one.send([bytes(2 * THREAD_BYTES)])
        assert await receive(other, 2 * THREAD_BYTES) == bytes(2 * THREAD_BYTES)
    assert asked == []


async def test_a_worker_returns_results_and_raises_errors() -> None:
    found = Worker()
    assert await found.call(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await found.call(lambda: 1 // 0)
    with trio.CancelScope() as scope:
        scope.cancel()
        assert await found.call(lambda: 6) == 6
    found.stop()


async def test_a_worker_without_a_thread_calls_in_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_words: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(worker.threading, "Thread", refuse)
    found = Worker()
    assert await found.call(lambda: 7) == 7
    found.stop()


def test_a_socket_that_is_closed_already_is_refused() -> None:
    closed = socket.socket()
    closed.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        tls_connection(closed, client_context(CERTIFICATES[0], CERTIFICATES[1].certificate), is_server=False)


@pytest.mark.parametrize(
    ("wanted", "processors", "expected"),
    [("", MIN_PROCESSORS, True), ("", MIN_PROCESSORS - 1, False), ("0", MIN_PROCESSORS, False), ("1", 1, True)],
)
def test_threads_are_used_if_there_are_processors_for_them(
    monkeypatch: pytest.MonkeyPatch, wanted: str, processors: int, expected: bool
) -> None:
    monkeypatch.setenv(THREAD_VARIABLE, wanted)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
    assert _uses_thread() == expected
