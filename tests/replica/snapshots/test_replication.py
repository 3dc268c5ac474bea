"""Tests of the replication of snapshots between two arrays of the simulated world."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from odx_target.replica.blocks.fill import Fill
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import Row
from odx_target.replica.snapshots import messages
from odx_target.replica.snapshots import receiver as receiver_module
from odx_target.replica.snapshots import sender as sender_module
from odx_target.replica.snapshots import sending as sending_module
from odx_target.replica.snapshots.limits import MAX_REJECTED_SNAPSHOTS, MAX_REJECTIONS
from odx_target.replica.snapshots.protection import Trigger
from odx_target.replica.snapshots.pruning import rejected
from odx_target.replica.snapshots.received_copies import KEPT
from odx_target.replica.snapshots.records import ReplicationRefused
from odx_target.replica.snapshots.sending import REJECTED
from odx_target.store.api import BLOCK_BYTES, DamagedBlock, FrozenMap, Held, PoolFull, Snapshot, StoreError, Unreadable
from tests.replica.snapshots.replicating import SIZE, Arrays
from tests.sim.network import SimulatedLink


def test_a_snapshot_and_then_the_differences_are_sent() -> None:
    arrays = Arrays(1)
    arrays.change("a", 300)
    first = arrays.snapshot("a", "one")
    arrays.protect()
    found = arrays.until("b", first.guid)
    arrays.assert_equal("a", "b", first.guid)
    assert (found.name, found.created_s, found.lineage) == ("one", pytest.approx(first.created_s), first.lineage)
    assert dict(found.attributes) == {**first.attributes, "replica_class": "manual"}
    copy, volume = arrays.copy()
    assert (volume.name, copy.peer_name, copy.path) == ("peer/a/v", "v", "a")
    assert volume.lineage == arrays.volume("a").lineage
    arrays.settle()
    before = arrays["b"].paths["a"].status.received_bytes
    arrays.change("a", 10)
    second = arrays.snapshot("a", "two")
    arrays.until("b", second.guid)
    arrays.assert_equal("a", "b", second.guid)
    assert arrays["b"].paths["a"].status.received_bytes - before < 10 * 4200 + 25 * 20 * 1024
    arrays.settle()
    assert arrays.held("a") == {"two": ["replica:b"]}
    assert arrays.held("b") == {"two": ["replica:a"]}
    assert arrays["b"].pool.remembered_keys("replica/receive/") == []
    arrays.check_errors()


@pytest.mark.parametrize("trigger", list(Trigger))
def test_each_snapshot_or_only_the_latest(trigger: Trigger) -> None:
    arrays = Arrays(2)
    arrays.change("a", 50)
    arrays.protect(trigger=trigger)
    made = [arrays.snapshot("a", "first")]
    arrays.until("b", made[0].guid)
    arrays.settle()
    arrays.network.line("a", "b").is_down = True
    for link in arrays.network.links:
        link.cut()
    arrays.world.advance(1.0)
    for number in range(3):
        arrays.change("a", 5)
        made.append(arrays.snapshot("a", f"s{number}"))
    arrays.world.advance(20.0)
    assert not arrays.has("b", made[-1].guid)
    arrays.network.line("a", "b").is_down = False
    arrays.until("b", made[-1].guid)
    arrays.settle()
    received = [each.name for each in made if arrays.has("b", each.guid)]
    assert received == (["first", "s0", "s1", "s2"] if trigger is Trigger.EACH else ["first", "s2"])
    for each in made:
        if arrays.has("b", each.guid):
            arrays.assert_equal("a", "b", each.guid)


def test_a_clone_is_sent_as_its_differences_from_its_lineage() -> None:
    arrays = Arrays(3)
    arrays.change("a", 300)
    origin = arrays.snapshot("a", "golden")
    arrays.protect()
    arrays.until("b", origin.guid)
    arrays.settle()
    arrays["a"].pool.create_volume("clone", SIZE, {}, origin)
    arrays.change("a", 5, "clone")
    before = arrays["b"].paths["a"].status.received_bytes
    taken = arrays.snapshot("a", "c1", "clone")
    arrays.protect("a", "b", "clone")
    arrays.until("b", taken.guid)
    arrays.assert_equal("a", "b", taken.guid)
    assert arrays["b"].paths["a"].status.received_bytes - before < 5 * 4200 + 25 * 20 * 1024 // 4
    assert {volume.name for _, volume in arrays["b"].replication.copies()} == {"peer/a/v", "peer/a/clone"}


def test_a_resized_volume_and_a_deleted_and_created_one() -> None:
    arrays = Arrays(4)
    arrays.change("a", 50)
    arrays.protect()
    arrays.until("b", arrays.snapshot("a", "s0").guid)
    for size_blocks in (SIZE + 1000, 700):
        arrays.settle()
        arrays.volume("a").resize(size_blocks)
        arrays.change("a", 20)
        resized = arrays.snapshot("a", f"s{size_blocks}")
        assert arrays.until("b", resized.guid).size_blocks == size_blocks
        arrays.assert_equal("a", "b", resized.guid)
    arrays.settle()
    arrays["a"].pool.delete_volume("v")
    arrays.change("a", 50)
    arrays.run(arrays["a"], arrays["a"].replication.unprotect("v"))
    assert arrays.held("a") == {}
    arrays.protect()
    new = arrays.snapshot("a", "new")
    arrays.until("b", new.guid)
    names = [volume.name for _, volume in arrays["b"].replication.copies()]
    assert names == ["peer/a/v", f"peer/a/v~{arrays.volume('a').identity.hex()}"]


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


def test_both_directions_and_many_to_one() -> None:
    arrays = Arrays(9, "abc")
    made = []
    for source, target in (("a", "b"), ("b", "a"), ("c", "a")):
        arrays.change(source, 100)
        arrays.protect(source, target)
        made.append((source, target, arrays.snapshot(source, "s")))
    for source, target, each in made:
        arrays.until(target, each.guid)
        arrays.assert_equal(source, target, each.guid)
    assert [volume.name for _, volume in arrays["a"].replication.copies()] == ["peer/b/v", "peer/c/v"]
    arrays.check_errors()


def test_more_protections_than_transfers_at_once() -> None:
    arrays = Arrays(10)
    made = []
    for number in range(11):
        arrays.change("a", 10, f"v{number}")
        made.append(arrays.snapshot("a", "s", f"v{number}"))
        arrays.protect("a", "b", f"v{number}")
    for each in made:
        arrays.until("b", each.guid)
        arrays.assert_equal("a", "b", each.guid)


def test_a_slow_peer_delays_no_other_peer_and_a_busy_array_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = Arrays(10, "bac")
    monkeypatch.setattr(receiver_module, "MAX_RECEIVES", 1)
    release, attempt = arrays["b"].environment.event(), Fill.attempt

    async def attempt_late(self: Fill, link: Link, first: int, count: int) -> None:
        if self.path is arrays["b"].paths["a"]:
            await release.wait()
        await attempt(self, link, first, count)

    monkeypatch.setattr(Fill, "attempt", attempt_late)
    for name, volume in (("a", "v1"), ("a", "v2"), ("c", "v")):
        arrays.change(name, 10, volume)
        arrays.snapshot(name, "s", volume)
        arrays.protect(name, "b", volume)
    (taken,) = arrays.volume("c").snapshots.values()
    arrays.until("b", taken.guid)
    arrays.world.advance(5.0)
    problems = {arrays["a"].replication.sender.activity(name).problem for name in ("v1", "v2")}
    assert problems == {"", "the array receives 1 snapshots from this peer already"}
    release.set()
    for name in ("v1", "v2"):
        (taken,) = arrays.volume("a", name).snapshots.values()
        arrays.until("b", taken.guid)
        arrays.settle()
        assert arrays["a"].replication.sender.activity(name).problem == ""


def test_a_peer_that_answers_nothing_delays_no_other_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = Arrays(17, "abc")
    monkeypatch.setattr(sender_module, "MAX_SENDS", 1)

    async def silent(_path: Path, exchange: Exchange, _document: Mapping[str, Json]) -> None:
        await exchange.receive()

    arrays["b"].requests.add({messages.BASES_REQUEST: Row(Right.REPLICATE, silent)})
    for peer, volume in (("b", "v1"), ("b", "v2"), ("c", "v3")):
        arrays.change("a", 10, volume)
        arrays.snapshot("a", "s", volume)
        arrays.protect("a", peer, volume)
    (taken,) = arrays.volume("a", "v3").snapshots.values()
    arrays.until("c", taken.guid)
    sender = arrays["a"].replication.sender
    assert set(sender._running) <= {"v1", "v2", "v3"}
    assert len(set(sender._running) & {"v1", "v2"}) == 1, "one protection at once for each peer"


def test_a_group_is_published_together() -> None:
    arrays = Arrays(11)
    names = ("v1", "v2", "v3")
    for name in names:
        arrays.change("a", 30, name)
    arrays.protect("a", "b", *names, group="db")
    seen = []
    arrays.world.checks.append(lambda: seen.append(len(arrays["b"].pool.snapshots)))
    for name in ("one", "two"):
        arrays.change("a", 5, "v2")
        made = arrays["a"].pool.snapshot_volumes({each: {} for each in names}, name)
        for each in made:
            arrays.until("b", each.guid)
        arrays.settle()
    arrays.volume("a", "v1").snapshot("alone")
    arrays.world.advance(10.0)
    assert set(seen) == {0, 3, 6}
    for each in made:
        arrays.assert_equal("a", "b", each.guid)
    assert len({arrays["b"].pool.snapshots[each.guid].group for each in made}) == 1


def test_a_group_without_one_of_its_volumes_is_a_problem() -> None:
    arrays = Arrays(11)
    for name in "vw":
        arrays.change("a", 5, name)
    protection = arrays.protect("a", "b", "v", "w", group="g")
    arrays.world.advance(5.0)
    sender = arrays["a"].replication.sender
    assert sender.problem_of(protection) == ""
    arrays["a"].pool.delete_volume("w")
    arrays.snapshot("a", "one")
    arrays.world.advance(5.0)
    assert sender.problem_of(protection) == "a volume of the protection was deleted, so nothing is sent"


@pytest.mark.parametrize("seed", range(6))
def test_a_transfer_that_is_cut_anywhere_repeats_at_most_one_part(seed: int) -> None:
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


@pytest.mark.parametrize(
    ("names", "group", "message"),
    [
        (("v", "w"), "", "need the name of a group"),
        (("v", "v"), "g", "different volumes"),
        (("peer/a/v",), "", "is a copy"),
        (("v",), "again", "belongs to the protection v"),
    ],
)
def test_protections_that_are_refused(names: tuple[str, ...], group: str, message: str) -> None:
    arrays = Arrays(12)
    arrays.change("a", 10)
    arrays.protect()
    arrays.until("b", arrays.snapshot("a", "one").guid)
    array, to = ("b", "a") if names[0].startswith("peer") else ("a", "b")
    with pytest.raises(ReplicationRefused, match=message):
        arrays.protect(array, to, *names, group=group)


def test_sixteen_paths_to_one_array() -> None:
    names = "bacdefghijklmnopq"
    arrays = Arrays(13, names)
    made = []
    for name in names[1:]:
        arrays.volume(name, "v", 100)
        arrays.change(name, 10)
        arrays.protect(name, "b")
        made.append((name, arrays.snapshot(name, "s")))
    for name, each in made:
        arrays.until("b", each.guid)
        arrays.assert_equal(name, "b", each.guid)
    assert len(arrays["b"].replication.copies()) == 16


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
