"""The moments in which a group gets another primary: nothing of the former one arrives late, and nothing is told too early."""

import pytest

from odx_target.replica.membership.timing import LEASE_S, PROMISE_S
from odx_target.replica.sync.group_states import GroupState, NotServing
from tests.replica.sync.pairs import Pair, block
from tests.sim.group_array import GroupArray
from tests.sim.virtual_environment import VirtualTask

TAKEOVER_S = 12.0


def succeeded(task: VirtualTask) -> bool:
    """True if a host was told that its command has succeeded."""
    return task.done and task.error is None


def test_changes_that_were_late_on_the_way_do_not_reach_a_new_primary() -> None:
    """The connection delivers nothing for a while, and then everything. The other member has taken over meanwhile."""
    pair = Pair()
    pair.network.cut("a", "w")
    former, leases = pair.group(pair.b).driver.member, pair.group(pair.b).driver.member.promise
    pair.until_exactly(lambda: former.promise != leases)
    granted_s = pair.world.now_s
    pair.world.advance(0.85)
    pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 8, [block(65)]))
    pair.world.advance(0.05)
    link = next(
        each for each in reversed(pair.network.links) if pair.direction("a", "b") in [end.outgoing for end in each.ends]
    )
    link.stall(pair.direction("a", "b"), PROMISE_S - 0.15)
    pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 7, [block(66)]))
    pair.until(pair.serves(pair.b), PROMISE_S, 0.01)
    pair.write(pair.b, 7, 99)
    assert pair.direction("a", "b").queue, "the former changes are under way still"
    pair.until(lambda: pair.world.now_s > granted_s + 0.9 + PROMISE_S + 0.5)
    assert pair.content(pair.b)[7] == 99


def test_a_member_that_was_dropped_is_resynchronised_though_no_host_writes() -> None:
    pair = Pair()
    pair.write(pair.a, 0, 1)
    pair.world.advance(5.0)
    pair.group(pair.a).outgoing.fail_peer("a test")
    epoch = pair.register.epoch
    pair.until(lambda: len(pair.register.in_sync) == 1, 5.0)
    pair.until(pair.is_in_sync, 10.0)
    pair.world.advance(5.0)
    assert pair.register.epoch == epoch + 2


def test_a_former_primary_takes_no_stream_before_it_has_noted_the_end_of_its_own() -> None:
    """Its pool has no room for a while at a switchover. The new primary waits until it can compare both."""
    pair = Pair()
    pair.write(pair.a, 0, 1)
    member, committed = pair.group(pair.a).driver.member, pair.a.pool.committed

    async def commit_slowly() -> None:
        await pair.a.environment.sleep(1.5)
        await committed()

    pair.spawn(pair.a, pair.group(pair.a).switchover())
    pair.until_exactly(lambda: member.request is not None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair.a.pool, "committed", commit_slowly)
        pair.until(pair.serves(pair.b), 3.0)
        pair.world.advance(3.0)
    pair.until(pair.is_in_sync)
    assert not pair.group(pair.b).outgoing.resyncs
    pair.write(pair.b, 0, 2)
    assert pair.content(pair.a)[0] == 2


def test_a_switchover_waits_for_the_changes_that_are_under_way() -> None:
    pair = Pair()
    direction = pair.direction("a", "b")
    link = next(each for each in reversed(pair.network.links) if direction in [end.outgoing for end in each.ends])
    link.stall(direction, 1.0)
    writing = pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 7, [block(66)]))
    pair.spawn(pair.a, pair.group(pair.a).switchover())
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    assert succeeded(writing)
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a) == pair.content(pair.b)


def test_a_switchover_waits_for_commands_whose_commit_waits() -> None:
    """The pool cannot commit a change for a while, so the change is in no position of the stream yet."""
    pair = Pair()
    pool, committed = pair.a.pool, pair.a.pool.committed
    room = pair.a.environment.event()

    async def wait_for_room() -> None:
        await room.wait()
        await committed()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "committed", wait_for_room)
        writing = pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 7, [block(66)]))
        pair.world.advance(0.001)
    switching = pair.spawn(pair.a, pair.group(pair.a).switchover())
    pair.world.advance(2.0)
    room.set()
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    assert succeeded(switching)
    pair.until(pair.is_in_sync)
    assert pair.run(pair.b, pair.maintenance(pair.b).verify())
    assert not pair.group(pair.b).outgoing.resyncs
    assert pair.content(pair.a) == pair.content(pair.b)
    assert not succeeded(writing) or pair.content(pair.b)[7] == 66


def test_a_command_during_a_switchover_is_refused() -> None:
    pair = Pair()
    pair.network.cut("a", "b")
    pair.spawn(pair.a, pair.group(pair.a).switchover())
    pair.world.advance(0.1)
    with pytest.raises(NotServing, match="is handing over here"):
        pair.run(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 0, [block(1)]))


def test_a_new_primary_loses_its_power_and_the_former_one_starts_again() -> None:
    """Both must prove that they have everything, so the end of the stream is durable at the new primary before."""
    pair = Pair()
    pair.run(pair.a, pair.group(pair.a).flush())
    pair.write(pair.a, 0, *range(1, 31))
    pair.spawn(pair.a, pair.group(pair.a).switchover())
    pair.until_exactly(lambda: pair.register.primary == pair.b.pool.identity.hex())
    pair.lose_all(pair.b)
    pair.world.advance(0.5)
    pair.a.kill()
    for array in (pair.a, pair.b):
        array.start()
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a) == pair.content(pair.b)
    assert pair.content(pair.a)[:30] == list(range(1, 31))


def states_until_in_sync(pair: Pair, array: GroupArray) -> list[GroupState]:
    """Pass time until both members are in sync. Returns the states of an array, without repetitions."""
    found = [pair.group(array).state]

    def look() -> bool:
        state = pair.group(array).state
        if state is not found[-1]:
            found.append(state)
        return pair.is_in_sync()

    pair.until_exactly(look)
    return found


def test_hosts_are_served_while_the_other_member_is_added() -> None:
    pair = Pair()
    pair.drop_other()
    pair.world.advance(LEASE_S + 1.0)  # No lease is left from the time before.
    pair.b.start()
    assert set(states_until_in_sync(pair, pair.a)) <= {GroupState.SERVING, GroupState.SETTLING}


def test_a_new_primary_that_waits_for_its_first_lease_is_in_transition() -> None:
    pair = Pair()
    pair.run(pair.a, pair.group(pair.a).switchover())
    assert states_until_in_sync(pair, pair.b) == [GroupState.STANDBY, GroupState.SETTLING, GroupState.SERVING]
