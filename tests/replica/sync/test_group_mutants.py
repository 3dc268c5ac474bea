"""Groups that break one rule each. A story of `test_groups` must notice it."""

from collections.abc import Callable

import pytest

from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.sync import anchoring, outgoing_stream, positions, stream_receiver, stream_sender
from odx_target.replica.sync.changed_blocks import ChangedRange, received_changes
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.positions import StreamPosition
from odx_target.store.api import Volume
from tests.replica.sync import test_groups as stories


async def _acknowledge_at_once(group: Group, _osn: int) -> None:
    group._wake()


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


MUTANTS: dict[str, tuple[object, str, object, Callable[[], None]]] = {
    "replies do not wait": (
        Group,
        "acknowledged",
        _acknowledge_at_once,
        stories.test_a_write_waits_for_the_other_member_and_then_goes_on_without_it,
    ),
    "reads do not wait": (Group, "read", _read_at_once, stories.test_a_read_does_not_show_what_a_failover_can_take_back),
    "what was sent counts as received": (
        stream_sender.StreamSender,
        "peer_osn",
        property(lambda sender: sender.scanned_osn),
        stories.test_a_write_waits_for_the_other_member_and_then_goes_on_without_it,
    ),
    "a reach is not kept": (
        stream_receiver.StreamReceiver,
        "_note_reach",
        _compare_nothing,
        stories.test_an_interrupted_member_knows_how_far_the_effects_in_its_volumes_reach,
    ),
    "a former primary keeps its changes": (
        outgoing_stream,
        "received_changes",
        _no_changes,
        stories.test_a_former_primary_loses_its_changes_that_nobody_was_told_of,
    ),
    "digests are not compared": (
        anchoring.Anchoring,
        "_compare",
        _compare_nothing,
        stories.test_a_difference_is_found_at_the_next_anchor,
    ),
    "a new primary without the end of its base goes on": (
        outgoing_stream,
        "reached",
        _equal_after_handing_over,
        stories.test_a_new_primary_that_loses_its_power_at_the_switchover_does_not_serve,
    ),
    "the end of a log is not noted": (
        positions.StreamPosition,
        "closed",
        lambda position, _osn: position,
        stories.test_a_primary_that_has_lost_acknowledged_writes_does_not_serve,
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_noticed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, replacement, story = MUTANTS[mutant]
    monkeypatch.setattr(owner, name, replacement)
    with pytest.raises(AssertionError):
        story()
