"""Recorded sessions are replayed to the same byte."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.session.session import InitiatorSession
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.target.array import Array
from odx_target.target.clock.mode import ClockMode
from odx_target.target.control.operations import perform
from odx_target.target.personality.reading import find_personality
from odx_target.target.session_file.frame_reader import read_recording
from odx_target.target.session_file.frames import FrameKind
from tests.replay.recorded import CONFIG, assert_equal, recorded_array, replayed
from tests.target.running import OPTIONS, is_good, session_with, settled

RRTI_BYTES = 1024

Work: TypeAlias = Callable[[InitiatorSession, int], Awaitable[None]]


async def populate(session: InitiatorSession, identifier: int, timeout_s: int = 0) -> bytes:
    parameters = populate_token_list([BlockRange(0, 8)], inactivity_timeout_s=timeout_s)
    assert is_good(await session.execute(0, cdb.populate_token(identifier, len(parameters)), parameters))
    command = cdb.receive_rod_token_information(identifier, RRTI_BYTES)
    answer = await session.execute(0, command, data_in_bytes=RRTI_BYTES)
    return read_rod_token_information(answer.data_in).tokens[0]


async def spend(session: InitiatorSession, token: bytes, identifier: int) -> int:
    parameters = write_using_token_list(token, [BlockRange(64, 8)])
    return (await session.execute(0, cdb.write_using_token(identifier, len(parameters)), parameters)).status


@pytest.mark.parametrize("mode", [ClockMode.SHIFTED, ClockMode.VIRTUAL])
async def test_a_token_that_expires_by_an_advance_of_the_clock(tmp_path: Path, mode: ClockMode) -> None:
    path = tmp_path / "recording"
    async with recorded_array(path, mode=mode) as array, session_with(array) as session:
        await settled(session)
        assert is_good(await session.execute(0, cdb.write_16(0, 8), b"data" * 1024))
        token = await populate(session, 1, timeout_s=60)
        assert await spend(session, token, 2) == 0
        assert array.clock is not None
        await array.clock.advance(121)
        assert await spend(session, token, 3) == 2
    result = await replayed(path)
    assert_equal(result)
    assert result.warnings == []
    assert any(step.frame.kind is FrameKind.TIME for step in result.steps)


async def test_an_array_with_a_personality(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    config = replace(CONFIG, personality=find_personality("ctl"))
    async with recorded_array(path, config) as array, session_with(array) as session:
        await settled(session)
        token = await populate(session, 1)
        assert await spend(session, token, 2) == 0
        assert await spend(session, bytes(512), 3) == 2
    assert_equal(await replayed(path))


async def test_a_fault_with_a_probability_and_an_aborted_write(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    async with recorded_array(path) as array, session_with(array) as session:
        await settled(session)
        await perform(array, "fault-add", {"rule": "command=read probability=0.5 status=busy", "name": "chance"})
        statuses = [(await session.execute(0, cdb.read_16(0, 1), data_in_bytes=512)).status for _ in range(20)]
        assert len(set(statuses)) == 2
        await perform(array, "fault-add", {"rule": "command=write hold", "name": "held"})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.execute, 0, cdb.write_16(0, 8), b"lost" * 1024)
            await wait_all_tasks_blocked(0.01)
            assert await session.task_management(TaskManagementFunction.ABORT_TASK_SET, 0) == 0
            nursery.cancel_scope.cancel()
        await perform(array, "fault-clear", {})
        assert is_good(await session.execute(0, cdb.read_16(0, 8), data_in_bytes=4096))
    assert_equal(await replayed(path))


async def test_many_commands_at_once_of_several_hosts(tmp_path: Path) -> None:
    path = tmp_path / "recording"

    async def work(session: InitiatorSession, number: int) -> None:
        for count in range(4):
            await session.execute(number % 2, cdb.write_16(number, 1), bytes([number]) * (512, 4096)[number % 2])
            await session.execute(number % 2, cdb.synchronize_cache_10())
            await session.execute(number % 2, cdb.read_16(0, 16), data_in_bytes=16 * (512, 4096)[number % 2])
            if count == 2:
                await session.execute(number % 2, bytes(6))

    async with recorded_array(path) as array, trio.open_nursery() as nursery:
        for host in range(3):
            nursery.start_soon(run_host, array, host, work)
    assert_equal(await replayed(path))


async def run_host(array: Array, host: int, work: Work) -> None:
    options = replace(OPTIONS, isid=bytes([0x80, 0, 0, 0, 0, host]), data_digest=host == 1)
    async with session_with(array, options) as session, trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(work, session, number)


async def test_a_killed_array_leaves_a_recording_that_can_be_replayed(tmp_path: Path) -> None:
    path, cut = tmp_path / "recording", tmp_path / "cut"
    async with recorded_array(path) as array, session_with(array) as session:
        await settled(session)
        for lba in range(8):
            assert is_good(await session.execute(0, cdb.write_16(lba, 1), bytes(512)))
    whole = path.read_bytes()
    for size in range(len(whole) // 2, len(whole), len(whole) // 7):
        cut.write_bytes(whole[:size])
        assert read_recording(cut).problem is not None
        assert_equal(await replayed(cut))
