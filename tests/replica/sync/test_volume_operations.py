"""Changes of a group's volumes in two phases: both members make them or neither, whatever is refused or interrupted."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from odx_target.replica.grouping.copies import member_attribute
from odx_target.replica.sync import volume_operations
from odx_target.replica.sync.group_states import ChangeRefused, GroupState, NotServing
from odx_target.replica.sync.limits import MIN_ROOM_BYTES
from odx_target.replica.sync.stream import outgoing_stream
from odx_target.replica.sync.stream.stream_sender import StreamSender
from odx_target.replica.sync.volume_operations import VolumeOperations
from odx_target.store.api import NameTaken, OutOfResources, PoolFull, Volume
from tests.replica.sync.pairs import VOLUME, Pair, block
from tests.sim.group_array import NAME, GroupArray

TAKEOVER_S = 12.0


def operations(pair: Pair, array: GroupArray | None = None) -> VolumeOperations:
    return (array or pair.a).table.operations[NAME]


def do(pair: Pair, coroutine: Coroutine[Any, Any, Any], array: GroupArray | None = None) -> Any:
    return pair.run(array or pair.a, coroutine)


def write(pair: Pair, array: GroupArray, name: str, at: int, number: int) -> None:
    pair.run(array, pair.group(array).write(array.pool.volumes[name], at, [block(number)]))


def number_at(pair: Pair, array: GroupArray, name: str, at: int) -> int:
    data = b"".join(pair.run(array, array.pool.volumes[name].read(at, 1)))
    return int.from_bytes(data[:8], "little")


def both_have(pair: Pair, *names: str) -> None:
    """Check that both members have the same volumes in the group, with these names, and no others in the pool."""
    pair.until(pair.is_in_sync)
    pair.world.advance(2.0)
    for array in (pair.a, pair.b):
        assert [volume.name for volume in pair.group(array).volumes()] == list(names)
        assert set(array.pool.volumes) == set(names)
    for name in names:
        one, other = (array.pool.volumes[name] for array in (pair.a, pair.b))
        assert (one.identity, one.size_blocks) == (other.identity, other.size_blocks)
        digests = [pair.run(array, array.pool.volumes[name].freeze().digest()) for array in (pair.a, pair.b)]
        assert digests[0] == digests[1]


def test_a_new_volume_is_made_at_both_members() -> None:
    pair = Pair()
    volume: Volume = do(pair, operations(pair).create_volume("new", 50, {"lun": "7", "of": "x"}))
    assert volume.attributes == {"lun": "7", "of": "x"}
    made_for = member_attribute(NAME, pair.a.pool.identity)
    assert pair.b.pool.volumes["new"].attributes == {"of": "x", **made_for}, "each array has its own LUNs"
    write(pair, pair.a, "new", 3, 9)
    assert number_at(pair, pair.b, "new", 3) == 9
    pair.a.kill()
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    write(pair, pair.b, "new", 4, 10)
    pair.a.start()
    both_have(pair, VOLUME, "new")


def test_a_volume_is_not_made_if_the_other_member_refuses_its_name() -> None:
    pair = Pair()
    pair.b.pool.create_volume("new", 5, {})
    epoch = pair.register.epoch
    with pytest.raises(ChangeRefused, match="there is a volume 'new' already"):
        do(pair, operations(pair).create_volume("new", 50, {}))
    assert list(pair.a.pool.volumes) == [VOLUME]
    assert pair.b.pool.volumes["new"].size_blocks == 5
    write(pair, pair.a, VOLUME, 0, 1)
    assert pair.register.epoch == epoch, "the other member is in sync as before"


def test_a_volume_is_not_made_if_the_primary_has_its_name() -> None:
    pair = Pair()
    with pytest.raises(NameTaken):
        do(pair, operations(pair).create_volume(VOLUME, 50, {}))


def test_a_change_is_not_made_if_the_other_member_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair()
    usage = pair.b.pool.usage()
    monkeypatch.setattr(pair.b.pool, "usage", lambda: type(usage)(usage.used_bytes, MIN_ROOM_BYTES - 1))
    with pytest.raises(ChangeRefused, match="has no room"):
        do(pair, operations(pair).resize(pair.volume(pair.a), 100))
    assert pair.volume(pair.a).size_blocks == pair.volume(pair.b).size_blocks == 40
    monkeypatch.setattr(pair.b.pool, "usage", lambda: type(usage)(usage.used_bytes, MIN_ROOM_BYTES))
    do(pair, operations(pair).resize(pair.volume(pair.a), 100))
    assert pair.volume(pair.a).size_blocks == pair.volume(pair.b).size_blocks == 100


def test_a_snapshot_of_all_volumes_is_taken_at_both_members_or_at_none() -> None:
    pair = Pair()
    do(pair, operations(pair).create_volume("new", 50, {}))
    snapshots = do(pair, operations(pair).take_snapshot("s"))
    assert [each.guid in pair.b.pool.snapshots for each in snapshots] == [True, True]
    pair.volume(pair.b).snapshot("t")
    with pytest.raises(ChangeRefused, match="has a snapshot t already"):
        do(pair, operations(pair).take_snapshot("t"))
    assert "t" not in pair.volume(pair.a).snapshots


def test_a_volume_is_restored_at_both_members_or_at_none() -> None:
    pair = Pair()
    write(pair, pair.a, VOLUME, 0, 1)
    (snapshot,) = do(pair, operations(pair).take_snapshot("s"))
    write(pair, pair.a, VOLUME, 0, 2)
    do(pair, operations(pair).restore(pair.volume(pair.a), snapshot))
    assert pair.content(pair.a)[0] == pair.content(pair.b)[0] == 1
    write(pair, pair.a, VOLUME, 0, 2)
    pair.b.pool.snapshots[snapshot.guid].delete()
    with pytest.raises(ChangeRefused, match="does not have the snapshot"):
        do(pair, operations(pair).restore(pair.volume(pair.a), snapshot))
    assert pair.content(pair.a)[0] == pair.content(pair.b)[0] == 2


def test_a_deleted_volume_is_deleted_at_both_members() -> None:
    pair = Pair()
    do(pair, operations(pair).create_volume("new", 50, {}))
    do(pair, operations(pair).delete_volume(pair.a.pool.volumes["new"]))
    both_have(pair, VOLUME)
    with pytest.raises(ChangeRefused, match="is the last one of the group"):
        do(pair, operations(pair).delete_volume(pair.volume(pair.a)))


def test_the_primary_keeps_a_volume_until_the_other_member_has_deleted_it() -> None:
    """The primary dies before. The other member takes over with the volume, and the former primary has it still."""
    pair = Pair()
    do(pair, operations(pair).create_volume("new", 50, {}))
    write(pair, pair.a, "new", 3, 9)
    pair.lose("a", "b")
    deleting = pair.spawn(pair.a, operations(pair).delete_volume(pair.a.pool.volumes["new"]))
    pair.world.advance(1.0)
    assert not deleting.done
    assert "new" in pair.a.pool.volumes
    pair.a.kill()
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    assert number_at(pair, pair.b, "new", 3) == 9
    pair.network.mend("a", "b")
    pair.a.start()
    both_have(pair, VOLUME, "new")


def test_a_volume_leaves_the_group_and_stays_at_the_primary() -> None:
    pair = Pair()
    volume = do(pair, operations(pair).create_volume("new", 50, {}))
    do(pair, operations(pair).take_snapshot("s"))
    do(pair, operations(pair).take_snapshot("held"))
    pair.b.pool.volumes["new"].snapshots["held"].hold("somebody")
    do(pair, operations(pair).remove_volume(volume))
    assert list(pair.b.pool.volumes) == [VOLUME]
    assert set(pair.a.pool.volumes) == {VOLUME, "new"}
    assert set(volume.snapshots) == {"s", "held"}
    left = [each.name for each in pair.b.pool.snapshots.values() if each.volume_identity == volume.identity]
    assert left == ["held"]
    with pytest.raises(ChangeRefused, match="is not in the group"):
        do(pair, operations(pair).remove_volume(volume))


@pytest.mark.parametrize("word", ["remove", "delete"])
def test_a_volume_stays_in_the_group_until_the_primary_has_committed_its_departure(word: str) -> None:
    """The pool has no room for a moment, in which the primary is cut off and the other member takes over with the volume."""
    pair = Pair()
    volume = do(pair, operations(pair).create_volume("new", 50, {}))
    write(pair, pair.a, "new", 3, 9)
    pair.world.advance(2.0)
    group = pair.group(pair.a)

    def fail() -> None:
        raise OutOfResources("no space left")

    for one, other in (("a", "b"), ("b", "a"), ("a", "w"), ("w", "a")):
        pair.lose(one, other)
    leave = operations(pair).remove_volume if word == "remove" else operations(pair).delete_volume
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair.a.pool.log, "commit_for_another", fail)
        leaving = pair.spawn(pair.a, leave(volume))
        pair.world.advance(1.0)
        assert group.driver.serves, "the ticks of this time could have finished the departure"
    assert volume.identity not in group.list.identities
    assert volume.identity in group.records.held_volumes(group.settings)
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    assert not leaving.done or isinstance(leaving.error, NotServing)
    assert number_at(pair, pair.b, "new", 3) == 9
    for other in ("b", "w"):
        pair.network.mend("a", other)
    both_have(pair, VOLUME, "new")
    assert pair.group(pair.a).state is GroupState.STANDBY
    assert pair.group(pair.b).outgoing.resyncs.total() == 1


def test_a_departure_does_not_wait_for_later_writes_of_hosts() -> None:
    """The other member has the change of the list, but it never has all that hosts write."""
    pair = Pair()
    volume = do(pair, operations(pair).create_volume("new", 50, {}))
    group, pool = pair.group(pair.a), pair.a.pool
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outgoing_stream.OutgoingStream, "peer_osn", -1)
        pair.spawn(pair.a, operations(pair).remove_volume(volume))
        pair.world.advance(0.5)
        end_osn = pool.committed_osn
        pair.spawn(pair.a, group.write(pair.volume(pair.a), 0, [block(1)]))
        pair.world.advance(0.5)
        assert pool.committed_osn > end_osn
        assert group.records.departure is not None
        patch.setattr(outgoing_stream.OutgoingStream, "peer_osn", end_osn - 1)
        pair.world.advance(0.5)
        assert group.records.departure is None
    lists = [pair.group(array).list.identities for array in (pair.a, pair.b)]
    assert lists[0] == lists[1] == (pair.volume(pair.a).identity,)


def test_anchors_end_when_a_volume_leaves() -> None:
    """QUADStor: a map of the former configuration was used after a change of it."""
    pair = Pair()
    do(pair, operations(pair).create_volume("new", 50, {}))
    write(pair, pair.a, VOLUME, 0, 1)
    write(pair, pair.a, "new", 0, 2)
    assert do(pair, pair.maintenance(pair.a).verify())
    do(pair, operations(pair).remove_volume(pair.volume(pair.a)))
    pair.world.advance(1.0)
    for array in (pair.a, pair.b):
        assert not pair.group(array).anchors.guids
    pair.drop_other()
    write(pair, pair.a, "new", 1, 3)
    pair.b.start()
    pair.until(pair.is_in_sync)
    assert [number_at(pair, pair.b, "new", at) for at in (0, 1)] == [2, 3]


def test_a_volume_with_content_comes_to_the_group() -> None:
    pair = Pair(3000)
    for at in range(0, 3000, 60):
        pair.write(pair.a, at, *range(at + 1, at + 61))
    assert do(pair, pair.maintenance(pair.a).verify())
    pair.world.advance(1.0)
    volume = pair.a.pool.create_volume("data", 100, {})
    volume.write(5, [block(9)])
    pair.a.pool.commit()
    before = sum(path.status.sent_bytes for path in pair.a.paths.values())
    do(pair, operations(pair).add_volume(volume))
    both_have(pair, VOLUME, "data")
    assert number_at(pair, pair.b, "data", 5) == 9
    assert sum(path.status.sent_bytes for path in pair.a.paths.values()) - before < 1 << 20, "the others are not shipped again"
    with pytest.raises(ChangeRefused, match="in the group already"):
        do(pair, operations(pair).add_volume(volume))


def test_a_volume_comes_to_the_group_also_if_the_disk_is_slow() -> None:
    """The record without the other member becomes durable only after some time, in which the primary serves nobody."""
    pair = Pair()
    flush = pair.a.pool.flush

    async def flush_slowly() -> None:
        await pair.a.environment.sleep(0.3)
        await flush()

    volume = pair.a.pool.create_volume("data", 100, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair.a.pool, "flush", flush_slowly)
        do(pair, operations(pair).add_volume(volume))
    both_have(pair, VOLUME, "data")


def test_only_the_primary_changes_volumes() -> None:
    pair = Pair()
    with pytest.raises(NotServing, match="is standby here"):
        do(pair, operations(pair, pair.b).create_volume("new", 50, {}), pair.b)


def test_a_change_while_the_other_member_is_out_of_sync_is_made_there_by_the_resync() -> None:
    pair = Pair()
    do(pair, operations(pair).create_volume("old", 50, {}))
    pair.drop_other()
    do(pair, operations(pair).create_volume("new", 50, {}))
    do(pair, operations(pair).delete_volume(pair.a.pool.volumes["old"]))
    do(pair, operations(pair).resize(pair.volume(pair.a), 20))
    write(pair, pair.a, "new", 3, 9)
    pair.b.start()
    both_have(pair, VOLUME, "new")
    assert number_at(pair, pair.b, "new", 3) == 9


CHANGES: dict[str, Callable[[Pair], Coroutine[Any, Any, Any]]] = {
    "create": lambda pair: operations(pair).create_volume("new", 50, {}),
    "delete": lambda pair: operations(pair).delete_volume(pair.a.pool.volumes["old"]),
    "grow": lambda pair: operations(pair).resize(pair.volume(pair.a), 60),
    "shrink": lambda pair: operations(pair).resize(pair.volume(pair.a), 20),
    "snapshot": lambda pair: operations(pair).take_snapshot("t"),
    "restore": lambda pair: operations(pair).restore(pair.volume(pair.a), pair.volume(pair.a).snapshots["s"]),
    "remove": lambda pair: operations(pair).remove_volume(pair.a.pool.volumes["old"]),
    "add": lambda pair: operations(pair).add_volume(pair.a.pool.volumes["data"]),
}
DELAYS_S = {"a": (0.004, 0.02), "b": (0.012,)}
"""Times after which a member dies. The simulator (`tests/sim/scenarios/group_changes.py`) plays many others."""

OUTCOMES = {
    "create": ([VOLUME, "old"], [VOLUME, "old", "new"]),
    "delete": ([VOLUME, "old"], [VOLUME]),
    "remove": ([VOLUME, "old"], [VOLUME]),
    "add": ([VOLUME, "old"], [VOLUME, "old", "data"]),
}


def prepared() -> Pair:
    pair = Pair()
    do(pair, operations(pair).create_volume("old", 50, {}))
    pair.a.pool.create_volume("data", 30, {}).write(1, [block(4)])
    write(pair, pair.a, VOLUME, 30, 1)
    do(pair, operations(pair).take_snapshot("s"))
    write(pair, pair.a, VOLUME, 30, 2)
    return pair


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("victim", ["a", "b"])
def test_an_interruption_at_any_moment_leaves_nothing_half(name: str, victim: str) -> None:
    """A member dies after a short time. In the end, both have the state before the change, or after it."""
    for delay_s in DELAYS_S[victim]:
        pair = prepared()
        pair.spawn(pair.a, CHANGES[name](pair))
        pair.world.advance(delay_s)
        array = pair.a if victim == "a" else pair.b
        array.kill()
        pair.until(lambda pair=pair: pair.serves(pair.a)() or pair.serves(pair.b)(), 30.0)  # type: ignore[misc]
        array.start()
        pair.until(pair.is_in_sync)
        pair.world.advance(2.0)
        lists = [[volume.name for volume in pair.group(each).volumes()] for each in (pair.a, pair.b)]
        assert lists[0] == lists[1]
        assert lists[0] in OUTCOMES.get(name, ([VOLUME, "old"],))
        for each in lists[0]:
            one, other = (member.pool.volumes[each] for member in (pair.a, pair.b))
            assert pair.run(pair.a, one.freeze().digest()) == pair.run(pair.b, other.freeze().digest())
        assert set(pair.b.pool.volumes) == set(lists[0]), "no volume is left over"


def test_a_prepared_volume_is_deleted_by_the_member_that_takes_over() -> None:
    pair = Pair()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamSender, "_send_body", lambda *_: pair.a.environment.sleep(3600.0))
        pair.spawn(pair.a, operations(pair).create_volume("new", 50, {}))
        pair.world.advance(1.0)
    assert "new" in pair.b.pool.volumes
    pair.a.kill()
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    pair.until(lambda: "new" not in pair.b.pool.volumes, 2.0)
    pair.a.start()
    both_have(pair, VOLUME)
    assert pair.group(pair.a).state is GroupState.STANDBY


def test_a_prepared_volume_is_deleted_if_the_primary_cannot_make_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair()

    def full(*_: object, **__: object) -> None:
        raise PoolFull("the pool is full")

    monkeypatch.setattr(pair.a.pool, "create_volume", full)
    with pytest.raises(PoolFull):
        do(pair, operations(pair).create_volume("new", 50, {}))
    pair.world.advance(1.0)
    assert list(pair.b.pool.volumes) == list(pair.a.pool.volumes) == [VOLUME]
    assert len(pair.register.in_sync) == 2


def test_one_change_is_made_at_a_time() -> None:
    pair = Pair()
    pair.spawn(pair.a, operations(pair).resize(pair.volume(pair.a), 50))
    with pytest.raises(ChangeRefused, match="another change of the group db is under way"):
        do(pair, operations(pair).create_volume("new", 50, {}))


def test_a_group_has_only_some_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair()
    monkeypatch.setattr(volume_operations, "MAX_GROUP_VOLUMES", 2)
    do(pair, operations(pair).create_volume("new", 50, {}))
    with pytest.raises(ChangeRefused, match="has 2 volumes, which is the limit"):
        do(pair, operations(pair).create_volume("more", 50, {}))
    with pytest.raises(ChangeRefused, match="has 2 volumes, which is the limit"):
        do(pair, operations(pair).add_volume(pair.a.pool.create_volume("more", 50, {})))


def test_a_volume_that_is_made_while_a_resync_is_planned_is_in_it() -> None:
    """Its record is in the log before the stream begins, so the resync begins again with the new list."""
    pair = Pair()
    pair.drop_other()
    plan, made = outgoing_stream.blocks_to_ship, []

    async def plan_slowly(*arguments: Any) -> int:
        if not made:
            made.append(await operations(pair).create_volume("new", 50, {}))
        return await plan(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outgoing_stream, "blocks_to_ship", plan_slowly)
        pair.b.start()
        pair.until(lambda: bool(made))
        pair.until(pair.is_in_sync)
    both_have(pair, VOLUME, "new")
    assert pair.group(pair.a).outgoing.anchoring.mismatches == 0
