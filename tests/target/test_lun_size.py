"""A LUN grows while it is served, or at the next start because it is configured larger."""

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from odx_target.cli.serving.reload import Reloader
from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.session.session import InitiatorSession
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import MAX_LUN_BYTES
from odx_target.target.config.settings import Config, LunConfig, Portal
from tests.target.running import LUNS, OPTIONS, is_good, running, session_with, settled

CAPACITY_DATA_HAS_CHANGED = (0x06, 0x2A, 0x09)
LBA_OUT_OF_RANGE = (0x05, 0x21, 0x00)
READ_CAPACITY_16 = bytes.fromhex("9e10 0000000000000000 00000020 0000")
TEST_UNIT_READY = bytes(6)
MIB = 1 << 20


def sense_of(sense: bytes) -> tuple[int, int, int]:
    return sense[2] & 0xF, sense[12], sense[13]


async def capacity_blocks(session: InitiatorSession, lun: int) -> int:
    result = await session.execute(lun, READ_CAPACITY_16, data_in_bytes=32)
    assert is_good(result)
    return int.from_bytes(result.data_in[:8], "big") + 1


@pytest.mark.parametrize("lun", [0, 1])
async def test_every_host_is_told_once_and_sees_what_is_new(lun: int) -> None:
    block_bytes = LUNS[lun].block_bytes
    old, new = MIB // block_bytes, 3 * MIB // block_bytes
    async with running() as array, session_with(array) as one, session_with(array, replace(OPTIONS, isid=b"\x80other")) as two:
        for session in (one, two):
            await settled(session, lun)
        assert is_good(await one.execute(lun, cdb.write_16(old - 1, 1), b"e" * block_bytes))
        refused = await one.execute(lun, cdb.write_16(old, 1), b"n" * block_bytes)
        assert sense_of(refused.sense) == LBA_OUT_OF_RANGE
        assert await array.resize_lun(LUNS[lun].name, 3 * MIB)
        for session in (one, two):
            told = await session.execute(lun, TEST_UNIT_READY)
            assert sense_of(told.sense) == CAPACITY_DATA_HAS_CHANGED
            assert is_good(await session.execute(lun, TEST_UNIT_READY))
            assert await capacity_blocks(session, lun) == new
        seen = await two.execute(lun, cdb.read_16(old - 1, 2), data_in_bytes=2 * block_bytes)
        assert seen.data_in == b"e" * block_bytes + bytes(block_bytes)
        assert is_good(await one.execute(lun, cdb.write_16(new - 1, 1), b"l" * block_bytes))
        assert sense_of((await one.execute(lun, cdb.read_16(new, 1), data_in_bytes=block_bytes)).sense) == LBA_OUT_OF_RANGE


async def test_the_same_size_changes_nothing() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert not await array.resize_lun("first", MIB)
        assert is_good(await session.execute(0, TEST_UNIT_READY))


@pytest.mark.parametrize(
    ("name", "size_bytes", "said"),
    [
        ("first", MIB - 512, "LUN first: its size in the pool is 1048576 bytes, it cannot shrink here to 1048064"),
        ("first", MIB + 100, "LUN first: size 1048676 is not a whole number of 512-byte blocks"),
        ("second", MIB + 512, "LUN second: size 1049088 is not a whole number of 4096-byte blocks"),
        ("first", MAX_LUN_BYTES + 512, "over the limit"),
        ("third", MIB, "there is no LUN third"),
    ],
)
async def test_sizes_that_cannot_be(name: str, size_bytes: int, said: str) -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        with pytest.raises(ConfigError, match=said):
            await array.resize_lun(name, size_bytes)
        assert is_good(await session.execute(0, TEST_UNIT_READY))
        assert await capacity_blocks(session, 0) == MIB // 512


async def test_the_largest_lun() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert await array.resize_lun("first", MAX_LUN_BYTES)
        await session.execute(0, TEST_UNIT_READY)
        assert await capacity_blocks(session, 0) == MAX_LUN_BYTES // 512


def on_disk(folder: Path, *luns: LunConfig) -> Array:
    return Array(Config(pool_dir=folder, luns=luns, portals=(Portal(port=0),)), open_pool=open_pool)


async def shown_blocks(array: Array) -> list[int]:
    async with array, session_with(array) as session:
        await settled(session)
        return [await capacity_blocks(session, 0)]


@pytest.mark.parametrize("size_bytes", [MIB + 512, MIB + 4096 - 512, 5 * MIB])
async def test_the_size_outlives_the_array_to_the_block(tmp_path: Path, size_bytes: int) -> None:
    async with on_disk(tmp_path / "pool", LunConfig("disk", MIB)) as array:
        await array.resize_lun("disk", MIB + 512)
        await array.resize_lun("disk", size_bytes)
    assert await shown_blocks(on_disk(tmp_path / "pool")) == [size_bytes // 512]
    assert await shown_blocks(on_disk(tmp_path / "pool", LunConfig("disk", size_bytes))) == [size_bytes // 512]


async def test_a_lun_that_is_configured_larger_grows_at_the_start_and_never_shrinks(tmp_path: Path) -> None:
    assert await shown_blocks(on_disk(tmp_path / "pool", LunConfig("disk", MIB))) == [2048]
    assert await shown_blocks(on_disk(tmp_path / "pool", LunConfig("disk", MIB + 512))) == [2049]
    assert await shown_blocks(on_disk(tmp_path / "pool", LunConfig("disk", MIB))) == [2049]
    assert await shown_blocks(on_disk(tmp_path / "pool")) == [2049]


@pytest.mark.parametrize("named_bytes", [MIB // 2, MIB, 3 * MIB])
@pytest.mark.parametrize("grows", [True, False])
async def test_a_size_on_the_command_line_is_for_a_lun_that_is_not_there_yet(
    tmp_path: Path, named_bytes: int, grows: bool
) -> None:
    lun = LunConfig("disk", named_bytes, grows=grows)
    assert await shown_blocks(on_disk(tmp_path / "new", lun)) == [named_bytes // 512]
    await shown_blocks(on_disk(tmp_path / "pool", LunConfig("disk", MIB)))
    with capture_logs() as lines:
        (blocks,) = await shown_blocks(on_disk(tmp_path / "pool", lun))
    assert blocks == (max(named_bytes, MIB) if grows else MIB) // 512
    told = [line for line in lines if line.get("lun") == "disk"]
    assert len(told) == (blocks * 512 != named_bytes)
    assert {line["log_level"] for line in told} <= {"warning" if grows else "info"}


async def test_read_again_from_a_file_each_lun_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    rows = {"first": ("512K", 512), "second": ("2M", 4096)}
    tables = (f'[[lun]]\nname = "{name}"\nsize = "{size}"\nblock = {block}\n' for name, (size, block) in rows.items())
    path.write_text('portal = "127.0.0.1:0"\n' + "".join(tables))
    async with running() as array, session_with(array) as session:
        await settled(session)
        await Reloader(array, path).reload()
        assert await capacity_blocks(session, 0) == 2048
        told = [sense_of((await session.execute(1, TEST_UNIT_READY)).sense) for _ in range(2)]
        assert told[1] == CAPACITY_DATA_HAS_CHANGED
        assert await capacity_blocks(session, 1) == 512


@pytest.mark.parametrize("text", ["lun = 3", "[[lun", None])
async def test_a_file_that_cannot_be_read_again_changes_nothing(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "array.toml"
    if text is not None:
        path.write_text(text)
    async with running() as array, session_with(array) as session:
        await settled(session)
        await Reloader(array, path).reload()
        await Reloader(array, None).reload()
        assert await capacity_blocks(session, 0) == 2048
