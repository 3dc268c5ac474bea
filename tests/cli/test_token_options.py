"""The settings of an owner for tokens, from the configuration to the answers that a host gets."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.session.session import InitiatorSession
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config
from tests.target.running import LUNS, is_good, running, session_with, settled

CONFIG = Config(luns=LUNS)
ZERO_TOKEN = bytes.fromhex("ffff0001 0000 01f8") + bytes(504)


async def populate(session: InitiatorSession, lun: int) -> str:
    parameters = populate_token_list([BlockRange(0, 8)])
    return code_of((await session.execute(lun, cdb.populate_token(1, len(parameters)), parameters)).sense)


async def token_of(session: InitiatorSession, lun: int) -> bytes:
    assert await populate(session, lun) == "good"
    information = await session.execute(lun, cdb.receive_rod_token_information(1, 1024), data_in_bytes=1024)
    (token,) = read_rod_token_information(information.data_in).tokens
    return token


async def use(session: InitiatorSession, lun: int, token: bytes) -> str:
    parameters = write_using_token_list(token, [BlockRange(16, 8)])
    return code_of((await session.execute(lun, cdb.write_using_token(2, len(parameters)), parameters)).sense)


def code_of(sense: bytes) -> str:
    return f"{sense[2] & 0xF:X}/{sense[12]:02X}/{sense[13]:02X}" if sense else "good"


@pytest.mark.parametrize(("told", "code"), [(True, "5/23/06"), (False, "5/23/00")])
async def test_whether_causes_are_told(told: bool, code: str) -> None:
    async with running(replace(CONFIG, report_token_causes=told)) as array, session_with(array) as session:
        await settled(session)
        token = await token_of(session, 0)
        assert array.copy_manager.revoke(int.from_bytes(token[8:16], "big"))
        assert await use(session, 0, token) == code


@pytest.mark.parametrize(("accepted", "code"), [(True, "good"), (False, "5/23/01")])
async def test_whether_the_zero_token_is_accepted(accepted: bool, code: str) -> None:
    async with running(replace(CONFIG, accept_zero_token=accepted)) as array, session_with(array) as session:
        await settled(session)
        assert await use(session, 0, ZERO_TOKEN) == code


async def test_of_a_remote_lun_no_tokens_are_made_but_it_takes_those_of_others() -> None:
    async with running(replace(CONFIG, remote_luns=("second",))) as array, session_with(array) as session:
        await settled(session, 0)
        await settled(session, 1)
        assert await populate(session, 1) == "5/23/03"
        assert is_good(await session.execute(0, cdb.write_16(0, 8), b"x" * 4096))
        token = await token_of(session, 0)
        assert await use(session, 1, token) == "A/0D/04", "8 blocks of 512 bytes are one of 4096"
        assert (await session.execute(1, cdb.read_16(16, 1), data_in_bytes=4096)).data_in == b"x" * 4096


async def test_a_remote_lun_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="no LUN 'third'"):
        async with running(replace(CONFIG, remote_luns=("third",))):
            pytest.fail("started")


async def test_a_copy_rate(autojump_clock: MockClock) -> None:
    async with running(replace(CONFIG, copy_rate_bytes_per_s=1 << 17)) as array, session_with(array) as session:
        await settled(session)
        began_s = trio.current_time()
        parameters = write_using_token_list(ZERO_TOKEN, [BlockRange(0, 256)])
        assert is_good(await session.execute(0, cdb.write_using_token(2, len(parameters)), parameters))
        assert trio.current_time() - began_s == pytest.approx(1.0, abs=0.2)
