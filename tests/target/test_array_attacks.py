"""Peers that break the rules: each can only lose its own connection, and uses a limited amount of memory."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.session.opening import discover
from odx_target.initiator.url import Portal as RemotePortal
from odx_target.iscsi import limits
from odx_target.iscsi.limits import MAX_LOGINS
from odx_target.iscsi.pdu.headers import (
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    Reject,
    ScsiDataIn,
    ScsiResponse,
)
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.store.volumes.volume import LogVolume
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.server import send_queue
from odx_target.target.server.connection_server import ConnectionServer
from odx_target.target.server.memory_claims import Allotment
from tests.target.raw_peer import KEYS, RawPeer, connected, logged_in
from tests.target.running import OPTIONS, running

MIB = 1 << 20
READ_MIB = cdb.read_16(0, 2048)
SMALL_BUFFER_BYTES = 4096
BIG_LUN = Config(luns=(LunConfig("big", 64 * MIB),))


@pytest.fixture
def impatient_clock() -> MockClock:
    """A clock that jumps ahead when nothing has happened for a moment; sockets and threads get this moment."""
    return MockClock(autojump_threshold=0.02)


@asynccontextmanager
async def quiet(array: Array) -> AsyncIterator[None]:
    """Fail if an error is logged, or if a session, a connection or a task outlives the body."""
    with capture_logs() as logs:
        yield
        registry = array._listener._directory.sessions
        with trio.fail_after(5):
            while registry._connections or array._listener._connections:
                await trio.sleep(0.001)
    assert registry.sessions == []
    assert array.memory_budget.used_bytes == 0
    assert array.device_server.nexuses == []
    assert not any(unit.tasks.tasks() for unit in array.logical_units.values())
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


def connection_of(array: Array) -> ConnectionServer:
    (connection,) = array._listener._connections
    return connection


def reset(peer: RawPeer) -> None:
    """Close a connection so that the other end gets a reset."""
    peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.stream.socket.close()


def most_of_one_session(allotment: Allotment) -> int:
    """Return the memory that a session may hold if no other session holds or waits for common memory."""
    return allotment.guaranteed_bytes + allotment.common_bytes * 3 // 4


async def is_served(array: Array, number: int = 99) -> None:
    async with logged_in(array, number) as peer:
        assert await peer.status_of(peer.command(bytes(6))) == (0, b"")


async def test_a_peer_that_does_not_read_is_given_a_bounded_amount() -> None:
    async with running(BIG_LUN) as array, quiet(array), logged_in(array, keys={"MaxBurstLength": "16776192"}) as peer:
        server = connection_of(array)
        reads = [peer.read(READ_MIB, MIB) for _ in range(128)]
        await peer.stream.send_all(b"".join(map(peer.encode, reads)))
        await is_served(array)
        assert server._sender.unsent_bytes <= array.memory_budget.read.used_bytes + send_queue.MAX_UNSENT_BYTES
        assert array.memory_budget.read.used_bytes <= most_of_one_session(array.memory_budget.read)
        answered = 0
        while answered < len(reads):
            received = await peer.next()
            assert received is not None
            assert isinstance(received[0], ScsiDataIn)
            answered += received[0].has_status


async def test_a_peer_that_does_not_read_leaves_others_and_the_stop_alone() -> None:
    async with running(BIG_LUN) as array:
        stream = await trio.open_tcp_stream(array.portals[0].host, array.portals[0].port)
        peer = await RawPeer(stream, array.config.iqn, 1).log_in()
        await peer.settle()
        await peer.stream.send_all(b"".join(peer.encode(peer.read(READ_MIB, MIB)) for _ in range(128)))
        await is_served(array)
        before = trio.current_time()
    assert trio.current_time() - before < 2  # the only time limit that the array guarantees
    async with stream:
        pass


async def test_a_peer_that_does_not_read_is_found_dead(impatient_clock: MockClock) -> None:
    async with running(BIG_LUN) as array, quiet(array), logged_in(array) as peer:
        await peer.stream.send_all(b"".join(peer.encode(peer.read(READ_MIB, MIB)) for _ in range(64)))
        with trio.fail_after(3 * (limits.PING_AFTER_IDLE_S + limits.PING_TIMEOUT_S)):
            await connection_of(array).ended.wait()


async def test_a_silent_peer_is_pinged_and_one_that_answers_stays(impatient_clock: MockClock) -> None:
    async with running() as array, quiet(array), logged_in(array) as peer:
        for _ in range(3):
            ping = await peer.take(NopIn)
            assert ping.initiator_task_tag == 0xFFFFFFFF
            answer = NopOut(immediate=True, initiator_task_tag=0xFFFFFFFF, target_transfer_tag=ping.target_transfer_tag)
            await peer.send(answer)
        assert await peer.take(NopIn)
        assert await peer.next() is None


async def test_a_login_that_takes_for_ever_ends(impatient_clock: MockClock) -> None:
    async with running() as array, quiet(array), connected(array) as idle, connected(array, 2) as slow:
        await slow.stream.send_all(slow.login_request()[:-1])
        with trio.fail_after(2 * limits.LOGIN_TIMEOUT_S):
            assert await idle.next() is None
            assert await slow.next() is None


async def test_a_byte_at_a_time() -> None:
    async with running() as array, quiet(array), connected(array) as peer:
        for byte in peer.login_request():
            await peer.stream.send_all(bytes([byte]))
        assert (await peer.take(LoginResponse)).status == 0
        await peer.settle()
        write = peer.write(cdb.write_16(0, 1), 512)
        for byte in peer.encode(write, b"b" * 512):
            await peer.stream.send_all(bytes([byte]))
        assert await peer.answer_to(write) == (0, b"")


@pytest.mark.parametrize("steps", ["cut", "cut twice", "cut and stopped"])
async def test_a_connection_that_is_cut_before_it_is_served(steps: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    async with running() as array, quiet(array):
        with listening, socket.create_connection(listening.getsockname()) as peer:
            connected, _ = listening.accept()
            server = ConnectionServer(
                connected,
                array._listener._directory,
                array.portals[0],
                array.device_server,
                array.pool,
                array.memory_budget,
                array._listener._hub,
                pytest.fail,
            )
            server.cut()
            if steps == "cut twice":
                server.cut()
            async with trio.open_nursery() as nursery:
                if steps == "cut and stopped":
                    nursery.start_soon(server.stop)
                nursery.start_soon(server.serve)
            assert server.ended.is_set()
            assert peer.recv(1) == b""


async def test_half_of_a_connection_closed() -> None:
    async with running() as array, quiet(array), logged_in(array) as peer:
        write = peer.write(cdb.write_16(0, 1), 512)
        await peer.send(write, b"h" * 512)
        await peer.stream.send_eof()
        await peer.answer_to(write)
        assert await peer.next() is None


async def test_connections_reset_in_the_middle_of_everything() -> None:
    async with running(BIG_LUN) as array, quiet(array):
        async with connected(array) as peer:
            login = peer.login_request()
        for size in (0, 1, 47, 48, 100, len(login)):
            async with connected(array) as peer:
                await peer.stream.send_all(login[:size])
                reset(peer)
        for count in (1, 64):
            async with logged_in(array) as peer:
                write = peer.write(cdb.write_16(0, 2048), MIB)
                reads = b"".join(peer.encode(peer.read(READ_MIB, MIB)) for _ in range(count))
                flush = peer.encode(peer.command(cdb.synchronize_cache_10()))
                await peer.stream.send_all(reads + flush + peer.encode(write)[:count])
                reset(peer)
        await is_served(array)


async def test_what_is_wrong_inside_ends_the_connection_and_nothing_is_left_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:
        async with logged_in(array) as peer:
            with capture_logs() as logs, monkeypatch.context() as patch:
                patch.setattr(array.device_server, "execute", lambda *_: 1 / 0)
                await peer.send(peer.command(bytes(6)))
                assert await peer.next() is None
            assert [entry["log_level"] for entry in logs] == ["error"]
        async with quiet(array):
            await is_served(array, 2)


async def test_a_flood_of_connections_that_never_log_in() -> None:
    async with running() as array, quiet(array), logged_in(array, 1) as peer:
        streams = []
        for _ in range(MAX_LOGINS + 40):
            streams.append(await trio.open_tcp_stream(array.portals[0].host, array.portals[0].port))
        assert len(array._listener._connections) <= MAX_LOGINS + 1
        assert await peer.status_of(peer.command(bytes(6))) == (0, b"")
        await is_served(array)
        for stream in streams:
            await stream.aclose()


async def test_logins_that_never_end_keep_nobody_out() -> None:
    async with running() as array, AsyncExitStack() as stack:
        for number in range(limits.MAX_CONNECTIONS + 1):
            peer = await stack.enter_async_context(connected(array, number))
            request = bytearray(peer.login_request())
            request[1] = 0x04  # stays in the operational stage
            await peer.stream.send_all(request)
            assert (await peer.take(LoginResponse)).status == 0
        await is_served(array, 200)


async def test_discovery_sessions_keep_nobody_out_of_the_target() -> None:
    keys = {"SessionType": "Discovery"}
    async with running() as array, AsyncExitStack() as stack:
        for number in range(limits.MAX_DISCOVERY_SESSIONS):
            peer = await stack.enter_async_context(connected(array, number))
            await peer.log_in(keys)
        one_more = await stack.enter_async_context(connected(array, limits.MAX_DISCOVERY_SESSIONS))
        await one_more.stream.send_all(one_more.login_request(keys))
        assert (await one_more.take(LoginResponse)).status == 0x0302
        for number in range(limits.MAX_CONNECTIONS):
            await stack.enter_async_context(logged_in(array, number))


async def test_a_portal_at_any_address_is_told_as_the_one_that_was_reached() -> None:
    config = Config(luns=BIG_LUN.luns, portals=(Portal("0.0.0.0", 0),))
    async with Array(config, open_pool=open_pool) as array:
        remote = RemotePortal("127.0.0.1", array.portals[0].port)
        (target,) = await discover(remote, OPTIONS)
        assert target.addresses == (f"127.0.0.1:{array.portals[0].port},1",)


async def test_what_is_wrong_is_told_although_the_peer_goes_on_sending() -> None:
    async with running() as array, quiet(array), logged_in(array) as peer:
        from_target = NopIn().encode_header()
        await peer.stream.send_all(from_target + bytes(4 * MIB))
        assert (await peer.take(Reject)).reason == RejectReason.PROTOCOL_ERROR
        assert await peer.next() is None


async def test_ten_megabytes_of_login_text() -> None:
    async with running() as array, quiet(array), connected(array) as peer:
        header = bytearray(peer.login_request()[:48])
        header[1] = 0x44  # C bit, operational stage
        header[5:8] = (8192).to_bytes(3, "big")
        step = bytes(header) + (b"X-a=" + b"y" * 200 + b"\0").ljust(8192, b"z")
        with trio.fail_after(5):
            for _ in range(10 * MIB // 8192):
                await peer.stream.send_all(step)
                response = await peer.take(LoginResponse)
                if response.status:
                    break
        assert response.status == 0x0200
        assert await peer.next() is None


async def test_a_flood_of_rejects_is_logged_with_moderation() -> None:
    with capture_logs() as logs:
        async with running() as array, logged_in(array) as peer:
            snacks = b"\x10\x80".ljust(48, b"\0") * 1000
            await peer.stream.send_all(snacks)
            for _ in range(1000):
                assert (await peer.take(Reject)).reason == RejectReason.SNACK_REJECT
    assert len(logs) < 100


async def test_a_stop_is_announced_and_a_logout_answered() -> None:
    stopped = trio.Event()

    async def serve(*, task_status: trio.TaskStatus[Array]) -> None:
        async with running() as array:
            task_status.started(array)
            await stopped.wait()

    async with trio.open_nursery() as nursery:
        array: Array = await nursery.start(serve)
        async with logged_in(array) as peer, logged_in(array, 2) as stubborn:
            stopped.set()
            received = await peer.next()
            assert received is not None
            assert type(received[0]).__name__ == "AsynchronousMessage"
            assert received[0].async_event == 1  # type: ignore[union-attr]
            await peer.send(LogoutRequest(immediate=True, initiator_task_tag=5, cmd_sn=peer.cmd_sn))
            assert (await peer.take(LogoutResponse)).response == 0
            assert await peer.next() is None
            events = []
            while (received := await stubborn.next()) is not None:
                events.append(received[0].async_event)  # type: ignore[union-attr]
            assert events[0] == 1


async def test_a_read_that_says_it_expects_little_does_not_keep_what_it_does_not_send() -> None:
    async with running(BIG_LUN) as array, quiet(array), logged_in(array, keys={"MaxRecvDataSegmentLength": "512"}) as peer:
        server = connection_of(array)
        await peer.stream.send_all(b"".join(peer.encode(peer.read(READ_MIB, 512)) for _ in range(32)))
        for _ in range(32):
            assert await peer.next()
        assert server._sender.unsent_bytes == 0


async def test_sessions_at_the_limit_may_still_be_reinstated() -> None:
    async with running() as array, trio.open_nursery() as nursery:
        ready, finish = [trio.Event() for _ in range(limits.MAX_CONNECTIONS)], trio.Event()

        async def stay(number: int) -> None:
            async with logged_in(array, number):
                ready[number].set()
                await finish.wait()

        for number in range(limits.MAX_CONNECTIONS):
            nursery.start_soon(stay, number)
        for event in ready:
            await event.wait()
        async with logged_in(array, 7) as again:
            assert await again.status_of(again.command(bytes(6))) == (0, b"")
        async with logged_in(array, 7), connected(array, 100) as another:
            await another.stream.send_all(another.login_request(KEYS))
            assert (await another.take(LoginResponse)).status == 0x0302
        finish.set()


async def test_reads_from_a_disk_are_taken_on_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    most_bytes = 0

    async def read(self: LogVolume, block: int, count: int) -> list[bytes]:
        nonlocal most_bytes
        most_bytes = max(most_bytes, array.memory_budget.read.used_bytes)
        await trio.lowlevel.checkpoint()
        return [bytes(count * 4096)]

    async with running(BIG_LUN) as array, quiet(array), logged_in(array) as peer:
        monkeypatch.setattr(LogVolume, "read_now", lambda *_: None)
        monkeypatch.setattr(LogVolume, "read", read)
        reads = [peer.read(READ_MIB, MIB) for _ in range(100)]
        await peer.stream.send_all(b"".join(map(peer.encode, reads)))
        answered = 0
        while answered < len(reads):
            received = await peer.next()
            assert received is not None
            assert isinstance(received[0], ScsiDataIn)
            answered += received[0].has_status
        assert MIB < most_bytes <= most_of_one_session(array.memory_budget.read)
        await wait_all_tasks_blocked()
        assert array.memory_budget.used_bytes == 0


async def test_lengths_that_do_not_fit_the_command_come_back_as_residuals() -> None:
    sixteen_more, less = 512 + 16, 100
    async with running() as array, logged_in(array) as peer:
        for fields, moved in (({"read": True}, 0), ({"write": True}, 0)):
            pdu = peer.command(bytes(6), expected_data_transfer_length=16, **fields)
            await peer.send(pdu, bytes(16) if "write" in fields else b"")
            response = await peer.take(ScsiResponse)
            assert (response.status, response.underflow, response.residual_count) == (0, True, 16 - moved)
        await peer.send(peer.read(cdb.read_16(0, 1), sixteen_more))
        data_in = await peer.take(ScsiDataIn)
        assert (data_in.data_segment_length, data_in.underflow, data_in.residual_count) == (512, True, 16)
        await peer.send(peer.read(cdb.read_16(0, 1), less))
        data_in = await peer.take(ScsiDataIn)
        assert (data_in.data_segment_length, data_in.overflow, data_in.residual_count) == (less, True, 512 - less)
        await peer.send(peer.write(cdb.write_16(0, 1), sixteen_more), bytes(sixteen_more))
        response = await peer.take(ScsiResponse)
        assert (response.status, response.underflow, response.residual_count) == (0, True, 16)
