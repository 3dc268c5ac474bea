"""The operation `status`: its numbers agree with the pool and with the commands that hosts have sent."""

import json
from typing import Any

import pytest

from odx_target.initiator import cdb
from odx_target.store.api import BLOCK_BYTES
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, TargetConfig
from odx_target.target.control.operations import ManagementError, perform
from odx_target.target.control.storage.storage import Storage
from odx_target.target.control.storage.table import perform_on_storage
from tests.target.running import LUNS, is_good, running, session_with, settled

MIB = 1 << 20


async def status(array: Array, **arguments: object) -> Any:
    answer = await perform(array, "status", arguments)
    assert json.loads(json.dumps(answer)) == answer
    return answer


async def test_commands_latencies_and_bytes() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        for _ in range(5):
            assert is_good(await session.execute(0, cdb.write_16(0, 8), data_out=bytes(8 * 512)))
        assert is_good(await session.execute(0, cdb.read_16(0, 16), data_in_bytes=16 * 512))
        found = await status(array)
        first, second = found["volumes"]
        assert (first["name"], first["lun"], first["size_bytes"], first["snapshots"]) == ("first", 0, MIB, 0)
        write, read = first["commands"]["write"], first["commands"]["read"]
        assert (write["commands"], write["bytes"]) == (5, 5 * 8 * 512)
        assert (read["commands"], read["bytes"]) == (1, 16 * 512)
        assert 0 < write["p50_s"] <= write["p99_s"] <= write["p999_s"]
        assert second["commands"]["read"] == dict.fromkeys(("mean_s", "p50_s", "p99_s", "p999_s")) | {"commands": 0, "bytes": 0}
        assert found["array"]["commands"]["write"]["commands"] == 5
        (listed,) = found["array"]["sessions"]
        assert listed["bytes"] >= 5 * 8 * 512 + 16 * 512
        assert (found["array"]["luns"], found["array"]["tokens"], found["array"]["copies"]) == (2, 0, 0)
        assert found["pool"]["logical_bytes"] == 2 * MIB
        assert found["pool"]["log"]["next_sequence_number"] > found["pool"]["volumes"] == 2


async def test_data_is_counted_on_demand_and_its_age_is_shown() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert is_good(await session.execute(0, cdb.write_16(0, 32), data_out=bytes(range(256)) * 64))
        assert (await status(array))["pool"]["space"] is None
        assert (await status(array))["volumes"][0]["unique_bytes"] is None
        found = await status(array, space=True)
        assert found["volumes"][0]["unique_bytes"] == found["pool"]["space"]["unique_bytes"] == 4 * BLOCK_BYTES
        array.pool.volumes["first"].snapshot("s")
        later = await status(array)
        assert later["pool"]["space"]["age_s"] >= found["pool"]["space"]["age_s"]
        assert later["volumes"][0]["unique_bytes"] == 4 * BLOCK_BYTES, "the count is kept"
        again = await status(array, space=True)
        assert (again["volumes"][0]["unique_bytes"], again["volumes"][0]["shared_bytes"]) == (0, 4 * BLOCK_BYTES)
        array.pool.create_volume("third", 8, {})
        (third,) = [each for each in (await status(array))["volumes"] if each["name"] == "third"]
        assert (third["lun"], third["commands"], third["unique_bytes"]) == (None, None, None)


async def test_the_sessions_and_limits_of_targets() -> None:
    second = "iqn.2026-11.example:second"
    limited = TargetConfig(second, max_commands=8, memory_share=25)
    async with running(Config(luns=LUNS, max_sessions=3, targets=(limited,))) as array, session_with(array):
        usual = {"max_sessions": None, "max_commands": 128, "memory_share_percent": 100}
        assert (await status(array))["array"]["targets"] == [
            {"name": array.config.iqn, "sessions": 1, **usual, "max_sessions": 3},
            {"name": second, "sessions": 0, **usual, "max_commands": 8, "memory_share_percent": 25},
        ]


async def test_only_the_busiest_volumes_are_listed() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session, 1)
        for _ in range(3):
            assert is_good(await session.execute(1, bytes(6)))
        found = await status(array, busiest=1)
        assert [each["name"] for each in found["volumes"]] == ["second"]
        assert found["volumes_not_listed"] == 1
        assert (await status(array, busiest=0))["volumes"] == []
        assert (await status(array, busiest=9))["volumes_not_listed"] == 0
        with pytest.raises(ManagementError):
            await status(array, busiest="many")


async def test_totals_keep_the_commands_of_removed_luns() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        for _ in range(3):
            assert is_good(await session.execute(0, cdb.read_16(0, 1), data_in_bytes=512))
        await perform(array, "volume-delete", {"name": "first", "force": True})
        assert (await status(array))["array"]["commands"]["read"]["commands"] == 3


async def test_a_pool_without_an_array() -> None:
    async with running() as array:
        storage = Storage(array.pool, array.environment)
        answer: Any = await perform_on_storage(storage, "status", {"space": True})
        assert answer["array"] is None
        assert [each["commands"] for each in answer["volumes"]] == [None, None]
