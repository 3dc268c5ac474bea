"""Thresholds and the end of a pool's room, as hosts of a running array meet them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trio.testing
from structlog.testing import capture_logs

from odx_target.initiator import cdb
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.store.pool import LogPool
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.threshold_reports import THRESHOLD_REACHED
from tests.target.running import OPTIONS, is_good, running, session_with, settled

MIB = 1 << 20
BLOCKS_OF_A_MIB = MIB // 512
CONFIG = Config(luns=(LunConfig("first", 256 * MIB), LunConfig("second", 256 * MIB)), pool_limit_bytes=64 * MIB)
OTHER_HOST = replace(OPTIONS, isid=random_isid(b"another"))
TEST_UNIT_READY = bytes(6)
UNIT_ATTENTION = 6
REACHED, FULL = (6, 0x38, 7), (7, 0x27, 7)


@dataclass
class Host:
    """A session. `notified` has the INFORMATION of the threshold notifications that it has met."""

    session: InitiatorSession
    notified: list[int] = field(default_factory=list)

    async def execute(self, lun: int, command: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> CommandResult:
        """Execute a command, and repeat it after each threshold notification."""
        while (result := await self.session.execute(lun, command, data_out, data_in_bytes=data_in_bytes)).status == 2:
            if code_of(result) != REACHED:
                break
            assert result.sense[0] == 0xF0, "INFORMATION is valid"
            self.notified.append(int.from_bytes(result.sense[3:7], "big"))
        return result

    async def write(self, mib: int) -> CommandResult:
        return await self.execute(0, cdb.write_16(mib * BLOCKS_OF_A_MIB, BLOCKS_OF_A_MIB), content(mib))

    async def read(self, mib: int) -> bytes:
        command = cdb.read_16(mib * BLOCKS_OF_A_MIB, BLOCKS_OF_A_MIB)
        return bytes((await self.execute(0, command, data_in_bytes=MIB)).data_in)

    async def unmap(self, mib: int, count: int) -> CommandResult:
        descriptor = (mib * BLOCKS_OF_A_MIB).to_bytes(8, "big") + (count * BLOCKS_OF_A_MIB).to_bytes(4, "big") + bytes(4)
        data = bytes.fromhex("0016 0010 00000000") + descriptor
        return await self.execute(0, b"\x42" + bytes(6) + len(data).to_bytes(2, "big") + b"\0", data)

    async def fill(self) -> int:
        """Write MiB after MiB until the pool is full. Return the number of those that were acknowledged."""
        for mib in range(256):
            result = await self.write(mib)
            if not is_good(result):
                assert code_of(result) == FULL
                return mib
        raise AssertionError("the pool never was full")

    async def notifications(self, lun: int) -> list[int]:
        """Return the pending threshold notifications."""
        before = len(self.notified)
        assert is_good(await self.execute(lun, TEST_UNIT_READY))
        return self.notified[before:]


@asynccontextmanager
async def host_of(array: Array, options: SessionOptions = OPTIONS) -> AsyncIterator[Host]:
    async with session_with(array, options) as session:
        for lun in array.logical_units:
            await settled(session, lun)
        yield Host(session)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with capture_logs() as captured:
        yield captured


async def checked(array: Array) -> None:
    """Wait until the thresholds have been compared with the room."""
    array.threshold_watch.check_soon()
    await trio.testing.wait_all_tasks_blocked(0.01)


def code_of(result: CommandResult) -> tuple[int, int, int]:
    assert result.status == 2
    return result.sense[2] & 0xF, result.sense[12], result.sense[13]


def content(mib: int) -> bytes:
    return bytes((mib % 255 + 1,)) * MIB


async def test_every_host_is_notified_of_every_threshold_of_every_lun(logs: list[Any]) -> None:
    async with running(CONFIG) as array, host_of(array) as host, host_of(array, OTHER_HOST) as other:
        await host.fill()
        await checked(array)
        await host.notifications(0)
        assert host.notified == [16, 24]
        assert await host.notifications(1) == [16, 24]
        for lun in (0, 1):
            assert await other.notifications(lun) == [16, 24]
            assert await other.notifications(lun) == []
    reached = [line for line in logs if line["event"] == THRESHOLD_REACHED]
    assert [line["log_level"] for line in reached] == ["warning"] * 2, "once for both LUNs"


async def test_a_threshold_is_reached_where_it_is_set() -> None:
    async with running(CONFIG) as array, host_of(array) as host:
        usage = array.pool.usage()
        assert usage.available_bytes is not None
        room_mib = (usage.used_bytes + usage.available_bytes) / MIB
        thresholds = array.logical_units[0].thresholds.thresholds
        assert [each.count for each in thresholds] == [round(room_mib * 0.2), round(room_mib * 0.05), 0, 0]
        mib = 0
        while not host.notified:
            assert is_good(await host.write(mib))
            mib += 1
        assert room_mib * 0.75 < mib < room_mib * 0.9


async def test_without_thresholds_nobody_is_notified() -> None:
    async with running(replace(CONFIG, soft_thresholds=())) as array, host_of(array) as host:
        await host.fill()
        await checked(array)
        await host.notifications(0)
        assert host.notified == []


@pytest.mark.parametrize("in_memory", [True, False])
async def test_a_full_pool_keeps_what_it_has_acknowledged_and_takes_unmaps(tmp_path: Path, *, in_memory: bool) -> None:
    config = replace(CONFIG, pool_dir=None if in_memory else tmp_path / "pool")
    async with running(config) as array, host_of(array) as host:
        count = await host.fill()
        assert code_of(await host.write(count)) == FULL
        assert not (await host.session.execute(0, bytes.fromhex("1a080a00ff00"), data_in_bytes=255)).data_in[2] & 0x80, "WP"
        for mib in range(count):
            assert await host.read(mib) == content(mib)
        assert await host.read(count) == bytes(MIB)
        assert is_good(await host.unmap(0, 5))
        assert is_good(await host.execute(0, bytes.fromhex("35000000000000000000")))
        expected = [bytes(MIB)] * 5 + [content(mib) for mib in range(5, count)]
        assert [await host.read(mib) for mib in range(count)] == expected
    if not in_memory:
        async with running(config) as array, host_of(array) as host:
            assert [await host.read(mib) for mib in range(count)] == expected


async def test_room_that_is_made_is_offered_again() -> None:
    async with running(CONFIG) as array, host_of(array) as host:
        pool = array.pool
        assert isinstance(pool, LogPool)
        count = await host.fill()
        assert pool.supply._limit_blocks is not None
        pool.supply._limit_blocks *= 2
        pool.supply._room_again()
        await checked(array)
        assert array.logical_units[0].thresholds.reached == set(), "the thresholds are armed"
        for mib in range(count, count + 32):
            assert is_good(await host.write(mib))
        for mib in range(count + 32):
            assert await host.read(mib) == content(mib)
        page = bytes((await host.execute(0, bytes.fromhex("4d000c00000000001c00"), data_in_bytes=28)).data_in)
        assert page[4:8] == bytes.fromhex("00010308")
        assert int.from_bytes(page[8:12], "big") > 16
