"""A group is made at its primary, and whatever fails in the middle, it can be made again."""

from dataclasses import replace

import pytest

from odx_target.replica.grouping.copies import GROUP_ATTRIBUTE
from odx_target.replica.grouping.messages import FIRST_EPOCH
from odx_target.replica.membership.register import Register
from odx_target.replica.membership.witness import WitnessRecord
from odx_target.replica.paths.settings import Right
from odx_target.replica.sync.group_records import SETTINGS_PREFIX
from odx_target.replica.sync.group_states import GroupState
from odx_target.replica.sync.group_table import GroupRefused
from odx_target.replica.sync.limits import MAX_GROUPS
from odx_target.store.api import BLOCK_BYTES
from tests.replica.grouping.trio_of_arrays import SIZE, VOLUMES, FoundingArray, Three
from tests.sim.group_array import NAME

STEP_S = 0.012
"""Virtual time between two moments of a crash."""


def test_a_new_group_has_equal_volumes_under_equal_identities() -> None:
    three = Three()
    group = three.found()
    a, b = three.a, three.b
    three.until(three.is_in_sync)
    three.world.advance(5.0)
    assert group.driver.member.register.epoch == FIRST_EPOCH + 1, "one resync suffices, although no host has written"
    assert group.settings.peer_pool == b.pool.identity
    for name in VOLUMES:
        ours, theirs = a.pool.volumes[name], b.pool.volumes[name]
        assert a.pool.public_identity(ours) == b.pool.public_identity(theirs)
        assert three.content(a, name) == three.content(b, name) != bytes(SIZE * BLOCK_BYTES)
        assert theirs.attributes["size_bytes"] == str(SIZE * BLOCK_BYTES)
    assert b.luns.numbers == {b.pool.volumes[name].identity: index + 3 for index, name in enumerate(VOLUMES)}
    assert a.luns.numbers == {}, "the LUNs of the primary stay as they are"


def test_a_group_survives_a_restart_of_all() -> None:
    three = Three()
    three.found()
    three.until(three.is_in_sync)
    for array in three.arrays:
        array.lose_power()
    for array in three.arrays:
        array.start()
    three.until(three.is_in_sync)


@pytest.mark.parametrize("name", [NAME, "other"])
def test_a_group_that_cannot_be_read_is_not_made_again(name: str) -> None:
    """The attempt would fail, and undo what the other member needs to take over."""
    three = Three()
    three.found()
    three.until(three.is_in_sync)
    a = three.a
    a.pool.remember(SETTINGS_PREFIX + NAME, b"{")
    a.pool.commit()
    three.run(a, a.pool.flush())
    a.lose_power()
    a.start()
    three.until(three.are_connected)
    assert a.table.unreadable == [NAME]
    with pytest.raises(GroupRefused, match="cannot be read"):
        three.found(name=name)
    assert list(three.w.table.witness_desk.members) == [NAME]
    three.until(lambda: three.b.group is not None and three.b.group.state is GroupState.SERVING)


def _without_right(array: FoundingArray, peer: FoundingArray) -> None:
    path = array.path_to(peer)
    path.settings = replace(path.settings, rights=path.settings.rights - {Right.REPLICATE})


def _taken_lun(three: Three) -> None:
    three.b.luns.taken.add(4)


def _same_name(three: Three) -> None:
    three.b.pool.create_volume("two", SIZE, {})


def _same_identity(three: Three) -> None:
    three.b.pool.create_volume("stranger", SIZE, {}, identity=three.a.pool.volumes["two"].identity)


def _witness_of_another(three: Three) -> None:
    names = three.a.pool.identity.hex(), three.b.pool.identity.hex()
    register = Register(9, names[1], frozenset(names))
    three.w.table.witness_desk.add(NAME, names, WitnessRecord(7, register))


def _witness_is_full(three: Three) -> None:
    for number in range(MAX_GROUPS):
        three.w.table.witness_desk.add(f"g{number}", ("x", "y"), WitnessRecord(7, None))


def _no_room(three: Three) -> None:
    usage = three.b.pool.usage()
    three.b.pool.usage = lambda: replace(usage, available_bytes=BLOCK_BYTES)  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda three: _without_right(three.b, three.a), "b refuses: the path gives no right replicate; the other array gives"),
        (lambda three: _without_right(three.a, three.b), "the path b needs the right replicate"),
        (lambda three: _without_right(three.w, three.a), "w refuses: the path gives no right replicate"),
        (lambda three: _without_right(three.w, three.b), "w refuses: the path b needs the right replicate"),
        (lambda three: _without_right(three.b, three.w), "b refuses: the path w needs the right replicate"),
        (lambda three: three.b.paths.remove("w"), "b refuses: this array has no path to the witness"),
        (lambda three: three.w.paths.remove("b"), "w refuses: this array, the witness, has no path to the other member"),
        (_taken_lun, "b refuses: LUN 4 is taken"),
        (_same_name, "b refuses: there is a volume 'two' already"),
        (_same_identity, "b refuses: the array has a volume stranger with the identity of two already"),
        (_witness_of_another, "w refuses: the array is the witness of another group db already"),
        (_witness_is_full, f"w refuses: the array is the witness of {MAX_GROUPS} groups, which is the limit"),
        (_no_room, "b refuses: the array has room for 4096 bytes, and the volumes have 8192"),
        (lambda three: three.network.cut("a", "b"), "the path b is not connected"),
        (lambda three: three.network.cut("a", "w"), "the path w is not connected"),
    ],
)
def test_a_group_that_cannot_be_made_leaves_nothing(prepare, message: str) -> None:  # type: ignore[no-untyped-def]
    three = Three()
    prepare(three)
    three.world.advance(0.1)
    volumes = set(three.b.pool.volumes)
    witnessed = set(three.w.table.witness_desk.members)
    with pytest.raises(GroupRefused, match=message):
        three.found()
    three.world.advance(1.0)
    assert three.a.table.groups == {}
    assert three.b.table.groups == {}
    assert set(three.b.pool.volumes) == volumes
    assert set(three.w.table.witness_desk.members) == witnessed


def test_a_second_group_of_the_same_name_or_volume_is_refused() -> None:
    three = Three()
    three.found(VOLUMES[:1])
    with pytest.raises(GroupRefused, match="there is a group db already"):
        three.found(VOLUMES[1:])
    with pytest.raises(GroupRefused, match="a volume is in one group only"):
        three.found(VOLUMES, name="other")
    three.found(VOLUMES[1:], name="other")
    assert sorted(three.b.table.groups) == ["db", "other"]


def test_a_group_that_has_been_in_sync_is_never_replaced() -> None:
    three = Three()
    three.found()
    three.until(three.is_in_sync)
    three.a.table.remove(NAME)  # As if the pool of the primary were an old copy.
    three.a.pool.commit()
    with pytest.raises(GroupRefused, match="b refuses: the array has another group db already"):
        three.found()
    assert three.b.table.groups.keys() == {NAME}


@pytest.mark.parametrize("victim", ["a", "b", "w"])
def test_a_group_can_be_made_again_after_a_crash_at_any_moment(victim: str) -> None:
    for moment in range(40):
        three = Three()
        was_done = three.lose_power_during(three.founding(), victim, STEP_S * moment)
        three.world.advance(1.0)
        if three.a.group is None:
            assert not was_done, "a group that was made is there after a restart"
            three.found()
        three.until(three.is_in_sync)
        assert sorted(three.b.pool.volumes) == sorted(VOLUMES)
        assert all(GROUP_ATTRIBUTE in each.attributes for each in three.b.pool.volumes.values())
        for name in VOLUMES:
            assert three.content(three.a, name) == three.content(three.b, name)
        if was_done:
            return
    pytest.fail("the group was never made before the crash")
