"""Tests of the logical units of groups while groups begin, change and end."""

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from odx_target.replica.sync.group_records import SETTINGS_PREFIX, Departure, GroupRecords, GroupSettings
from odx_target.replica.sync.group_states import GroupState
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Waiting
from odx_target.scsi.tasks.task import Task
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal, TargetConfig
from odx_target.target.control.storage.storage import Storage
from odx_target.target.control.storage.volumes import resize
from odx_target.target.groups.gate import reported_number
from odx_target.target.groups.grouped_luns import GROUP_KEYS, is_in_group
from odx_target.target.logical_units import logical_unit_of
from odx_target.target.lun_size import restore_logical_unit
from odx_target.target.peers.serving import serve_peers
from odx_target.target.reconfiguration import reconfigure
from tests.target.access.port_groups import INQUIRY_CHANGED, reported
from tests.target.groups.members import (
    GROUP_LUN,
    LOCAL,
    LOCAL_LUN,
    NAME,
    SHARED,
    STATE_CHANGED,
    UNAVAILABLE,
    drain,
    host_at,
    members,
    read,
    write,
)
from tests.target.running import running

SETTINGS = GroupSettings(NAME, b"p" * 16, b"w" * 16, (), 8.0)


def keep_group(array: Array, *volumes: str) -> None:
    """Remember a group in the pool of an array that is not a member of any group."""
    identities = tuple(array.pool.volumes[each].identity for each in volumes)
    GroupRecords(array.pool, NAME).keep_settings(replace(SETTINGS, volumes=identities))


def test_the_prefix_of_the_records() -> None:
    assert GROUP_KEYS == SETTINGS_PREFIX


async def test_luns_of_groups_are_unavailable_without_a_link_port(tmp_path: Path) -> None:
    config = Config(luns=(LOCAL, SHARED), pool_dir=tmp_path)
    async with running(config) as array:
        assert array.group_luns is None
        async with host_at(array) as host:
            assert await write(host, 0, 5) == "good"
        keep_group(array, "db1")
        await array.make_durable()
    async with running(config) as array, host_at(array) as host:
        assert await read(host, 0) == await write(host, 0, 6) == UNAVAILABLE
        assert await write(host, 0, 7, LOCAL_LUN) == "good"
        assert is_in_group(array.pool.volumes["db1"], array.pool)
        assert not is_in_group(array.pool.volumes["local"], array.pool)
        with pytest.raises(ConfigError, match="belongs to a group"):
            await array.resize_lun("db1", 2 << 20)


async def test_a_volume_that_leaves_a_group_is_unavailable_after_a_crash(tmp_path: Path) -> None:
    """A failover may have brought it back, and the other member may serve it."""
    config = Config(luns=(LOCAL, SHARED), pool_dir=tmp_path)
    async with running(config) as array:
        keep_group(array, "local")
        GroupRecords(array.pool, NAME).keep_departure(Departure(array.pool.volumes["db1"].identity, deletes=False))
        await array.make_durable()
    async with running(config) as array, host_at(array) as host:
        assert await write(host, 0, 6) == UNAVAILABLE
        assert is_in_group(array.pool.volumes["db1"], array.pool)


async def test_a_pool_that_is_not_served_keeps_the_volumes_of_a_group(tmp_path: Path) -> None:
    async with running(Config(luns=(LOCAL, SHARED), pool_dir=tmp_path)) as array:
        (snapshot,) = array.pool.snapshot_volumes({"db1": {}}, "s")
        keep_group(array, "db1")
        offline = Storage(array.pool, array.environment)
        for change in (resize(offline, "db1", 2 << 20, shrink=False), resize(offline, "db1", 1 << 19, shrink=True)):
            with pytest.raises(ConfigError, match="belongs to a group"):
                await change
        unit = logical_unit_of(array.pool.volumes["db1"], array.pool, array.environment)
        with pytest.raises(ConfigError, match="belongs to a group"):
            restore_logical_unit(unit, snapshot)
        assert (await resize(offline, "local", 2 << 20, shrink=False))["size_bytes"] == 2 << 20


async def test_a_lun_of_a_group_is_not_enlarged_at_the_start(tmp_path: Path) -> None:
    config = Config(luns=(LOCAL, SHARED), pool_dir=tmp_path)
    async with running(config) as array:
        keep_group(array, "db1")
        await array.make_durable()
    grown = replace(config, luns=tuple(replace(lun, size_bytes=2 << 20) for lun in config.luns))
    async with running(grown) as array:
        sizes = [unit.capacity_blocks * unit.block_bytes for unit in array.logical_units.values()]
        assert sizes == [2 << 20, 1 << 20]


async def test_all_luns_are_unavailable_if_a_group_cannot_be_read(tmp_path: Path) -> None:
    config = Config(luns=(LOCAL, SHARED), pool_dir=tmp_path)
    async with running(config) as array:
        array.pool.remember(SETTINGS_PREFIX + NAME, b"{")
        await array.make_durable()
    async with running(config) as array, serve_peers(Portal("127.0.0.1", 0), array), host_at(array) as host:
        assert await read(host, 0, lun=LOCAL_LUN) == await read(host, 0) == UNAVAILABLE
        assert array.groups is not None
        assert array.groups.unreadable == [NAME]
        array.groups.remove(NAME)
        assert await drain(host, LOCAL_LUN) == [INQUIRY_CHANGED]
        assert await write(host, 0, 7, LOCAL_LUN) == "good"


async def test_luns_join_and_leave_a_group_while_hosts_use_them(autojump_clock: MockClock) -> None:
    async with members(in_sync=False) as pair, host_at(pair.a) as first:
        assert await write(first, 0, 5) == "good"
        await pair.make_group()
        assert INQUIRY_CHANGED in await drain(first)
        await pair.until(lambda: pair.state(pair.a) is GroupState.SERVING)
        await drain(first)
        assert await read(first, 0) == [5]
        await pair.until(pair.is_in_sync)
        await drain(first)
        group = pair.group(pair.a)
        group.list.change([*group.list.identities, pair.a.pool.volumes["local"].identity], deletes=False)
        assert pair.a.logical_units[LOCAL_LUN].group is pair.a.logical_units[GROUP_LUN].group
        group.list.change(group.list.identities[1:], deletes=False)
        assert pair.a.logical_units[GROUP_LUN].group is None
        assert await drain(first) == [INQUIRY_CHANGED]
        assert await write(first, 0, 6) == "good"
        pair.table(pair.a).remove(NAME)
        assert [unit.group for unit in pair.a.logical_units.values()] == [None, None]
        assert await drain(first, LOCAL_LUN) == [INQUIRY_CHANGED]
        assert pair.a.logical_units[LOCAL_LUN].port_groups is pair.a.port_group_states.port_groups


async def test_commands_that_began_before_the_group_wait_for_the_other_member(autojump_clock: MockClock) -> None:
    async with members(in_sync=False) as pair, host_at(pair.a) as first:
        may_go_on, results = trio.Event(), [""] * 2

        async def end_later(_task: Task) -> Reply:
            await may_go_on.wait()
            return Reply()

        async def write_before(number: int) -> None:
            results[number] = await write(first, 0, 6 + number)

        async with trio.open_nursery() as nursery:
            pair.a.device_server.before_command = lambda task: Waiting(end_later, task)
            nursery.start_soon(write_before, 0)
            await trio.testing.wait_all_tasks_blocked()
            pair.a.device_server.before_command = None
            nursery.start_soon(write_before, 1)
            await trio.testing.wait_all_tasks_blocked()
            await pair.make_group()
            await pair.until(pair.is_in_sync)
            pair.network.cut("a", "b")
            may_go_on.set()
            await trio.sleep(1)
            assert results == ["good", ""]  # The first one has changed nothing.
        assert results == ["good", "good"]


async def test_a_new_lun_of_a_group_has_its_states(autojump_clock: MockClock) -> None:
    async with members() as pair:
        unit = pair.b.logical_units[GROUP_LUN]
        await pair.b.lun_changes.remove(unit)
        await pair.b.lun_changes.serve([unit.volume])
        new = pair.b.logical_units[GROUP_LUN]
        assert new is not unit
        assert new.group is unit.group is not None
        assert sorted(group.state for group in new.port_groups.groups) == [AccessState.ACTIVE_OPTIMIZED, AccessState.STANDBY]


async def test_the_states_of_port_groups_do_not_change_luns_of_groups(autojump_clock: MockClock) -> None:
    async with members() as pair:
        states, before = pair.a.port_group_states, pair.a.logical_units[GROUP_LUN].port_groups
        await states.prefer({1: True})
        assert pair.a.logical_units[GROUP_LUN].port_groups is before
        assert pair.a.logical_units[LOCAL_LUN].port_groups.groups[0].is_preferred
        with pytest.raises(ConfigError, match="set asymmetric-access"):
            await states.change({1: AccessState.STANDBY})


async def test_both_members_report_the_ports_of_each_other(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        more = replace(pair.a.config, targets=(TargetConfig("iqn.2026-11.example:more"),))
        await reconfigure(pair.a, pair.a.config, more)
        own = 1 if pair.a.pool.identity < pair.b.pool.identity else 2
        ports = [reported_number(port, own) for port in (1, 2)]
        assert (await reported(first, GROUP_LUN))[own][3] == ports
        pair.network.cut("a", "b")
        pair.network.mend("a", "b")
        await pair.until(lambda: pair.b.pool.remembered(f"sync/ports/{pair.a.pool.identity.hex()}") == b"[1, 2]")
        await drain(second)
        assert (await reported(second, GROUP_LUN))[own][3] == ports


async def test_commands_under_way_end_before_the_array_stops(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        results: list[str] = []
        committed, may_commit = pair.b.pool.committed, trio.Event()

        async def commit_later() -> None:
            await may_commit.wait()
            await committed()

        pair.b.pool.committed = commit_later  # type: ignore[method-assign]

        async def write_in_group() -> None:
            results.append(await write(first, 0, 6))

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(write_in_group)
            await trio.testing.wait_all_tasks_blocked()
            assert not pair.group(pair.a).is_idle()
            assert pair.a.group_luns is not None
            nursery.start_soon(pair.a.group_luns.stop)
            await trio.testing.wait_all_tasks_blocked()
            assert await write(first, 1, 6) == STATE_CHANGED
            assert await write(first, 1, 6) == UNAVAILABLE
            assert results == []
            may_commit.set()
        assert results == ["good"] * 8


async def test_a_stop_does_not_wait_for_a_member_that_is_away(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        pair.network.cut("a", "b")
        results: list[str] = []

        async def write_in_group() -> None:
            results.append(await write(first, 0, 6))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write_in_group)
            await trio.testing.wait_all_tasks_blocked()
            began_s = trio.current_time()
            assert pair.a.group_luns is not None
            await pair.a.group_luns.stop()
            assert trio.current_time() - began_s < 2
        assert results == [UNAVAILABLE]
