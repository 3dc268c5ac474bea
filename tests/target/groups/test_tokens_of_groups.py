"""Persistent tokens of a group's volumes are good at the member that takes over; others are unknown there."""

import pytest
import trio
from trio.testing import MockClock

from odx_target.copymgr.commands.parameter_lists import ListFlag, encode_populate_token, encode_write_using_token
from odx_target.copymgr.tokens.adopted import ADOPTED_PREFIX
from odx_target.copymgr.tokens.durable import KEY_PREFIX
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.initiator import cdb
from odx_target.initiator.session.session import InitiatorSession
from odx_target.replica.sync.group_states import GroupState
from tests.target.groups.members import GROUP_LUN, LOCAL_LUN, Members, code_of, drain, host_at, members, read, write

UNKNOWN = "5/23/04"
DELETED = "5/23/09"
TIMEOUT_S = 60


async def token_of(session: InitiatorSession, block: int, *, is_persistent: bool = True, lun: int = GROUP_LUN) -> bytes:
    flags, rod_type = (int(ListFlag.RTV), int(RodType.POINT_IN_TIME_PERSISTENT)) if is_persistent else (0, 0)
    data = encode_populate_token([(block, 1)], inactivity_timeout_s=TIMEOUT_S, flags=flags, rod_type=rod_type)
    assert code_of(await session.execute(lun, cdb.populate_token(1, len(data)), [data])) == "good"
    received = await session.execute(lun, cdb.receive_rod_token_information(1, 1024), data_in_bytes=1024)
    return bytes(received.data_in)[-512:]


async def redeem(session: InitiatorSession, token: bytes, at: int, *, flags: int = 0, lun: int = GROUP_LUN) -> str:
    data = encode_write_using_token(token, [(at, 1)], flags=flags)
    return code_of(await session.execute(lun, cdb.write_using_token(2, len(data)), [data]))


async def serving_at_b(pair: Members, session: InitiatorSession) -> None:
    await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
    await drain(session)


def adopted(pair: Members) -> list[str]:
    return list(pair.b.pool.remembered_keys(ADOPTED_PREFIX))


async def test_a_persistent_token_is_good_after_a_takeover(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        assert await write(first, 0, 5) == await write(first, 9, 9, LOCAL_LUN) == "good"
        token, other, local = (
            await token_of(first, 0),
            await token_of(first, 0, is_persistent=False),
            await token_of(first, 9, lun=LOCAL_LUN),
        )
        assert len(adopted(pair)) == 1
        assert await write(first, 0, 6) == "good"
        assert await redeem(second, token, 1, lun=LOCAL_LUN) == UNKNOWN, "only the primary accepts it"
        pair.kill("a")
        await serving_at_b(pair, second)
        assert await redeem(second, token, 1) == "good"
        assert await read(second, 0, 2) == [6, 5]
        assert await redeem(second, other, 2) == UNKNOWN
        assert await redeem(second, local, 2) == "A/0D/02", "its array cannot be reached"
        changed = token[:300] + bytes([token[300] ^ 1]) + token[301:]
        assert await redeem(second, changed, 2) == "5/23/05"
        assert await redeem(second, token, 3, flags=int(ListFlag.DEL_TKN)) == "good"
        assert await redeem(second, token, 4) == DELETED
        assert adopted(pair) == []


async def test_tokens_go_with_switchovers_there_and_back(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        assert await write(first, 0, 5) == "good"
        token, used = await token_of(first, 0), await token_of(first, 0)
        await pair.group(pair.a).switchover()
        await serving_at_b(pair, second)
        assert await write(second, 0, 6) == "good"
        assert await redeem(second, token, 1) == "good"
        assert await redeem(second, used, 2, flags=int(ListFlag.DEL_TKN)) == "good"
        theirs = await token_of(second, 0)
        await pair.until(lambda: len(pair.a.pool.remembered_keys(KEY_PREFIX)) == 1)
        await pair.until(lambda: pair.group(pair.b).outgoing.needs_peer)
        await pair.group(pair.b).switchover()
        await pair.until(lambda: pair.state(pair.a) is GroupState.SERVING)
        await drain(first)
        assert await write(first, 0, 7) == "good"
        assert await redeem(first, token, 3) == await redeem(first, theirs, 4) == "good"
        assert await redeem(first, used, 5) in ("5/23/08", DELETED)
        assert await read(first, 0, 5) == [7, 5, 5, 5, 6]


async def test_a_token_that_is_used_at_the_primary_does_not_expire_at_the_other_member(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        assert await write(first, 0, 5) == "good"
        token, idle = await token_of(first, 0), await token_of(first, 0)
        for _ in range(3):
            await trio.sleep(TIMEOUT_S * 0.4)
            assert await redeem(first, token, 1) == "good"
        await pair.until(lambda: len(adopted(pair)) == 1)
        pair.kill("a")
        await serving_at_b(pair, second)
        assert await redeem(second, token, 2) == "good"
        assert await redeem(second, idle, 3) == UNKNOWN


@pytest.mark.parametrize("is_short", [True, False])
async def test_tokens_stay_after_a_cut_and_end_with_the_group(autojump_clock: MockClock, *, is_short: bool) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        assert await write(first, 0, 5) == "good"
        token, ended = await token_of(first, 0), await token_of(first, 0)
        pair.network.cut("a", "b")
        if not is_short:
            await trio.sleep(30)
        assert await redeem(first, ended, 1, flags=int(ListFlag.DEL_TKN), lun=LOCAL_LUN) == "good"
        pair.network.mend("a", "b")
        await pair.until(pair.is_in_sync)
        await pair.until(lambda: len(adopted(pair)) == 1)
        pair.kill("a")
        await serving_at_b(pair, second)
        assert await redeem(second, token, 2) == "good"
        pair.table(pair.b).remove("db")
        assert adopted(pair) == []
