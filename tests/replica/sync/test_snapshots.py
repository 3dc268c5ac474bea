"""Snapshots that were taken while the other member was out of sync arrive with the resync, each with its own content."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from odx_target.replica.link.errors import ChannelEnded
from odx_target.replica.link.kinds import Flag
from odx_target.replica.sync.stream.shipping import Range
from odx_target.replica.sync.stream.snapshot_chain import SnapshotChain, newest_snapshots
from odx_target.replica.sync.stream.stream_sender import StreamSender
from odx_target.store.api import Snapshot
from tests.replica.sync.pairs import Pair, block
from tests.replica.sync.test_streams import Wire
from tests.sim.group_array import GroupArray


def take(pair: Pair, name: str, array: GroupArray | None = None) -> Snapshot:
    array = array or pair.a
    volume = pair.volume(array)
    found: list[Snapshot] = []
    pair.run(array, pair.group(array).change(lambda: found.append(volume.snapshot(name, {"of": name})), volume.room_made))
    return found[0]


def anchored() -> Pair:
    """Return a pair with an anchor."""
    pair = Pair()
    pair.write(pair.a, 0, 1, 2, 3)
    assert pair.run(pair.a, pair.maintenance(pair.a).verify())
    pair.world.advance(1.0)
    return pair


def equal_at_both(pair: Pair, *snapshots: Snapshot) -> None:
    for snapshot in snapshots:
        other = pair.b.pool.snapshots[snapshot.guid]
        assert pair.run(pair.a, snapshot.digest()) == pair.run(pair.b, other.digest())
        assert (other.name, other.attributes, other.lineage) == (snapshot.name, snapshot.attributes, snapshot.lineage)
        assert round(other.created_s * 1e6) == round(snapshot.created_s * 1e6)
    assert pair.content(pair.a, 0, 10) == pair.content(pair.b, 0, 10)


def test_snapshots_arrive_with_their_own_content() -> None:
    pair = anchored()
    before = take(pair, "before")
    pair.drop_other()
    pair.write(pair.a, 0, 4)
    first = take(pair, "first")
    pair.write(pair.a, 1, 5)
    volume = pair.volume(pair.a)
    pair.run(pair.a, pair.group(pair.a).change(lambda: volume.resize(60), volume.room_made))
    pair.write(pair.a, 55, 6)
    second = take(pair, "second")
    pair.write(pair.a, 0, 7)
    pair.b.start()
    pair.until(pair.is_in_sync)
    assert pair.group(pair.a).outgoing.resyncs["since an anchor"] == 1
    equal_at_both(pair, before, first, second)
    assert pair.group(pair.a).outgoing.local_snapshots == []


def test_snapshots_arrive_at_a_former_primary_with_changes_of_its_own() -> None:
    pair = anchored()
    pair.network.cut("a", "b")
    pair.network.cut("a", "w")
    pair.spawn(pair.a, pair.group(pair.a).write(pair.volume(pair.a), 7, [block(66)]))
    pair.until(pair.serves(pair.b))
    pair.write(pair.b, 0, 4)
    snapshot = take(pair, "s", pair.b)
    pair.write(pair.b, 0, 5)
    pair.network.mend("a", "b")
    pair.network.mend("a", "w")
    pair.until(pair.is_in_sync)
    other = pair.a.pool.snapshots[snapshot.guid]
    assert pair.run(pair.a, other.digest()) == pair.run(pair.b, snapshot.digest())
    assert pair.content(pair.a) == pair.content(pair.b)


def scattered(pair: Pair, number: int, end: int) -> None:
    """Write blocks before `end` that are no neighbours, so that a resync has many parts."""
    for at in range(0, end, 2):
        pair.write(pair.a, at, number + at)


@contextmanager
def slow_resync(*names: str) -> Iterator[tuple[Pair, list[Snapshot]]]:
    """Yield a pair whose slow resync has just begun, and snapshots that were taken before, each after other changes."""
    pair = anchored()
    pair.drop_other()
    snapshots = []
    for index, name in enumerate(names):
        scattered(pair, 1000 * index + 1000, 10 if index else 40)
        snapshots.append(take(pair, name))
    scattered(pair, 1000 * len(names) + 1000, 40)
    send = StreamSender._send

    async def send_slowly(sender: StreamSender, osn: int, flags: Flag) -> None:
        await pair.a.environment.sleep(0.002)
        await send(sender, osn, flags)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StreamSender, "_send", send_slowly)
        pair.b.start()
        pair.until_exactly(lambda: pair.group(pair.a).outgoing.sender is not None)
        yield pair, snapshots


def test_changes_during_a_resync_are_in_no_older_snapshot() -> None:
    with slow_resync("first", "second") as (pair, snapshots):
        for number in range(50):
            pair.write(pair.a, 2 * (number % 20), 9000 + number)
            pair.world.advance(0.002)
        pair.until(pair.is_in_sync)
        equal_at_both(pair, *snapshots)


def test_a_snapshot_that_is_deleted_during_a_resync_begins_it_again() -> None:
    with slow_resync("first", "second") as (pair, (first, second)):
        pair.world.advance(0.01)
        pair.write(pair.a, 0, *range(9000, 9040))
        pair.run(pair.a, pair.group(pair.a).change(first.delete, pair.volume(pair.a).room_made))
        pair.until(pair.is_in_sync)
        equal_at_both(pair, second)
        assert first.guid not in pair.b.pool.snapshots


def test_a_snapshot_that_is_taken_while_content_is_shipped_stays_local() -> None:
    with slow_resync() as (pair, _):
        outgoing = pair.group(pair.a).outgoing
        local = take(pair, "local")
        assert outgoing.sender is not None
        assert outgoing.sender._walk is not None
        pair.until(pair.is_in_sync)
    assert local.guid not in pair.b.pool.snapshots
    assert outgoing.local_snapshots == [local]
    shipped = take(pair, "shipped")
    assert shipped.guid in pair.b.pool.snapshots
    assert outgoing.local_snapshots == [local]
    pair.drop_other()
    assert outgoing.local_snapshots is None
    pair.b.start()
    pair.until(pair.is_in_sync)
    equal_at_both(pair, shipped)


def test_a_chain_has_the_missing_snapshots_since_the_anchor() -> None:
    pair = anchored()
    volume = pair.volume(pair.a)
    old = volume.snapshot("old")
    anchor = volume.freeze()
    snapshots = [volume.snapshot(f"s{number}") for number in range(3)]
    chain = SnapshotChain(pair.a.pool, [volume], [anchor], [snapshots[1].guid])
    assert chain.guids == [snapshots[0].guid, snapshots[2].guid]
    assert newest_snapshots([volume]) == tuple(each.guid for each in (*reversed(snapshots), old))
    assert newest_snapshots([]) == ()
    assert not SnapshotChain(pair.a.pool, [volume], [], []).guids


@pytest.mark.parametrize("is_before", [True, False])
def test_a_chain_ends_if_one_of_its_snapshots_was_deleted(is_before: bool) -> None:
    pair = Pair()
    volume, environment = pair.volume(pair.a), pair.a.environment
    anchor = volume.freeze()
    volume.write(0, [block(1)])
    snapshot = volume.snapshot("s")
    pair.a.pool.commit()
    exchange: Any = Wire()

    async def walk() -> None:
        chain = SnapshotChain(pair.a.pool, [volume], [anchor], [])
        async for shipped in chain.walk(exchange, environment, []):
            if isinstance(shipped, Range) is not is_before and snapshot.guid in pair.a.pool.snapshots:
                snapshot.delete()

    with pytest.raises(ChannelEnded, match="was deleted"):
        pair.run(pair.a, walk())
