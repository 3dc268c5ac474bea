"""Maintenance of a group by a person: isolation, resync, promotion by force, and comparisons of both members."""

from collections.abc import Sequence

import pytest

from odx_target.replica.membership.messages import Action
from odx_target.replica.membership.timing import LEASE_S, PROMISE_S
from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE
from odx_target.replica.sync.group_states import ChangeRefused, GroupState, NotServing
from odx_target.replica.sync.positions import NO_POSITION
from tests.replica.sync.pairs import VOLUME, Pair, block


def test_an_isolated_member_stays_out_of_sync_until_a_resync() -> None:
    pair = Pair()
    pair.run(pair.a, pair.maintenance(pair.a).isolate())
    assert len(pair.register.in_sync) == 1
    pair.write(pair.a, 0, 5)
    pair.world.advance(20.0)
    assert pair.group(pair.b).state is GroupState.OUT_OF_SYNC
    assert pair.content(pair.b)[0] == 0
    pair.a.kill()
    pair.a.start()
    pair.until(pair.serves(pair.a))
    pair.world.advance(20.0)
    assert len(pair.register.in_sync) == 1, "the isolation survives a restart"
    pair.run(pair.a, pair.maintenance(pair.a).resync())
    pair.until(pair.is_in_sync)
    assert pair.content(pair.b)[0] == 5


def test_only_the_primary_isolates_and_resynchronises() -> None:
    pair = Pair()
    for call in (pair.maintenance(pair.b).isolate, pair.maintenance(pair.b).resync, pair.maintenance(pair.b).verify):
        with pytest.raises(NotServing, match="is standby here"):
            pair.run(pair.b, call())


def test_an_isolation_without_a_witness_happens_when_it_answers() -> None:
    pair = Pair()
    pair.w.kill()
    with pytest.raises(NotServing, match="the witness has not answered"):
        pair.run(pair.a, pair.maintenance(pair.a).isolate())
    pair.w.start()
    pair.until(lambda: len(pair.register.in_sync) == 1)
    pair.until(pair.serves(pair.a))


def test_a_resync_that_is_under_way_begins_again() -> None:
    pair = Pair()
    pair.drop_other()
    pair.b.start()
    outgoing = pair.group(pair.a).outgoing
    pair.until_exactly(lambda: outgoing.sender is not None)
    begun = sum(outgoing.resyncs.values())
    pair.run(pair.a, pair.maintenance(pair.a).resync())
    pair.until(pair.is_in_sync)
    assert sum(outgoing.resyncs.values()) == begun + 1


def test_both_members_are_compared_at_once() -> None:
    pair = Pair()
    pair.write(pair.a, 0, 1)
    began_s = pair.world.now_s
    assert pair.run(pair.a, pair.maintenance(pair.a).verify())
    assert pair.run(pair.a, pair.maintenance(pair.a).verify()), "also if nothing has changed"
    assert pair.world.now_s < began_s + 3.0
    pair.volume(pair.b).write(30, [block(13)])
    pair.b.pool.commit()
    assert not pair.run(pair.a, pair.maintenance(pair.a).verify())
    pair.until(lambda: not pair.group(pair.a).outgoing.is_peer_in_sync, 3.0)
    with pytest.raises(NotServing, match="is not in sync"):
        pair.run(pair.a, pair.maintenance(pair.a).verify())


def test_a_comparison_ends_with_its_stream() -> None:
    """DRBD: a verification whose connection is cut ends with one line, and its anchors are freed."""
    pair = Pair()
    pair.write(pair.a, 0, 1)
    comparing = pair.spawn(pair.a, pair.maintenance(pair.a).verify())
    pair.network.cut("a", "b")
    pair.until(lambda: comparing.done, 30.0)
    assert isinstance(comparing.error, NotServing)
    assert "\n" not in str(comparing.error)
    pair.network.mend("a", "b")
    pair.until(pair.is_in_sync)
    assert pair.run(pair.a, pair.maintenance(pair.a).verify())
    for array in (pair.a, pair.b):
        pair.world.advance(1.0)
        assert len(array.pool.frozen_maps) <= 2


def test_the_data_of_both_members_is_read_and_compared() -> None:
    pair = Pair(3000)
    for at in range(0, 1200, 60):
        pair.write(pair.a, at, *range(at + 1, at + 61))
    began_s = pair.world.now_s
    reading = pair.run(pair.a, pair.maintenance(pair.a).read_and_verify(1 << 20))
    with pytest.raises(NotServing, match="is being read already"):
        pair.run(pair.a, pair.maintenance(pair.a).read_and_verify())
    pair.write(pair.a, 0, 77)
    pair.until(lambda: reading.is_over)
    assert (reading.failure, reading.findings, reading.read_blocks) == ("", [], 1200)
    assert pair.world.now_s > began_s + 4.0, "at most 1 MiB in a second"
    assert len(pair.register.in_sync) == 2


def test_data_is_not_read_too_slowly() -> None:
    pair = Pair()
    with pytest.raises(ChangeRefused, match="with at least 1048576 bytes in a second"):
        pair.run(pair.a, pair.maintenance(pair.a).read_and_verify((1 << 20) - 1))


def test_requested_comparisons_take_one_anchor_at_a_time() -> None:
    pair = Pair()
    pair.write(pair.a, 0, 1)
    tasks = [pair.spawn(pair.a, pair.maintenance(pair.a).verify()) for _ in range(20)]
    pair.until(lambda: all(task.done for task in tasks), 10.0)
    assert all(task.value() for task in tasks)
    assert pair.group(pair.a).outgoing.anchoring.verified <= 3


def test_a_reading_is_cut() -> None:
    pair = Pair(3000)
    pair.write(pair.a, 0, *range(1, 600))
    reading = pair.run(pair.a, pair.maintenance(pair.a).read_and_verify(1 << 20))
    pair.network.cut("a", "b")
    pair.until(lambda: reading.is_over, 10.0)
    assert reading.failure
    assert not pair.group(pair.a).anchors.pinned


def test_a_member_is_promoted_by_force_with_its_last_content() -> None:
    """The other member was out of sync. Its primary has told hosts of changes that nobody else has."""
    pair = Pair()
    pair.write(pair.a, 0, 1)
    pair.run(pair.a, pair.maintenance(pair.a).verify())
    with pytest.raises(NotServing, match="use a switchover, or stop it first"):
        pair.run(pair.b, pair.maintenance(pair.b).promote_by_force())
    pair.network.cut("a", "b")
    pair.until(lambda: len(pair.register.in_sync) == 1, 30.0)
    pair.write(pair.a, 0, 2)
    pair.a.kill()
    pair.world.advance(20.0)
    assert pair.group(pair.b).state is GroupState.OUT_OF_SYNC
    loss = pair.run(pair.b, pair.maintenance(pair.b).promote_by_force())
    assert not loss.is_anchor_restored
    assert loss.anchor_age_s is not None
    assert 20.0 < loss.anchor_age_s < 60.0
    pair.write(pair.b, 1, 3)
    pair.network.mend("a", "b")
    pair.a.start()
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a)[:2] == pair.content(pair.b)[:2] == [1, 3]
    (kept,) = (each for each in pair.volume(pair.a).snapshots.values() if each.attributes.get(KEPT_ATTRIBUTE) == "diverged")
    assert kept.name.startswith("diverged-")
    assert pair.run(pair.a, kept.read(0, 1))[0][:1] == b"\x02"
    pair.run(pair.b, pair.group(pair.b).switchover())
    pair.until(pair.is_in_sync)
    pair.write(pair.a, 0, 4)
    assert kept.name in pair.volume(pair.a).snapshots


def test_a_member_whose_resync_was_interrupted_returns_to_its_anchor() -> None:
    pair = Pair(3000)
    pair.write(pair.a, 0, *range(1, 31))
    pair.run(pair.a, pair.maintenance(pair.a).verify())
    pair.drop_other()
    for at in range(0, 3000, 60):
        pair.write(pair.a, at, *range(at + 1001, at + 1061))
    pair.b.start()
    pair.network.line("a", "b").bytes_per_s = 1e6
    pair.until_exactly(lambda: pair.content(pair.b, 0, 1) == [1001])
    assert pair.group(pair.b).driver.position == NO_POSITION
    pair.a.kill()
    pair.world.advance(10.0)
    assert pair.maintenance(pair.b).possible_loss().is_anchor_restored
    pair.run(pair.b, pair.maintenance(pair.b).promote_by_force())
    assert pair.content(pair.b, 0, 40) == [*range(1, 31), *[0] * 10]
    assert not any(pair.content(pair.b, 40, 2960))
    pair.a.start()
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a, 0, 40) == pair.content(pair.b, 0, 40)


def test_a_member_without_any_content_of_one_moment_is_not_promoted() -> None:
    pair = Pair()
    pair.write(pair.a, 0, *range(1, 31))
    pair.drop_other()
    pair.network.line("a", "b").bytes_per_s = 1e6
    pair.b.start()
    group = pair.group(pair.b)
    pair.until_exactly(lambda: group.driver.position == NO_POSITION)
    pair.a.kill()
    group.anchors.keep_only([])
    pair.world.advance(10.0)
    with pytest.raises(NotServing, match="there is no anchor to return to"):
        pair.maintenance(pair.b).possible_loss()


def test_the_primary_is_not_promoted_and_a_lease_is_waited_for() -> None:
    pair = Pair()
    with pytest.raises(NotServing, match="is the primary of the group db already"):
        pair.maintenance(pair.a).possible_loss()
    pair.a.kill()
    pair.until(lambda: pair.b.paths["a"].link is None, 6.0)
    group = pair.group(pair.b)
    if group.driver.member.may_be_forced(pair.b.environment.monotonic()):
        group.driver.member.promise = group.driver.member.promise._replace(until_s=pair.b.environment.monotonic() + PROMISE_S)
    with pytest.raises(NotServing, match="may serve for some seconds more"):
        pair.maintenance(pair.b).possible_loss()


def test_a_lease_that_comes_between_the_check_and_the_promotion_is_reported() -> None:
    pair = Pair()
    for other in ("b", "w"):
        pair.network.cut("a", other)
    group = pair.group(pair.a)
    pair.until(lambda: not group.driver.serves and pair.a.paths["b"].link is None, 12.0)
    epoch = group.driver.member.register.epoch

    def renew(now_s: float) -> Sequence[Action]:
        group.driver.member.lease_until_s = now_s + LEASE_S
        return ()

    async def promote_while_a_lease_comes() -> None:
        group.driver.post(renew)
        await pair.maintenance(pair.a).promote_by_force()

    with pytest.raises(NotServing, match="the primary of the group db may serve again: nobody was promoted by force"):
        pair.run(pair.a, promote_while_a_lease_comes())
    assert group.driver.member.register.epoch == epoch
    assert group.state is GroupState.SERVING


def test_a_promotion_by_force_needs_no_witness_and_tells_it_later() -> None:
    pair = Pair()
    pair.write(pair.a, 0, 1)
    pair.w.kill()
    pair.a.kill()
    pair.world.advance(20.0)
    assert not pair.serves(pair.b)()
    pair.run(pair.b, pair.maintenance(pair.b).promote_by_force())
    pair.write(pair.b, 0, 2)
    pair.world.advance(20.0)
    assert pair.serves(pair.b)()
    pair.a.start()
    pair.world.advance(5.0)
    pair.w.start()
    pair.until(lambda: pair.register.primary == pair.b.pool.identity.hex())
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a)[0] == 2
    assert any(name.startswith("diverged-") for name in pair.a.pool.volumes[VOLUME].snapshots)
