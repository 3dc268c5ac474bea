"""Tests that the tier of a volume is chosen by an operation or by the settings, and that the progress of its data is shown."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from odx_target.cli.serving.serve import open_pool
from odx_target.cli.text.health_lines import health_lines
from odx_target.cli.text.status_lines import status_lines
from odx_target.initiator import cdb
from odx_target.store.api import BLOCK_BYTES, StoreError
from odx_target.target.array import Array
from odx_target.target.config.parsing import parse_lun
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.control.health import describe_health
from odx_target.target.metrics.collection import metrics_text
from tests.target.running import is_good, running, session_with, settled
from tests.target.test_array import directory_config
from tests.target.test_storage_operations import MIB, do, refused, row


def tiered_config(path: Path, *luns: LunConfig) -> Config:
    config = directory_config(path / "pool", *luns)
    return replace(config, capacity_tier=path / "tier", pool_limit_bytes=64 * MIB, capacity_limit_bytes=32 * MIB)


async def at_rest(array: Array) -> None:
    """Run the cleaner until it rests."""
    cleaner = array.pool.cleaner  # type: ignore[attr-defined]
    for _ in range(2):
        cleaner._rest_until = float("-inf")
        cleaner._pause_share = 0.0
        if not cleaner._is_at_work:
            cleaner._start()
        while cleaner._is_at_work:
            await cleaner._progress.wait()


async def test_settings_choose_the_tier(tmp_path: Path) -> None:
    for tier, expected in ((None, "fast"), ("capacity", "capacity"), (None, "capacity"), ("fast", "fast")):
        config = tiered_config(tmp_path, LunConfig("first", MIB, tier=tier))
        async with Array(config, open_pool=open_pool) as array:
            assert row(await do(array, "volumes"), "volumes")["tier"] == expected


def test_a_text_chooses_the_tier() -> None:
    assert parse_lun("a=1M,tier=capacity,block=4096") == LunConfig("a", MIB, 4096, tier="capacity")


async def test_clones_keep_the_tier_of_their_origin(tmp_path: Path) -> None:
    async with Array(tiered_config(tmp_path, LunConfig("first", MIB, tier="capacity")), open_pool=open_pool) as array:
        await do(array, "snapshot-create", snapshots=["first@one"])
        for origin in ("first", "first@one"):
            clone = row(await do(array, "clone", origin=origin, name=f"copy-{len(origin)}"), "volumes")
            assert clone["tier"] == "capacity"


async def test_other_values_are_refused(tmp_path: Path) -> None:
    async with running() as array:
        assert "the pool has no capacity tier" in await refused(array, "volume-set", name="first", tier="capacity")
        assert row(await do(array, "volumes"), "volumes")["tier"] == "fast"
        await do(array, "volume-set", name="first", tier="fast")
    async with Array(tiered_config(tmp_path, LunConfig("first", MIB)), open_pool=open_pool) as array:
        for given in ({"tier": "slow"}, {"tier": 1}, {}):
            await refused(array, "volume-set", name="first", **given)
        await refused(array, "snapshot-create", snapshots=["first@one"], attributes={"tier": "capacity"})
    with pytest.raises(StoreError, match="the pool has no capacity tier"):
        async with Array(Config(luns=(LunConfig("first", MIB, tier="capacity"),)), open_pool=open_pool):
            pass


async def test_the_progress_of_a_move_is_shown(tmp_path: Path) -> None:
    luns = (LunConfig("first", 8 * MIB), LunConfig("second", 8 * MIB))
    data = Random(1).randbytes(MIB)
    async with Array(tiered_config(tmp_path, *luns), open_pool=open_pool) as array, session_with(array) as session:
        await settled(session)
        for lba in range(0, 16384, 2048):
            assert is_good(await session.execute(0, cdb.write_16(lba, 2048), data))
        answer = await do(array, "volume-set", name="first", tier="capacity")
        assert answer["tier"] == "capacity"
        await at_rest(array)
        found = await do(array, "status")
        capacity = found["pool"]["capacity_tier"]  # type: ignore[index]
        assert capacity["moved_bytes"] >= 4 * MIB
        assert 0 < capacity["used_bytes"] <= 9 * MIB
        assert (capacity["limit_bytes"], capacity["to_capacity_bytes"], capacity["to_fast_bytes"]) == (32 * MIB, 0, 0)
        assert found["pool"]["limit_bytes"] == 64 * MIB  # type: ignore[index]
        assert [row(found, "volumes", index)["tier"] for index in range(2)] == ["capacity", "fast"]
        assert any(line.startswith("capacity tier: ") for line in status_lines(found))
        assert any("to move" in line for line in status_lines(found))

        array.pool.cleaner.placement.plan = lambda *_: type(array.pool.cleaner.placement).plan(  # type: ignore[attr-defined]
            array.pool.cleaner.placement,
            None,
            {},  # type: ignore[attr-defined]
        )
        await do(array, "volume-set", name="first", tier="fast")
        await at_rest(array)
        found = await do(array, "status")
        waiting = found["pool"]["capacity_tier"]["to_fast_bytes"]  # type: ignore[index]
        assert waiting >= 4 * MIB
        assert row(found, "volumes")["to_move_bytes"] == waiting
        assert row(found, "volumes", 1)["to_move_bytes"] == 0
        text = (await metrics_text(array)).decode()
        assert f'odx_pool_to_move_bytes{{to="fast"}} {waiting}' in text
        assert "odx_pool_capacity_used_bytes" in text
        del array.pool.cleaner.placement.plan  # type: ignore[attr-defined]
        await at_rest(array)
        assert (await do(array, "status"))["pool"]["capacity_tier"]["to_fast_bytes"] == 0  # type: ignore[index]
        for lba in range(0, 16384, 2048):
            result = await session.execute(0, cdb.read_16(lba, 2048), data_in_bytes=MIB)
            assert result.data_in == data


async def test_a_full_tier_is_a_problem_of_the_health(tmp_path: Path) -> None:
    config = replace(tiered_config(tmp_path, LunConfig("first", 16 * MIB, tier="capacity")), capacity_limit_bytes=8 * MIB)
    async with Array(config, open_pool=open_pool) as array, session_with(array) as session:
        await settled(session)
        for lba in range(0, 32768, 2048):
            assert is_good(await session.execute(0, cdb.write_16(lba, 2048), Random(lba).randbytes(MIB)))
        await at_rest(array)
        health = describe_health(array)
        assert not health["is_well"]
        assert health["capacity_tier"]["problem"] == f"the capacity tier has reached its limit of {8 * MIB} bytes"  # type: ignore[index]
        assert any("not moved now: the capacity tier has reached its limit" in line for line in health_lines(health))
        used_bytes = health["capacity_tier"]["used_bytes"]  # type: ignore[index]
        assert 0 < used_bytes <= 8 * MIB
        assert used_bytes % BLOCK_BYTES == 0
