"""Tests that compression is chosen by an operation or by the settings, and that hosts read what they have written."""

from pathlib import Path
from random import Random

import pytest

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.session.session import InitiatorSession
from odx_target.scsi.unit.logical_blocks import LogicalBlocks
from odx_target.store.api import BLOCK_BYTES
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from tests.target.running import is_good, running, session_with, settled
from tests.target.test_array import directory_config
from tests.target.test_storage_operations import MIB, do, refused, row

SIZE = 8 * MIB


def pattern(size_bytes: int, seed: int) -> bytes:
    """Data of which a half can be compressed."""
    random = Random(seed)
    return b"".join(random.randbytes(BLOCK_BYTES // 2) + bytes(BLOCK_BYTES // 2) for _ in range(size_bytes // BLOCK_BYTES))


async def write_and_read(session: InitiatorSession, lba: int, data: bytes) -> None:
    blocks = len(data) // 512
    assert is_good(await session.execute(0, cdb.write_16(lba, blocks), data))
    result = await session.execute(0, cdb.read_16(lba, blocks), data_in_bytes=len(data))
    assert is_good(result)
    assert result.data_in == data


async def space(array: Array, name: str) -> tuple[int, int]:
    found = await array.pool.space_of(array.pool.volumes[name])
    return found.mapped_bytes, found.unique_bytes + found.shared_bytes


@pytest.mark.parametrize("choice", ["lz4", "zstd"])
async def test_writes_of_all_sizes_are_read_again(choice: str) -> None:
    async with running(Config(luns=(LunConfig("first", SIZE),))) as array, session_with(array) as session:
        await settled(session)
        assert row(await do(array, "volumes"), "volumes")["compression"] == "off"
        assert (await do(array, "volume-set", name="first", compression=choice))["compression"] == choice
        for number, kib in enumerate((4, 16, 60, 64, 256, 512, 1024)):
            for lba in (0, 8 * number, 2048 + number):
                await write_and_read(session, lba, pattern(kib << 10, number))
        mapped, stored = await space(array, "first")
        assert stored < 0.8 * mapped
        data = pattern(2 * MIB, 77)
        for _ in range(3):
            array.environment.turns.left = 0
            await write_and_read(session, 4096, data)
        await do(array, "volume-set", name="first", compression="off")
        await write_and_read(session, 0, data)
        mapped, stored = await space(array, "first")
        assert stored >= 2 * MIB


async def test_a_long_write_waits_for_its_compression_only_if_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    write = LogicalBlocks.write

    async def noted(self, lba, data, **named):  # type: ignore[no-untyped-def]
        waited.append(lba)
        await write(self, lba, data, **named)

    monkeypatch.setattr(LogicalBlocks, "write", noted)
    async with running(Config(luns=(LunConfig("first", SIZE, compression="lz4"),))) as array, session_with(array) as session:
        await settled(session)
        await write_and_read(session, 0, pattern(MIB, 1))
        assert waited == [0]
        array.environment.turns.left = array.environment.turns.of_a_turn
        await write_and_read(session, 2048, pattern(64 << 10, 1))
        await write_and_read(session, 8, Random(1).randbytes(MIB))
        assert waited == [0]


async def test_settings_choose_the_compression(tmp_path: Path) -> None:
    for compression, expected in (("lz4", "lz4"), (None, "lz4"), ("zstd", "zstd"), ("off", "off")):
        luns = (LunConfig("first", MIB, compression=compression),)
        async with Array(directory_config(tmp_path, *luns), open_pool=open_pool) as array:
            assert row(await do(array, "volumes"), "volumes")["compression"] == expected


async def test_clones_keep_the_compression_of_their_origin() -> None:
    async with running(Config(luns=(LunConfig("first", MIB, compression="zstd"),))) as array:
        await do(array, "snapshot-create", snapshots=["first@one"])
        for origin in ("first", "first@one"):
            clone = row(await do(array, "clone", origin=origin, name=f"copy-{len(origin)}"), "volumes")
            assert clone["compression"] == "zstd"


async def test_other_values_are_refused() -> None:
    async with running() as array:
        for given in ({"name": "first", "compression": "best"}, {"name": "first", "compression": 1}, {"name": "first"}):
            await refused(array, "volume-set", **given)
        await refused(array, "volume-set", name="nothing", compression="lz4")
        assert row(await do(array, "volumes"), "volumes")["compression"] == "off"
