"""A LUN is shrunk while it is served: the view of hosts, the data of tokens, and the content after it grows again."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.session import InitiatorSession
from odx_target.store.api import DamagedBlock, PoolFailed, PoolFull
from odx_target.store.volumes.volume import LogVolume
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, LunConfig, Portal
from tests.target.running import LUNS, OPTIONS, is_good, running, session_with, settled

MIB = 1 << 20
BLOCKS = MIB // 512
TEST_UNIT_READY = bytes(6)
READ_CAPACITY_16 = bytes.fromhex("9e10 0000000000000000 00000020 0000")
CAPACITY_DATA_HAS_CHANGED = "6/2A/09"
LBA_OUT_OF_RANGE = "5/21/00"
SIZES = [512, 4096, 4096 + 512, MIB // 2, MIB // 2 - 512, MIB - 512]


def code_of(result: CommandResult) -> str:
    sense = result.sense
    return f"{sense[2] & 0xF:X}/{sense[12]:02X}/{sense[13]:02X}" if sense else "good"


async def capacity_blocks(session: InitiatorSession) -> int:
    result = await session.execute(0, READ_CAPACITY_16, data_in_bytes=32)
    assert is_good(result)
    return int.from_bytes(result.data_in[:8], "big") + 1


async def write(session: InitiatorSession, lba: int, data: bytes) -> str:
    return code_of(await session.execute(0, cdb.write_16(lba, len(data) // 512), data))


async def read(session: InitiatorSession, lba: int, count: int) -> bytes:
    result = await session.execute(0, cdb.read_16(lba, count), data_in_bytes=count * 512)
    assert is_good(result), code_of(result)
    return bytes(result.data_in)


def pattern(count: int, seed: int = 1) -> bytes:
    return b"".join((seed << 32 | lba).to_bytes(8, "big") * 64 for lba in range(count))


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_every_host_finds_the_new_end_and_zeros_when_it_grows_again(size_bytes: int) -> None:
    blocks = size_bytes // 512
    other = replace(OPTIONS, isid=b"\x80other")
    async with running() as array, session_with(array) as one, session_with(array, other) as two:
        for session in (one, two):
            await settled(session)
        assert await write(one, 0, pattern(BLOCKS)) == "good"
        await array.shrink_lun("first", size_bytes)
        for session in (one, two):
            assert code_of(await session.execute(0, TEST_UNIT_READY)) == CAPACITY_DATA_HAS_CHANGED
            assert code_of(await session.execute(0, TEST_UNIT_READY)) == "good"
            assert await capacity_blocks(session) == blocks
        assert await write(one, blocks, pattern(1)) == LBA_OUT_OF_RANGE
        assert await write(one, blocks - 1, pattern(2)) == LBA_OUT_OF_RANGE
        assert code_of(await two.execute(0, cdb.read_16(BLOCKS - 1, 1), data_in_bytes=512)) == LBA_OUT_OF_RANGE
        assert await read(two, 0, blocks) == pattern(blocks)
        assert await array.resize_lun("first", MIB)
        assert code_of(await one.execute(0, TEST_UNIT_READY)) == CAPACITY_DATA_HAS_CHANGED
        assert await read(one, 0, BLOCKS) == pattern(blocks) + bytes(MIB - size_bytes)


async def test_a_token_keeps_what_was_cut_off() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert await write(session, 0, pattern(BLOCKS)) == "good"
        ranges = populate_token_list([BlockRange(BLOCKS - 20, 20)])
        assert is_good(await session.execute(0, cdb.populate_token(1, len(ranges)), ranges))
        information = await session.execute(0, cdb.receive_rod_token_information(1, 1024), data_in_bytes=1024)
        (token,) = read_rod_token_information(information.data_in).tokens
        await array.shrink_lun("first", MIB // 2)
        await session.execute(0, TEST_UNIT_READY)
        parameters = write_using_token_list(token, [BlockRange(3, 20)])
        assert is_good(await session.execute(0, cdb.write_using_token(2, len(parameters)), parameters))
        assert await read(session, 3, 20) == pattern(BLOCKS)[-20 * 512 :]
        parameters = write_using_token_list(token, [BlockRange(BLOCKS // 2 - 10, 20)])
        assert code_of(await session.execute(0, cdb.write_using_token(2, len(parameters)), parameters)) == LBA_OUT_OF_RANGE


@pytest.mark.parametrize("seconds", [0.3, 1.5])
async def test_a_copy_under_way_ends_at_the_new_end(autojump_clock: MockClock, seconds: float) -> None:
    """The blocks before the new end are written. The blocks after it are neither written nor waited for."""
    config = Config(luns=LUNS, copy_rate_bytes_per_s=1 << 18)
    async with running(config) as array, session_with(array) as session:
        await settled(session)
        zero_token = bytes.fromhex("ffff0001 0000 01f8") + bytes(504)
        assert await write(session, 0, pattern(BLOCKS)) == "good"
        parameters = write_using_token_list(zero_token, [BlockRange(0, BLOCKS)])
        ended: list[str] = []

        async def copy() -> None:
            ended.append(code_of(await session.execute(0, cdb.write_using_token(2, len(parameters)), parameters)))

        began_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(copy)
            await trio.sleep(seconds)
            await array.shrink_lun("first", MIB // 4)
            assert trio.current_time() - began_s == pytest.approx(max(1.0, seconds), abs=0.2)
        assert ended == [LBA_OUT_OF_RANGE]
        await session.execute(0, TEST_UNIT_READY)
        assert await read(session, 0, BLOCKS // 4) == bytes(MIB // 4)


@pytest.mark.parametrize(("lba", "size_bytes"), [(BLOCKS - 3, MIB // 2), (BLOCKS // 2 - 3, MIB // 2 - 512)])
async def test_a_write_that_waits_for_its_block_ends_first(monkeypatch: pytest.MonkeyPatch, lba: int, size_bytes: int) -> None:
    release = trio.Event()
    read_now, read_late = LogVolume.read_now, LogVolume.read

    async def slow(volume: LogVolume, block: int, count: int) -> object:
        await release.wait()
        return await read_late(volume, block, count)

    async with running() as array, session_with(array) as session:
        await settled(session)
        assert await write(session, 0, pattern(BLOCKS)) == "good"
        monkeypatch.setattr(LogVolume, "read_now", lambda volume, block, count: None)
        monkeypatch.setattr(LogVolume, "read", slow)
        codes: list[str] = []
        order: list[str] = []

        async def under_way() -> None:
            codes.append(await write(session, lba, pattern(2, seed=7)))
            order.append("write")

        async def shrink() -> None:
            await array.shrink_lun("first", size_bytes)
            order.append("shrink")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(under_way)
            await wait_all_tasks_blocked(0.01)
            nursery.start_soon(shrink)
            await wait_all_tasks_blocked(0.01)
            assert order == []
            assert await write(session, BLOCKS - 20, pattern(1)) == LBA_OUT_OF_RANGE, "for those who come now it is over"
            monkeypatch.setattr(LogVolume, "read_now", read_now)
            release.set()
        assert (codes, sorted(order)) == (["good"], ["shrink", "write"])
        assert await array.resize_lun("first", MIB)
        await session.execute(0, TEST_UNIT_READY)
        await session.execute(0, TEST_UNIT_READY)
        blocks = size_bytes // 512
        expected = bytearray(pattern(BLOCKS))
        expected[lba * 512 : (lba + 2) * 512] = pattern(2, seed=7)
        assert await read(session, 0, BLOCKS) == bytes(expected[:size_bytes]) + bytes((BLOCKS - blocks) * 512)


@pytest.mark.parametrize("error", [PoolFull("full"), PoolFailed("failed"), DamagedBlock(3)])
@pytest.mark.parametrize("where", ["blocks", "remember"])
async def test_what_cannot_be_done_leaves_the_lun_as_it_was(
    monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert await write(session, 0, pattern(BLOCKS)) == "good"

        def fail(*_: object, **__: object) -> None:
            raise error

        with monkeypatch.context() as patch:
            if where == "blocks":
                patch.setattr(array.logical_units[0].blocks, "unmap", fail)
            else:
                patch.setattr(array.pool, "remember", fail)
            with pytest.raises(type(error)):
                await array.shrink_lun("first", MIB // 2 + 512)
        assert code_of(await session.execute(0, TEST_UNIT_READY)) == "good"
        assert await capacity_blocks(session) == BLOCKS
        content = await read(session, 0, BLOCKS)
        zeroed = slice(MIB // 2 + 512, MIB // 2 + 4096)
        expected = bytearray(pattern(BLOCKS))
        if where == "remember":
            expected[zeroed] = bytes(zeroed.stop - zeroed.start)
        assert content == bytes(expected)


@pytest.mark.parametrize(
    ("name", "size_bytes", "said"),
    [
        ("first", 0, "size 0"),
        ("first", 1000, "whole number"),
        ("first", MIB + 512, "more than its present"),
        ("x", 512, "no LUN x"),
    ],
)
async def test_sizes_that_cannot_be(name: str, size_bytes: int, said: str) -> None:
    async with running() as array:
        with pytest.raises(ConfigError, match=said):
            await array.shrink_lun(name, size_bytes)
        assert array.logical_units[0].capacity_blocks == BLOCKS


async def test_two_at_once_cannot_both_be() -> None:
    failures: list[str] = []

    async def shrink(array: Array, size_bytes: int) -> None:
        try:
            await array.shrink_lun("first", size_bytes)
        except ConfigError as error:
            failures.append(str(error))

    async with running() as array:
        release = trio.Event()
        task_set = array.logical_units[0].tasks

        async def held(_store_block: int) -> None:
            await release.wait()

        task_set.running_ended = held  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shrink, array, 8192)
            await wait_all_tasks_blocked()
            nursery.start_soon(shrink, array, 4096)
            await wait_all_tasks_blocked()
            release.set()
        assert len(failures) == 1
        assert "another request" in failures[0]
        assert array.logical_units[0].capacity_blocks == 8
        assert array.logical_units[0].volume.size_blocks == 1


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_the_size_outlives_the_array(tmp_path: Path, size_bytes: int) -> None:
    def on_disk(*luns: LunConfig) -> Array:
        return Array(Config(pool_dir=tmp_path / "pool", luns=luns, portals=(Portal(port=0),)), open_pool=open_pool)

    async with on_disk(LunConfig("first", MIB)) as array:
        await array.shrink_lun("first", size_bytes)
        await array.shrink_lun("first", size_bytes)
    async with on_disk() as array, session_with(array) as session:
        await settled(session)
        assert await capacity_blocks(session) == size_bytes // 512
    if size_bytes > 512:
        async with on_disk(LunConfig("first", size_bytes - 512)) as array, session_with(array) as session:
            await settled(session)
            assert await capacity_blocks(session) == size_bytes // 512


async def test_a_lun_that_grows_while_it_is_to_shrink_loses_nothing() -> None:
    failures: list[str] = []
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert await write(session, 0, pattern(BLOCKS)) == "good"
        release = trio.Event()

        async def held(_store_block: int) -> None:
            await release.wait()

        array.logical_units[0].tasks.running_ended = held  # type: ignore[method-assign]

        async def shrink() -> None:
            try:
                await array.shrink_lun("first", MIB // 2 - 512)
            except ConfigError as error:
                failures.append(str(error))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(shrink)
            await wait_all_tasks_blocked()
            await array.resize_lun("first", 2 * MIB)
            release.set()
        assert len(failures) == 1
        await session.execute(0, TEST_UNIT_READY)
        assert await read(session, 0, BLOCKS) == pattern(BLOCKS)
