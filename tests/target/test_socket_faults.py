"""Every socket call of the array fails in turn with each important errno.

After a temporary fault the call is repeated, and the session continues. Any other fault ends this connection, and nothing else.
"""

import errno
import mmap
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from odx_target.initiator import cdb
from odx_target.target.server import receive_loop
from odx_target.target.server.receive_buffer import LOGIN_BUFFER_BYTES, RECEIVE_BUFFER_BYTES, ReceiveBuffer
from tests.target.raw_peer import connected, logged_in
from tests.target.running import running

ERRNOS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EINTR)

GOES_ON, ENDS, REFUSED = "the session goes on", "the connection ends", "the connection is refused"

TABLE: dict[str, tuple[str, ...]] = {
    # call: outcome by errno: EMFILE, ENFILE, ENOMEM, ENOBUFS, ENOSPC, EDQUOT, EIO, EINTR
    "accept": (GOES_ON,) * 8,
    "setsockopt": (REFUSED,) * 8,
    "getsockname": (REFUSED,) * 8,
    "recv_into": (GOES_ON, GOES_ON, GOES_ON, GOES_ON, GOES_ON, GOES_ON, ENDS, GOES_ON),
    "sendmsg": (GOES_ON, GOES_ON, GOES_ON, GOES_ON, GOES_ON, GOES_ON, ENDS, GOES_ON),
}
ROWS = [(call, number, outcome) for call, row in TABLE.items() for number, outcome in zip(ERRNOS, row, strict=True)]

TEST_UNIT_READY = bytes(6)


@contextmanager
def fault(call: str, number: int, times: int) -> Iterator[list[int]]:
    """Make a call of every socket fail `times` times. The yielded list gets an entry for each failure."""
    real = getattr(socket.socket, call)
    failed: list[int] = []

    def failing(sock: socket.socket, *arguments: Any) -> Any:
        if len(failed) >= times:
            return real(sock, *arguments)
        failed.append(number)
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, call, failing)
        yield failed


@pytest.mark.parametrize(
    ("call", "number", "outcome"), ROWS, ids=[f"{call}-{errno.errorcode[number]}" for call, number, _ in ROWS]
)
async def test_a_call_that_fails(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, call: str, number: int, outcome: str
) -> None:
    monkeypatch.setattr(receive_loop, "NATIVE", None)  # It makes these calls itself; see tests/native/test_direct_member.py.
    with capture_logs() as logs:
        async with running() as array, logged_in(array, 1) as bystander:
            if outcome == REFUSED:
                with fault(call, number, times=1000) as failed:
                    async with await trio.open_tcp_stream(array.portals[0].host, array.portals[0].port) as stream:
                        assert await stream.receive_some(1) == b""
                assert failed
            elif call == "accept":
                with fault(call, number, times=3) as failed:
                    async with logged_in(array, 2) as peer:
                        assert await peer.status_of(peer.command(TEST_UNIT_READY)) == (0, b"")
                assert len(failed) == 3
            else:
                async with logged_in(array, 2) as peer:
                    with fault(call, number, times=3 if outcome == GOES_ON else 1) as failed:
                        await peer.send(peer.command(TEST_UNIT_READY))
                        answer = await peer.next()
                    assert failed
                    assert (answer is not None) == (outcome == GOES_ON)
            assert await bystander.status_of(bystander.command(TEST_UNIT_READY)) == (0, b"")
            async with logged_in(array, 3) as later:
                assert await later.status_of(later.command(TEST_UNIT_READY)) == (0, b"")
    assert not [entry for entry in logs if entry["log_level"] == "error"]


async def test_no_threads_are_a_want_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush needs a thread. If there is none, the command ends with BUSY, and the pool continues."""

    async def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    synchronize_cache = bytes([0x35]).ljust(10, b"\0")
    async with running() as array, logged_in(array) as peer:
        block = b"w" * 512
        await peer.send(peer.write(bytes([0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0]), 512), block)
        await peer.next()
        with monkeypatch.context() as patch:
            patch.setattr(trio.to_thread, "run_sync", refuse)
            status, _ = await peer.status_of(peer.command(synchronize_cache))
        assert status == 0x08
        assert array.pool.failure is None
        assert await peer.status_of(peer.command(synchronize_cache)) == (0, b"")


async def test_a_stranger_is_served_after_the_connection_that_failed(autojump_clock: MockClock) -> None:
    async with running(max_sockets=2) as array, connected(array, 7):
        with fault("accept", errno.EMFILE, times=5):
            async with logged_in(array, 1) as peer:
                assert await peer.status_of(peer.command(TEST_UNIT_READY)) == (0, b"")


async def test_a_session_goes_on_after_its_receive_buffer_could_not_be_enlarged(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = mmap.mmap, 0

    def scarce(*arguments: Any, **options: Any) -> mmap.mmap:
        nonlocal failures
        if arguments[1] == RECEIVE_BUFFER_BYTES and failures < 3:
            failures += 1
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        return real(*arguments, **options)

    async with running() as array, connected(array) as peer:
        monkeypatch.setattr(mmap, "mmap", scarce)
        await peer.log_in()
        data = bytes(LOGIN_BUFFER_BYTES * 2)
        status, _ = await peer.status_of(peer.write(cdb.write_16(0, len(data) // 512), len(data)), data)
        assert status == 2  # the unit attention of a new session
        status, _ = await peer.status_of(peer.write(cdb.write_16(0, len(data) // 512), len(data)), data)
        assert status == 0
    assert failures == 3


async def test_a_connection_that_fails_while_it_makes_room_does_not_end_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive_loop, "NATIVE", None)  # It makes no room.
    async with running() as array, logged_in(array, 1) as bystander, logged_in(array, 2) as peer:
        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(ReceiveBuffer, "free", _raise_memory_error)
            await peer.send(peer.command(TEST_UNIT_READY))
            with pytest.raises(trio.BrokenResourceError):  # The array has closed the socket without reading the command.
                await peer.next()
        (failure,) = [entry for entry in logs if entry["log_level"] == "error"]
        assert failure["event"] == "a connection failed inside the array"
        assert await bystander.status_of(bystander.command(TEST_UNIT_READY)) == (0, b"")


def _raise_memory_error(_buffer: ReceiveBuffer) -> NoReturn:
    raise MemoryError
