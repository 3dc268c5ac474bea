"""Memory of a serving array: the memory of a connection before and after its login, and waiting for memory."""

from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from odx_target.initiator import cdb
from odx_target.iscsi import limits
from odx_target.iscsi.pdu.headers import LoginResponse, ScsiDataIn, ScsiResponse
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.store.volumes.volume import LogVolume
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.server.connection_server import ConnectionServer
from odx_target.target.server.memory_limits import MAX_SHARES, MIN_MEMORY_BYTES
from odx_target.target.server.receive_buffer import (
    DISCOVERY_BUFFER_BYTES,
    LOGIN_BUFFER_BYTES,
    RECEIVE_BUFFER_BYTES,
    ReceiveBuffer,
)
from tests.target.raw_peer import KEYS, RawPeer, connected, logged_in
from tests.target.running import running
from tests.target.test_array_attacks import connection_of, most_of_one_session, quiet

MIB = 1 << 20
BIG_LUN = Config(luns=(LunConfig("big", 64 * MIB),))
LITTLE_MEMORY = replace(BIG_LUN, memory_limit_bytes=MIN_MEMORY_BYTES)
GOOD, TASK_SET_FULL = 0, 0x28
MIB_BLOCKS = MIB // 512
DISCOVERY = {"SessionType": "Discovery"}


def buffer_bytes(server: ConnectionServer) -> int:
    return server._loop._received.size_bytes


async def data_of(peer: RawPeer, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        received = await peer.next()
        assert received is not None
        assert isinstance(received[0], ScsiDataIn), received
        data += received[1]
    return data


@pytest.mark.parametrize(("keys", "size_bytes"), [({}, RECEIVE_BUFFER_BYTES), (DISCOVERY, DISCOVERY_BUFFER_BYTES)])
async def test_a_connection_costs_little_until_it_has_logged_in(keys: dict[str, str], size_bytes: int) -> None:
    async with running() as array, quiet(array), connected(array) as peer:
        login = peer.login_request({**KEYS, **keys})
        await peer.stream.send_all(login[:-1])
        await wait_all_tasks_blocked()
        assert buffer_bytes(connection_of(array)) == LOGIN_BUFFER_BYTES
        await peer.stream.send_all(login[-1:])
        await peer.take(LoginResponse)
        await wait_all_tasks_blocked()
        assert buffer_bytes(connection_of(array)) == size_bytes


async def test_the_largest_pdu_may_follow_the_login_at_once() -> None:
    size = limits.MAX_RECV_DATA_SEGMENT_BYTES
    async with running(BIG_LUN) as array, quiet(array), connected(array) as peer:
        writes = [peer.write(cdb.write_16(0, size // 512), size) for _ in range(3)]
        data = bytes(range(256)) * (size // 256)
        raw = peer.login_request({**KEYS, "FirstBurstLength": str(size)}, first_cmd_sn=1)
        await peer.stream.send_all(raw + b"".join(peer.encode(write, data) for write in writes))
        assert (await peer.take(LoginResponse)).status == 0
        statuses = [(await peer.answer_to(write))[0] for write in writes]
        assert statuses == [2, GOOD, GOOD]  # the first reports the power on
        await peer.send(peer.read(cdb.read_16(0, size // 512), size))
        assert await data_of(peer, size) == data


def test_a_buffer_that_grows_keeps_what_has_been_received() -> None:
    buffer = ReceiveBuffer(4096)
    buffer.free()[:100] = bytes(range(100))
    buffer.filled(100)
    buffer.consumed(30)
    buffer.grow(8192)
    assert bytes(buffer.view()) == bytes(range(30, 100))
    assert len(buffer.free()) == 8192 - 70
    buffer.close()
    assert bytes(buffer.view()) == b""


async def test_sockets_that_do_not_log_in_are_limited_apart_from_sessions() -> None:
    async with running() as array, quiet(array), AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(logged_in(array, number)) for number in range(20)]
        strangers = [await stack.enter_async_context(connected(array)) for _ in range(limits.MAX_LOGINS + 30)]
        await wait_all_tasks_blocked()
        with trio.fail_after(5):
            while len(array._listener._connections) > len(hosts) + limits.MAX_LOGINS:
                await trio.sleep(0)
        for host in hosts:
            assert await host.status_of(host.command(bytes(6))) == (GOOD, b"")
        assert await strangers[0].next() is None


async def test_a_large_read_waits_until_there_is_memory() -> None:
    async with running(BIG_LUN) as array, quiet(array), logged_in(array) as peer:
        memory = connection_of(array)._memory
        assert memory is not None
        assert memory.read.take(array.memory_budget.read.guaranteed_bytes)
        while memory.read.take(MIB):
            pass
        held_bytes = memory.read.used_bytes - array.memory_budget.read.guaranteed_bytes
        await peer.send(peer.read(cdb.read_16(0, MIB_BLOCKS), MIB))
        await peer.send(ping := peer.command(bytes(6)))
        assert (await peer.answer_to(ping))[0] == GOOD
        memory.read.give_back(array.memory_budget.read.guaranteed_bytes)
        assert await data_of(peer, MIB) == bytes(MIB)
        for _ in range(held_bytes // MIB):
            memory.read.give_back(MIB)


async def test_a_read_that_waits_for_memory_can_be_aborted() -> None:
    async with running(BIG_LUN) as array, quiet(array), logged_in(array) as peer:
        memory = connection_of(array)._memory
        assert memory is not None
        while memory.read.take(MIB):
            pass
        read = peer.read(cdb.read_16(0, MIB_BLOCKS), MIB)
        await peer.send(read)
        await peer.send(peer.manage(1, referenced_task_tag=read.initiator_task_tag))
        received = await peer.next()
        assert received is not None
        assert type(received[0]).__name__ == "TaskManagementFunctionResponse"


async def test_writes_that_stop_in_the_middle_hold_no_more_than_their_share() -> None:
    async with running(LITTLE_MEMORY) as array, quiet(array), AsyncExitStack() as stack:
        budget = array.memory_budget
        for number in range(8):
            peer = await stack.enter_async_context(logged_in(array, number, {"InitialR2T": "Yes", "ImmediateData": "No"}))
            for _ in range(32):
                await peer.send(peer.write(cdb.write_16(0, MIB_BLOCKS), MIB))
        await wait_all_tasks_blocked()
        await trio.sleep(0)
        assert 0 < budget.written.used_bytes <= budget.written.common_bytes + 8 * budget.written.guaranteed_bytes
        host = await stack.enter_async_context(logged_in(array, 99))
        write = host.write(cdb.write_16(MIB_BLOCKS, 256), 128 << 10)
        await host.send(write)
        r2t = await host.next()
        assert r2t is not None
        await host.send(host.data_out(write, r2t[0].target_transfer_tag), bytes(128 << 10))  # type: ignore[union-attr]
        assert await host.answer_to(write) == (GOOD, b"")


async def test_data_of_a_command_that_waits_is_counted_or_refused() -> None:
    """The writes wait for a task that does not end. Each keeps a copy of its data."""
    size = 128 << 10
    async with running(BIG_LUN) as array, quiet(array), logged_in(array, keys={"FirstBurstLength": "262144"}) as peer:
        logical_unit = array.logical_units[0]
        server = connection_of(array)
        assert server._memory is not None
        task = Task(array.device_server.nexuses[0], logical_unit, bytes(16), attribute=TaskAttribute.ORDERED)
        logical_unit.tasks.join(task, (), is_ordered=True)
        writes = [peer.write(cdb.write_16(0, size // 512), size) for _ in range(100)]
        await peer.stream.send_all(b"".join(peer.encode(write, bytes(size)) for write in writes))
        refused = 0
        while refused + server._memory.unsolicited.used_bytes // size < len(writes):
            received = await peer.next()
            assert received is not None
            assert isinstance(received[0], ScsiResponse)
            assert received[0].status == TASK_SET_FULL
            refused += 1
        assert refused
        logical_unit.tasks.abort([task])
        for _ in range(len(writes) - refused):
            received = await peer.next()
            assert received is not None
            assert isinstance(received[0], ScsiResponse)
            assert received[0].status == GOOD


async def test_sessions_that_have_not_quite_ended_are_bounded() -> None:
    async with running() as array, quiet(array), logged_in(array) as peer:
        memories = [array.memory_budget.open_session() for _ in range(MAX_SHARES - 1)]
        with capture_logs() as logs:
            async with connected(array, 2) as late:
                await late.stream.send_all(late.login_request())
                while await late.next() is not None:
                    pass
        assert "a new one is cut" in str(logs)
        for memory in memories:
            assert memory is not None
            memory.close()
        async with logged_in(array, 2):
            assert await peer.status_of(peer.command(bytes(6))) == (GOOD, b"")


async def test_reads_from_a_disk_take_memory_for_what_they_read_whatever_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = limits.MAX_TRANSFER_BYTES // 512
    reading_bytes = most_bytes = 0

    async def read(_volume: LogVolume, _block: int, count: int) -> list[bytes]:
        nonlocal reading_bytes, most_bytes
        reading_bytes += count * 4096
        most_bytes = max(most_bytes, reading_bytes)
        await trio.lowlevel.checkpoint()
        reading_bytes -= count * 4096
        return [bytes(4096)] * count

    async with running(BIG_LUN) as array, quiet(array), logged_in(array) as peer:
        monkeypatch.setattr(LogVolume, "read_now", lambda *_: None)
        monkeypatch.setattr(LogVolume, "read", read)
        reads = [peer.read(cdb.read_16(0, blocks), 512) for _ in range(40)]
        await peer.stream.send_all(b"".join(map(peer.encode, reads)))
        for _ in reads:
            assert len(await data_of(peer, 512)) == 512
        assert limits.MAX_TRANSFER_BYTES <= most_bytes <= most_of_one_session(array.memory_budget.read)
