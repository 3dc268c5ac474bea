"""Tests of the operations on groups, between three whole arrays in this process over a real link."""

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from odx_target.cli.text.status_lines import status_lines
from odx_target.initiator import cdb
from odx_target.initiator.session.session import InitiatorSession
from odx_target.replica.grouping import founding as founding_module
from odx_target.replica.grouping.asking import AskedInVain
from odx_target.replica.grouping.messages import BEGIN_REQUEST
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.pairing import path_key
from odx_target.replica.paths.path import Path as PathOfReplica
from odx_target.scsi.unit.format_operation import FormatOperation
from odx_target.store.opening.renewal import renew_identity
from odx_target.target.array import Array
from odx_target.target.config.parsing import MAX_LUNS
from odx_target.target.config.settings import Config, GroupTemplate, LunConfig, Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.groups.operations import create_group
from odx_target.target.control.operations import perform
from odx_target.target.metrics.collection import metrics_text
from odx_target.target.peers import configured_groups
from odx_target.target.peers import peering as peering_module
from odx_target.target.peers.serving import serve_peers
from tests.target.groups.members import NAME, members
from tests.target.running import running, session_with

KEY = "K" * 26
LUNS = (LunConfig("db1", 1 << 20, 4096), LunConfig("own", 1 << 20))
NOT_READY, UNIT_ATTENTION = 2, 6
IN_TRANSITION = (0x04, 0x0A)
BLOCK = bytes(range(256)) * 16


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch keys only a little, and dial again soon."""
    monkeypatch.setattr(path_key, "SCRYPT_COST", 2)
    monkeypatch.setattr(peering_module, "PAIRING_RETRY_S", 0.01)


class Three(NamedTuple):
    """The array `a` with the volume db1, and two others. Each has a path to the others by their names."""

    a: Array
    b: Array
    w: Array


@asynccontextmanager
async def linked(
    luns: tuple[LunConfig, ...], pool: Path | None = None, groups: tuple[GroupTemplate, ...] = ()
) -> AsyncIterator[tuple[Array, str]]:
    config = Config(luns=luns, pool_dir=pool)
    async with running(config) as array, serve_peers(Portal("127.0.0.1", 0), array, groups=groups) as address:
        yield array, str(address)


@asynccontextmanager
async def three_arrays(
    groups: tuple[GroupTemplate, ...] = (),
    pools: Mapping[str, Path | None] = MappingProxyType({}),
    luns: Mapping[str, tuple[LunConfig, ...]] = MappingProxyType({}),
) -> AsyncIterator[Three]:
    spare = (LunConfig("spare", 1 << 20),)
    first, second = linked(luns.get("a", LUNS), pools.get("a"), groups), linked(luns.get("b", spare), pools.get("b"))
    async with first as (a, _), second as (b, to_b), linked(spare) as (w, to_w):
        arrays = {"a": a, "b": b, "w": w}
        for one, other, address in (("a", "b", to_b), ("a", "w", to_w), ("b", "w", to_w)):
            key = (one + other) * 13
            await perform(arrays[one], "add-path", {"name": other, "key": key, "address": address})
            await perform(arrays[other], "add-path", {"name": one, "key": key})
        for array in arrays.values():
            await until(array, "paths", lambda found: [each["state"] for each in found["paths"]] == ["connected"] * 2)
        yield Three(a, b, w)


async def until(array: Array, operation: str, is_reached: Callable[[Any], object], **given: object) -> Any:
    with trio.fail_after(60):
        while True:
            found = await perform(array, operation, given)
            if is_reached(found):
                return found
            await trio.sleep(0.01)


async def create(three: Three, **given: object) -> Any:
    wanted = {"name": "g", "volumes": ["db1"], "path": "b", "witness": "w", "luns": {"db1": 5}, **given}
    return await perform(three.a, "group-create", wanted)


async def good(
    host: InitiatorSession, lun: int, command: bytes, data: bytes = b"", read_bytes: int = 0, *, settles: bool = False
) -> bytes:
    """Execute a command, again after each unit attention. Returns the data that was read.

    With `settles`, the group begins, or adds its other member: the command is executed again while the port is in transition.
    """
    with trio.fail_after(20):
        while True:
            result = await host.execute(lun, command, data, read_bytes)
            if not result.status:
                return bytes(result.data_in)
            key, code = result.sense[2] & 0xF, (result.sense[12], result.sense[13])
            assert key == UNIT_ATTENTION or (settles and (key, code) == (NOT_READY, IN_TRANSITION)), result


async def in_sync(array: Array) -> Any:
    """Wait until both members are in sync, and this is durable at the primary, which refuses hosts until then."""
    return await until(
        array, "group-status", lambda found: (found["condition"], found["state"]) == ("in sync", "serving"), name="g"
    )


async def test_the_life_of_a_group() -> None:
    async with three_arrays() as three:
        a, b, w = three
        made = await create(three)
        assert (made["role"], made["path"], made["witness"], made["volumes"]) == (
            "primary",
            "b",
            "w",
            [{"name": "db1", "lun": 0}],
        )
        assert made["state"] == "serving"  # The command waits until hosts are not refused.
        async with session_with(a) as host:
            await good(host, 0, cdb.write_16(3, 1), BLOCK, settles=True)
            await in_sync(a)
            await good(host, 0, cdb.write_16(4, 1), BLOCK)
        assert b"".join(await b.pool.volumes["db1"].read(3, 2)) == BLOCK * 2
        row = await until(a, "group-status", lambda found: found["unacknowledged"] == 0, name="g")
        assert row["is_in_sync"]
        assert row["latency"]["writes"] >= 2
        assert all(row["latency"][f"{part}_s"] >= 0 for part in ("mean", "store", "link", "peer"))
        theirs = await perform(b, "group-status", {"name": "g"})
        assert (theirs["role"], theirs["state"], theirs["volumes"]) == ("secondary", "standby", [{"name": "db1", "lun": 5}])
        (witnessed,) = (await perform(w, "groups", {}))["witnessed"]
        assert (witnessed["members"], witnessed["primary"], witnessed["is_in_sync"]) == (["a", "b"], "a", True)

        text = (await metrics_text(a)).decode()
        assert 'odx_group_state{group="g",state="serving"} 1' in text
        assert 'odx_group_condition{group="g",condition="in sync"} 1' in text
        assert 'odx_group_write_seconds{group="g",part="peer"}' in text
        lines = status_lines(await perform(a, "status", {}))
        assert any(line.startswith("g ") and " in sync " in line for line in lines)
        assert "witness of" in "\n".join(status_lines(await perform(w, "status", {})))

        assert (await perform(a, "group-switchover", {"name": "g"}))["role"] == "secondary"
        await until(b, "group-status", lambda found: found["state"] == "serving", name="g")
        with pytest.raises(ManagementError, match="this array is not the primary of the group g: delete it there"):
            await perform(a, "group-delete", {"name": "g"})
        await in_sync(b)
        async with session_with(b) as host:
            assert await good(host, 5, cdb.read_16(3, 1), read_bytes=4096) == BLOCK
        assert await perform(b, "group-delete", {"name": "g", "keep_copies": True}) == {"name": "g", "left": []}
        assert sorted(a.pool.volumes) == ["db1-copy", "own"]
        assert sorted(b.pool.volumes) == ["db1", "spare"]
        assert sorted(b.logical_units) == [0, 5]
        assert sorted(a.logical_units) == [1]
        assert b"".join(await a.pool.volumes["db1-copy"].read(3, 2)) == BLOCK * 2
        for array in three:
            assert await perform(array, "groups", {}) == {"groups": [], "witnessed": [], "unreadable": []}
        async with session_with(b) as host:
            await good(host, 5, cdb.write_16(3, 1), bytes(4096))


async def test_a_group_that_cannot_be_made_is_refused_with_one_line() -> None:
    async with three_arrays() as three:
        a, b, _ = three
        refused: list[tuple[Array, str, dict[str, Any], str]] = [
            (a, "group-create", {"volumes": ["none"]}, "no volume 'none'"),
            (a, "group-create", {"volumes": []}, "list of names"),
            (a, "group-create", {"path": "x"}, "no path x"),
            (a, "group-create", {"witness": "b"}, "are three arrays"),
            (a, "group-create", {"name": "a b"}, "letters, digits"),
            (a, "group-create", {"luns": {"own": 1}}, "the group has no volume own"),
            (a, "group-create", {"luns": {"db1": -1}}, "want a LUN number"),
            (a, "group-create", {"luns": {}}, "b refuses: volume spare is LUN 0 already"),
            (a, "group-create", {"out_of_sync_s": 5}, "want 6 to 600 seconds"),
            (a, "group-status", {"name": "g"}, "there is no group g"),
            (a, "group-switchover", {"name": "g"}, "there is no group g"),
            (a, "group-delete", {"name": "g"}, "not a member of a group g"),
            (a, "group-delete", {"name": "g", "force": True}, "there is no group g"),
        ]
        for array, operation, given, message in refused:
            defaults = {"name": "g", "volumes": ["db1"], "path": "b", "witness": "w", "luns": {"db1": 5}}
            wanted = {**defaults, **given} if operation == "group-create" else given
            with pytest.raises(ManagementError, match=message) as error:
                await perform(array, operation, wanted)
            assert "\n" not in str(error.value)
        with pytest.raises(AskedInVain, match=f"b refuses: want a LUN number from 0 to {MAX_LUNS - 1}"):
            await create_group(a, "g", ["db1"], "b", "w", {"db1": MAX_LUNS}, 20.0)  # An array of another version may ask this.
        with a.lun_changes.changing(a.pool.volumes["db1"]), pytest.raises(ManagementError, match="another request is changing"):
            await create(three)
        assert list(b.pool.volumes) == ["spare"]
        await create(three)
        with pytest.raises(ManagementError, match="there is a group g already"):
            await create(three)


async def test_a_volume_that_is_being_formatted_comes_to_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """The format would go on in the background after a takeover, and change the volume of the former primary only."""
    async with three_arrays() as three:
        a, b, w = three
        unit = a.logical_units[0]
        unit.format_operation = FormatOperation(None)
        with pytest.raises(ManagementError, match="volume db1 is being formatted"):
            await create(three)
        unit.format_operation = None
        ask = founding_module.ask

        async def ask_and_format(path: PathOfReplica, request: str, document: Mapping[str, Json]) -> None:
            await ask(path, request, document)
            if request == BEGIN_REQUEST:
                unit.format_operation = FormatOperation(None)

        monkeypatch.setattr(founding_module, "ask", ask_and_format)
        with pytest.raises(ManagementError, match="volume db1 is being formatted"):
            await create(three)
        assert unit.group is None
        assert (list(b.pool.volumes), (await perform(w, "groups", {}))["witnessed"]) == (["spare"], [])


async def test_what_would_make_the_members_different_is_refused() -> None:
    async with three_arrays() as three:
        a, b, w = three
        await create(three)
        await in_sync(a)
        for array in (a, b):
            for operation, given in (
                ("volume-delete", {"name": "db1", "force": True}),
                ("volume-resize", {"name": "db1", "size": "2M"}),
                ("lun-remove", {"name": "db1"}),
                ("volume-read-only", {"name": "db1", "read_only": True}),
            ):
                with pytest.raises(ManagementError, match="belongs to a group"):
                    await perform(array, operation, given)
        with pytest.raises(ManagementError, match="take and change its snapshots at the primary"):
            await perform(b, "snapshot-create", {"snapshots": ["db1@s"]})
        await until(a, "group-status", lambda found: found["verified"], name="g")  # Before, a snapshot may stay here only.
        (taken,) = (await perform(a, "snapshot-create", {"snapshots": ["db1@s"]}))["snapshots"]
        (found,) = (await until(b, "snapshots", lambda found: found["snapshots"]))["snapshots"]
        assert (found["guid"], found["name"]) == (taken["guid"], "s")
        with pytest.raises(ManagementError, match="only the witness of the group g: ask a member"):
            await perform(w, "group-status", {"name": "g"})
        with pytest.raises(ManagementError, match="--force deletes the record of a witness"):
            await perform(w, "group-delete", {"name": "g"})


async def test_halves_of_a_group_are_deleted_by_force() -> None:
    async with three_arrays() as three:
        a, b, w = three
        await create(three)
        await in_sync(a)
        await perform(a, "remove-path", {"name": "b"})
        await until(a, "group-status", lambda found: not found["is_peer_connected"], name="g")
        assert (await perform(b, "group-delete", {"name": "g", "force": True}))["left"] == []
        assert list(b.pool.volumes) == ["spare"]
        assert (await perform(w, "group-delete", {"name": "g", "force": True}))["left"] == []
        assert (await perform(w, "groups", {}))["witnessed"] == []


async def test_a_group_of_the_configuration_is_made_when_its_paths_are_connected() -> None:
    templates = (
        GroupTemplate("g", ("db1",), "b", "w", {"db1": 5}),
        GroupTemplate("absent", ("none",), "b", "w"),
    )
    with capture_logs() as logs:
        async with three_arrays(templates) as (a, _, _w):
            await until(a, "groups", lambda found: [each["name"] for each in found["groups"]] == ["g"])
            await in_sync(a)
            assert a.reporter.counts["a group of the configuration cannot be made"] == 1
    assert [each["error"] for each in logs if each.get("group") == "absent"] == ["there is no volume 'none'"]


async def test_a_group_that_is_refused_does_not_delay_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configured_groups, "RETRY_S", 3600.0)
    monkeypatch.setattr(configured_groups, "LOOK_S", 0.02)
    templates = (GroupTemplate("refused", ("own",), "b", "w", {"own": 0}), GroupTemplate("g", ("db1",), "b", "w", {"db1": 5}))
    async with three_arrays(templates) as (a, _, _w):
        await until(a, "groups", lambda found: [each["name"] for each in found["groups"]] == ["g"])
        assert a.reporter.counts["a group of the configuration cannot be made"] == 1


async def test_the_maintenance_of_a_group() -> None:
    async with three_arrays() as three:
        a, b, _ = three
        await create(three)
        await in_sync(a)
        assert await perform(a, "group-verify", {"name": "g"}) == {"name": "g", "is_equal": True, "reads": False}
        assert (await perform(a, "group-verify", {"name": "g", "read": True, "rate": "1M"}))["reads"]
        found = await until(a, "group-status", lambda found: found["reading"]["is_over"], name="g")
        assert (found["reading"]["failure"], found["reading"]["different"], found["reading"]["findings"]) == ("", 0, [])
        assert found["verified"] >= 2
        assert (await perform(a, "group-isolate", {"name": "g"}))["condition"] == "isolated"
        async with session_with(a) as host:
            await good(host, 0, cdb.write_16(9, 1), BLOCK)
        assert b"".join(await b.pool.volumes["db1"].read(9, 1)) == bytes(4096)
        await perform(a, "group-resync", {"name": "g"})
        await in_sync(a)
        assert b"".join(await b.pool.volumes["db1"].read(9, 1)) == BLOCK
        await until(b, "group-status", lambda found: found["state"] == "standby", name="g")
        for array, operation, message in (
            (b, "group-switchover", "is standby here"),
            (b, "group-isolate", "is standby here"),
            (b, "group-resync", "begin the resync at the primary"),
            (b, "group-verify", "is standby here"),
            (a, "group-promote", "is the primary of the group g already"),
            (b, "group-promote", "is connected: use a switchover"),
        ):
            with pytest.raises(ManagementError, match=message):
                await perform(array, operation, {"name": "g"})


async def test_a_secondary_that_reaches_nobody_is_promoted_by_force(autojump_clock: MockClock) -> None:
    async with members() as pair:
        pair.kill("b")
        await trio.sleep(10)
        given, loss = {"name": NAME}, "all writes after both members were last connected and in sync"
        told = await perform(pair.b, "group-promote", given)
        assert (told["is_promoted"], told["is_anchor_restored"], told["loss"]) == (False, False, loss)
        assert (await perform(pair.b, "group-status", given))["role"] == "secondary"
        done = await perform(pair.b, "group-promote", {**given, "force": True})
        assert (done["is_promoted"], done["loss"]) == (True, loss)
        found = await perform(pair.b, "group-status", given)
        assert (found["role"], found["state"]) == ("primary", "serving")


async def test_a_group_that_has_all_luns_of_an_array_is_not_taken_away_from_it() -> None:
    async with three_arrays() as three:
        a, b, _ = three
        await create(three)
        await in_sync(a)
        await perform(b, "lun-remove", {"name": "spare"})
        with pytest.raises(ManagementError, match="b refuses: the group has all LUNs of the array"):
            await perform(a, "group-delete", {"name": "g"})
        assert list(b.logical_units) == [5]
        await perform(b, "lun-add", {"name": "spare"})
        await perform(a, "group-delete", {"name": "g"})
        assert list(b.pool.volumes) == ["spare"]


@pytest.mark.parametrize("renewed", ["a", "b"])
async def test_pools_whose_volumes_have_new_identities_are_refused(tmp_path: Path, renewed: str) -> None:
    """The other member cannot make a volume that hosts take for the same disk."""
    pools: dict[str, Path | None] = {"a": None, "b": None, renewed: tmp_path / "pool"}
    luns: dict[str, tuple[LunConfig, ...]] = {"a": LUNS, "b": (LunConfig("spare", 1 << 20),)}
    async with linked(luns[renewed], pools[renewed]):
        pass
    renew_identity(tmp_path / "pool", secrets.token_bytes, keep_volumes=False)
    luns[renewed] = ()
    async with three_arrays(pools=pools, luns=luns) as three:
        with pytest.raises(ManagementError, match="identities") as caught:
            await create(three)
        assert "\n" not in str(caught.value)
        assert "db1" not in three.b.pool.volumes
        assert not three.a.groups.groups
