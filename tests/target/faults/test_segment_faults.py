"""Faults of the segments of the pool, which the array reports as if a disk were at fault."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio

from odx_target.initiator import cdb
from odx_target.initiator.session.session import InitiatorSession
from odx_target.store.api import PoolFailed
from odx_target.target.array import Array
from odx_target.target.config.settings import Config
from tests.target.running import LUNS, running, session_with, settled

DATA = b"12345678" * 512


def config(directory: Path | None) -> Config:
    return Config(luns=LUNS, pool_dir=None if directory is None else directory / "pool")


async def outcome(session: InitiatorSession, command: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> str:
    result = await session.execute(0, command, data_out, data_in_bytes=data_in_bytes)
    sense = result.sense
    return f"{sense[2] & 15:X}/{sense[12]:02X}/{sense[13]:02X}" if sense else f"{result.status:02X}h"


@pytest.mark.parametrize("is_on_disk", [True, False])
async def test_a_read_fails_and_a_later_read_returns_the_data(tmp_path: Path, is_on_disk: bool) -> None:
    async with running(config(tmp_path if is_on_disk else None)) as array, session_with(array) as session:
        await settled(session)
        assert await outcome(session, cdb.write_16(0, 8), DATA) == "00h"
        assert await outcome(session, cdb.synchronize_cache_10()) == "00h"
        rule = array.faults.add("store=read times=1 errno=ENODATA")
        assert await outcome(session, cdb.read_16(0, 8), data_in_bytes=4096) == "3/11/00"
        result = await session.execute(0, cdb.read_16(0, 8), data_in_bytes=4096)
        assert (bytes(result.data_in), rule.hits) == (DATA, 1)
        array.faults.clear()
        assert bytes((await session.execute(0, cdb.read_16(0, 8), data_in_bytes=4096)).data_in) == DATA


async def test_a_full_disk_makes_writes_wait_and_loses_nothing(tmp_path: Path) -> None:
    async with running(config(tmp_path)) as array, session_with(array) as session:
        await settled(session)
        rule = array.faults.add("store=write times=2 errno=ENOSPC")
        with trio.fail_after(600):
            assert await outcome(session, cdb.write_16(0, 8), DATA) == "00h"
        assert rule.hits == 2
        assert bytes((await session.execute(0, cdb.read_16(0, 8), data_in_bytes=4096)).data_in) == DATA


async def test_a_broken_disk_fails_the_pool(tmp_path: Path) -> None:
    with pytest.raises(PoolFailed, match="injected by the rule fault-1"):
        await _break_the_disk(config(tmp_path))


async def _break_the_disk(settings: Config) -> None:
    async with running(settings) as array, session_with(array) as session:
        await settled(session)
        array.faults.add("store=flush errno=EIO")
        await outcome(session, cdb.write_16(0, 8), DATA)
        assert await outcome(session, cdb.synchronize_cache_10()) == "4/03/00"
        assert array.pool.failure is not None


async def test_a_slow_disk_delays_reads_but_not_other_luns(tmp_path: Path) -> None:
    async with running(config(tmp_path)) as array, session_with(array) as session:
        await settled(session)
        assert await outcome(session, cdb.write_16(0, 8), DATA) == "00h"
        rule = array.faults.add("store=read delay=5ms")
        assert await outcome(session, cdb.read_16(0, 8), data_in_bytes=4096) == "00h"
        assert rule.hits >= 1


async def test_no_segment_is_watched_without_rules(tmp_path: Path) -> None:
    async with running(replace(config(tmp_path))) as array:
        assert watched(array) is None
        array.faults.add("store=flush segment=99 delay=1s", name="one")
        assert watched(array) is not None
        array.faults.set_enabled("one", False)
        assert watched(array) is None


async def test_a_pool_without_rules_about_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    async with running() as array:
        monkeypatch.setattr(array.pool, "watch_segments", calls.append)
        array.faults.add("command=read status=busy")
        array.faults.clear()
    assert calls == []


def watched(array: Array) -> object:
    return array.pool._store.watched.before  # type: ignore[attr-defined]
