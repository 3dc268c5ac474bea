"""Faults of copies that have done a part of their work."""

import pytest
import trio

from odx_target.copymgr.operations.operation import CopyStatus
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.session.session import InitiatorSession
from tests.target.running import running, session_with, settled

BLOCKS = 1024


async def prepared(session: InitiatorSession) -> bytes:
    await settled(session)
    await session.execute(0, cdb.write_16(0, BLOCKS), b"abcdefgh" * (BLOCKS * 64))
    parameters = populate_token_list([BlockRange(0, BLOCKS)])
    await session.execute(0, cdb.populate_token(1, len(parameters)), parameters)
    answer = await session.execute(0, cdb.receive_rod_token_information(1, 1024), data_in_bytes=1024)
    (token,) = read_rod_token_information(answer.data_in).tokens
    return token


async def copy(session: InitiatorSession, token: bytes, *, immediate: bool = False) -> bytes:
    parameters = write_using_token_list(token, [BlockRange(BLOCKS, BLOCKS)], immediate=immediate)
    return bytes((await session.execute(0, cdb.write_using_token(2, len(parameters)), parameters)).sense)


async def transferred(session: InitiatorSession) -> tuple[int, int]:
    answer = await session.execute(0, cdb.receive_rod_token_information(2, 1024), data_in_bytes=1024)
    operation = read_rod_token_information(answer.data_in)
    return operation.status, operation.transfer_count


@pytest.mark.parametrize(("percent", "blocks"), [(25, 256), (50, 512), (99.9, 1023)])
async def test_a_partial_copy_reports_exactly_its_part(percent: float, blocks: int) -> None:
    async with running() as array, session_with(array) as session:
        token = await prepared(session)
        rule = array.faults.add({"copy": f"{percent}%", "partial": True, "times": 1})
        sense = await copy(session, token)
        assert (sense[2] & 15, sense[12:14], int.from_bytes(sense[3:7], "big")) == (0xA, b"\x0d\x04", blocks)
        assert await transferred(session) == (CopyStatus.PARTIAL, blocks)
        assert rule.hits == 1
        assert await copy(session, token) == b""


async def test_a_copy_fails_in_the_middle() -> None:
    async with running() as array, session_with(array) as session:
        token = await prepared(session)
        array.faults.add("copy=50% sense=third-party-device-failure times=1")
        sense = await copy(session, token)
        assert (sense[2] & 15, sense[12:14]) == (0xA, b"\x0d\x01")
        assert await transferred(session) == (CopyStatus.COMPLETED_WITH_ERROR, 512)


async def test_the_progress_of_a_copy_stands_still_until_its_release() -> None:
    async with running() as array, session_with(array) as session:
        token = await prepared(session)
        rule = array.faults.add("copy=25% hold")
        assert await copy(session, token, immediate=True) == b""
        while not rule.hits:
            await trio.lowlevel.checkpoint()
        assert [await transferred(session) for _ in range(3)] == [(CopyStatus.IN_BACKGROUND, 256)] * 3
        array.faults.release(rule)
        while array.copy_manager.copies.operations:
            await trio.lowlevel.checkpoint()
        assert (await transferred(session))[1] == BLOCKS


async def test_the_tokens_end_in_the_middle_of_a_copy_that_uses_one() -> None:
    async with running() as array, session_with(array) as session:
        token = await prepared(session)
        array.faults.add("copy=50% tokens=revoke times=1")
        assert await copy(session, token) == b"", "a copy that has begun keeps its data"
        assert (await copy(session, token))[12:14] == b"\x23\x06"


async def test_a_rule_meets_each_copy_once() -> None:
    async with running() as array, session_with(array) as session:
        token = await prepared(session)
        rule = array.faults.add("copy=10% nth=2 partial")
        assert [bool(await copy(session, token)) for _ in range(3)] == [False, True, False]
        assert (rule.hits, rule.passed) == (1, 2)
