"""A group is removed at its primary. Its copies are deleted, or become volumes that hosts cannot take for the same disks."""

import pytest

from odx_target.replica.grouping.asking import ask
from odx_target.replica.grouping.copies import GROUP_ATTRIBUTE
from odx_target.replica.grouping.messages import FORGET_REQUEST
from odx_target.replica.grouping.removal import Removal
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import LinkError
from odx_target.replica.sync.group_records import (
    ANCHOR_PREFIX,
    MEMBER_PREFIX,
    POSITION_PREFIX,
    SETTINGS_PREFIX,
    WITNESS_PREFIX,
)
from odx_target.replica.sync.group_states import GroupState
from odx_target.replica.sync.group_table import GroupRefused
from odx_target.store.api import BLOCK_BYTES
from tests.replica.grouping.trio_of_arrays import VOLUMES, FoundingArray, Three
from tests.sim.group_array import NAME

STEP_S = 0.06
"""Virtual time between two moments of a crash."""


def in_sync() -> Three:
    three = Three()
    three.found()
    three.until(three.is_in_sync)
    return three


def remembered(array: FoundingArray) -> list[str]:
    prefixes = SETTINGS_PREFIX, MEMBER_PREFIX, POSITION_PREFIX, ANCHOR_PREFIX, WITNESS_PREFIX
    return [key for prefix in prefixes for key in array.pool.remembered_keys(prefix)]


@pytest.mark.parametrize("keeps_copies", [False, True])
def test_a_removed_group_leaves_nothing_but_what_was_chosen(keeps_copies: bool) -> None:
    three = in_sync()
    a, b = three.a, three.b
    contents = {name: three.content(a, name) for name in VOLUMES}
    identities = {each.identity for each in b.pool.volumes.values()}
    a.pool.snapshot_volumes({name: {} for name in VOLUMES}, "before")
    a.pool.commit()
    three.world.advance(1.0)
    assert three.remove(keeps_copies=keeps_copies) == []
    three.world.advance(5.0)
    assert all(remembered(array) == [] for array in three.arrays)
    assert (a.table.groups, b.table.groups, three.w.table.witness_desk.members) == ({}, {}, {})
    assert sorted(a.pool.volumes) == sorted(VOLUMES)
    assert {name: three.content(a, name) for name in VOLUMES} == contents
    assert b.luns.numbers == {}
    assert all(array.pool.frozen_maps == {} for array in three.arrays), "the anchors are released"
    if not keeps_copies:
        assert (dict(b.pool.volumes), dict(b.pool.snapshots)) == ({}, {})
        return
    assert sorted(b.pool.volumes) == [f"{name}-copy" for name in VOLUMES]
    for name in VOLUMES:
        copy = b.pool.volumes[f"{name}-copy"]
        assert copy.identity not in identities
        assert GROUP_ATTRIBUTE not in copy.attributes
        assert three.content(b, copy.name) == contents[name]


def test_a_group_can_be_made_again_after_its_removal() -> None:
    three = in_sync()
    three.remove(keeps_copies=True)
    three.found()
    three.until(three.is_in_sync)


def test_only_the_primary_removes_a_group() -> None:
    three = in_sync()
    three.run(three.a, three.a.table.groups[NAME].switchover())
    three.until(lambda: three.b.table.groups[NAME].state is GroupState.SERVING)
    with pytest.raises(GroupRefused, match="this array is not the primary of the group db: delete it there"):
        three.remove()


@pytest.mark.parametrize("other", ["b", "w"])
def test_a_group_is_removed_here_only_if_this_is_wanted(other: str) -> None:
    three = in_sync()
    three.network.cut("a", other)
    three.world.advance(0.2)
    if other == "b":
        three.until(lambda: not three.a.table.groups[NAME].driver.member.needs_peer)
    with pytest.raises(LinkError, match=r"not connected|does not answer"):
        three.remove()
    assert NAME in three.a.table.groups
    if other == "w":
        (left,) = three.remove(is_forced=True)
        assert left.startswith("the witness still has the group: the path w is not connected")
        assert (three.a.table.groups, three.b.table.groups, dict(three.b.pool.volumes)) == ({}, {}, {})
        return
    (left,) = three.remove(is_forced=True)
    assert left.startswith("the other member still has the group: the path b is not connected")
    assert three.a.table.groups == {}
    assert three.w.table.witness_desk.members == {}
    three.network.mend("a", "b")
    three.world.advance(30.0)
    assert three.b.table.groups[NAME].state is not GroupState.SERVING, "no witness lets it take over"
    three.run(three.b, three.b.server.forget(three.b.table.groups[NAME], keeps_copies=False))
    assert (three.b.table.groups, dict(three.b.pool.volumes)) == ({}, {})


def test_a_member_that_may_take_over_does_not_forget_its_group() -> None:
    three = in_sync()
    document: dict[str, Json] = {"group": NAME, "epoch": 1, "keeps_copies": 0}
    path = three.a.path_to(three.b)

    with pytest.raises(GroupRefused, match="is in sync in the group db, and may take it over"):
        three.run(three.a, ask(path, FORGET_REQUEST, document))
    assert NAME in three.b.table.groups


@pytest.mark.parametrize("victim", ["a", "b", "w"])
def test_a_removal_continues_after_a_crash_at_any_moment(victim: str) -> None:
    for moment in range(60):
        three = in_sync()
        was_done = three.lose_power_during(three.removing(), victim, STEP_S * moment)
        three.world.advance(15.0)
        if NAME in three.a.table.groups:
            assert not was_done
            three.remove()
        assert all(remembered(each) == [] for each in three.arrays)
        assert dict(three.b.pool.volumes) == {}
        assert sorted(three.a.pool.volumes) == sorted(VOLUMES)
        assert three.content(three.a, "one")[:BLOCK_BYTES] == b"\1" * BLOCK_BYTES
        if was_done:
            return
    pytest.fail("the group was never removed before the crash")


def test_a_member_without_witness_and_peer_keeps_its_group() -> None:
    three = in_sync()
    three.network.cut("a", "b")
    three.network.cut("a", "w")
    three.world.advance(0.2)
    with pytest.raises(GroupRefused, match=r"is not the primary|become the primary|not connected|take over"):
        three.remove(is_forced=True)
    assert NAME in three.a.table.groups


def test_snapshots_that_only_the_former_primary_has_stay() -> None:
    three = Three()
    volume = three.a.pool.volumes["one"]
    guid = volume.snapshot("old").guid
    three.found()
    three.until(three.is_in_sync)
    assert guid not in three.b.pool.snapshots
    three.run(three.a, three.a.table.groups[NAME].switchover())
    three.until(lambda: three.b.table.groups[NAME].state is GroupState.SERVING)
    removal = Removal(three.b.pool, three.b.environment, three.b.table, three.b.table.path_to)
    group = three.b.table.groups[NAME]
    assert three.run(three.b, removal.remove(group, keeps_copies=False, is_forced=False)) == []
    assert dict(three.a.pool.volumes) == {}
    assert list(three.a.pool.snapshots) == [guid]
    assert all(GROUP_ATTRIBUTE not in each.attributes for each in three.b.pool.volumes.values())


def test_a_group_whose_records_are_damaged_keeps_its_volumes() -> None:
    three = in_sync()
    b = three.b
    b.pool.remember(f"{MEMBER_PREFIX}{NAME}", b"damaged")
    b.pool.commit()
    three.run(b, b.pool.flush())
    b.kill()
    b.start()
    three.until(three.are_connected)
    assert b.table.unreadable == [NAME]
    with pytest.raises(GroupRefused, match="the records of the group db cannot be read: delete it at this array with --force"):
        three.remove()
    assert sorted(b.pool.volumes) == sorted(VOLUMES)
