"""The native pass of a connection: when it sends, and what it leaves to the receive loop.

`tests/target/test_short_lane.py` compares its replies with those of the general way.
"""

import errno
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import NoReturn

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from odx_target.initiator import cdb
from odx_target.native.choice import NATIVE
from odx_target.store.api import OutOfResources, PoolFailed
from odx_target.target.server.hub import Member
from odx_target.target.server.response_sender import EARLY_SEND_BYTES
from tests.native.built import compiled
from tests.target.lane_sides import CAPACITY_BYTES, Side, pdus, side

pytestmark = pytest.mark.skipif(NATIVE is None or compiled is None, reason="the native module is switched off")

BLOCK = 512


def read(on: Side, lba: int = 0, count: int = 8) -> bytes:
    return on.peer.encode(on.peer.read(cdb.read_16(lba, count), count * BLOCK))


def write(on: Side, lba: int = 0, count: int = 8) -> bytes:
    return on.peer.encode(on.peer.write(cdb.write_16(lba, count), count * BLOCK), bytes([1 + lba % 255]) * count * BLOCK)


@asynccontextmanager
async def taken() -> AsyncIterator[tuple[Side, Member]]:
    """Run an array, and take its connection from the hub. The test makes the passes."""
    async with side(has_socket=True) as on:
        loop, hub = on.server._loop, on.server._hub
        hub.remove(loop._descriptor)
        assert loop._member is not loop
        yield on, loop._member
        on.server.cut()


def deliver(on: Side, commands: bytes) -> None:
    os.write(on.peer.stream.socket.fileno(), commands)


def arrived(on: Side) -> bytes:
    """Return the bytes that the peer has received."""
    try:
        return os.read(on.peer.stream.socket.fileno(), 4 << 20)
    except BlockingIOError:
        return b""


def unexecuted_bytes(on: Side) -> int:
    received = on.server._loop._received
    return received.end - received.start


@asynccontextmanager
async def in_datagrams() -> AsyncIterator[tuple[Side, Member, socket.socket]]:
    """The same with a socket from which each call receives the bytes of one call of the host, even if more have arrived."""
    async with taken() as (on, member):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with ours, theirs:
            os.dup2(ours.fileno(), on.server._loop._descriptor)
            theirs.setblocking(False)
            yield on, member, theirs


@pytest.mark.parametrize("cuts", [[48], [20, 48], [48, 49, 4143]])
async def test_a_write_that_arrives_in_parts_is_executed_in_one_pass(cuts: list[int]) -> None:
    async with in_datagrams() as (on, member, host):
        command = write(on, 8)
        for start, end in pairwise([0, *cuts, len(command)]):
            host.send(command[start:end])
        assert member.receive_now()
        assert unexecuted_bytes(on) == 0
        on.array.pool.commit()
        member.send_now()
        assert len(host.recv(4096)) == 48


async def test_only_the_missing_bytes_are_awaited() -> None:
    async with in_datagrams() as (on, member, host):
        first, second = write(on, 8), read(on, 64)
        host.send(first[:48])
        host.send(first[48:])
        host.send(second)
        assert member.receive_now()
        on.array.pool.commit()
        member.send_now()
        assert len(host.recv(4096)) == 48
        assert not member.receive_now(), "the read was left in the socket, and its reply is sent at once"
        assert len(host.recv(8192)) == 48 + 8 * BLOCK


async def test_a_part_without_the_rest_waits_for_the_next_pass() -> None:
    async with in_datagrams() as (on, member, host):
        command = write(on, 8)
        host.send(command[:100])
        assert member.receive_now()
        assert unexecuted_bytes(on) == 100
        host.send(command[100:])
        assert member.receive_now()
        on.array.pool.commit()
        member.send_now()
        assert len(host.recv(4096)) == 48


async def test_many_missing_bytes_are_not_awaited() -> None:
    async with in_datagrams() as (on, member, host):
        command = write(on, 8, 33)
        host.send(command[:48])
        host.send(command[48:])
        assert member.receive_now()
        assert unexecuted_bytes(on) == 48


async def test_replies_to_reads_are_sent_at_once() -> None:
    async with taken() as (on, member):
        before = on.counted[0][0]
        deliver(on, read(on) + read(on, 3, 5))
        assert not member.receive_now()
        assert [len(data) for _, data in pdus(arrived(on), on.peer)] == [8 * BLOCK, 5 * BLOCK]
        assert on.server.tally.commands[0] == before + 2, "the batch has not ended"
        assert not member.receive_now(), "there are no more bytes"


async def test_commands_that_are_left_belong_to_the_batch_of_those_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the latency of the commands before them would count from the moment at which they were left."""
    async with taken() as (on, member):
        monkeypatch.setattr(on.server._loop, "_clock", lambda: 1e9)
        deliver(on, read(on) + on.peer.encode(on.peer.read(cdb.read_capacity_16(32), 32)))
        assert member.receive_now()
        assert 0 < on.server.tally.began_s < 1e9


async def test_nothing_is_sent_before_the_changes_are_committed() -> None:
    async with taken() as (on, member):
        deliver(on, write(on, 8))
        assert member.receive_now()
        deliver(on, read(on, 64))
        assert member.receive_now(), "the reply to the write comes first"
        assert arrived(on) == b""
        on.array.pool.commit()
        member.send_now()
        assert [len(data) for _, data in pdus(arrived(on), on.peer)] == [0, 8 * BLOCK]


async def test_replies_to_writes_wait_for_a_batch_that_cannot_be_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> NoReturn:
        raise OutOfResources("no memory")

    async with taken() as (on, member):
        deliver(on, write(on, 8))
        assert member.receive_now()
        with monkeypatch.context() as patch:
            patch.setattr(on.server._sender.pool, "commit", fail)
            member.send_now()
        assert arrived(on) == b""
        assert on.server._loop._has_left_hub.is_set()


WAITING: dict[str, Callable[[Side], None]] = {
    "unsent output": lambda on: on.server._sender.queue.unsent.append(b"first"),
    "a held reply": lambda on: setattr(on.server._sender, "on_commit", lambda _: None),
    "an event": lambda on: on.executor.unhandled.append(on.executor.unhandled),  # type: ignore[arg-type]
    "memory of a large read": lambda on: on.server._sender.hold(on.executor.memory.read, 0),  # type: ignore[union-attr]
    "the end": lambda on: setattr(on.server._protocol, "closed", True),
}


@pytest.mark.parametrize("arrange", WAITING.values(), ids=WAITING)
async def test_the_receive_loop_sends_if_anything_waits(arrange: Callable[[Side], None]) -> None:
    async with taken() as (on, member):
        arrange(on)
        deliver(on, read(on))
        assert member.receive_now()
        assert arrived(on) == b""
        on.executor.unhandled.clear()


def _stopped(on: Side) -> None:
    on.server._loop.stop()


def _filtered(on: Side) -> None:
    on.server._loop.filter_input(lambda view, _: len(view))


def _without_session(on: Side) -> None:
    on.executor.lane = None


@pytest.mark.parametrize(("arrange", "unread_bytes"), [(_stopped, 48), (_filtered, 0), (_without_session, 0)])
async def test_the_receive_loop_receives_in_unusual_circumstances(arrange: Callable[[Side], None], unread_bytes: int) -> None:
    async with taken() as (on, member):
        arrange(on)
        deliver(on, read(on))
        calls = []
        real = on.server._loop.receive_now
        on.server._loop.receive_now = lambda: calls.append(real()) or calls[-1]  # type: ignore[method-assign, func-returns-value]
        assert member.receive_now() == calls[0] == (unread_bytes == 0)


async def test_a_pdu_in_parts_goes_on_where_it_was_cut() -> None:
    async with taken() as (on, member):
        commands = read(on) + write(on, 8) + read(on, 8)
        for at in range(0, len(commands), 1000):
            deliver(on, commands[at : at + 1000])
            if member.receive_now():
                on.array.pool.commit()
                member.send_now()
        assert [len(data) for _, data in pdus(arrived(on), on.peer)] == [8 * BLOCK, 0, 8 * BLOCK]


async def test_a_peer_that_reads_nothing_gets_all_bytes_later() -> None:
    async with side(has_socket=True) as on:
        on.server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        count = 4 * EARLY_SEND_BYTES // CAPACITY_BYTES + 3
        commands = b"".join(read(on, 0, CAPACITY_BYTES // BLOCK) for _ in range(count))
        deliver(on, commands)
        await wait_all_tasks_blocked()
        assert on.server._sender.queue.unsent
        for _ in range(count):
            answer = await on.peer.next()
            assert answer is not None
            assert len(answer[1]) == CAPACITY_BYTES
        await wait_all_tasks_blocked()
        assert not on.server._sender.queue.unsent
        assert on.server._sender.queue.takes_more


ERRNOS = {
    errno.ENOBUFS: False,
    errno.ENOMEM: False,
    errno.EINTR: False,
    errno.EAGAIN: False,
    errno.EIO: True,
    errno.EPIPE: True,
}


@pytest.mark.parametrize(("number", "ends"), ERRNOS.items(), ids=[errno.errorcode[number] for number in ERRNOS])
async def test_output_is_kept_after_an_error_that_passes(number: int, ends: bool) -> None:
    async with side(has_socket=True) as on:
        sender, error = on.server._sender, OSError(number, os.strerror(number))
        on.lane._state.writer.output.extend([b"reply", b"data"])
        if ends:
            with pytest.raises(OSError, match=os.strerror(number)):
                sender.has_sent_part(0, 10, error)
        else:
            sender.has_sent_part(0, 10, error)
            assert b"".join(sender.queue.unsent) == b"replydata"
            sender.queue.close()


async def test_a_socket_that_fails_ends_its_connection() -> None:
    async with taken() as (on, member):
        loop = on.server._loop
        loop._has_left_hub = trio.Event()
        on.server._socket.shutdown(socket.SHUT_WR)
        deliver(on, read(on))
        assert not member.receive_now()
        assert isinstance(loop._error, BrokenPipeError)


async def test_the_end_of_the_bytes_ends_the_connection() -> None:
    async with taken() as (on, member):
        await on.peer.stream.send_eof()
        assert not member.receive_now()
        assert on.is_closed


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("wrong")], ids=repr)
async def test_an_error_ends_only_its_connection(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_lun_field: int) -> NoReturn:
        raise error

    async with taken() as (on, member):
        loop = on.server._loop
        monkeypatch.setattr(on.lane, "_usual_unit", fail)
        deliver(on, read(on))
        assert not member.receive_now()
        assert loop._error is error
        loop._error = None


async def test_the_hub_gets_the_failure_of_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_lun_field: int) -> NoReturn:
        raise PoolFailed("the disk is gone")

    async with taken() as (on, member):
        monkeypatch.setattr(on.lane, "_usual_unit", fail)
        deliver(on, read(on))
        with pytest.raises(PoolFailed):
            member.receive_now()
        assert on.server._loop._error is None
