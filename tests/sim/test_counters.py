"""Tests that hosts can share a counter in one block by COMPARE AND WRITE, on an array that often has to read from its disk."""

from dataclasses import replace
from random import Random

import pytest
import trio

from odx_target.initiator import cdb
from odx_target.initiator.session.options import random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.target.array import Array
from tests.sim.test_array_simulation import make_cold
from tests.target.running import OPTIONS, running, session_with, settled

HOSTS = 5
WORKERS = 2
INCREMENTS = 8
LBA = 3
MISCOMPARE = 0xE
BLOCK_BYTES = {0: 512, 1: 4096}


async def value_of(session: InitiatorSession, lun: int) -> int:
    result = await session.execute(lun, cdb.read_16(LBA, 1), data_in_bytes=BLOCK_BYTES[lun])
    assert result.status == 0
    return int.from_bytes(result.data_in[:8], "big")


async def increment(session: InitiatorSession, lun: int, replaced: list[int]) -> None:
    for _ in range(INCREMENTS):
        while True:
            value = await value_of(session, lun)
            blocks = [number.to_bytes(8, "big").ljust(BLOCK_BYTES[lun], b"\0") for number in (value, value + 1)]
            result = await session.execute(lun, cdb.compare_and_write(LBA, 1), b"".join(blocks))
            if result.status == 0:
                replaced.append(value)
                break
            assert result.sense[2] & 0xF == MISCOMPARE
            assert int.from_bytes(result.sense[3:7], "big") < 8


async def host(array: Array, number: int, lun: int, replaced: list[int]) -> None:
    async with session_with(array, replace(OPTIONS, isid=random_isid(bytes([9, number])))) as session:
        await settled(session, lun)
        async with trio.open_nursery() as nursery:
            for _ in range(WORKERS):
                nursery.start_soon(increment, session, lun, replaced)


@pytest.mark.parametrize("lun", BLOCK_BYTES)
async def test_each_increment_happens_exactly_once(monkeypatch: pytest.MonkeyPatch, lun: int) -> None:
    make_cold(monkeypatch, Random(lun))
    replaced: list[int] = []
    async with running() as array:
        async with trio.open_nursery() as nursery:
            for number in range(HOSTS):
                nursery.start_soon(host, array, number, lun, replaced)
        async with session_with(array) as session:
            await settled(session, lun)
            assert await value_of(session, lun) == HOSTS * WORKERS * INCREMENTS
    assert sorted(replaced) == list(range(HOSTS * WORKERS * INCREMENTS))
