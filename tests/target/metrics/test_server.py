"""The HTTP server of the metrics, with slow, malformed and many clients."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from odx_target.target.config.settings import Portal
from odx_target.target.metrics import server
from odx_target.target.metrics.server import MAX_REQUEST_BYTES, MAX_SCRAPERS, serve_metrics

BODY = b"odx_x 1\n"
GET = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"


async def body() -> bytes:
    return BODY


@asynccontextmanager
async def served(collect: server.Collect = body) -> AsyncIterator[Portal]:
    async with serve_metrics(Portal("127.0.0.1", 0), collect) as portal:
        yield portal


async def connected(portal: Portal) -> trio.SocketStream:
    return await trio.open_tcp_stream(portal.host, portal.port)


async def all_of(stream: trio.SocketStream) -> bytes:
    received = b""
    while part := await stream.receive_some():
        received += part
    return received


async def ask(portal: Portal, request: bytes) -> bytes:
    async with await connected(portal) as stream:
        await stream.send_all(request)
        return await all_of(stream)


def status(answer: bytes) -> int:
    head, _, rest = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in words[1:])
    assert fields[b"Connection"] == b"close"
    assert int(fields[b"Content-Length"]) == len(rest) or not rest
    return int(words[0].split()[1])


async def test_a_get_has_the_text() -> None:
    async with served() as portal:
        answer = await ask(portal, GET)
        assert status(answer) == 200
        assert answer.endswith(b"\r\n\r\n" + BODY)
        assert b"Content-Type: text/plain; version=0.0.4" in answer


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (b"GET /metrics HTTP/1.0\n\n", 200),
        (b"GET /metrics?x=1 HTTP/1.1\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 200),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + bytes(30_000), 405),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../etc HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
        (b"get /metrics HTTP/1.1\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * (MAX_REQUEST_BYTES - 100) + b"\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"y" * (2 * MAX_REQUEST_BYTES), 431),
    ],
)
async def test_requests_and_their_answers(request_bytes: bytes, expected: int) -> None:
    async with served() as portal:
        answer = await ask(portal, request_bytes)
        assert status(answer) == expected
        assert answer.endswith(b"\r\n\r\n") == request_bytes.startswith(b"HEAD")
        assert (BODY in answer) == (expected == 200 and not request_bytes.startswith(b"HEAD"))
        assert status(await ask(portal, GET)) == 200


async def test_a_client_that_leaves_early_gets_nothing() -> None:
    async with served() as portal:
        async with await connected(portal) as stream:
            await stream.send_all(b"GET /met")
            await stream.send_eof()
            assert await all_of(stream) == b""
        assert status(await ask(portal, GET)) == 200


async def test_a_client_that_resets_the_connection_is_no_error() -> None:
    with capture_logs() as logged:
        async with served() as portal:
            stream = await connected(portal)
            await stream.send_all(b"GET /met")
            await trio.testing.wait_all_tasks_blocked()
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()
            assert status(await ask(portal, GET)) == 200
    assert logged == []


async def test_a_slow_client_is_refused_after_a_time(autojump_clock: trio.testing.MockClock) -> None:
    async with served() as portal, await connected(portal) as stream:
        began_s = trio.current_time()
        await stream.send_all(b"GET /metrics HTTP/1.1\r\n")
        assert status(await all_of(stream)) == 408
        assert trio.current_time() - began_s <= server.REQUEST_TIMEOUT_S + server.LINGER_TIMEOUT_S + 1.0


async def test_a_client_that_does_not_read_is_cut(autojump_clock: trio.testing.MockClock) -> None:
    async def long() -> bytes:
        return bytes(64 << 20)

    async with served(long) as portal, await connected(portal) as stream:
        await stream.send_all(GET)
        await trio.sleep(server.SEND_TIMEOUT_S + server.LINGER_TIMEOUT_S + 1.0)
        received = 0
        try:
            while part := await stream.receive_some():
                received += len(part)
        except trio.BrokenResourceError:
            pass
        assert received < 64 << 20


async def test_too_many_clients_are_refused_at_once() -> None:
    async with served() as portal:
        waiting = [await connected(portal) for _ in range(MAX_SCRAPERS)]
        for each in waiting:
            await each.send_all(b"GET")
        await trio.testing.wait_all_tasks_blocked(0.01)
        async with await connected(portal) as stream:
            assert status(await all_of(stream)) == 503
        await waiting.pop().aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert status(await ask(portal, GET)) == 200
        for each in waiting:
            await each.send_all(GET[3:])
            assert status(await all_of(each)) == 200
            await each.aclose()


async def test_an_error_while_the_metrics_are_collected_ends_one_answer() -> None:
    fails = True

    async def sometimes() -> bytes:
        if fails:
            raise RuntimeError("a bug")
        return BODY

    async with served(sometimes) as portal:
        with capture_logs() as logs:
            assert status(await ask(portal, GET)) == 500
        assert [each["event"] for each in logs] == ["the metrics could not be collected"]
        fails = False
        assert status(await ask(portal, GET)) == 200


async def test_an_address_in_use_is_an_error() -> None:
    async with served() as portal:
        with pytest.raises(OSError, match="cannot listen there"):
            async with serve_metrics(portal, body):
                pass
