"""Problems that an operator must act on are logged once, and are a field of `manage POOL health`."""

import errno
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from odx_target.cli.text.health_lines import health_lines
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import BlockRange, populate_token_list, write_using_token_list
from odx_target.initiator.errors import LoginFailed
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import random_isid
from odx_target.iscsi.limits import MAX_CONNECTIONS
from odx_target.store.api import PoolFailed, TroubleKind, Unwritable
from odx_target.store.pool import LogPool
from odx_target.store.segments.directory import DirectorySegments
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.control.operations import perform
from odx_target.target.pool_trouble_log import LINES
from tests.target.running import OPTIONS, is_good, remote_portal, running, session_with, settled

Logs = list[Any]


@pytest.fixture
def logs() -> Iterator[Logs]:
    with capture_logs() as captured:
        yield captured


def lines_of(logs: Logs, kind: TroubleKind) -> Logs:
    return [line for line in logs if line["event"] == LINES[kind].event]


async def health(array: Array) -> dict[str, Any]:
    return await perform(array, "health", {})


def pool_of(array: Array) -> LogPool:
    assert isinstance(array.pool, LogPool)
    return array.pool


def flip(pool: LogPool, block: bytes) -> None:
    """Change a bit of a block in memory that exists only once."""
    (segment,) = [segment for segment in pool.supply.segments.values() if block in segment._bytes]  # type: ignore[attr-defined]
    at = segment._bytes.index(block)  # type: ignore[attr-defined]
    segment._bytes[at] ^= 1  # type: ignore[attr-defined]


def test_every_trouble_has_its_line() -> None:
    assert set(LINES) == set(TroubleKind)
    assert len({line.event for line in LINES.values()}) == len(LINES)


async def test_an_array_that_is_well(logs: Logs) -> None:
    async with running() as array:
        found = await health(array)
    assert found["is_well"]
    assert next(health_lines(found)) == "well"
    assert (found["refused_sockets"], found["refused_logins"], found["damaged"]) == (0, 0, [])
    assert [line for line in logs if line["log_level"] != "info"] == []


async def test_a_damaged_block_is_told_by_lun_and_lba(logs: Logs) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert is_good(await session.execute(0, cdb.write_16(16, 8), b"\x5a" * 4096))
        flip(pool_of(array), b"\x5a" * 4096)
        for _ in range(3):
            assert (await session.execute(0, cdb.read_16(16, 1), data_in_bytes=512)).status == 2
        found = await health(array)
    (line,) = lines_of(logs, TroubleKind.DAMAGED_BLOCK)
    assert (line["lun"], line["name"], line["lba"], line["log_level"]) == (0, "first", 16, "error")
    (damaged,) = found["damaged"]
    assert not found["is_well"]
    assert (damaged["lun"], damaged["lba"], damaged["count_blocks"], damaged["times"]) == (0, 16, 8, 3)
    assert "  LUN 0 first, LBA 16+8, met 3 times" in health_lines(found)


async def test_a_damaged_block_of_a_token_is_told_too(logs: Logs) -> None:
    async with running() as array, session_with(array) as session:
        for lun in (0, 1):
            await settled(session, lun)
        assert is_good(await session.execute(0, cdb.write_16(16, 8), b"\x5a" * 4096))
        populate = populate_token_list([BlockRange(17, 1)])
        assert is_good(await session.execute(0, cdb.populate_token(1, len(populate)), [populate]))
        answer = await session.execute(0, cdb.receive_rod_token_information(1, 1024), data_in_bytes=1024)
        flip(pool_of(array), b"\x5a" * 4096)
        write = write_using_token_list(bytes(answer.data_in[38:550]), [BlockRange(3, 1)])
        assert not is_good(await session.execute(0, cdb.write_using_token(2, len(write)), [write]))
        found = await health(array)
    (line,) = lines_of(logs, TroubleKind.DAMAGED_BLOCK)
    assert (line["lun"], line["lba"], "snapshot" in line) == (0, 16, True)
    assert found["damaged"][0]["snapshot"] == line["snapshot"]


async def test_a_full_pool_is_told_and_since_when(logs: Logs) -> None:
    luns = (LunConfig("big", 64 << 20),)
    async with running(Config(luns=luns, pool_limit_bytes=16 << 20)) as array, session_with(array) as session:
        await settled(session)
        results = [await session.execute(0, cdb.write_16(at * 2048, 2048), bytes(1 << 20)) for at in range(32)]
        assert not is_good(results[-1])
        found = await health(array)
    assert len(lines_of(logs, TroubleKind.FULL)) == 1
    assert "limit of 16777216 bytes" in found["full"]
    assert found["no_room_for_s"] >= 0
    assert not found["is_well"]
    assert any(line.startswith("writes: refused for") for line in health_lines(found))


async def test_an_array_that_starts_without_room_says_so(tmp_path: Path, logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_segments: object, _number: int, _size_blocks: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    config = Config(pool_dir=tmp_path / "pool", luns=(LunConfig("first", 1 << 20),), pool_limit_bytes=16 << 20)
    async with running(config):
        pass
    monkeypatch.setattr(DirectorySegments, "create", refuse)
    async with running(config) as array:
        found = await health(array)
    (line,) = lines_of(logs, TroubleKind.FULL)
    assert line["reason"] == found["full"] == "making a segment failed: No space left on device"
    assert not found["is_well"]


async def test_a_checkpoint_that_fails_is_told_until_one_is_saved(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as array:
        pool = pool_of(array)

        def refuse(_checkpoint: object) -> None:
            raise Unwritable("no room for the catalogue: catalogue.sqlite")

        with monkeypatch.context() as failing:
            failing.setattr(pool._catalogue, "save", refuse)
            for _ in range(3):
                pool.checkpointer.start_soon()
                await trio.testing.wait_all_tasks_blocked()
                await pool.checkpointer.settle()
            found = await health(array)
        await pool.checkpoint()
        after = await health(array)
    (line,) = lines_of(logs, TroubleKind.CHECKPOINT_FAILED)
    assert line["reason"] == found["checkpoint_error"] == "no room for the catalogue: catalogue.sqlite"
    assert not found["is_well"]
    assert after["is_well"]
    assert after["checkpoint_error"] is None


async def test_a_pool_that_has_failed_says_why(logs: Logs) -> None:
    async with running() as array:
        error = pool_of(array).health.fail("flushing", OSError(5, "Input/output error"))
        assert isinstance(error, PoolFailed)
        found = await health(array)
        pool_of(array).health.failure = None
    assert found["failure"] == "flushing failed: Input/output error"
    assert len(lines_of(logs, TroubleKind.FAILED)) == 1
    assert any(line == "writes: none any more: flushing failed: Input/output error" for line in health_lines(found))


async def test_a_login_that_is_refused_is_told_and_counted(logs: Logs) -> None:
    async with running() as array:
        for _ in range(30):
            with pytest.raises(LoginFailed):
                async with open_session(remote_portal(array), "iqn.2026-11.io.odx-target:other", OPTIONS):
                    pytest.fail("logged in")
        await trio.testing.wait_all_tasks_blocked()
        found = await health(array)
    assert found["refused_logins"] == 30
    assert len([line for line in logs if line["event"] == "login refused"]) == 20


async def test_lines_of_one_host_are_limited(logs: Logs) -> None:
    async with running() as array:
        for number in range(MAX_CONNECTIONS):
            async with session_with(array, replace(OPTIONS, isid=random_isid(bytes([number])))) as session:
                await settled(session)
    assert len([line for line in logs if line["event"] == "logged in"]) == 20
    assert len([line for line in logs if line["event"] == "connection closed"]) == 20


def test_troubles_without_a_lun_are_told_by_what_is_known() -> None:
    found = {
        "is_well": False,
        "failure": None,
        "full": None,
        "no_segment": "making a segment failed: Too many open files",
        "no_room_for_s": 3.2,
        "checkpoint_error": None,
        "checkpoint_age_s": 12.0,
        "met": [{"kind": "unreadable_block", "times": 4, "reason": "block 3 cannot be read: Input/output error", "age_s": 9.6}],
        "trace_errors": ["trace.txt: No space left on device"],
        "damaged": [{"lun": None, "name": None, "store_block": 7, "snapshot": 4, "times": 1}],
        "damaged_not_shown": 5,
        "used_bytes": 1 << 20,
        "available_bytes": None,
        "refused_sockets": 2,
        "refused_logins": 0,
    }
    assert list(health_lines(found)) == [
        "NOT WELL",
        "writes: refused for 3 s: making a segment failed: Too many open files",
        "checkpoint: 12 s old",
        "damaged blocks: 6",
        "  block 7 of a volume that is not known in snapshot 4, met 1 times",
        "  and 5 more",
        "met since the start: unreadable block, 4 times, last 10 s ago: block 3 cannot be read: Input/output error",
        "trace: not written: trace.txt: No space left on device",
        "room: 1.0 MiB used, not known available",
        "refused since the start: 2 sockets, 0 logins",
    ]
