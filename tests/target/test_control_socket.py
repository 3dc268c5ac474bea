"""The control socket: its file, its lines, its limits, and clients that misbehave."""

import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from odx_target.target.control import client
from odx_target.target.control.client import NoServer, request
from odx_target.target.control.operations import OPERATIONS, ManagementError
from odx_target.target.control.server import (
    IDLE_TIMEOUT_S,
    MAX_CONTROL_CONNECTIONS,
    MAX_LINE_BYTES,
    SEND_TIMEOUT_S,
    serve_control,
)
from odx_target.target.control.socket_file import CONTROL_NAME, MAX_SOCKET_NAME_BYTES, socket_name
from odx_target.target.control.storage.table import STORAGE_OPERATIONS

LUNS = b'{"operation": "luns"}\n'


async def echo(operation: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
    """Perform operations without an array: return the arguments, or fail on request."""
    if operation == "refuse":
        raise ManagementError("no", is_usage=bool(arguments))
    if operation == "fail":
        raise RuntimeError("a bug")
    if operation == "wait":
        await trio.sleep_forever()
    if operation == "much":
        return {"data": "x" * (4 << 20)}
    return {"operation": operation, "arguments": dict(arguments)}


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[trio.SocketStream]:
    with socket_name(path) as name:
        stream = await trio.open_unix_socket(name)
    async with stream:
        yield stream


async def answer(stream: trio.SocketStream) -> dict[str, Any]:
    """Return the next response. Raises EOFError at the end."""
    received = bytearray()
    while not received.endswith(b"\n"):
        part = await stream.receive_some(1)
        if not part:
            raise EOFError
        received += part
    decoded: dict[str, Any] = json.loads(received)
    return decoded


async def test_lines_are_answered_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    async with serve_control(path, echo) as is_open, connected(path) as stream:
        assert is_open
        await stream.send_all(LUNS + b'{"operation": "a", "arguments": {"b": [1]}}\n{"opera')
        assert await answer(stream) == {"result": {"operation": "luns", "arguments": {}}}
        assert await answer(stream) == {"result": {"operation": "a", "arguments": {"b": [1]}}}
        for byte in b'tion": "slow"}\n':
            await stream.send_all(bytes([byte]))
        assert (await answer(stream))["result"]["operation"] == "slow"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"luns",
        b"\xff\xfe",
        b"[]",
        b"1",
        b"null",
        b"{}",
        b'{"operation": 1}',
        b'{"operation": "a", "arguments": []}',
        b'{"operation": "a", "more": 1}',
        b"[" * 20_000,
    ],
)
async def test_a_wrong_line_is_answered_and_the_next_one_too(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / CONTROL_NAME
    async with serve_control(path, echo), connected(path) as stream:
        await stream.send_all(line + b"\n" + LUNS)
        refused = await answer(stream)
        assert refused["usage"] is True
        assert "JSON" in refused["error"] or "operation" in refused["error"]
        assert "result" in await answer(stream)


async def test_refusals_and_failures_of_an_operation(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    with capture_logs() as logs:
        async with serve_control(path, echo), connected(path) as stream:
            await stream.send_all(b'{"operation": "refuse"}\n{"operation": "refuse", "arguments": {"a": 1}}\n')
            assert await answer(stream) == {"error": "no", "usage": False}
            assert await answer(stream) == {"error": "no", "usage": True}
            await stream.send_all(b'{"operation": "fail"}\n' + LUNS)
            assert "its log says more" in (await answer(stream))["error"]
            assert "result" in await answer(stream)
    assert [entry["error"] for entry in logs if entry["log_level"] == "error"] == ["RuntimeError('a bug')"]


async def test_a_line_has_a_longest_length(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    longest = LUNS[:-1].ljust(MAX_LINE_BYTES) + b"\n"
    async with serve_control(path, echo):
        async with connected(path) as stream:
            await stream.send_all(longest)
            assert "result" in await answer(stream)
            await stream.send_all(b" " + longest)
            assert str(MAX_LINE_BYTES) in (await answer(stream))["error"]
            with pytest.raises((EOFError, trio.BrokenResourceError)):
                await answer(stream)
        async with connected(path) as stream:
            await stream.send_all(b"x" * (MAX_LINE_BYTES + 1))
            assert str(MAX_LINE_BYTES) in (await answer(stream))["error"]


async def test_there_are_only_so_many_connections(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    async with serve_control(path, echo), trio.open_nursery() as nursery:
        leave = trio.Event()

        async def stay() -> None:
            async with connected(path) as stream:
                await stream.send_all(LUNS)
                await answer(stream)
                await leave.wait()

        for _ in range(MAX_CONTROL_CONNECTIONS):
            nursery.start_soon(stay)
        await wait_all_tasks_blocked(0.05)
        async with connected(path) as stream:
            assert str(MAX_CONTROL_CONNECTIONS) in (await answer(stream))["error"]
        leave.set()
        await wait_all_tasks_blocked(0.05)
        async with connected(path) as stream:
            await stream.send_all(LUNS)
            assert "result" in await answer(stream)


async def test_a_client_that_says_nothing_or_half_a_line_is_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / CONTROL_NAME
    async with serve_control(path, echo):
        for said in (b"", b'{"opera'):
            async with connected(path) as stream:
                await stream.send_all(said)
                began_s = trio.current_time()
                assert await stream.receive_some() == b""
                assert trio.current_time() - began_s == pytest.approx(IDLE_TIMEOUT_S, abs=1)


async def test_a_client_that_does_not_take_its_answer_is_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    path = tmp_path / CONTROL_NAME
    async with serve_control(path, echo), connected(path) as stream:
        await stream.send_all(b'{"operation": "much"}\n')
        await trio.sleep(SEND_TIMEOUT_S + 1)
        with pytest.raises(EOFError):
            await answer(stream)


async def test_a_client_that_leaves_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    async with serve_control(path, echo):
        for said in (b"", b"x", LUNS, b'{"operation": "much"}\n'):
            async with connected(path) as stream:
                await stream.send_all(said)
        async with connected(path) as stream:
            await stream.send_all(LUNS)
            assert "result" in await answer(stream)


async def test_it_stops_while_an_operation_waits(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    async with trio.open_nursery() as nursery:
        async with serve_control(path, echo), connected(path) as stream:
            await stream.send_all(b'{"operation": "wait"}\n')
            await wait_all_tasks_blocked(0.01)
        assert not path.exists()
        nursery.cancel_scope.cancel()


async def test_only_its_owner_may_use_it_and_it_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    former = os.umask(0)
    try:
        async with serve_control(path, echo):
            mode = path.lstat().st_mode
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
    finally:
        os.umask(former)
    assert not path.exists()


async def test_the_socket_of_a_dead_server_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    async with serve_control(path, echo) as is_open, connected(path) as stream:
        assert is_open
        await stream.send_all(LUNS)
        assert "result" in await answer(stream)


async def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    path.write_text("a letter")
    await assert_not_opened(path, "not a socket")
    assert path.read_text() == "a letter"
    await assert_not_opened(tmp_path / "absent" / CONTROL_NAME, "No such file")
    await assert_not_opened(tmp_path / ("n" * 300), "too long")


async def test_the_socket_of_a_living_server_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    async with serve_control(path, echo):
        await assert_not_opened(path, "another server")
        async with connected(path) as stream:
            await stream.send_all(LUNS)
            assert "result" in await answer(stream)
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as one:
        busy.bind(str(path))
        busy.listen(0)
        one.connect(str(path))
        await assert_not_opened(path, "another server")


async def assert_not_opened(path: Path, words: str) -> None:
    """Check that the socket is not opened, that one warning is logged, and that the body runs."""
    with capture_logs() as logs:
        async with serve_control(path, echo) as is_open:
            assert not is_open
    (warning,) = logs
    assert warning["log_level"] == "warning"
    assert words in warning["reason"]


async def test_a_socket_that_somebody_put_in_its_place_stays(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    with socket.socket(socket.AF_UNIX) as other:
        async with serve_control(path, echo):
            path.unlink()
            other.bind(str(path))
        assert path.exists()


@pytest.mark.parametrize("too_long", [-1, 0, 1, 150])
async def test_the_path_may_be_longer_than_a_socket_name(tmp_path: Path, too_long: int) -> None:
    folder = tmp_path
    while (missing := MAX_SOCKET_NAME_BYTES + too_long - len(f"{folder}/{CONTROL_NAME}")) > 0:
        folder /= "d" * min(missing - 1, 100)
        if missing == 1:
            break
    folder.mkdir(parents=True)
    path = folder / CONTROL_NAME
    async with serve_control(path, echo) as is_open:
        assert is_open
        assert path.exists()
        got = await trio.to_thread.run_sync(partial(request, folder, "luns", {}))
        assert got["operation"] == "luns"
    assert not path.exists()


async def test_the_client_asks_a_pool_or_a_socket(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    async with serve_control(path, echo):
        for where in (tmp_path, path):
            got = await trio.to_thread.run_sync(partial(request, where, "a", {"b": 1}))
            assert got == {"operation": "a", "arguments": {"b": 1}}
            with pytest.raises(ManagementError, match="no") as refused:
                await trio.to_thread.run_sync(partial(request, where, "refuse", {"b": 1}))
            assert refused.value.is_usage


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nothing", "no pool and no control socket"),
        ("folder", "no server answers there"),
        ("file", "no server answers there"),
        ("dead", "no server answers there"),
    ],
)
def test_the_client_says_why_nobody_answers(tmp_path: Path, what: str, words: str) -> None:
    where = tmp_path / "it"
    if what == "folder":
        where.mkdir()
    elif what == "file":
        where.write_text("")
    elif what == "dead":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(where))
    with pytest.raises(NoServer, match=words) as caught:
        request(where, "luns", {})
    assert "\n" not in str(caught.value)


@asynccontextmanager
async def stranger(path: Path, said: bytes, *, is_reset: bool = False) -> AsyncIterator[None]:
    """Serve a control socket on which each request is answered with `said`, after which the connection ends."""

    async def answer_once(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(1 if is_reset else None)  # A socket that is closed with unread data resets its peer.
            await stream.send_all(said)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.setblocking(False)
        async with trio.open_nursery() as nursery:
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
            nursery.start_soon(trio.serve_listeners, answer_once, [listener])
            yield
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("said", [b"hello\n", b"[]\n", b"[" * 100_000 + b"\n", b"", b"{", b"\xff\n"])
async def test_a_request_without_a_valid_response_may_have_been_performed(tmp_path: Path, said: bytes, is_reset: bool) -> None:
    """The whole request was sent, so the caller must not perform the operation in another way."""
    async with stranger(tmp_path / CONTROL_NAME, said, is_reset=is_reset):
        with pytest.raises(client.NoResponse, match=r"may still perform the operation$") as caught:
            await trio.to_thread.run_sync(partial(request, tmp_path, "luns", {}))
    assert "\n" not in str(caught.value)


async def test_an_array_that_stops_before_its_response_may_have_performed_the_operation(tmp_path: Path) -> None:
    path = tmp_path / CONTROL_NAME
    begun = trio.Event()

    async def wait(_operation: str, _arguments: Mapping[str, object]) -> Mapping[str, object]:
        begun.set()
        await trio.sleep_forever()

    async def ask() -> None:
        with pytest.raises(client.NoResponse, match="may still"):
            await trio.to_thread.run_sync(partial(request, path, "volume-create", {}))

    async with trio.open_nursery() as nursery, serve_control(path, wait):
        nursery.start_soon(ask)
        await begun.wait()


async def test_a_response_that_comes_too_late_does_not_mean_that_nothing_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The array may still perform the operation, so the caller must not perform the operation in another way."""
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_S", 0.01)
    async with serve_control(tmp_path / CONTROL_NAME, echo):
        with pytest.raises(client.NoResponse, match=r"0\.01 s.*may still") as caught:
            await trio.to_thread.run_sync(partial(request, tmp_path, "wait", {}))
    assert "\n" not in str(caught.value)


def test_a_request_that_cannot_be_sent_in_time_was_not_performed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No array has the whole line of the request, so the caller may perform the operation in another way."""
    monkeypatch.setattr(client, "ANSWER_TIMEOUT_S", 0.01)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / CONTROL_NAME))
        listening.listen()
        with pytest.raises(NoServer, match=r"has not answered for 0\.01 s$"):
            request(tmp_path, "luns", {"name": "x" * (16 << 20)})


@pytest.mark.parametrize(
    ("operation", "arguments", "longer_s"),
    [
        ("luns", {}, 0),
        ("luns", {"space": True}, 0),
        ("status", {}, 0),
        ("status", {"space": False, "busiest": 5}, 0),
        ("status", {"space": True}, 3600),
        ("snapshot-show", {"snapshot": "a@b"}, 3600),
        ("schedule-run", {"name": "s"}, 7200),
        ("snapshot-create", {"timeout_s": 30}, 60),
    ],
)
def test_the_client_waits_longer_for_operations_that_may_take_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, arguments: dict[str, object], longer_s: float
) -> None:
    waits_s = []

    def note(_where: Path, _line: bytes, wait_s: float) -> bytes:
        waits_s.append(wait_s)
        return b'{"result": {}}'

    monkeypatch.setattr(client, "_exchange", note)
    request(tmp_path, operation, arguments)
    assert waits_s == [client.ANSWER_TIMEOUT_S + longer_s]


def test_the_operations_for_which_the_client_waits_longer_exist() -> None:
    for name, argument in client.LONGER_S:
        operation = STORAGE_OPERATIONS.get(name) or OPERATIONS[name]
        assert argument in {"", *(each.name for each in operation.arguments)}
