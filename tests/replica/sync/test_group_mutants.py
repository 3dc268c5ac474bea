"""Groups that break one rule each. A story of `test_groups` must notice it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest

from odx_target.replica.membership.messages import Action
from odx_target.replica.membership.register import Change
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.sync import positions
from odx_target.replica.sync.anchors import anchoring
from odx_target.replica.sync.anchors.anchors import Anchors
from odx_target.replica.sync.anchors.changed_blocks import ChangedRange, received_changes
from odx_target.replica.sync.departures import Departures
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_volumes import volume_with
from odx_target.replica.sync.member_driver import MemberDriver
from odx_target.replica.sync.positions import StreamPosition
from odx_target.replica.sync.stream import outgoing_stream, stream_receiver, stream_sender
from odx_target.replica.sync.stream.incoming_stream import IncomingStream
from odx_target.replica.sync.stream.preparation import Preparation
from odx_target.replica.sync.switchover import Switchover
from odx_target.store.api import Volume
from tests.replica.sync import (
    test_changes_of_primary,
    test_joining,
    test_snapshots,
    test_volume_operations,
)
from tests.replica.sync import test_groups as stories


async def _acknowledge_at_once(group: Group, _osn: int) -> None:
    group.progress.wake()


async def _read_at_once(_group: Group, volume: Volume, block: int, count_blocks: int) -> object:
    return await volume.read(block, count_blocks)


async def _no_changes(exchange: Exchange, count_volumes: int) -> list[ChangedRange]:
    await received_changes(exchange, count_volumes)
    return []


def _equal_after_handing_over(secondary: StreamPosition, primary: StreamPosition) -> tuple[int, int] | None:
    if secondary.log == primary.base_log and secondary.osn > primary.base_osn:
        return primary.begin_osn - 1, primary.begin_osn - 1
    return positions.reached(secondary, primary)


async def _compare_nothing(*_: object) -> None:
    pass


async def _complete_without_flush(receiver: Any, osn: int) -> None:
    receiver._is_resync = False
    receiver._relog.check_wanted()
    receiver._on_complete(osn)


def _add_at_once(outgoing: Any, now_s: float) -> Sequence[Action]:
    return outgoing._driver.member.change(Change.ADD, now_s)  # type: ignore[no-any-return]


def _close_no_stream(group: Group) -> None:
    group.progress.wake()


def _delete_at_once(departures: Departures) -> None:
    departure = departures._records.departure
    if departure is not None and (volume := volume_with(departures._pool, departure.identity)) is not None:
        departures._pool.delete_volume(volume.name)


class Patch(NamedTuple):
    """Another value of an attribute."""

    owner: object
    name: str
    value: object


class Mutant(NamedTuple):
    """The story that notices a mutant, and what the mutant changes."""

    story: Callable[[], None]
    patches: tuple[Patch, ...]


def mutant(story: Callable[[], None], *patches: tuple[object, str, object]) -> Mutant:
    return Mutant(story, tuple(Patch(*each) for each in patches))


STALE_STREAMS = (Group, "_changed", _close_no_stream)

NO_FLUSH = (Switchover, "_is_flushed", lambda *_: True)
"""A switchover without the flush of the other member, which would hide other mutants."""

MUTANTS: dict[str, Mutant] = {
    "replies do not wait": mutant(
        stories.test_a_write_waits_for_the_other_member_and_then_goes_on_without_it,
        (Group, "acknowledged", _acknowledge_at_once),
    ),
    "reads do not wait": mutant(
        stories.test_a_read_does_not_show_what_a_failover_can_take_back, (Group, "read", _read_at_once)
    ),
    "what was sent counts as received": mutant(
        stories.test_a_write_waits_for_the_other_member_and_then_goes_on_without_it,
        (stream_sender.StreamSender, "peer_osn", property(lambda sender: sender.scanned_osn)),
    ),
    "a reach is not kept": mutant(
        stories.test_an_interrupted_member_knows_how_far_the_effects_in_its_volumes_reach,
        (stream_receiver.StreamReceiver, "_note_reach", _compare_nothing),
    ),
    "a former primary keeps its changes": mutant(
        stories.test_a_former_primary_loses_its_changes_that_nobody_was_told_of,
        (outgoing_stream, "received_changes", _no_changes),
    ),
    "digests are not compared": mutant(
        stories.test_a_difference_is_found_at_the_next_anchor, (anchoring.Anchoring, "_compare", _compare_nothing)
    ),
    "a new primary without the end of its base goes on": mutant(
        stories.test_a_new_primary_that_loses_its_power_at_the_switchover_does_not_serve,
        (outgoing_stream, "reached", _equal_after_handing_over),
        NO_FLUSH,
    ),
    "the end of a log is not noted": mutant(
        stories.test_a_primary_that_has_lost_acknowledged_writes_does_not_serve,
        (positions.StreamPosition, "closed", lambda position, _osn: position),
    ),
    "the content of a resync is not flushed": mutant(
        test_joining.test_the_content_of_a_resync_is_durable_before_its_end_is_reported,
        (stream_receiver.StreamReceiver, "_complete", _complete_without_flush),
    ),
    "writes do not wait for a member that joins": mutant(
        test_joining.test_a_write_while_a_member_joins_waits_for_it,
        (outgoing_stream.OutgoingStream, "needs_peer", property(lambda outgoing: outgoing._driver.member.needs_peer)),
    ),
    "a member is added at once": mutant(
        test_joining.test_a_member_is_added_only_when_it_has_what_was_written_meanwhile,
        (outgoing_stream.OutgoingStream, "_add", _add_at_once),
    ),
    "a stream of a former register stays open": mutant(
        test_changes_of_primary.test_a_member_that_was_dropped_is_resynchronised_though_no_host_writes, STALE_STREAMS
    ),
    "changes of a former register are made": mutant(
        test_changes_of_primary.test_changes_that_were_late_on_the_way_do_not_reach_a_new_primary,
        STALE_STREAMS,
        (IncomingStream, "_is_wanted", lambda *_: True),
    ),
    "a member takes a stream before its own position is noted": mutant(
        test_changes_of_primary.test_a_former_primary_takes_no_stream_before_it_has_noted_the_end_of_its_own,
        (MemberDriver, "is_settling", property(lambda _: False, lambda *_: None)),
    ),
    "a switchover does not wait for changes": mutant(
        test_changes_of_primary.test_a_switchover_waits_for_the_changes_that_are_under_way,
        (Switchover, "_is_drained", lambda _: True),
        NO_FLUSH,
    ),
    "changes are shipped between older snapshots": mutant(
        test_snapshots.test_changes_during_a_resync_are_in_no_older_snapshot,
        (stream_sender.StreamSender, "_is_held", property(lambda _: False, lambda *_: None)),
    ),
    "a prepared volume stays": mutant(
        test_volume_operations.test_a_prepared_volume_is_deleted_by_the_member_that_takes_over,
        (Preparation, "undo", lambda _: None),
    ),
    "a volume is deleted before the other member knows it": mutant(
        test_volume_operations.test_the_primary_keeps_a_volume_until_the_other_member_has_deleted_it,
        (Departures, "finish", _delete_at_once),
    ),
    "anchors stay when a volume leaves": mutant(
        test_volume_operations.test_anchors_end_when_a_volume_leaves, (Anchors, "keep_only", lambda *_: None)
    ),
    "a switchover does not flush the other member": mutant(
        test_changes_of_primary.test_a_new_primary_loses_its_power_and_the_former_one_starts_again, NO_FLUSH
    ),
    "a switchover does not wait for commands": mutant(
        test_changes_of_primary.test_a_switchover_waits_for_commands_whose_commit_waits,
        (Group, "_active", property(lambda _: 0, lambda *_: None)),
        NO_FLUSH,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    story, patches = MUTANTS[name]
    for patch in patches:
        monkeypatch.setattr(*patch, raising=False)
    with pytest.raises(AssertionError):
        story()
