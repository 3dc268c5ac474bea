"""The moments in which a member that was resynchronised becomes one in sync: nothing that a host was told is lost then."""

from odx_target.replica.sync.group_states import GroupState
from odx_target.replica.sync.positions import NO_POSITION
from odx_target.replica.sync.stream.stream_sender import StreamSender
from tests.replica.sync.pairs import Pair, block

TAKEOVER_S = 12.0
QUIET_S = 40.0
"""Longer than the interval of anchors, and than many leases."""


def resyncing() -> tuple[Pair, StreamSender]:
    """Return a pair whose primary has begun a resync of the other member, and the sender of the resync."""
    pair = Pair()
    pair.drop_other()
    pair.write(pair.a, 0, *range(1, 31))
    pair.network.line("a", "b").bytes_per_s = 1e6
    pair.b.start()
    outgoing = pair.group(pair.a).outgoing
    pair.until_exactly(lambda: outgoing.sender is not None)
    assert outgoing.sender is not None
    return pair, outgoing.sender


def test_the_content_of_a_resync_is_durable_before_its_end_is_reported() -> None:
    """The member loses its power just after it was added, and the primary restarts. They must have something to compare."""
    pair, sender = resyncing()
    pair.until_exactly(lambda: pair.group(pair.b).driver.position == NO_POSITION)
    pair.b.pool.commit()
    pair.run(pair.b, pair.b.pool.flush())
    pair.until_exactly(lambda: sender.is_complete)
    pair.network.cut("b", "w")
    pair.lose("a", "b")
    pair.until(lambda: len(pair.register.in_sync) == 2, 3.0)
    pair.lose_all(pair.b)
    pair.a.kill()
    for array in (pair.a, pair.b):
        array.start()
    pair.network.mend("a", "b")
    pair.network.mend("b", "w")
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a) == pair.content(pair.b)
    assert pair.content(pair.b)[:30] == list(range(1, 31))


def test_a_primary_that_tells_of_a_new_member_has_no_further_moment_in_which_it_refuses_hosts() -> None:
    """Both records, of the request to add the member and of the answer, are durable when the state is `serving` again."""
    pair, _ = resyncing()
    group = pair.group(pair.a)
    states: list[GroupState] = []
    group.progress.on_change.append(lambda: states.append(group.state))
    settled: list[bool] = []
    durable = group.driver._durable

    async def make_durable() -> None:
        settled.append(group.state is GroupState.SERVING)
        await durable()

    group.driver._durable = make_durable  # type: ignore[method-assign]
    pair.until_exactly(lambda: group.outgoing.is_peer_in_sync and group.state is GroupState.SERVING)
    assert settled == [False, False]
    states.clear()
    pair.world.advance(QUIET_S)
    assert set(states) == {GroupState.SERVING}
    assert len(settled) == 2


def test_a_write_while_a_member_joins_waits_for_it() -> None:
    """The write is made after the end of the resync was reported, and before the request to add the member."""
    pair, sender = resyncing()
    pair.until_exactly(lambda: sender.is_complete)
    assert len(pair.register.in_sync) == 1
    pair.lose("a", "b")
    writing = pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 7, [block(99)]))
    pair.until(lambda: len(pair.register.in_sync) == 2, 3.0)
    was_told = writing.done
    pair.a.kill()
    pair.until(pair.serves(pair.b), TAKEOVER_S)
    assert pair.content(pair.b)[7] == (99 if was_told else 8)


def test_a_member_is_added_only_when_it_has_what_was_written_meanwhile() -> None:
    """The write is made, and acknowledged by the primary alone, while the last frame of the resync is under way."""
    pair, sender = resyncing()
    pair.until_exactly(lambda: sender._has_completed)
    pair.lose("a", "b")
    pair.write(pair.a, 7, 99)
    assert not sender.is_complete, "the answer has not arrived yet"
    pair.until(lambda: sender.is_complete, 1.0, 0.001)
    pair.world.advance(2.0)
    pair.a.kill()
    pair.world.advance(TAKEOVER_S)
    assert not pair.serves(pair.b)()
    assert pair.group(pair.b).state is GroupState.OUT_OF_SYNC
    pair.a.start()
    pair.network.mend("a", "b")
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a)[7] == pair.content(pair.b)[7] == 99


def test_a_member_keeps_its_position_until_a_resync_begins() -> None:
    """It was added, but only the witness knows that. The primary restarts, and offers a stream of the former register."""
    pair, _ = resyncing()
    member = pair.group(pair.a).driver.member
    pair.until_exactly(lambda: member.request is not None)
    pair.lose("w", "a")
    pair.network.cut("b", "w")
    pair.until(lambda: len(pair.register.in_sync) == 2, 3.0)
    pair.a.kill()
    pair.a.start()
    pair.world.advance(5.0)
    assert pair.group(pair.b).driver.position != NO_POSITION
    pair.network.mend("w", "a")
    pair.network.mend("b", "w")
    pair.until(pair.is_in_sync)
    assert pair.content(pair.a) == pair.content(pair.b)
