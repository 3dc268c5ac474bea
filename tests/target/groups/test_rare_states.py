"""Tests of groups in rare moments: stops, requests that are late, and what people see before the other member has it."""

import pytest
import trio
from trio.testing import MockClock

from odx_target.replica.grouping import asking
from odx_target.replica.grouping.messages import FORGET_REQUEST
from odx_target.replica.sync.group_states import GroupState
from odx_target.target.control.operations import perform
from tests.target.groups.members import NAME, Members, drain, host_at, members, write


async def stop_groups(pair: Members, name: str) -> None:
    """End the groups of an array as SIGTERM does."""
    array = pair.network.arrays[name]
    assert array.group_luns is not None
    assert array.peering is not None
    await array.group_luns.stop()
    array.peering.stop()


async def test_a_primary_goes_on_at_once_when_the_other_member_stops(autojump_clock: MockClock) -> None:
    async with members() as pair, host_at(pair.a) as first:
        began_s = trio.current_time()
        await stop_groups(pair, "b")
        await pair.until(lambda: not pair.group(pair.a).outgoing.needs_peer)
        await drain(first)
        assert await write(first, 0, 5) == "good"
        assert trio.current_time() - began_s < 2


async def test_a_late_request_to_forget_a_group_does_not_end_a_later_state_of_it(autojump_clock: MockClock) -> None:
    async with members() as pair:
        path = pair.group(pair.a).path_to_witness()
        assert path is not None
        with pytest.raises(asking.AskedInVain, match="has changed since"):
            await asking.ask(path, FORGET_REQUEST, {"group": NAME, "epoch": 1, "keeps_copies": 0})
        assert NAME in pair.table(pair.w).witness_desk.members


@pytest.mark.parametrize("operation", ["snapshot", "clone"])
async def test_a_snapshot_is_told_when_no_failover_can_take_its_data_back(autojump_clock: MockClock, operation: str) -> None:
    async with members() as pair, host_at(pair.a) as first:
        assert await write(first, 0, 5) == "good"
        pair.network.cut("a", "b")
        done: list[str] = []

        async def take() -> None:
            if operation == "snapshot":
                await perform(pair.a, "snapshot-create", {"snapshots": ["db1@s"]})
            else:
                await perform(pair.a, "clone", {"origin": "db1", "name": "c", "lun": True})
            done.append(operation)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, first, 0, 6)
            nursery.start_soon(take)
            await trio.sleep(3)
            assert done == []
            assert len(pair.a.logical_units) == 2
        assert pair.state(pair.a) is GroupState.SERVING
        assert done == [operation]


async def test_the_status_names_snapshots_that_the_other_member_does_not_have(autojump_clock: MockClock) -> None:
    async with members() as pair:
        status = await perform(pair.a, "group-status", {"name": NAME})
        assert status["local_snapshots"] == []
        pair.a.pool.volumes["db1"].snapshot("s")
        pair.group(pair.a).outgoing._peer_snapshots.clear()
        sender = pair.group(pair.a).outgoing.sender
        assert sender is not None
        await trio.sleep(1)
        sender.taken_snapshots.clear()
        assert (await perform(pair.a, "group-status", {"name": NAME}))["local_snapshots"] == ["db1@s"]
        assert (await perform(pair.b, "group-status", {"name": NAME}))["local_snapshots"] is None
