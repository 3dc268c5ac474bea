"""Tests of the holds of the replication, and of the deletion of received snapshots."""

import pytest

from odx_target.replica.snapshots.received_copies import KEPT
from odx_target.store.api import Held, PoolFull, Snapshot
from tests.replica.snapshots.replicating import Arrays


def test_holds_that_cannot_be_removed_at_the_start_do_not_end_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = Arrays(10)
    arrays.change("a", 20)
    arrays.protect()
    extra = arrays.snapshot("a", "x", "other")
    extra.hold("replica:b")
    arrays["a"].pool.commit()
    arrays.run(arrays["a"], arrays["a"].pool.flush())
    arrays["a"].kill()

    def failing(self: Snapshot, owner: str) -> None:
        raise PoolFull("the pool is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(extra), "unhold", failing)
        arrays["a"].start()
        arrays.world.advance(10.0)
    released = "holds that the replication no longer needs cannot be removed now"
    assert released in {event for _, event, _ in arrays["a"].reports}
    later = arrays.snapshot("a", "later")
    arrays.until("b", later.guid)


@pytest.mark.parametrize("keep", [1, 2])
def test_pruning_never_breaks_the_chain(keep: int) -> None:
    arrays = Arrays(8)
    arrays["a"].keep_hourly = keep
    arrays.change("a", 50)
    arrays.protect()
    for number in range(6):
        arrays.change("a", 5)
        taken = arrays.snapshot("a", f"h{number}")
        arrays.until("b", taken.guid)
        arrays.settle()
        for name, each in list(arrays.volume("a").snapshots.items()):
            if name == taken.name:
                with pytest.raises(Held):
                    each.delete()
            else:
                each.delete()
    assert sorted(arrays.copy()[1].snapshots) == ["h4", "h5"][-keep:]
    assert not any(event == KEPT for _, event, _ in arrays["b"].reports)
    arrays.assert_equal("a", "b", taken.guid)


def test_a_protection_that_is_removed_during_a_transfer_leaves_no_hold() -> None:
    arrays = Arrays(24)
    arrays.change("a", 900)
    arrays.protect()
    arrays.network.line("a", "b").bytes_per_s = 300_000
    for link in arrays.network.links:
        link.cut()
    arrays.snapshot("a", "large")
    received = arrays["b"].replication.received
    arrays.world.run_until(lambda: any(each.transfer for each in received.activities.values()), 60.0)
    assert arrays.held("a") == {"large": ["replica:b"]}
    arrays.run(arrays["a"], arrays["a"].replication.unprotect("v"))
    for link in arrays.network.links:
        link.cut()
    arrays.world.advance(10.0)
    assert arrays.held("a") == {}
    assert list(arrays["a"].replication.sender.activities()) == []
    arrays.check_errors()
