"""Groups in short stories: what hosts see, and what both members have."""

import pytest

from odx_target.environment import Buffer
from odx_target.replica.link.kinds import Flag
from odx_target.replica.sync.access_states import STATES, MemberStates, access_states
from odx_target.replica.sync.group_states import GroupState, NotServing
from odx_target.replica.sync.stream.stream_sender import StreamSender
from odx_target.scsi.asymmetric_access.access_state import AccessState
from odx_target.scsi.reservations import durable
from odx_target.scsi.reservations.conflicts import ReservationType
from odx_target.scsi.reservations.holders import NO_RESERVATIONS, NexusName, Reservation, Reservations
from tests.replica.sync.pairs import OUT_OF_SYNC_S, VOLUME, Pair, block
from tests.sim.group_array import GroupArray

TAKEOVER_S = 12.0
"""Time in which the other member must serve after the death of the primary."""


def test_a_write_returns_when_both_members_have_it() -> None:
    pair = Pair()
    pair.write(pair.a, 3, 7, 8)
    assert pair.content(pair.b)[3:5] == [7, 8]
    assert pair.group(pair.b).state is GroupState.STANDBY


def test_only_the_primary_serves() -> None:
    pair = Pair()
    with pytest.raises(NotServing, match="the group db is standby here"):
        pair.run(pair.b, pair.group(pair.b).read(pair.volume(pair.b), 0, 1))


def test_a_write_waits_for_the_other_member_and_then_goes_on_without_it() -> None:
    pair = Pair()
    pair.network.cut("a", "b")
    began_s = pair.world.now_s
    writing = pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 0, [block(5)]))
    pair.world.advance(OUT_OF_SYNC_S - 1)
    assert not writing.done
    pair.until(lambda: writing.done, 10.0)
    writing.value()
    assert pair.world.now_s - began_s < OUT_OF_SYNC_S + 2
    assert pair.register.in_sync == {pair.a.pool.identity.hex()}
    pair.until(lambda: pair.group(pair.b).state is GroupState.OUT_OF_SYNC, 5.0)
    pair.network.mend("a", "b")
    pair.until(pair.is_in_sync)
    assert pair.content(pair.b)[0] == 5


def test_a_read_does_not_show_what_a_failover_can_take_back() -> None:
    pair = Pair()
    pair.network.cut("a", "b")
    group, volume = pair.group(pair.a), pair.volume(pair.a)
    pair.spawn(pair.a, group.write(volume, 0, [block(5)]))
    reading = pair.spawn(pair.a, group.read(volume, 0, 1))
    pair.world.advance(2.0)
    assert not reading.done


def test_the_other_member_takes_over_with_everything() -> None:
    pair = Pair()
    pair.write(pair.a, 0, 1, 2, 3)
    pair.a.kill()
    assert pair.until(pair.serves(pair.b), TAKEOVER_S) < TAKEOVER_S
    assert pair.content(pair.b)[:3] == [1, 2, 3]
    pair.write(pair.b, 1, 9)
    pair.a.start()
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a)[:3] == [1, 9, 3]
    assert pair.group(pair.a).state is GroupState.STANDBY


def test_a_primary_that_is_cut_off_stops_before_the_other_member_serves() -> None:
    pair = Pair()
    pair.network.cut("a", "b")
    pair.network.cut("a", "w")
    former = pair.group(pair.a)
    pair.until(lambda: not former.driver.serves, 6.0)
    assert not pair.serves(pair.b)()
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    with pytest.raises(NotServing, match="the group db is waiting here"):
        pair.run(pair.a, former.read(pair.volume(pair.a), 0, 1))


def test_a_restarted_primary_goes_on_without_a_resync() -> None:
    """DRBD: a false split brain. Both histories are equal, so nothing is resynchronised."""
    pair = Pair()
    pair.write(pair.a, 0, 1)
    epoch = pair.register.epoch
    pair.a.kill()
    pair.a.start()
    pair.until(pair.is_in_sync)
    pair.write(pair.a, 1, 2)
    assert pair.register.epoch == epoch
    assert not pair.group(pair.a).outgoing.resyncs
    assert pair.content(pair.b)[:2] == [1, 2]


def test_a_primary_that_has_lost_acknowledged_writes_does_not_serve() -> None:
    pair = Pair()
    pair.world.advance(2.0)
    pair.run(pair.a, pair.group(pair.a).flush())
    pair.write(pair.a, 0, *range(1, 31))
    pair.lose_all(pair.a)
    pair.a.start()
    pair.until(pair.is_in_sync)
    serving = pair.b if pair.serves(pair.b)() else pair.a
    assert pair.content(serving)[:30] == list(range(1, 31))
    assert pair.content(pair.a) == pair.content(pair.b)


def test_a_switchover_loses_no_time_and_no_write() -> None:
    pair = Pair()
    pair.write(pair.a, 0, 1)
    pair.run(pair.a, pair.group(pair.a).switchover())
    assert pair.until(pair.serves(pair.b), 3.0) < 3.0, "nobody waits for a lease to end"
    pair.until(pair.is_in_sync, 3.0)
    pair.write(pair.b, 0, 2)
    assert pair.content(pair.a)[0] == 2
    assert not pair.group(pair.b).outgoing.resyncs, "the former primary has everything"


def test_a_new_primary_that_loses_its_power_at_the_switchover_does_not_serve() -> None:
    pair = Pair()
    pair.run(pair.a, pair.group(pair.a).flush())
    pair.write(pair.a, 0, *range(1, 31))
    pair.spawn(pair.a, pair.group(pair.a).switchover())
    pair.until_exactly(lambda: pair.register.primary == pair.b.pool.identity.hex())
    pair.lose_all(pair.b)
    pair.b.start()
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a)[:30] == list(range(1, 31))
    assert pair.content(pair.a) == pair.content(pair.b)


def test_a_member_that_is_full_is_dropped_and_hosts_go_on() -> None:
    pair = Pair()
    pair.b.disk.room_blocks = sum(file.size_blocks for file in pair.b.disk.files.values())
    for number in range(12):
        pair.write(pair.a, 0, *range(number, number + 30))
    assert pair.register.in_sync == {pair.a.pool.identity.hex()}
    pair.b.disk.room_blocks = None
    pair.until(pair.is_in_sync)
    assert pair.content(pair.b)[:30] == list(range(11, 41))


def test_a_resync_ships_only_what_has_changed_since_the_anchor() -> None:
    pair = Pair(3000)
    for at in range(0, 3000, 60):
        pair.write(pair.a, at, *range(at + 1, at + 61))
    pair.world.advance(40.0)
    assert pair.group(pair.a).outgoing.anchoring.verified >= 1
    pair.b.kill()
    pair.until(lambda: len(pair.register.in_sync) == 1)
    changed = 300
    for at in range(0, changed, 60):
        pair.write(pair.a, 1000 + at, *range(5000 + at, 5060 + at))
    pair.b.start()
    before = sum(path.status.sent_bytes for path in pair.a.paths.values())
    pair.until(pair.is_in_sync)
    sent = sum(path.status.sent_bytes for path in pair.a.paths.values()) - before
    assert pair.group(pair.a).outgoing.resyncs["since an anchor"] == 1
    assert sent <= 1.05 * changed * 4096
    assert pair.content(pair.b, 0, 3000) == pair.content(pair.a, 0, 3000)


def test_a_former_primary_loses_its_changes_that_nobody_was_told_of() -> None:
    pair = Pair()
    pair.write(pair.a, 0, 1)
    pair.world.advance(1.0)
    pair.network.cut("a", "b")
    pair.network.cut("a", "w")
    pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 7, [block(66)]))
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    assert pair.content(pair.a)[7] == 66
    pair.network.mend("a", "b")
    pair.network.mend("a", "w")
    pair.until(pair.is_in_sync)
    assert pair.group(pair.b).outgoing.resyncs == {"since an anchor": 1}
    assert pair.content(pair.a) == pair.content(pair.b)
    assert pair.content(pair.a)[7] == 0


def test_a_difference_is_found_at_the_next_anchor() -> None:
    pair = Pair()
    pair.write(pair.a, 0, 1)
    pair.volume(pair.b).write(30, [block(13)])
    pair.b.pool.commit()
    pair.write(pair.a, 1, 2)
    outgoing = pair.group(pair.a).outgoing
    whole = outgoing.resyncs["everything"]
    pair.until(lambda: outgoing.anchoring.mismatches == 1)
    pair.until(lambda: len(pair.register.in_sync) == 1)
    pair.until(pair.is_in_sync)
    assert outgoing.resyncs["everything"] > whole, "the anchors are not used"
    assert pair.content(pair.b) == pair.content(pair.a)
    verified = outgoing.anchoring.verified
    pair.write(pair.a, 2, 3)
    pair.until(lambda: outgoing.anchoring.verified > verified)


def test_snapshots_are_taken_on_both_members_at_the_same_change() -> None:
    pair = Pair()
    pair.write(pair.a, 0, 1)
    group, volume = pair.group(pair.a), pair.volume(pair.a)
    pair.run(pair.a, group.change(lambda: volume.snapshot("s"), volume.room_made))
    pair.write(pair.a, 0, 2)
    own, other = volume.snapshots["s"], pair.volume(pair.b).snapshots["s"]
    assert own.guid == other.guid
    assert pair.run(pair.a, own.digest()) == pair.run(pair.b, other.digest())
    pair.run(pair.a, group.change(lambda: volume.restore(own), volume.room_made))
    assert pair.content(pair.b)[0] == 1
    assert pair.volume(pair.b).lineage == volume.lineage


def test_a_volume_grows_and_shrinks_on_both_members() -> None:
    pair = Pair()
    group, volume = pair.group(pair.a), pair.volume(pair.a)
    for size in (60, 20):
        pair.run(pair.a, group.change(lambda size=size: volume.resize(size), volume.room_made))  # type: ignore[misc]
        assert pair.volume(pair.b).size_blocks == size
    assert pair.b.pool.volumes[VOLUME].size_blocks == 20


def test_nobody_serves_without_a_witness_if_a_member_is_lost() -> None:
    """Two faults stop the service: the witness is away while a member is cut off."""
    pair = Pair()
    pair.w.kill()
    pair.world.advance(20.0)
    pair.write(pair.a, 0, 1)
    pair.a.kill()
    pair.world.advance(30.0)
    assert not pair.serves(pair.b)()
    pair.w.start()
    pair.until(pair.serves(pair.b), 30.0)
    assert pair.content(pair.b)[0] == 1


def test_persistent_reservations_are_good_at_the_other_member() -> None:
    pair = Pair()
    group, volume = pair.group(pair.a), pair.volume(pair.a)
    name = NexusName("iqn.host,i,0x1", 1)
    held = Reservations({name: 7}, Reservation(ReservationType.WRITE_EXCLUSIVE, name), persists_through_power_loss=True)

    def known(array: GroupArray) -> Reservations:
        return durable.recall(array.pool, pair.volume(array).identity)

    pair.run(pair.a, group.change(lambda: durable.keep(pair.a.pool, volume.identity, NO_RESERVATIONS, held), volume.room_made))
    assert known(pair.b) == known(pair.a) == held
    pair.b.kill()
    pair.until(lambda: len(pair.register.in_sync) == 1)
    pair.run(pair.a, group.change(lambda: durable.keep(pair.a.pool, volume.identity, held, NO_RESERVATIONS), volume.room_made))
    pair.b.start()
    assert known(pair.b) == held
    pair.until(pair.is_in_sync)
    assert known(pair.b) == NO_RESERVATIONS


def test_hosts_see_the_state_of_each_member() -> None:
    pair = Pair()

    def states(array: GroupArray) -> MemberStates:
        return access_states(pair.group(array))

    assert states(pair.a) == (AccessState.ACTIVE_OPTIMIZED, AccessState.STANDBY)
    assert states(pair.b) == (AccessState.STANDBY, AccessState.ACTIVE_OPTIMIZED)
    pair.network.cut("a", "b")
    pair.network.cut("a", "w")
    pair.until(lambda: states(pair.a).own is AccessState.UNAVAILABLE, 6.0)
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    assert states(pair.b) == (AccessState.ACTIVE_OPTIMIZED, AccessState.UNAVAILABLE)
    pair.network.mend("a", "b")
    pair.network.mend("a", "w")
    pair.until(lambda: states(pair.a) == (AccessState.UNAVAILABLE, AccessState.ACTIVE_OPTIMIZED), 6.0)
    pair.until(pair.is_in_sync)
    assert states(pair.a) == (AccessState.STANDBY, AccessState.ACTIVE_OPTIMIZED)
    assert set(STATES) == set(GroupState)


def test_an_interrupted_member_knows_how_far_the_effects_in_its_volumes_reach() -> None:
    """A primary that has lost these changes must not go on as if the other member had none of them."""
    pair = Pair(300)
    send = StreamSender._send_body

    async def send_no_end(sender: StreamSender, osn: int, body: Buffer, flags: Flag) -> None:
        if flags & Flag.END:
            await pair.a.environment.sleep(3600.0)
        await send(sender, osn, body, flags)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamSender, "_send_body", send_no_end)
        data = [block(number) for number in range(1, 201)]
        pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 0, data))
        pair.world.advance(1.0)
        position = pair.group(pair.b).driver.position
        assert pair.content(pair.b, 0, 1) == [1], "a part of the write has arrived"
        assert position.reach_osn > position.osn
        pair.lose_all(pair.a)
    pair.a.start()
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a, 0, 300) == pair.content(pair.b, 0, 300)
