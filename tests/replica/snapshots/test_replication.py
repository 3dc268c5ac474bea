"""Tests of the replication of snapshots between two arrays of the simulated world."""

import pytest

from odx_target.replica.snapshots.protection import Trigger
from odx_target.replica.snapshots.records import ReplicationRefused
from tests.replica.snapshots.replicating import SIZE, Arrays


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
