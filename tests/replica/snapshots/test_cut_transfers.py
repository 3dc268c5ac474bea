"""Tests of transfers that are cut, and of arrays that die or lose their rights meanwhile."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from odx_target.replica.blocks.receiver import BlockReceiver
from odx_target.replica.paths.settings import Right
from odx_target.store.api import BLOCK_BYTES
from tests.replica.snapshots.replicating import Arrays
from tests.sim.network import SimulatedLink


@pytest.mark.parametrize("seed", range(6))
def test_a_transfer_that_is_cut_anywhere_repeats_no_complete_part(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    completed: list[tuple[int, int]] = []
    complete = BlockReceiver._complete

    async def note_completed(receiver: BlockReceiver, part: Any) -> None:
        await complete(receiver, part)
        completed.append((part.first, part.first + part.offer.count))

    monkeypatch.setattr(BlockReceiver, "_complete", note_completed)
    arrays = Arrays(seed + 20)
    arrays.change("a", 400)
    first = arrays.snapshot("a", "one")
    cuts = 4

    def plan(link: SimulatedLink) -> None:
        nonlocal cuts
        if cuts:
            cuts -= 1
            direction = link.ends[arrays.random.randrange(2)].outgoing
            direction.cut_after_bytes = arrays.random.choice([3000, 30_000, 600_000, 1_200_000])

    arrays.network.on_connection = plan
    for link in arrays.network.links:
        link.cut()
    arrays.protect()
    arrays.until("b", first.guid)
    arrays.assert_equal("a", "b", first.guid)
    assert len(completed) > 1
    assert all(end <= following for (_, end), (following, _) in pairwise(sorted(completed))), "a part was sent twice"
    arrays.check_errors()


@pytest.mark.parametrize("seed", range(6))
def test_either_array_dies_at_any_time(seed: int) -> None:
    arrays = Arrays(seed + 40)
    arrays.change("a", 200)
    arrays.protect()
    arrays.run(arrays["a"], arrays["a"].pool.flush())
    for number in range(4):
        if arrays["a"].is_running:
            arrays.change("a", 30)
            taken = arrays.snapshot("a", f"s{number}")
            arrays.run(arrays["a"], arrays["a"].pool.flush())
        arrays.world.advance(arrays.random.uniform(0.0, 0.4))
        victim = arrays[arrays.random.choice("ab")]
        (victim.kill if arrays.random.randrange(2) else victim.lose_power)()
        arrays.world.advance(arrays.random.uniform(0.0, 2.0))
        victim.start()
    arrays.until("b", taken.guid)
    arrays.settle()
    for guid in arrays["b"].pool.snapshots:
        arrays.assert_equal("a", "b", guid)
    assert arrays.held("a") == {taken.name: ["replica:b"]}
    assert arrays.held("b") == {taken.name: ["replica:a"]}
    arrays.check_errors()


def test_without_the_right_the_peer_gets_and_learns_nothing() -> None:
    arrays = Arrays(5)
    arrays.change("a", 20)
    object.__setattr__(arrays["b"].paths["a"].settings, "rights", frozenset(Right) - {Right.REPLICATE})
    snapshot = arrays.snapshot("a", "one")
    protection = arrays.protect()
    arrays.world.advance(30.0)
    assert arrays["b"].replication.copies() == []
    assert "no right" in arrays["a"].replication.sender.problem_of(protection)
    object.__setattr__(arrays["b"].paths["a"].settings, "rights", frozenset(Right))
    object.__setattr__(arrays["a"].paths["b"].settings, "rights", frozenset())
    arrays["a"].replication.sender.retry("v")
    arrays.world.advance(30.0)
    assert arrays["b"].replication.copies() == []
    object.__setattr__(arrays["a"].paths["b"].settings, "rights", frozenset(Right))
    arrays["a"].replication.sender.retry("v")
    arrays.until("b", snapshot.guid)


@pytest.mark.parametrize("loser", ["a", "b"])
def test_a_right_that_is_taken_away_ends_the_transfer(loser: str) -> None:
    arrays = Arrays(23)
    arrays.change("a", 900)
    arrays.protect()
    arrays.network.line("a", "b").bytes_per_s = 300_000
    for link in arrays.network.links:
        link.cut()
    snapshot = arrays.snapshot("a", "large")
    received = arrays["b"].replication.received
    arrays.world.run_until(lambda: any(each.transfer for each in received.activities.values()), 60.0)
    giver = arrays[loser]
    path = giver.paths["b" if loser == "a" else "a"]
    giver.paths.change(replace(path.settings, rights=frozenset(Right) - {Right.REPLICATE}))
    giver.requests.rights_changed(path)
    arrays.world.advance(5.0)
    sent_bytes = arrays["a"].paths["b"].status.sent_bytes
    assert sent_bytes < 900 * BLOCK_BYTES // 2
    arrays.world.advance(30.0)
    assert arrays["a"].paths["b"].status.sent_bytes - sent_bytes < 64 * 1024, "only pings and requests that are refused"
    assert not arrays.has("b", snapshot.guid)
    assert not any(each.transfer for each in received.activities.values())
    giver.paths.change(replace(path.settings, rights=frozenset(Right)))
    giver.replication.rights_changed(path)
    if loser == "a":
        arrays.world.advance(0.5)
        assert arrays["a"].replication.sender.activity("v").transfer is not None, "it is tried again at once"
    arrays.until("b", snapshot.guid)
    arrays.assert_equal("a", "b", snapshot.guid)
    arrays.check_errors()
