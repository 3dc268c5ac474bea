"""Tests of copies by EXTENDED COPY and by tokens whose destination is a LUN of a group."""

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from odx_target.copymgr.commands.parameter_lists import encode_populate_token, encode_write_using_token
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import ANSWER_ALLOCATION_BYTES, TOKEN_BYTES
from odx_target.initiator.esxi.extended_copy import CopySegment, extended_copy_list
from odx_target.initiator.session.session import InitiatorSession
from odx_target.replica.sync.group_states import GroupState
from tests.target.groups.members import (
    BLOCK_BYTES,
    GROUP_LUN,
    LOCAL_LUN,
    Members,
    code_of,
    drain,
    host_at,
    members,
    read,
    write,
)

BLOCKS = 8


async def copy_by_extended_copy(pair: Members, session: InitiatorSession) -> str:
    """Copy blocks of the other LUN, which receives the command, to the LUN of the group."""
    names = [bytes((1, 3, 0, 16)) + pair.a.logical_units[lun].identity for lun in (LOCAL_LUN, GROUP_LUN)]
    data = extended_copy_list(names[0], names[1], BLOCK_BYTES, [CopySegment(0, 16, BLOCKS)], None)
    return code_of(await session.execute(LOCAL_LUN, cdb.extended_copy(len(data)), [data]))


async def copy_by_token(_pair: Members, session: InitiatorSession, lun: int = GROUP_LUN) -> str:
    token = await token_of(session, LOCAL_LUN)
    data = encode_write_using_token(token, [(16, BLOCKS)])
    return code_of(await session.execute(lun, cdb.write_using_token(2, len(data)), [data]))


async def token_of(session: InitiatorSession, lun: int) -> bytes:
    data = encode_populate_token([(0, BLOCKS)])
    assert code_of(await session.execute(lun, cdb.populate_token(1, len(data)), [data])) == "good"
    command = cdb.receive_rod_token_information(1, ANSWER_ALLOCATION_BYTES)
    answer = await session.execute(lun, command, data_in_bytes=ANSWER_ALLOCATION_BYTES)
    return bytes(answer.data_in)[-TOKEN_BYTES:]


@pytest.mark.parametrize("copy", [copy_by_extended_copy, copy_by_token])
async def test_a_copy_waits_for_the_other_member(autojump_clock: MockClock, copy: object) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        for at in range(BLOCKS):
            assert await write(first, at, 100 + at, LOCAL_LUN) == "good"
        assert await copy(pair, first) == "good"  # type: ignore[operator]
        found = [bytes(each)[:4] for each in await pair.b.pool.volumes["db1"].read(16, BLOCKS)]
        assert b"".join(found)[:4] == (100).to_bytes(4, "big")
        for at in range(BLOCKS):
            assert await write(first, at, 200 + at, LOCAL_LUN) == "good"
        pair.network.cut("a", "b")
        results: list[str] = []

        async def copy_again() -> None:
            results.append(await copy(pair, first))  # type: ignore[operator]

        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy_again)
            await trio.sleep(1)
            assert results == []
        assert results == ["good"]
        await drain(first)
        assert await read(first, 16, BLOCKS) == list(range(200, 200 + BLOCKS))
        pair.network.mend("a", "b")
        await pair.until(pair.is_in_sync)
        pair.kill("a")
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        await drain(second)
        assert await read(second, 16, BLOCKS) == list(range(200, 200 + BLOCKS))


async def test_a_member_in_standby_copies_nothing_to_a_group(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.b) as second:
        for at in range(BLOCKS):
            assert await write(second, at, at + 1, LOCAL_LUN) == "good"
        assert await copy_by_token(pair, second) == "2/04/0B"
        names = [bytes((1, 3, 0, 16)) + pair.b.logical_units[lun].identity for lun in (LOCAL_LUN, GROUP_LUN)]
        data = extended_copy_list(names[0], names[1], BLOCK_BYTES, [CopySegment(0, 16, BLOCKS)], None)
        assert code_of(await second.execute(LOCAL_LUN, cdb.extended_copy(len(data)), [data])) == "A/0D/01"
        assert [bytes(each) for each in await pair.b.pool.volumes["db1"].read(16, 1)] == [bytes(BLOCK_BYTES)]


async def test_a_copy_that_began_while_the_group_was_not_served_waits_for_the_other_member(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        assert await write(first, 0, 5, LOCAL_LUN) == "good"
        gate = pair.a.logical_units[GROUP_LUN].group
        assert gate is not None
        refusal, refusals = gate.refusal, [gate.lost_reply()]
        gate.refusal = lambda: refusals.pop() if refusals else refusal()  # type: ignore[method-assign]
        pair.network.cut("a", "b")
        results: list[str] = []

        async def copy() -> None:
            results.append(await copy_by_extended_copy(pair, first))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy)
            await trio.sleep(1)
            assert (results, refusals) == ([], [])
        assert results == ["good"]
