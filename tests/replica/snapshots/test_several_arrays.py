"""Tests of several protections and arrays, which do not delay each other."""

from collections.abc import Mapping

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
from tests.replica.snapshots.replicating import Arrays


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
    assert problems == {"", "the other array refuses: the array receives 1 snapshots from this peer already"}
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
