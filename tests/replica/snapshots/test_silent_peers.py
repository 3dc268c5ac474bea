"""Tests that a sender gives up a peer which does not continue, and waits for one that is only slow."""

from typing import Any

import pytest

from odx_target.replica.blocks.limits import MAX_WAIT_S
from odx_target.replica.snapshots import messages, sending
from odx_target.replica.snapshots.limits import MIN_PUBLISHED_BLOCKS_PER_S
from odx_target.replica.snapshots.publisher import SnapshotPublisher
from odx_target.replica.snapshots.records import ReplicationRefused
from tests.replica.snapshots.replicating import SIZE, Arrays


class Silence:
    """Keeps an array from answering a request, while `is_on`."""

    def __init__(self, arrays: Arrays, name: str, request: str) -> None:
        self.is_on = True
        self._environment = arrays[name].environment
        rows = arrays[name].requests._rows
        self._serve = rows[request].serve
        rows[request] = rows[request]._replace(serve=self.serve)

    async def serve(self, *arguments: Any) -> None:
        if self.is_on:
            await self._environment.event().wait()
        await self._serve(*arguments)


@pytest.mark.parametrize(
    ("request_name", "more_s"),
    [
        (messages.BASES_REQUEST, 0.0),
        (messages.RECEIVE_REQUEST, 0.0),
        (messages.PUBLISH_REQUEST, SIZE / MIN_PUBLISHED_BLOCKS_PER_S),
        (messages.SETTLE_REQUEST, 0.0),
    ],
)
def test_a_peer_that_never_answers_is_asked_again(request_name: str, more_s: float) -> None:
    arrays = Arrays(3)
    arrays.change("a", 20)
    arrays.protect()
    arrays.until("b", arrays.snapshot("a", "zero").guid)
    arrays.settle()
    silence = Silence(arrays, "b", request_name)
    arrays.change("a", 20)
    taken = arrays.snapshot("a", "one")
    began_s = arrays.world.now_s
    sender = arrays["a"].replication.sender
    arrays.world.run_until(lambda: sender.activity("v").problem != "", MAX_WAIT_S + more_s + 10.0)
    assert arrays.world.now_s - began_s >= MAX_WAIT_S + more_s
    assert sender.activity("v").problem == f"the peer has not continued for {MAX_WAIT_S + more_s:.0f} s"
    silence.is_on = False
    arrays.until("b", taken.guid)
    arrays.settle()
    arrays.assert_equal("a", "b", taken.guid)
    assert arrays.held("a") == {"one": ["replica:b"]}
    assert arrays.held("b") == {"one": ["replica:a"]}
    arrays.check_errors()


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_request_to_settle_that_was_lost_is_repeated(is_restarted: bool) -> None:
    """Otherwise the peer would keep the former common snapshot until another snapshot is sent."""
    arrays = Arrays(6)
    arrays.protect()
    arrays.until("b", arrays.snapshot("a", "zero").guid)
    arrays.settle()
    silence = Silence(arrays, "b", messages.SETTLE_REQUEST)
    arrays.until("b", arrays.snapshot("a", "one").guid)
    arrays.world.advance(1.0)
    assert set(arrays.held("b")) == {"zero", "one"}
    silence.is_on = False
    if is_restarted:
        arrays.run(arrays["a"], arrays["a"].pool.flush())
        arrays["a"].kill()
        arrays["a"].start()
    else:
        for link in arrays.network.links:
            link.cut()
    arrays.world.advance(10.0)
    arrays.settle()
    assert arrays.held("b") == {"one": ["replica:a"]}
    assert arrays.held("a") == {"one": ["replica:b"]}
    arrays.check_errors()


def test_a_promoted_copy_keeps_its_snapshots_when_the_former_primary_settles() -> None:
    arrays = Arrays(7)
    arrays["a"].keep_hourly = 1
    protection = arrays.protect()
    arrays.until("b", arrays.snapshot("a", "h0").guid)
    arrays.settle()
    silence = Silence(arrays, "b", messages.SETTLE_REQUEST)
    arrays.until("b", arrays.snapshot("a", "h1").guid)
    arrays.world.advance(1.0)
    copy, volume = arrays.copy()

    arrays.run(
        arrays["b"], arrays["b"].replication.failover.promote(copy, None, lambda volume, snapshot: volume.restore(snapshot))
    )
    silence.is_on = False
    for link in arrays.network.links:
        link.cut()
    arrays.world.advance(10.0)
    arrays.settle()
    assert set(volume.snapshots) == {"h0", "h1"}
    assert arrays["a"].replication.sender.problem_of(protection) == ""
    arrays.check_errors()


def test_a_reversal_does_not_wait_for_ever() -> None:
    arrays = Arrays(4)
    arrays.change("a", 20)
    protection = arrays.protect()
    arrays.until("b", arrays.snapshot("a", "one").guid)
    arrays.settle()
    Silence(arrays, "b", messages.REVERSE_REQUEST)
    a = arrays["a"]

    async def keep_for_hosts(_volume: object) -> None:
        raise AssertionError("the peer has not answered")

    with pytest.raises(ReplicationRefused, match="the peer has not continued for 120 s"):
        arrays.run(a, a.replication.failover.reverse(protection, a.paths["b"], keep_for_hosts))


def test_a_peer_that_compares_slowly_publishes_after_the_request_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = Arrays(8)
    compared: list[object] = []
    digest = SnapshotPublisher._digest

    async def digest_slowly(publisher: SnapshotPublisher, volume: Any) -> bytes:
        compared.append(volume)
        await arrays["b"].environment.sleep(MAX_WAIT_S + 60.0)
        return await digest(publisher, volume)

    monkeypatch.setattr(SnapshotPublisher, "_digest", digest_slowly)
    arrays.change("a", 20)
    arrays.protect()
    taken = arrays.snapshot("a", "one")
    arrays.until("b", taken.guid, 2 * MAX_WAIT_S)
    arrays.settle(limit_s=2 * MAX_WAIT_S)
    assert len(compared) == 1
    assert arrays["a"].replication.sender.activity("v").problem == ""
    assert arrays.held("a") == {"one": ["replica:b"]}
    arrays.check_errors()


def test_a_transfer_may_take_longer_than_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "MAX_WAIT_S", 25.0)
    arrays = Arrays(5)
    arrays.protect()
    arrays.settle()
    arrays.network.line("a", "b").bytes_per_s = 85_000.0
    arrays.change("a", 1900)
    taken = arrays.snapshot("a", "one")
    began_s = arrays.world.now_s
    arrays.until("b", taken.guid)
    assert arrays.world.now_s - began_s > 30.0
    assert arrays["a"].replication.sender.activity("v").problem == ""
    arrays.settle()
    arrays.check_errors()
