"""The memory of a replay to another target: it depends on the commands under way, and not on the length of the recording."""

from pathlib import Path

import pytest
import trio
from trio.testing import memory_stream_pair

from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.url import Portal
from odx_target.iscsi.pdu.headers import NopIn, ReadyToTransfer, ScsiCommand, ScsiDataIn, ScsiResponse
from odx_target.iscsi.pdu.opcodes import NO_TAG, TaskManagementFunction
from odx_target.iscsi.pdu.requests import TaskManagementFunctionRequest
from odx_target.replay.kept_commands import COMMAND_BYTES, MAX_DATA_BYTES, KeptCommands, KeptData, KeptMemory, TooMuchData
from odx_target.replay.remote_connection import RemoteConnection
from odx_target.replay.remote_replay import replay_remotely
from odx_target.scsi.limits import MAX_TRANSFER_BYTES
from odx_target.target.session_file.frame_reader import read_recording
from odx_target.testing import running_array
from tests.replay.test_remote_connection import encoded

KIB_64 = 1 << 16
TIMEOUT_S = 20


def commands_of(memory: KeptMemory, *luns: int) -> KeptCommands:
    """Return commands with 100 bytes of data each, for these LUNs. The tags count from 0 on."""
    kept = KeptCommands(memory)
    for tag, lun in enumerate(luns):
        kept.add(ScsiCommand(lun=lun, initiator_task_tag=tag), bytes(16), bytes(100))
    return kept


def test_memory_at_and_past_its_limit() -> None:
    memory = KeptMemory(2 << 20)
    memory.take(2 << 20)
    with pytest.raises(TooMuchData, match="more than 2 MiB of memory"):
        memory.take(1)
    assert (memory.kept_bytes, memory.peak_bytes) == (2 << 20, 2 << 20)


def test_data_in_parts_takes_memory_once() -> None:
    memory = KeptMemory()
    data = KeptData(memory)
    for offset, part in ((4, b"efgh"), (0, b"abcd"), (2, b"CD")):
        data.put(offset, part)
    assert (bytes(data.data), memory.kept_bytes) == (b"abCDefgh", 8)
    data.drop()
    assert (bytes(data.data), memory.kept_bytes) == (b"", 0)


def test_data_beyond_the_longest_transfer_takes_no_memory() -> None:
    assert MAX_DATA_BYTES == MAX_TRANSFER_BYTES
    memory = KeptMemory()
    KeptData(memory).put(MAX_DATA_BYTES, b"x")
    assert memory.kept_bytes == 0


def test_a_command_with_the_same_tag_replaces_the_other_one() -> None:
    memory = KeptMemory()
    kept = commands_of(memory, 0)
    kept.add(ScsiCommand(initiator_task_tag=0), bytes(16), bytes(10))
    assert (len(kept), memory.kept_bytes) == (1, COMMAND_BYTES + 10)
    kept.drop_all()
    assert (len(kept), memory.kept_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (TaskManagementFunction.ABORT_TASK, {0, 2, 3}),
        (TaskManagementFunction.ABORT_TASK_SET, {2, 3}),
        (TaskManagementFunction.CLEAR_TASK_SET, {2, 3}),
        (TaskManagementFunction.CLEAR_ACA, {0, 1, 2, 3}),
        (TaskManagementFunction.LOGICAL_UNIT_RESET, {2, 3}),
        (TaskManagementFunction.TARGET_WARM_RESET, set()),
        (TaskManagementFunction.TARGET_COLD_RESET, set()),
        (TaskManagementFunction.TASK_REASSIGN, {0, 1, 2, 3}),
    ],
)
def test_aborted_commands_take_no_memory(function: TaskManagementFunction, left: set[int]) -> None:
    memory = KeptMemory()
    kept = commands_of(memory, 7, 7, 0, 8)
    tag = 1 if function is TaskManagementFunction.ABORT_TASK else NO_TAG
    kept.drop_aborted(TaskManagementFunctionRequest(function=function, lun=7, referenced_task_tag=tag))
    assert {tag for tag in range(4) if kept.get(tag)} == left
    assert memory.kept_bytes == len(left) * (COMMAND_BYTES + 100)


async def test_a_target_that_answers_without_end_ends_the_replay() -> None:
    ours, theirs = memory_stream_pair()
    memory = KeptMemory(10 * COMMAND_BYTES)
    connection = RemoteConnection(ours, "iqn.2026-11.io.a", {}, {}, memory)
    await theirs.send_all(b"".join(encoded(ScsiResponse(initiator_task_tag=tag)) for tag in range(11)))
    with pytest.raises(TooMuchData), trio.fail_after(TIMEOUT_S):
        await connection.run()
    await connection.close()
    assert memory.kept_bytes == 0


async def test_requests_for_data_that_the_host_never_sends_end_the_replay() -> None:
    ours, theirs = memory_stream_pair()
    memory = KeptMemory(10 * COMMAND_BYTES)
    connection = RemoteConnection(ours, "iqn.2026-11.io.a", {}, {}, memory)
    connection.commands.add(ScsiCommand(initiator_task_tag=1), bytes(16), b"")
    wanted = ReadyToTransfer(initiator_task_tag=1, desired_data_transfer_length=512)
    await theirs.send_all(encoded(wanted) * 11)
    with pytest.raises(TooMuchData), trio.fail_after(TIMEOUT_S):
        await connection.run()
    await connection.close()
    assert memory.kept_bytes == 0


async def test_pings_take_no_memory() -> None:
    ours, theirs = memory_stream_pair()
    memory = KeptMemory(COMMAND_BYTES)
    connection = RemoteConnection(ours, "iqn.2026-11.io.a", {}, {}, memory)
    await theirs.send_all(encoded(NopIn(target_transfer_tag=5)) * 3)
    await theirs.aclose()
    with trio.fail_after(TIMEOUT_S):
        await connection.run()
    assert memory.kept_bytes == 0


async def test_read_data_without_end_of_many_commands_ends_the_replay() -> None:
    ours, theirs = memory_stream_pair()
    memory = KeptMemory(4 * KIB_64)
    connection = RemoteConnection(ours, "iqn.2026-11.io.a", {}, {}, memory)
    for tag in range(4):
        connection.commands.add(ScsiCommand(initiator_task_tag=tag), bytes(16), b"")
        await theirs.send_all(encoded(ScsiDataIn(initiator_task_tag=tag, data_segment_length=KIB_64), bytes(KIB_64)))
    with pytest.raises(TooMuchData), trio.fail_after(TIMEOUT_S):
        await connection.run()


def test_a_long_recording_needs_the_memory_of_the_commands_under_way(tmp_path: Path) -> None:
    luns = {"a": "1M"}
    data = bytes(range(256)) * 256
    with running_array(luns, record_to=tmp_path / "recording") as array:
        for _ in range(4):
            with array.host() as host:
                for lba in range(0, 2048, 128):
                    host.write("a", lba, data)
                    assert host.read("a", lba, 128) == data
    recording = read_recording(tmp_path / "recording")
    with running_array(luns) as other:
        host_name, _, port = other.portal.rpartition(":")
        result = trio.run(replay_remotely, recording, Portal(host_name, int(port)), other.target, connect_tcp)
    assert result.difference is None
    assert sum(len(frame.content) for frame in recording.frames) > 128 * KIB_64
    assert 2 * KIB_64 < result.peak_bytes < 2 * KIB_64 + 4 * COMMAND_BYTES
