"""Tests of the operations on the volumes of groups, between two whole arrays under a virtual clock, with hosts at both."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from odx_target.initiator.session.session import InitiatorSession
from odx_target.replica.grouping.copies import GROUP_ATTRIBUTE
from odx_target.replica.sync.group_states import GroupState
from odx_target.target.array import Array
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from tests.target.groups.members import (
    BLOCK_BYTES,
    GROUP_LUN,
    IN_STANDBY,
    LOCAL_LUN,
    NAME,
    Members,
    code_of,
    drain,
    host_at,
    members,
    read,
    write,
)

MIB = 1 << 20
CAPACITY_CHANGED = "6/2A/09"
NEW_LUN = 5


async def do(array: Array, operation: str, **given: object) -> Any:
    return await perform(array, operation, {"name": NAME, **given})


async def capacity(host: InitiatorSession, lun: int = GROUP_LUN) -> int:
    """Return the size of a LUN in bytes, as READ CAPACITY (16) reports it."""
    while True:
        result = await host.execute(lun, bytes([0x9E, 0x10, *bytes(8), 0, 0, 0, 32, 0, 0]), data_in_bytes=32)
        if not result.status:
            data = bytes(result.data_in)
            return (int.from_bytes(data[:8], "big") + 1) * int.from_bytes(data[8:12], "big")
        assert code_of(result).startswith("6/")


async def in_sync(pair: Members) -> None:
    await pair.until(pair.is_in_sync)


async def test_a_volume_comes_to_the_group_with_its_lun_and_leaves_it(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        assert await write(first, 3, 7, LOCAL_LUN) == "good"
        given: dict[str, object] = {"volume": "local", "lun": NEW_LUN}
        with pytest.raises(ManagementError, match="refuses: there is a volume 'local' already"):
            await do(pair.a, "group-add", **given)
        await perform(pair.a, "volume-rename", {"name": "local", "new_name": "more"})
        given["volume"] = "more"
        with pytest.raises(ManagementError, match="refuses: volume local is LUN 0 already"):
            await do(pair.a, "group-add", volume="more")
        with pytest.raises(ManagementError, match="is standby here"):
            await do(pair.b, "group-add", volume="local")
        added = await do(pair.a, "group-add", **given)
        assert (added["problem"], [each["name"] for each in added["volumes"]]) == ("", ["db1", "more"])
        await in_sync(pair)
        assert await write(first, 4, 8, LOCAL_LUN) in ("good", "6/2A/06", "6/3F/03")
        await drain(first, LOCAL_LUN)
        assert await write(first, 4, 8, LOCAL_LUN) == "good"
        await drain(second, NEW_LUN)
        assert await read(second, 3, lun=NEW_LUN) == IN_STANDBY
        copy = pair.b.pool.volumes["more"]
        assert copy.attributes[GROUP_ATTRIBUTE].startswith(pair.a.pool.identity.hex())
        assert copy.identity == pair.a.pool.volumes["more"].identity
        pair.kill("a")
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        async with host_at(pair.b, b"another") as third:
            await drain(third, NEW_LUN)
            assert [await read(third, at, lun=NEW_LUN) for at in (3, 4)] == [[7], [8]]
            for one, other in ("ab", "aw"):
                pair.network.mend(one, other)
            await pair.until(lambda: pair.state(pair.a) is GroupState.STANDBY)
            await do(pair.b, "group-remove", volume="more")
            await pair.until(lambda: "more" not in pair.a.pool.volumes and LOCAL_LUN not in pair.a.logical_units)
            assert GROUP_ATTRIBUTE not in pair.b.pool.volumes["more"].attributes
            await drain(third, NEW_LUN)
            assert await write(third, 5, 9, NEW_LUN) == "good"
            assert await read(third, 4, lun=NEW_LUN) == [8]
        with pytest.raises(ManagementError, match="volume more is not in the group db"):
            await do(pair.b, "group-remove", volume="more")
        with pytest.raises(ManagementError, match="a refuses: the group has all LUNs of the array"):
            await do(pair.b, "group-remove", volume="db1")


async def test_hosts_use_a_volume_that_leaves_only_when_no_failover_can_bring_it_back(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        await perform(pair.a, "volume-rename", {"name": "local", "new_name": "more"})
        await do(pair.a, "group-add", volume="more", lun=NEW_LUN)
        await in_sync(pair)
        await drain(first, LOCAL_LUN)
        pair.network.cut("a", "b")
        results: list[str] = []

        async def remove() -> None:
            await do(pair.a, "group-remove", volume="more")
            results.append("removed")

        async def write_later() -> None:
            await trio.sleep(0.5)
            results.append(await write(first, 0, 9, LOCAL_LUN))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(remove)
            nursery.start_soon(write_later)
            await trio.sleep(3)
            assert results == []
            assert pair.a.logical_units[LOCAL_LUN].group is not None
            await pair.until(lambda: len(results) == 2)  # The other member was dropped.
        assert sorted(results) == ["good", "removed"]
        assert pair.a.logical_units[LOCAL_LUN].group is None


async def test_a_lun_gets_another_size_at_both_members(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        await do(pair.a, "group-resize", volume="db1", size="3M")
        assert [await capacity(first), await capacity(second)] == [3 * MIB] * 2
        assert await write(first, 3 * MIB // BLOCK_BYTES - 1, 5) == "good"
        with pytest.raises(ManagementError, match="give --shrink"):
            await do(pair.a, "group-resize", volume="db1", size="2M")
        await do(pair.a, "group-resize", volume="db1", size="2M", shrink=True)
        assert await drain(first) == [CAPACITY_CHANGED]
        assert [await capacity(first), await capacity(second)] == [2 * MIB] * 2
        assert await write(first, 2 * MIB // BLOCK_BYTES, 6) == "5/21/00"
        with pytest.raises(ManagementError, match="is standby here"):
            await do(pair.b, "group-resize", volume="db1", size="3M")
        with pytest.raises(ManagementError, match="volume local is not in the group db"):
            await do(pair.a, "group-resize", volume="local", size="3M")
        await do(pair.a, "group-switchover")
        await pair.until(lambda: pair.state(pair.b) is GroupState.SERVING)
        assert [await capacity(first), await capacity(second)] == [2 * MIB] * 2
        assert pair.a.pool.volumes["db1"].size_blocks == pair.b.pool.volumes["db1"].size_blocks == 2 * MIB // BLOCK_BYTES


async def test_a_lun_that_was_resized_while_the_other_member_was_away_has_its_size_there(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.b) as second:
        await do(pair.a, "group-isolate")
        await do(pair.a, "group-resize", volume="db1", size="3M")
        await do(pair.a, "group-resync")
        await in_sync(pair)
        assert await capacity(second) == 3 * MIB


async def test_a_snapshot_is_taken_and_restored_at_both_members(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        assert await write(first, 0, 5) == "good"
        (taken,) = (await do(pair.a, "group-snapshot", snapshot="s"))["snapshots"]
        guid = bytes.fromhex(taken["guid"])
        assert guid in pair.b.pool.snapshots
        await do(pair.a, "group-resize", volume="db1", size="2M")
        await drain(first)
        assert await write(first, 0, 6) == "good"
        await do(pair.a, "group-restore", snapshot="db1@s")
        assert set(await drain(first)) == {"6/28/00", CAPACITY_CHANGED}
        assert (await read(first, 0), await capacity(first)) == ([5], MIB)
        theirs = pair.b.pool.volumes["db1"]
        assert b"".join(await theirs.read(0, 1)) == b"".join(await pair.a.pool.volumes["db1"].read(0, 1))
        assert theirs.size_blocks == MIB // BLOCK_BYTES
        (other,) = (await perform(pair.a, "snapshot-create", {"snapshots": ["local@t"]}))["snapshots"]
        for text in ("local@t", other["guid"]):
            with pytest.raises(ManagementError, match="is not one of a volume in the group db"):
                await do(pair.a, "group-restore", snapshot=text)
        with pytest.raises(ManagementError, match="is standby here"):
            await do(pair.b, "group-restore", snapshot="db1@s")
        with pytest.raises(ManagementError, match="is standby here"):
            await do(pair.b, "group-snapshot", snapshot="t")


ORDINARY: tuple[tuple[str, dict[str, Any], str, str], ...] = (
    ("volume-delete", {"name": "db1", "force": True}, "ab", "out of the group before, with `odx-target group remove`"),
    ("lun-remove", {"name": "db1"}, "ab", "out of the group before, with `odx-target group remove`"),
    ("volume-read-only", {"name": "db1", "read_only": True}, "ab", "out of the group before, with `odx-target group remove`"),
    ("volume-resize", {"name": "db1", "size": "2M"}, "ab", "change its size with `odx-target group resize`"),
    ("volume-resize", {"name": "db1", "size": "512K", "shrink": True}, "ab", "change its size with `odx-target group resize`"),
    ("snapshot-restore", {"snapshot": "db1@s"}, "ab", "restore it with `odx-target group restore`"),
    ("snapshot-restore", {"snapshot": "db1@s", "to": "db1"}, "ab", "restore it with `odx-target group restore`"),
    ("snapshot-create", {"snapshots": ["db1@t"]}, "b", "take and change its snapshots at the primary"),
    ("snapshot-delete", {"snapshot": "db1@s"}, "b", "take and change its snapshots at the primary"),
    ("snapshot-rename", {"snapshot": "db1@s", "new_name": "t"}, "b", "take and change its snapshots at the primary"),
    ("group-create", {"name": "x", "volumes": ["db1"], "path": "b", "witness": "w"}, "ab", "group|three arrays|no path"),
)


async def test_what_only_one_member_would_follow_names_the_command_that_both_follow(autojump_clock: MockClock) -> None:
    async with members() as pair:
        await do(pair.a, "group-snapshot", snapshot="s")
        for operation, given, arrays, message in ORDINARY:
            for name in arrays:
                with pytest.raises(ManagementError, match=message) as error:
                    await perform(pair.network.arrays[name], operation, given)
                assert "\n" not in str(error.value)
        assert [each.name for each in pair.b.pool.snapshots.values()] == ["s"]
