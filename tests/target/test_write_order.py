"""Writes that wait for data-out after R2T, and later commands, through sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from odx_target.initiator import cdb
from odx_target.iscsi.pdu.headers import ReadyToTransfer, ScsiCommand, ScsiDataIn, ScsiResponse, TaskManagementFunctionResponse
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction as Function
from odx_target.target.array import Array
from tests.target.raw_peer import RawPeer, logged_in
from tests.target.running import running

SIMPLE, ORDERED, HEAD_OF_QUEUE = 1, 2, 3
FIRST, SECOND = b"1" * 4096, b"2" * 4096
WRITE_8, READ_8 = cdb.write_16(0, 8), cdb.read_16(0, 8)


async def late_write(peer: RawPeer, attribute: int = SIMPLE) -> tuple[ScsiCommand, int]:
    """Send a write without its data, and return it with the target transfer tag of its R2T."""
    write = peer.write(WRITE_8, 4096, attribute=attribute)
    await peer.send(write)
    return write, (await peer.take(ReadyToTransfer)).target_transfer_tag


async def content(peer: RawPeer) -> bytes:
    await peer.send(peer.read(READ_8, 4096))
    received = await peer.next()
    assert received is not None
    assert isinstance(received[0], ScsiDataIn)
    return received[1]


async def responses(peer: RawPeer, count: int) -> list[tuple[int, int]]:
    """Return the tags and statuses of the next responses, in the order of arrival."""
    taken = [await peer.take(ScsiResponse) for _ in range(count)]
    return [(response.initiator_task_tag, response.status) for response in taken]


@asynccontextmanager
async def two_hosts() -> AsyncIterator[tuple[Array, RawPeer, RawPeer]]:
    async with running() as array, logged_in(array, 1) as one, logged_in(array, 2) as other:
        yield array, one, other
        assert not any(unit.tasks.members for unit in array.logical_units.values())


@pytest.mark.parametrize("attribute", [SIMPLE, ORDERED])
@pytest.mark.parametrize("keys", [{}, {"InitialR2T": "Yes"}, {"ImmediateData": "No", "InitialR2T": "Yes"}])
async def test_a_later_write_of_the_session_is_the_last_one(attribute: int, keys: dict[str, str]) -> None:
    async with running() as array, logged_in(array, keys=keys) as peer:
        first, transfer_tag = await late_write(peer, attribute)
        second = peer.write(WRITE_8, 4096, attribute=attribute)
        if keys.get("ImmediateData") == "No":
            await peer.send(second)
            second_tag = (await peer.take(ReadyToTransfer)).target_transfer_tag
            await peer.send(peer.data_out(second, second_tag), SECOND)
        else:
            await peer.send(second, SECOND)
        await peer.send(peer.data_out(first, transfer_tag), FIRST)
        assert await responses(peer, 2) == [(first.initiator_task_tag, 0), (second.initiator_task_tag, 0)]
        assert await content(peer) == SECOND


async def test_another_host_waits_for_the_data_too() -> None:
    async with two_hosts() as (_, one, other):
        first, transfer_tag = await late_write(one)
        second = other.write(WRITE_8, 4096)
        elsewhere = other.write(cdb.write_16(64, 8), 4096)
        await other.send(second, SECOND)
        await other.send(elsewhere, SECOND)
        assert await responses(other, 1) == [(elsewhere.initiator_task_tag, 0)]
        await one.send(one.data_out(first, transfer_tag), FIRST)
        assert await responses(one, 1) == [(first.initiator_task_tag, 0)]
        assert await responses(other, 1) == [(second.initiator_task_tag, 0)]
        assert await content(one) == SECOND


async def test_a_lost_connection_lets_others_go_on() -> None:
    async with two_hosts() as (_, one, other):
        await late_write(one, ORDERED)
        second = other.write(WRITE_8, 4096)
        await other.send(second, SECOND)
        await trio.aclose_forcefully(one.stream)
        assert await responses(other, 1) == [(second.initiator_task_tag, 0)]
        assert await content(other) == SECOND


@pytest.mark.parametrize("function", [Function.ABORT_TASK, Function.ABORT_TASK_SET], ids=lambda function: function.name)
async def test_an_abort_by_its_own_host_lets_others_go_on(function: Function) -> None:
    async with two_hosts() as (_, one, other):
        first, transfer_tag = await late_write(one, ORDERED)
        second = other.write(WRITE_8, 4096)
        await other.send(second, SECOND)
        await one.send(one.manage(function, referenced_task_tag=first.initiator_task_tag))
        assert (await one.take(TaskManagementFunctionResponse)).response == 0
        assert await responses(other, 1) == [(second.initiator_task_tag, 0)]
        await one.send(one.data_out(first, transfer_tag), FIRST)
        assert await content(one) == SECOND


async def test_data_that_goes_wrong_lets_others_go_on() -> None:
    async with two_hosts() as (_, one, other):
        first, transfer_tag = await late_write(one)
        second = other.write(WRITE_8, 4096)
        await other.send(second, SECOND)
        await one.send(one.data_out(first, transfer_tag), FIRST[:100])
        assert await responses(one, 1) == [(first.initiator_task_tag, 2)]
        assert await responses(other, 1) == [(second.initiator_task_tag, 0)]
        assert await content(one) == SECOND


async def test_a_reset_by_the_host_that_waits_lets_it_go_on() -> None:
    async with two_hosts() as (_, one, other):
        first, transfer_tag = await late_write(one)
        await other.send(other.read(READ_8, 4096))
        await other.send(other.manage(Function.LOGICAL_UNIT_RESET))
        assert (await other.take(TaskManagementFunctionResponse)).response == 0
        await one.send(one.data_out(first, transfer_tag), FIRST)
        for peer in (one, other):
            status, sense = await peer.status_of(peer.command(bytes(6)))
            assert (status, sense[12:14]) == (2, bytes.fromhex("2903"))
        assert await content(other) == bytes(4096)


async def test_reads_behind_more_than_a_connection_may_read_at_once_do_not_keep_the_data_out() -> None:
    """The reads wait for the write, and the connection still receives the data of the write."""
    async with running() as array, logged_in(array) as peer:
        first, transfer_tag = await late_write(peer, ORDERED)
        reads = [peer.read(cdb.read_16(0, 2048), 1 << 20) for _ in range(100)]
        await peer.stream.send_all(b"".join(map(peer.encode, reads)))
        await peer.send(peer.data_out(first, transfer_tag), FIRST)
        assert await responses(peer, 1) == [(first.initiator_task_tag, 0)]
        answered = 0
        while answered < len(reads):
            received = await peer.next()
            assert received is not None
            data_in, data = received
            assert isinstance(data_in, ScsiDataIn)
            assert data_in.buffer_offset or data[:4096] == FIRST
            answered += data_in.has_status
