"""Tests of the operations on the replication, between two whole arrays in this process over a real link."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from odx_target.cli.text.status_lines import status_lines
from odx_target.replica.pairing import path_key
from odx_target.replica.remote_tokens.staging_names import STAGING_ATTRIBUTE
from odx_target.replica.snapshots.records import ReplicationRefused
from odx_target.replica.sync.group_records import GroupRecords, GroupSettings
from odx_target.scsi.unit.sanitize_operation import KEY_PREFIX
from odx_target.target import lun_contents
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from odx_target.target.logical_units import FORMER_LUN_ATTRIBUTE
from odx_target.target.metrics.collection import metrics_text
from odx_target.target.peers import peering as peering_module
from odx_target.target.peers.serving import serve_peers
from tests.target.running import running, session_with

KEY = "K" * 26
REPORT_LUNS = bytes.fromhex("a0 00 00 000000 00000100 00 00")
LUNS = (LunConfig("vm1", 8 << 20), LunConfig("vm2", 4 << 20))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch keys only a little, and dial again soon."""
    monkeypatch.setattr(path_key, "SCRYPT_COST", 2)
    monkeypatch.setattr(peering_module, "PAIRING_RETRY_S", 0.01)


@asynccontextmanager
async def linked(pool: Path | None = None, luns: tuple[LunConfig, ...] = LUNS) -> AsyncIterator[tuple[Array, str]]:
    config = Config(luns=luns, pool_dir=pool)
    async with running(config) as array, serve_peers(Portal("127.0.0.1", 0), array) as address:
        yield array, str(address)


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Array, Array]]:
    """Two arrays with a link port, with the paths `b` of the first and `a` of the second."""
    async with linked() as (one, _), linked(luns=(LunConfig("own", 1 << 20),)) as (other, address):
        await perform(one, "add-path", {"name": "b", "key": KEY, "address": address})
        await perform(other, "add-path", {"name": "a", "key": KEY})
        await until(one, "paths", lambda found: [each["state"] for each in found["paths"]] == ["connected"])
        yield one, other


async def until(array: Array, operation: str, is_reached: Any) -> Any:
    with trio.fail_after(30):
        while True:
            found = await perform(array, operation, {})
            if is_reached(found):
                return found
            await trio.sleep(0.01)


def synced(found: Any) -> bool:
    progress = found["protections"][0]["progress"]
    return (
        progress["remote_snapshot_timestamp"] is not None
        and progress["replay_state"] == "idle"
        and (progress["remote_snapshot_timestamp"] == progress["local_snapshot_timestamp"])
    )


async def test_a_volume_is_protected_listed_and_cloned_at_the_other_array() -> None:
    async with pair() as (one, other):
        await lun_contents.fill(one, "vm1", None, 1, 0, 6 << 20)
        row = await perform(one, "protect", {"volumes": ["vm1"], "path": "b", "keep_there": {"manual": 2}})
        assert (row["name"], row["path"], row["trigger"], row["keep_there"]) == ("vm1", "b", "each", {"manual": 2})
        for number in range(3):
            await lun_contents.write(one, "vm1", number << 20, b"new" * 512)
            taken = await perform(one, "replicate", {"name": "vm1", "now": True})
            found = await until(one, "replication", synced)
        assert found["protections"][0]["progress"]["snapshots"] == 3
        (copy,) = (await until(other, "replication", lambda found: found["copies"][0]["snapshots"] == 2))["copies"]
        assert (copy["name"], copy["peer_volume"], copy["role"]) == ("peer/a/vm1", "vm1", "receiving")
        assert copy["newest"] == taken["snapshots"][0]["name"]
        await perform(other, "remote-clone", {"origin": "peer/a/vm1", "name": "clone"})
        assert await lun_contents.digest(other, "clone") == await lun_contents.digest(one, "vm1")
        assert (await perform(one, "unprotect", {"name": "vm1"}))["name"] == "vm1"
        assert (await perform(one, "replication", {}))["protections"] == []


async def test_snapshots_are_sent_as_soon_as_the_path_has_the_right() -> None:
    async with pair() as (one, _other):
        await perform(one, "set-path-rights", {"name": "b", "rights": []})
        await perform(one, "protect", {"volumes": ["vm1"], "path": "b"})
        await perform(one, "replicate", {"name": "vm1", "now": True})
        (row,) = (await perform(one, "replication", {}))["protections"]
        assert row["progress"]["replay_state"] == "error"
        await trio.testing.wait_all_tasks_blocked()  # The sender has seen that it has no right.
        await perform(one, "set-path-rights", {"name": "b", "rights": ["replicate"]})
        await until(one, "replication", synced)


async def test_a_group_with_schedules() -> None:
    async with pair() as (one, other):
        await perform(one, "schedule-add", {"name": "hours", "fields": {"every": "hourly", "keep": 5}})
        given = {"volumes": ["vm1", "vm2"], "path": "b", "group": "db", "schedules": ["hours"], "trigger": "latest"}
        row = await perform(one, "protect", given)
        assert row["schedules"] == {"vm1": ["hours"], "vm2": ["hours"]}
        await perform(one, "schedule-run", {"name": "hours"})
        found = await until(other, "replication", lambda found: len(found["copies"]) == 2 and found["copies"][1]["newest"])
        assert [each["keep"] for each in found["copies"]] == [{"hourly": 5}] * 2
        assert {each["newest"] for each in found["copies"]} == {found["copies"][0]["newest"]}


async def test_operations_that_are_refused() -> None:
    async with pair() as (one, other):
        await perform(one, "protect", {"volumes": ["vm1"], "path": "b"})
        await perform(one, "replicate", {"name": "vm1", "now": True})
        await until(other, "replication", lambda found: found["copies"] and found["copies"][0]["newest"])
        (held,) = one.pool.volumes["vm1"].snapshots
        refused: list[tuple[Array, str, dict[str, Any], str]] = [
            (one, "protect", {"volumes": ["vm1"], "path": "c"}, "no path c"),
            (one, "protect", {"volumes": ["absent"], "path": "b"}, "no volume"),
            (one, "protect", {"volumes": [], "path": "b"}, "list of names"),
            (one, "protect", {"volumes": ["vm1"], "path": "b", "trigger": "never"}, "never"),
            (one, "protect", {"volumes": ["vm1"], "path": "b", "keep_there": {"yearly": 1}}, "unknown class"),
            (one, "protect", {"volumes": ["vm1"], "path": "b", "keep_there": {"daily": -1}}, "from 0"),
            (one, "protect", {"volumes": ["vm1"], "path": "b", "schedules": ["none"]}, "no schedule"),
            (one, "protect", {"volumes": ["vm1", "vm2"], "path": "b"}, "name of a group"),
            (one, "replicate", {"name": "vm2"}, "not protected"),
            (one, "unprotect", {"name": "vm2"}, "not protected"),
            (one, "snapshot-hold", {"snapshot": f"vm1@{held}", "owner": "replica:b"}, "only the replication"),
            (one, "snapshot-delete", {"snapshot": f"vm1@{held}"}, "replica:b"),
            (other, "remote-clone", {"origin": "vm1", "name": "x"}, "no copy vm1"),
            (other, "remote-clone", {"origin": "peer/a/vm1@none", "name": "x"}, "no snapshot none"),
            (other, "lun-add", {"name": "peer/a/vm1"}, "is a copy"),
            (other, "volume-resize", {"name": "peer/a/vm1", "size": "1G"}, "is a copy"),
            (other, "snapshot-create", {"snapshots": ["peer/a/vm1@s"]}, "is a copy"),
            (other, "schedule-assign", {"volume": "peer/a/vm1", "schedules": []}, "is a copy"),
            (other, "protect", {"volumes": ["peer/a/vm1"], "path": "a"}, "is a copy"),
        ]
        for array, operation, given, message in refused:
            with pytest.raises(ManagementError, match=message):
                await perform(array, operation, given)
        await perform(one, "snapshot-unhold", {"snapshot": f"vm1@{held}", "owner": "replica:b"})
        await perform(one, "snapshot-delete", {"snapshot": f"vm1@{held}"})


async def test_an_array_without_a_link_port_replicates_nothing() -> None:
    async with running() as array:
        for name, given in (("replication", {}), ("protect", {"volumes": ["x"], "path": "b"})):
            with pytest.raises(ManagementError):
                await perform(array, name, given)


async def test_a_failover_and_a_failback_with_luns() -> None:
    async with pair() as (one, other):
        await lun_contents.fill(one, "vm1", None, 1, 0, 2 << 20)
        await perform(one, "protect", {"volumes": ["vm1"], "path": "b"})
        with pytest.raises(ManagementError, match="no copy vm1"):
            await perform(other, "promote", {"copy": "vm1"})
        await perform(one, "replicate", {"name": "vm1", "now": True})
        await until(one, "replication", synced)
        sent = await lun_contents.digest(one, "vm1")
        await lun_contents.write(one, "vm1", 0, b"lost" * 512)
        serial = one.pool.volumes["vm1"].identity
        with pytest.raises(ManagementError, match="has not promoted"):
            await perform(one, "reverse", {"name": "vm1"})
        row = await perform(other, "promote", {"copy": "peer/a/vm1"})
        assert (row["name"], row["lun"], row["read_only"]) == ("vm1", 1, False)
        assert await lun_contents.digest(other, "vm1") == sent
        (diverged,) = (await perform(one, "reverse", {"name": "vm1"}))["snapshots"]
        assert diverged["name"].startswith("diverged-")
        assert [unit.volume.name for unit in one.logical_units.values()] == ["vm2"]
        await lun_contents.write(other, "vm1", 1 << 20, b"new!" * 512)
        await perform(other, "replicate", {"name": "vm1", "now": True})
        await until(other, "replication", synced)
        row = await perform(one, "promote", {"copy": "vm1"})
        assert (row["name"], row["lun"]) == ("vm1", 0)
        assert one.pool.volumes["vm1"].identity == serial
        assert await lun_contents.digest(one, "vm1") == await lun_contents.digest(other, "vm1")
        await perform(other, "reverse", {"name": "vm1"})
        with pytest.raises(ManagementError, match="promoted already"):
            await perform(one, "promote", {"copy": "vm1"})


async def test_a_volume_of_a_group_becomes_no_copy() -> None:
    async with pair() as (one, _):
        await perform(one, "protect", {"volumes": ["vm1"], "path": "b"})
        await perform(one, "lun-remove", {"name": "vm1"})
        volumes = (one.pool.volumes["vm1"].identity,)
        GroupRecords(one.pool, "g").keep_settings(GroupSettings("g", b"p" * 16, b"w" * 16, volumes, 20.0))
        with pytest.raises(ManagementError, match="belongs to a group of two arrays: take it out of the group before"):
            await perform(one, "reverse", {"name": "vm1"})


async def test_the_only_lun_of_an_array_becomes_a_copy_and_the_same_lun_again(tmp_path: Path) -> None:
    luns = (LunConfig("own", 1 << 20),)
    async with linked() as (one, address):
        async with linked(tmp_path / "pool", luns) as (other, _):
            await perform(other, "add-path", {"name": "a", "key": KEY, "address": address})
            await perform(one, "add-path", {"name": "b", "key": KEY})
            await until(other, "paths", lambda found: [each["state"] for each in found["paths"]] == ["connected"])
            await perform(other, "lun-renumber", {"name": "own", "number": 5})
            identity = other.pool.volumes["own"].identity
            await perform(other, "protect", {"volumes": ["own"], "path": "a"})
            await perform(other, "replicate", {"name": "own", "now": True})
            await until(other, "replication", synced)
            await perform(one, "promote", {"copy": "peer/b/own", "name": "taken", "number": 7})
            await perform(other, "reverse", {"name": "own"})
            assert other.logical_units == {}
            async with session_with(other) as session:
                luns_left = await session.execute(0, REPORT_LUNS, data_in_bytes=256)
                assert luns_left.data_in == bytes(8), "hosts see no LUN"
        async with linked(tmp_path / "pool", luns) as (other, _):
            assert other.logical_units == {}, "the settings name the LUN, but it is a copy"
            await lun_contents.write(one, "taken", 0, b"written there" * 100)
            await perform(one, "replicate", {"name": "taken", "now": True})
            await until(one, "replication", synced)
            row = await perform(other, "promote", {"copy": "own"})
            assert (row["name"], row["lun"]) == ("own", 5)
            assert other.pool.volumes["own"].identity == identity
            assert await lun_contents.digest(other, "own") == await lun_contents.digest(one, "taken")


async def test_a_lun_that_was_added_again_after_a_reversal_that_failed_follows_its_settings(tmp_path: Path) -> None:
    async with linked(tmp_path / "pool", (LunConfig("own", 1 << 20),)) as (array, _):
        volume = array.pool.volumes["own"]
        volume.change_attributes({**volume.attributes, FORMER_LUN_ATTRIBUTE: "0"})
        array.pool.commit()
    async with linked(tmp_path / "pool", (LunConfig("own", 2 << 20),)) as (array, _):
        assert array.logical_units[0].capacity_blocks * array.logical_units[0].block_bytes == 2 << 20


async def test_a_lun_has_its_number_again_after_a_reversal_that_did_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair() as (one, other):
        await perform(one, "lun-renumber", {"name": "vm1", "number": 5})
        await perform(one, "protect", {"volumes": ["vm1"], "path": "b"})
        await perform(one, "replicate", {"name": "vm1", "now": True})
        await until(one, "replication", synced)
        with pytest.raises(ManagementError, match="own is LUN 0 already"):
            await perform(other, "promote", {"copy": "peer/a/vm1", "number": 0})
        assert (await perform(other, "replication", {}))["copies"][0]["role"] == "receiving"
        await perform(other, "promote", {"copy": "peer/a/vm1", "number": 3})

        async def fail(*_: object) -> None:
            raise ReplicationRefused("the disk has failed")

        with monkeypatch.context() as patch:
            patch.setattr(one.peering.replication.failover, "_demote", fail)  # type: ignore[union-attr]
            with pytest.raises(ManagementError, match="the disk has failed"):
                await perform(one, "reverse", {"name": "vm1"})
        assert sorted(one.logical_units) == [1]
        assert (await perform(one, "lun-add", {"name": "vm1"}))["lun"] == 5
        assert "replica_lun" not in one.pool.volumes["vm1"].attributes


async def test_old_data_of_a_lun_that_is_sanitized_is_neither_sent_nor_kept() -> None:
    async with pair() as (one, other):
        await perform(one, "protect", {"volumes": ["vm1"], "path": "b"})
        await perform(one, "replicate", {"name": "vm1", "now": True})
        await until(one, "replication", synced)
        await perform(other, "promote", {"copy": "peer/a/vm1"})
        await lun_contents.write(one, "vm1", 0, b"secret" * 100)
        one.pool.remember(KEY_PREFIX + one.pool.volumes["vm1"].identity.hex(), b"")
        for operation, given in (("replicate", {"name": "vm1", "now": True}), ("reverse", {"name": "vm1"})):
            with pytest.raises(ManagementError, match="is being sanitized"):
                await perform(one, operation, given)
        assert len(one.pool.snapshots) == 1
        assert "lun" in one.pool.volumes["vm1"].attributes, "hosts still have the LUN"


async def test_volumes_for_arriving_data_of_tokens_are_hidden() -> None:
    async with running() as array:
        array.pool.create_volume("replica/token/ab", 10, {STAGING_ATTRIBUTE: "token"})
        for given, count in (({}, 2), ({"hidden": False}, 2), ({"hidden": True}, 3)):
            found = (await perform(array, "volumes", given))["volumes"]
            assert len(found) == count
        status = await perform(array, "status", {"busiest": 1})
        assert (len(status["volumes"]), status["volumes_not_listed"]) == (1, 1)
        assert len((await perform(array, "status", {}))["volumes"]) == 2
        await perform(array, "schedule-add", {"name": "hourly", "fields": {"every": "hourly", "keep": 3, "default": True}})
        taken = await perform(array, "schedule-run", {"name": "hourly"})
        assert {each["volume"] for each in taken["snapshots"]} == {"first", "second"}


async def test_the_progress_is_in_status_and_in_the_metrics() -> None:
    async with pair() as (one, other):
        assert (await perform(one, "status", {}))["replication"] is None
        await perform(one, "protect", {"volumes": ["vm1"], "path": "b"})
        await perform(one, "replicate", {"name": "vm1", "now": True})
        await until(one, "replication", synced)
        status = await perform(one, "status", {})
        assert status["replication"]["protections"][0]["progress"]["last_snapshot_sync_seconds"] >= 0.0
        lines = "\n".join(status_lines(status))
        assert "vm1" in lines.partition("protection ")[2]
        text = (await metrics_text(one)).decode()
        assert 'odx_path_connected{path="b"} 1' in text
        assert 'odx_replication_snapshots_total{direction="sent",name="vm1"} 1' in text
        assert 'odx_replication_failing{direction="sent",name="vm1"} 0' in text
        text = (await metrics_text(other)).decode()
        assert 'odx_replication_snapshots_total{direction="received",name="peer/a/vm1"} 1' in text
        other.peering.replication.received.activities.clear()  # type: ignore[union-attr]
        text = (await metrics_text(other)).decode()
        time_of_copy = 'odx_replication_snapshot_time_seconds{direction="received",name="peer/a/vm1"}'
        assert time_of_copy in text, "a copy that has received nothing since the start of the array"
        for seconds, rows in ((1, 599), (10, 2159), (300, 2015)):
            found = await perform(one, "path-rates", {"path": "b", "seconds": seconds})
            assert len(found["bytes_per_second"]) in (0, rows)
        for given, message in (({"path": "none"}, "no path none"), ({"path": "b", "seconds": 7}, "want 1, 10, 300")):
            with pytest.raises(ManagementError, match=message):
                await perform(one, "path-rates", given)
