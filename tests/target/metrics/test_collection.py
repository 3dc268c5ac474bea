"""The metrics of an array agree with the array, and their number is limited."""

from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from odx_target.copymgr.refusal import Refusal
from odx_target.initiator import cdb
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.control.operations import perform
from odx_target.target.metrics import collection
from odx_target.target.metrics.collection import metrics_text
from tests.target.running import is_good, running, session_with, settled

Found = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


async def samples(array: Array) -> Found:
    text = (await metrics_text(array)).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for each in family.samples:
            key = each.name, frozenset(each.labels.items())
            assert key not in found, "each series has one sample"
            found[key] = each.value
    return found


def value(found: Found, series: str, /, **labels: str) -> float:
    return found[series, frozenset(labels.items())]


async def test_numbers_of_the_array() -> None:
    async with running() as array, session_with(array) as session:
        await settled(session)
        assert is_good(await session.execute(0, cdb.write_16(0, 8), data_out=bytes(4096)))
        assert is_good(await session.execute(0, cdb.read_16(0, 2), data_in_bytes=1024))
        found = await samples(array)
        assert value(found, "odx_lun_commands_total", lun="0", kind="write") == 1
        assert value(found, "odx_lun_bytes_total", lun="0", kind="read") == 1024
        assert value(found, "odx_lun_info", lun="1", name="second") == 1
        assert value(found, "odx_command_duration_seconds_count", kind="write") == 1
        assert value(found, "odx_command_duration_seconds_sum", kind="write") > 0
        assert value(found, "odx_pool_used_bytes") == array.pool.usage().used_bytes
        assert value(found, "odx_pool_logical_bytes") == 2 << 20
        assert value(found, "odx_sessions") == 1
        assert value(found, "odx_luns") == 2
        assert ("odx_pool_unique_bytes", frozenset()) not in found
        assert (value(found, "odx_stepping_aside"), value(found, "odx_copies_refused_total")) == (0, 0)
        await perform(array, "step-aside", {"duration": 60})
        with pytest.raises(Refusal):
            array.copy_manager.copies.require_calm()
        found = await samples(array)
        assert (value(found, "odx_stepping_aside"), value(found, "odx_copies_refused_total")) == (1, 1)
        space = await array.pool.count_space()
        assert value(await samples(array), "odx_pool_unique_bytes") == space.unique_bytes


async def test_names_follow_the_conventions() -> None:
    async with running() as array:
        await array.pool.count_space()
        text = (await metrics_text(array)).decode()
        for line in text.splitlines():
            if line.startswith("# TYPE"):
                _, _, name, kind = line.split()
                assert name.startswith("odx_")
                assert name.endswith("_total") == (kind == "counter")
                assert not name.removesuffix("_total").endswith(("_ms", "_us", "_kib", "_blocks_bytes"))


async def test_luns_beyond_the_limit_and_removed_luns_are_added_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "MAX_LUNS_WITH_LABELS", 2)
    luns = tuple(LunConfig(f"lun-{number}", 1 << 20) for number in range(5))
    async with running(Config(luns=luns)) as array, session_with(array) as session:
        for lun in range(5):
            await settled(session, lun)
            for _ in range(lun + 1):
                assert is_good(await session.execute(lun, cdb.read_16(0, 1), data_in_bytes=512))
        found = await samples(array)
        reads = [value(found, "odx_lun_commands_total", lun=lun, kind="read") for lun in ("0", "1", "other")]
        assert reads == [1, 2, 3 + 4 + 5]
        assert value(found, "odx_command_duration_seconds_count", kind="read") == 15
        await perform(array, "volume-delete", {"name": "lun-0", "force": True})
        found = await samples(array)
        reads = [value(found, "odx_lun_commands_total", lun=lun, kind="read") for lun in ("1", "2", "other")]
        assert reads == [2, 3, 1 + 4 + 5]
        assert value(found, "odx_command_duration_seconds_count", kind="read") == 15, "a counter never becomes smaller"


async def test_a_long_text_is_made_in_turns() -> None:
    luns = tuple(LunConfig(f"lun-{number}", 1 << 20) for number in range(300))
    async with running(Config(luns=luns)) as array:
        turns = array.environment.turns
        before = turns.taken
        text = await metrics_text(array)
        assert text.count(b"\n") < 3000
        assert turns.taken - before >= 3
