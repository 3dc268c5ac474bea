"""Tests of snapshots that cannot be read, or whose copies are not equal."""

from typing import Any

import pytest

from odx_target.replica.snapshots import sending as sending_module
from odx_target.replica.snapshots.limits import MAX_REJECTED_SNAPSHOTS, MAX_REJECTIONS
from odx_target.replica.snapshots.pruning import rejected
from odx_target.replica.snapshots.sending import REJECTED
from odx_target.store.api import DamagedBlock, FrozenMap, Snapshot, StoreError, Unreadable
from tests.replica.snapshots.replicating import Arrays


def test_a_copy_that_is_not_equal_is_kept_as_rejected_and_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = Arrays(6)
    arrays.change("a", 100)
    arrays.protect()
    arrays.until("b", arrays.snapshot("a", "one").guid)
    arrays.settle()
    arrays.change("a", 10)
    wrong = 1
    kind = type(arrays.volume("b", "peer/a/v").freeze())
    digest = kind.digest

    async def sometimes_wrong(frozen: FrozenMap) -> bytes:
        nonlocal wrong
        wrong -= 1
        return b"?" * 16 if wrong >= 0 else await digest(frozen)

    monkeypatch.setattr(kind, "digest", sometimes_wrong)
    second = arrays.snapshot("a", "two")
    arrays.until("b", second.guid)
    arrays.assert_equal("a", "b", second.guid)
    assert sorted(name.partition("-")[0] for name in arrays.copy()[1].snapshots) == ["one", "rejected", "two"]
    assert any(event == REJECTED for _, event, _ in arrays["a"].reports)
    wrong = MAX_REJECTIONS
    third = arrays.snapshot("a", "three")
    arrays.world.advance(120.0)
    assert not arrays.has("b", third.guid)
    assert len(rejected(arrays.copy()[1])) == MAX_REJECTED_SNAPSHOTS, "three were rejected"
    fourth = arrays.snapshot("a", "four")
    arrays.until("b", fourth.guid)
    arrays.assert_equal("a", "b", fourth.guid)


def test_a_snapshot_with_lost_blocks_is_not_published(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = Arrays(7)
    arrays.change("a", 100)
    arrays.protect()
    damaged = arrays.snapshot("a", "damaged")
    read = type(damaged).read

    def lossy(self: Snapshot, block: int, count_blocks: int) -> Any:
        if self.name == "damaged" and block < 2000:
            raise DamagedBlock(block)
        return read(self, block, count_blocks)

    monkeypatch.setattr(type(damaged), "read_now", lambda *_: None)
    monkeypatch.setattr(type(damaged), "read", lossy)
    arrays.world.advance(100.0)
    assert not arrays.has("b", damaged.guid)
    arrays.change("a", 3)
    sound = arrays.snapshot("a", "sound")
    arrays.until("b", sound.guid)
    arrays.assert_equal("a", "b", sound.guid)


@pytest.mark.parametrize("error", [DamagedBlock(7), Unreadable(7, "the disk reports an error")])
def test_a_snapshot_without_a_digest_does_not_stop_the_next_one(monkeypatch: pytest.MonkeyPatch, error: StoreError) -> None:
    arrays = Arrays(9)
    arrays.change("a", 20)
    arrays.protect()
    damaged = arrays.snapshot("a", "damaged")
    digest = type(damaged).digest

    async def failing(self: Snapshot) -> bytes:
        if self.name == "damaged":
            raise error
        return await digest(self)

    monkeypatch.setattr(type(damaged), "digest", failing)
    arrays.world.advance(100.0)
    assert not arrays.has("b", damaged.guid)
    assert "a snapshot cannot be read, and so not be sent" in {event for _, event, _ in arrays["a"].reports}
    sound = arrays.snapshot("a", "sound")
    arrays.until("b", sound.guid)
    arrays.assert_equal("a", "b", sound.guid)


def test_a_request_that_the_peer_takes_for_a_fault_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both arrays would otherwise connect and disconnect without end, and nobody would know why."""
    arrays = Arrays(14)
    arrays.change("a", 20)
    with monkeypatch.context() as patch:
        patch.setattr(sending_module, "_lun_size", lambda _: (1 << 50, 512))
        arrays.protect()
        taken = arrays.snapshot("a", "one")
        arrays.world.advance(60.0)
        assert "larger than the snapshot" in arrays["a"].replication.sender.activity("v").problem
        assert len(arrays.network.links) < 15
    arrays.until("b", taken.guid)
    arrays.settle()
    assert arrays["a"].replication.sender.activity("v").problem == ""
