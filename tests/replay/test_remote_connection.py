"""A connection of a replay to a target that answers wrongly: nothing fails, and the memory stays small."""

from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.framing import append_pdu
from odx_target.iscsi.pdu.headers import LoginResponse, ReadyToTransfer, ScsiCommand, ScsiDataIn, ScsiDataOut, ScsiResponse
from odx_target.replay.kept_commands import MAX_DATA_BYTES, KeptMemory
from odx_target.replay.remote_connection import DEFAULT_DATA_SEGMENT_BYTES, RemoteConnection
from odx_target.scsi.limits import MAX_TRANSFER_BYTES
from odx_target.target.trace.frames import Frames, Piece

WRITE_10 = bytes.fromhex("2a00000000000000020000") + bytes(5)
TAG = 7
STAGE_LOGIN, STAGE_FULL_FEATURE = 1, 3
DATA = bytes(range(256)) * 4


def encoded(pdu: Any, data: bytes = b"") -> bytes:
    output: list[Buffer] = []
    append_pdu(output, pdu.encode_header(), [data] if data else ())
    return b"".join(output)


def pieces(data: bytes) -> list[Piece]:
    return list(Frames().cut(memoryview(data)))


def command(data: bytes) -> bytes:
    pdu = ScsiCommand(
        final=True,
        write=True,
        data_segment_length=len(data),
        initiator_task_tag=TAG,
        expected_data_transfer_length=1024,
        cdb=WRITE_10,
    )
    return encoded(pdu, data)


@pytest.mark.parametrize("value", ["0", "-1", "many", "9" * 5000, "0x", "\u00b2", "511", str(1 << 24)])
async def test_a_wrong_length_of_data_segments_means_the_default(value: str) -> None:
    ours, theirs = memory_stream_pair()
    connection = RemoteConnection(ours, "iqn.2026-11.io.a", {}, {}, KeptMemory())
    text = f"MaxRecvDataSegmentLength={value}\0FirstBurstLength={value}\0ImmediateData=Yes\0".encode()
    login = LoginResponse(transit=True, current_stage=STAGE_LOGIN, next_stage=STAGE_FULL_FEATURE, data_segment_length=len(text))
    wanted = ReadyToTransfer(initiator_task_tag=TAG, target_transfer_tag=1, desired_data_transfer_length=1024)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        (piece,) = pieces(command(DATA))
        await connection.send(piece)
        await theirs.receive_some()
        await theirs.send_all(encoded(login, text) + encoded(wanted))
        (sent,) = pieces(await theirs.receive_some())
        assert isinstance(sent.pdu, ScsiDataOut)
        assert len(DATA) < DEFAULT_DATA_SEGMENT_BYTES
        assert bytes(sent.data) == DATA
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("offset", "size_bytes"), [(MAX_DATA_BYTES - 4, MAX_DATA_BYTES), (MAX_DATA_BYTES - 3, 0), (0xFFFFFFF0, 0)]
)
async def test_data_beyond_the_longest_transfer_is_dropped(offset: int, size_bytes: int) -> None:
    assert MAX_DATA_BYTES == MAX_TRANSFER_BYTES
    ours, theirs = memory_stream_pair()
    connection = RemoteConnection(ours, "iqn.2026-11.io.a", {}, {}, KeptMemory())
    data_in = ScsiDataIn(initiator_task_tag=TAG, data_segment_length=4, buffer_offset=offset)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.run)
        (piece,) = pieces(command(b""))
        await connection.send(piece)
        await theirs.send_all(encoded(data_in, b"data") + encoded(ScsiResponse(initiator_task_tag=TAG)))
        answer = await connection.answer(TAG)
        assert answer is not None
        assert len(answer.data_in) == size_bytes
        nursery.cancel_scope.cancel()
