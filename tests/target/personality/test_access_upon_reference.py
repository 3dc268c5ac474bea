"""Tokens of the type "access upon reference": they have the present data of their source, and end with it."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import pytest

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.session.session import InitiatorSession
from odx_target.scsi.sense import TOKEN_CANCELLED
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.control.operations import perform
from odx_target.target.personality.reading import find_personality
from odx_target.target.recording.seen_command import read_sense
from tests.target.running import is_good, running, session_with

RRTI_BYTES = 1024
CONFIG = Config(
    luns=(LunConfig("a", 1 << 20), LunConfig("b", 1 << 20)),
    personality=find_personality("access-upon-reference"),
)
OLD, NEW = b"old " * 1024, b"new " * 1024
LAST = (1 << 20) // 512 - 8
Changes: TypeAlias = Sequence[tuple[str, Mapping[str, object]]]


async def started(session: InitiatorSession) -> None:
    """Take the unit attentions of both LUNs."""
    for lun in (0, 1):
        for _ in range(3):
            await session.execute(lun, bytes(6))


async def token_of(session: InitiatorSession) -> bytes:
    """Return a token for the last 4 KiB of LUN a."""
    parameters = populate_token_list([BlockRange(LAST, 8)])
    assert is_good(await session.execute(0, cdb.populate_token(1, len(parameters)), parameters))
    answer = await session.execute(0, cdb.receive_rod_token_information(1, RRTI_BYTES), data_in_bytes=RRTI_BYTES)
    return read_rod_token_information(answer.data_in).tokens[0]


async def copied(session: InitiatorSession, token: bytes) -> bytes | None:
    """Copy by a token, and return the data. Return None if the token has been cancelled."""
    parameters = write_using_token_list(token, [BlockRange(0, 8)])
    answer = await session.execute(1, cdb.write_using_token(2, len(parameters)), parameters)
    if not is_good(answer):
        sense = read_sense(answer.sense)
        assert sense is not None
        assert sense.code == (TOKEN_CANCELLED.asc, TOKEN_CANCELLED.ascq)
        return None
    return (await session.execute(1, cdb.read_16(0, 8), data_in_bytes=4096)).data_in


async def test_the_token_has_the_data_of_the_time_of_its_use() -> None:
    async with running(CONFIG) as array, session_with(array) as session:
        await started(session)
        await session.execute(0, cdb.write_16(LAST, 8), OLD)
        token = await token_of(session)
        await perform(array, "snapshot-create", {"snapshots": ["a@old"]})
        assert await copied(session, token) == OLD
        await session.execute(0, cdb.write_16(LAST, 8), NEW)
        assert await copied(session, token) == NEW
        await perform(array, "volume-rename", {"name": "a", "new_name": "c"})
        assert await copied(session, token) == NEW
        await perform(array, "snapshot-restore", {"snapshot": "c@old"})
        await session.execute(0, bytes(6))
        assert await copied(session, token) == OLD


@pytest.mark.parametrize(
    ("changes", "is_cancelled"),
    [
        ((("volume-resize", {"name": "a", "size": "512K", "shrink": True}),), True),
        ((("volume-resize", {"name": "a", "size": (1 << 20) - 512, "shrink": True}),), True),
        ((("volume-resize", {"name": "a", "size": "2M"}),), False),
        ((("lun-remove", {"name": "a"}),), True),
        ((("volume-delete", {"name": "a", "force": True}),), True),
        ((("volume-delete", {"name": "a", "force": True}), ("volume-create", {"volume": "a=1M", "lun": True})), True),
    ],
)
async def test_the_token_ends_with_its_source(changes: Changes, is_cancelled: bool) -> None:
    """The token never has data of another volume, nor of blocks that its source has not."""
    async with running(CONFIG) as array, session_with(array) as session:
        await started(session)
        await session.execute(0, cdb.write_16(LAST, 8), OLD)
        token = await token_of(session)
        for name, arguments in changes:
            await perform(array, name, arguments)
        await started(session)
        assert await copied(session, token) == (None if is_cancelled else OLD)
