"""Commands of several initiators in all states, when task management or a lost session ends them."""

from contextlib import suppress
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from odx_target.initiator import cdb
from odx_target.iscsi.pdu.headers import ReadyToTransfer, ScsiDataIn, TaskManagementFunctionResponse
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction as Function
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.target_port import iscsi_port
from odx_target.scsi.tasks.place import Place
from odx_target.target.array import Array
from tests.target.raw_peer import RawPeer, connected, logged_in
from tests.target.running import running

DATA = b"w" * 4096
WRITE_8 = cdb.write_16(0, 8)
READ_8 = cdb.read_16(0, 8)
# The sense data that the other initiator gets, by function.
OTHERS_ARE_TOLD = {
    Function.CLEAR_TASK_SET: (0x06, 0x2F, 0x00),
    Function.LOGICAL_UNIT_RESET: (0x06, 0x29, 0x03),
    Function.TARGET_WARM_RESET: (0x06, 0x29, 0x02),
}


def key_and_codes(sense: bytes) -> tuple[int, int, int]:
    return sense[2] & 0xF, sense[12], sense[13]


async def manage(peer: RawPeer, function: int, tag: int = 0xFFFFFFFF) -> int:
    await peer.send(peer.manage(function, referenced_task_tag=tag))
    return (await peer.take(TaskManagementFunctionResponse)).response


async def medium(peer: RawPeer) -> bytes:
    await peer.send(peer.read(READ_8, 4096))
    received = await peer.next()
    assert received is not None
    assert isinstance(received[0], ScsiDataIn)
    return received[1]


@pytest.mark.parametrize("function", OTHERS_ARE_TOLD)
async def test_a_reset_ends_the_writes_of_others_that_wait_for_data(function: Function) -> None:
    async with running() as array, logged_in(array, 1) as writer, logged_in(array, 2) as resetter:
        write = writer.write(WRITE_8, 4096)
        await writer.send(write)
        r2t = await writer.take(ReadyToTransfer)
        assert await manage(resetter, function) == 0
        await writer.send(writer.data_out(write, r2t.target_transfer_tag), DATA)
        status, sense = await writer.status_of(writer.command(bytes(6)))
        assert (status, key_and_codes(sense)) == (2, OTHERS_ARE_TOLD[function])
        assert await medium(writer) == bytes(4096)


async def test_a_cold_reset_ends_all_connections_and_what_was_sent_after_it() -> None:
    with capture_logs() as logs:
        async with running() as array, logged_in(array, 1) as other, logged_in(array, 2) as peer:
            write = peer.write(WRITE_8, 4096)
            reset = peer.encode(peer.manage(Function.TARGET_COLD_RESET))
            await peer.stream.send_all(reset + peer.encode(write, DATA) + peer.encode(peer.command(bytes(6))))
            assert (await peer.take(TaskManagementFunctionResponse)).response == 0
            assert await peer.next() is None
            assert await other.next() is None
            async with logged_in(array, 3) as reader:
                assert await medium(reader) == bytes(4096)
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


@pytest.mark.parametrize(
    "function", [Function.ABORT_TASK, Function.ABORT_TASK_SET, *OTHERS_ARE_TOLD], ids=lambda function: function.name
)
async def test_a_write_that_waits_for_data_ends_without_a_trace(function: Function) -> None:
    async with running() as array, logged_in(array) as peer:
        write = peer.write(WRITE_8, 4096)
        await peer.send(write)
        r2t = await peer.take(ReadyToTransfer)
        assert await manage(peer, function, write.initiator_task_tag) == 0
        await peer.send(peer.data_out(write, r2t.target_transfer_tag), DATA)
        status, _ = await peer.status_of(peer.command(bytes(6)))
        assert status == (2 if function in (Function.LOGICAL_UNIT_RESET, Function.TARGET_WARM_RESET) else 0)
        assert await medium(peer) == bytes(4096)


async def test_a_reset_of_one_lun_leaves_writes_to_another_alone() -> None:
    async with running() as array, logged_in(array, 1) as writer, logged_in(array, 2) as resetter:
        await writer.settle(1)
        write = writer.write(cdb.write_16(0, 1), 4096, lun=1)
        await writer.send(write)
        r2t = await writer.take(ReadyToTransfer)
        assert await manage(resetter, Function.LOGICAL_UNIT_RESET) == 0
        await writer.send(writer.data_out(write, r2t.target_transfer_tag), DATA)
        assert await writer.answer_to(write) == (0, b"")


class HeldFlush:
    """Replaces the pool's flush. Calls return only after `release`."""

    def __init__(self, array: Array, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = trio.Event()
        self.release = trio.Event()
        monkeypatch.setattr(array.pool, "flush", self.flush)

    async def flush(self) -> None:
        self.entered.set()
        await self.release.wait()


@pytest.mark.parametrize(
    "function", [Function.ABORT_TASK, Function.ABORT_TASK_SET, *OTHERS_ARE_TOLD], ids=lambda function: function.name
)
async def test_a_write_under_flush_gets_no_answer_once_aborted(monkeypatch: pytest.MonkeyPatch, function: Function) -> None:
    async with running() as array, logged_in(array) as peer:
        held = HeldFlush(array, monkeypatch)
        write = peer.write(cdb.write_16(0, 8, force_unit_access=True), 4096)
        await peer.send(write, DATA)
        await held.entered.wait()
        assert await manage(peer, function, write.initiator_task_tag) == 0
        held.release.set()
        probe = peer.command(bytes(6))
        await peer.status_of(probe)
        assert await medium(peer) == DATA


async def test_a_reset_by_another_ends_a_write_under_flush_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array, logged_in(array, 1) as writer, logged_in(array, 2) as resetter:
        held = HeldFlush(array, monkeypatch)
        await writer.send(writer.write(cdb.write_16(0, 8, force_unit_access=True), 4096), DATA)
        await held.entered.wait()
        assert await manage(resetter, Function.LOGICAL_UNIT_RESET) == 0
        held.release.set()
        status, sense = await writer.status_of(writer.command(bytes(6)))
        assert (status, key_and_codes(sense)) == (2, (0x06, 0x29, 0x03))
        assert await medium(writer) == DATA


async def test_a_session_reinstated_while_its_commands_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array, logged_in(array) as first:
        held = HeldFlush(array, monkeypatch)
        await first.send(first.write(cdb.write_16(64, 8, force_unit_access=True), 4096), DATA)
        await held.entered.wait()
        collecting = first.write(WRITE_8, 4096)
        await first.send(collecting)
        r2t = await first.take(ReadyToTransfer)
        async with logged_in(array) as second:
            held.release.set()
            assert await first.next() is None
            with suppress(trio.BrokenResourceError):
                await first.send(first.data_out(collecting, r2t.target_transfer_tag), DATA)
            assert await medium(second) == bytes(4096)
            assert not any(unit.tasks.tasks() for unit in array.logical_units.values())


async def test_many_sessions_reinstate_each_other_under_load() -> None:
    answered = 0

    async def load(array: Array, number: int) -> None:
        nonlocal answered
        async with connected(array, number) as peer:
            reads = b"".join(peer.encode(peer.read(READ_8, 4096)) for _ in range(60))
            with suppress(trio.BrokenResourceError):
                await peer.stream.send_all(peer.login_request(first_cmd_sn=1) + reads)
                for _ in range(61):
                    if await peer.next() is None:
                        return
                answered += 1

    with capture_logs() as logs:
        async with running() as array:
            async with trio.open_nursery() as nursery:
                for turn in range(40):
                    nursery.start_soon(load, array, turn % 4)
            async with logged_in(array, 200) as peer:
                assert await medium(peer) == bytes(4096)
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert answered >= 4, "the last of each port is not disturbed"


async def test_a_reset_by_another_after_the_last_data_ends_a_write_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array, logged_in(array) as writer:
        server = array.device_server
        execute_accepted = DeviceServer.execute_accepted
        other = Nexus("iqn.other", "iqn.other,i,0x1", iscsi_port("iqn.target"), array.logical_units)

        def reset_first(self: DeviceServer, place: Place, *arguments: Any, **fields: Any) -> Any:
            server.reset_logical_unit(place.task.logical_unit, other)
            return execute_accepted(self, place, *arguments, **fields)

        monkeypatch.setattr(DeviceServer, "execute_accepted", reset_first)
        write = writer.write(WRITE_8, 4096)
        await writer.send(write)
        r2t = await writer.take(ReadyToTransfer)
        await writer.send(writer.data_out(write, r2t.target_transfer_tag), DATA)
        status, sense = await writer.status_of(writer.command(bytes(6)))
        assert (status, key_and_codes(sense)) == (2, (0x06, 0x29, 0x03))
        assert await medium(writer) == bytes(4096)
