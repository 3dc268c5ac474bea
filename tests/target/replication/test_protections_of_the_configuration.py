"""Tests of the tables `[[protect]]`, and of the protections that an array makes of them."""

from typing import Any

import pytest
import trio
import trio.testing

from odx_target.replica.pairing import path_key
from odx_target.replica.snapshots.protection import Trigger
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.protect_settings import protect_templates_of
from odx_target.target.config.settings import Config, LunConfig, Portal, ProtectTemplate
from odx_target.target.control.operations import perform
from odx_target.target.peers import peering as peering_module
from odx_target.target.peers import protections as protections_module
from odx_target.target.peers.peering import Peering
from odx_target.target.peers.serving import serve_peers
from odx_target.target.schedules.schedule import Schedule
from tests.target.replication.test_replication_operations import KEY, linked, until
from tests.target.running import running

LUNS = (LunConfig("vm1", 1 << 20), LunConfig("vm2", 1 << 20))


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch keys only a little, and look again soon."""
    monkeypatch.setattr(path_key, "SCRYPT_COST", 2)
    monkeypatch.setattr(peering_module, "PAIRING_RETRY_S", 0.01)
    monkeypatch.setattr(protections_module, "LOOK_S", 0.01)


def test_tables_are_read() -> None:
    group = {"group": "db", "volumes": ["a", "b"], "path": "p", "schedules": ["s"], "trigger": "latest"}
    one, two = protect_templates_of(
        [{"volume": "v", "path": "p", "snapshots": {"hourly": 24}, "keep-remote": {"daily": 0}}, group]
    )
    assert (one.name, one.volumes, one.schedules, dict(one.snapshots)) == ("v", ("v",), None, {"hourly": 24})
    assert dict(one.keep_there) == {"daily": 0}
    assert (two.name, two.volumes, two.is_group, two.trigger) == ("db", ("a", "b"), True, Trigger.LATEST)
    assert two.schedules == ("s",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "want tables"),
        ([{}], "want volume, or group and volumes"),
        ([{"volume": "v", "group": "g", "volumes": ["v"], "path": "p"}], "want volume, or group"),
        ([{"group": "g", "path": "p"}], "want volume, or group"),
        ([{"volume": "v"}], "path: want a name"),
        ([{"volume": "v", "path": "a b"}], "path: want a name"),
        ([{"volume": "v", "path": "p", "colour": 1}], "unknown key"),
        ([{"volume": "v", "path": "p", "trigger": "never"}], "trigger: want each or latest"),
        ([{"volume": "v", "path": "p", "schedules": list("abcd")}], "1 to 3 names"),
        ([{"volume": "v", "path": "p", "schedules": ["a"], "snapshots": {"hourly": 1}}], "not both"),
        ([{"volume": "v", "path": "p", "snapshots": {"manual": 1}}], "want numbers from 1"),
        ([{"volume": "v", "path": "p", "keep-remote": {"daily": 10_001}}], "to 10000"),
        ([{"volume": "v", "path": "p"}, {"volume": "v", "path": "p"}], "protection v is named twice"),
        ([{"volume": "v", "path": "p"}, {"group": "g", "volumes": ["v"], "path": "p"}], "volume v is named twice"),
        ([{"volume": str(number), "path": "p"} for number in range(1025)], "over the limit of 1024"),
    ],
)
def test_tables_that_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        protect_templates_of(value)


async def test_protections_are_added_when_their_path_is_paired() -> None:
    tables = [
        {"volume": "vm1", "path": "b", "snapshots": {"hourly": 24, "daily": 7}, "keep-remote": {"daily": 30}},
        {"volume": "absent", "path": "b"},
        {"volume": "vm2", "path": "never"},
    ]
    templates = protect_templates_of(tables)
    async with (
        running(Config(luns=LUNS)) as one,
        serve_peers(Portal("127.0.0.1", 0), one, templates),
        linked() as (other, address),
    ):
        await perform(one, "add-path", {"name": "b", "key": KEY, "address": address})
        await perform(other, "add-path", {"name": "a", "key": KEY})
        found = await until(
            one, "replication", lambda found: found["protections"] and found["protections"][0]["schedules"]["vm1"]
        )
        (protection,) = found["protections"]
        assert protection["schedules"] == {"vm1": ["vm1-hourly", "vm1-daily"]}
        assert protection["keep_there"] == {"daily": 30}
        schedules = (await perform(one, "schedules", {}))["schedules"]
        assert [(each["name"], each["keep"], each["volumes"]) for each in schedules] == [
            ("vm1-daily", 7, 1),
            ("vm1-hourly", 24, 1),
        ]


async def test_a_path_that_is_removed_while_its_protections_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    templates = protect_templates_of([{"volume": "vm1", "path": "b", "snapshots": {"hourly": 24}}])
    schedules = protections_module._schedules

    async with running(Config(luns=LUNS)) as one, linked() as (other, address):

        async def remove_path(array: Array, peering: Peering, template: ProtectTemplate) -> list[Schedule] | None:
            found = await schedules(array, peering, template)
            await peering.remove("b")
            removed.set()
            return found

        removed = trio.Event()
        monkeypatch.setattr(protections_module, "_schedules", remove_path)
        async with serve_peers(Portal("127.0.0.1", 0), one, templates):
            await perform(one, "add-path", {"name": "b", "key": KEY, "address": address})
            await perform(other, "add-path", {"name": "a", "key": KEY})
            with trio.fail_after(20):
                await removed.wait()
            await trio.testing.wait_all_tasks_blocked()
            assert (await perform(one, "replication", {}))["protections"] == []
