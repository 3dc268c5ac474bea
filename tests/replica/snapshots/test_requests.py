"""Tests of the requests of the replication that a wrong or hostile peer makes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.errors import ChannelEnded, LinkError
from odx_target.replica.paths.exchange import RequestDenied
from odx_target.replica.snapshots import records
from tests.replica.snapshots.replicating import Arrays

GUID = "ab" * 16
RECEIVE: dict[str, Any] = {
    "request": "receive",
    "volume": GUID,
    "name": "v",
    "lineage": GUID,
    "snapshot": GUID,
    "base": "00" * 16,
    "size_blocks": 10,
    "size_bytes": 40960,
    "block_bytes": 512,
    "changed_blocks": 0,
}
PUBLISH: dict[str, Any] = {
    "request": "publish",
    "group": "00" * 16,
    "volumes": [GUID],
    "snapshots": [GUID],
    "names": ["s"],
    "created_us": [1],
    "sizes": [10],
    "digests": [GUID],
    "class": "manual",
    "keep": 0,
}
REVERSE: dict[str, Any] = {
    "request": "reverse",
    "volumes": [GUID],
    "begin": 1,
    "is_group": 0,
    "name": "v",
    "trigger": "each",
    "keep_names": [],
    "keep_counts": [],
}


def ask(arrays: Arrays, document: Mapping[str, Any]) -> None:
    """Make a request of the array `a` to `b`."""
    arrays.world.advance(2.0)  # of two connections, one has ended
    arrays.world.run_until(lambda: arrays["a"].paths["b"].link is not None, 60.0)

    async def request() -> None:
        link = arrays["a"].paths["b"].link
        assert link is not None
        (await link.request(document, TrafficClass.SNAPSHOT)).close()

    arrays.run(arrays["a"], request())


@pytest.mark.parametrize(
    "document",
    [
        {"request": "bases", "snapshots": ["zz"]},
        {"request": "bases", "snapshots": ["ab"]},
        {"request": "bases", "snapshots": []},
        {**RECEIVE, "block_bytes": 600},
        {**RECEIVE, "size_bytes": 40961},
        {**RECEIVE, "size_blocks": 0},
        {**PUBLISH, "names": []},
        {**PUBLISH, "names": ["s", "t"]},
        {**PUBLISH, "names": [""]},
        {**PUBLISH, "created_us": [(1 << 62) + 1]},
        {
            **PUBLISH,
            **{name: PUBLISH[name] * 2 for name in ("volumes", "snapshots", "names", "created_us", "sizes", "digests")},
        },
        {**PUBLISH, "attribute_names": ["one"]},
        {**REVERSE, "volumes": [GUID, GUID]},
        {**REVERSE, "trigger": "never"},
        {**REVERSE, "keep_names": ["daily"], "keep_counts": [10_001]},
        {**REVERSE, "keep_names": ["daily"]},
    ],
)
def test_a_request_that_violates_the_rules_ends_the_link(document: Mapping[str, Any]) -> None:
    arrays = Arrays(1)
    with pytest.raises(
        ChannelEnded, match=r"a (message|field|request|guid|snapshot)|the (field|lists|logical|LUN|link of)|size"
    ):
        ask(arrays, document)
    assert arrays["b"].replication.copies() == []
    arrays.check_errors()


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({**RECEIVE, "base": GUID}, "absent"),
        (PUBLISH, "absent"),
        ({"request": "settle", "volume": GUID, "snapshot": GUID}, "absent"),
        (REVERSE, "absent"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused(document: Mapping[str, Any], code: str) -> None:
    arrays = Arrays(2)
    with pytest.raises(RequestDenied) as caught:
        ask(arrays, document)
    assert caught.value.code == code
    assert arrays["b"].replication.copies() == []
    arrays.check_errors()


def test_a_peer_cannot_make_more_copies_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_COPIES", 2)
    arrays = Arrays(3)
    for number in range(3):
        with pytest.raises(LinkError) as caught:
            ask(arrays, {**RECEIVE, "volume": f"{number:032x}"})
    assert "which is the limit" in str(caught.value)
    assert [volume.name for _, volume in arrays["b"].replication.copies()] == ["peer/a/v", f"peer/a/v~{1:032x}"]


def test_a_name_with_an_at_sign_does_not_hide_a_copy() -> None:
    arrays = Arrays(4)
    with pytest.raises(LinkError):
        ask(arrays, {**RECEIVE, "name": "v@w"})
    assert [volume.name for _, volume in arrays["b"].replication.copies()] == ["peer/a/v_w"]


def test_a_peer_cannot_give_a_copy_another_snapshot_of_the_array() -> None:
    arrays = Arrays(5)
    arrays.change("b", 20, "own")
    own = arrays.snapshot("b", "private", "own")
    with pytest.raises(LinkError):
        ask(arrays, RECEIVE)  # makes the copy; the peer has no such snapshot
    sizes = {"snapshots": [own.guid.hex()], "sizes": [own.size_blocks]}
    with pytest.raises(RequestDenied) as caught:
        ask(arrays, {**PUBLISH, **sizes})
    assert caught.value.code == "unequal"
    assert own.holds == ()
    ((copy, _),) = arrays["b"].replication.copies()
    assert copy.held == ()
    arrays.check_errors()


def test_a_late_settlement_does_not_hide_a_newer_snapshot() -> None:
    arrays = Arrays(6)
    arrays.change("a", 20)
    arrays.protect()
    first = arrays.snapshot("a", "first")
    arrays.until("b", first.guid)
    arrays.settle()
    second = arrays.snapshot("a", "second")
    arrays.until("b", second.guid)
    arrays.settle()
    copy, _ = arrays.copy()
    assert copy.held == (second.guid,)
    arrays["b"].replication.records.put_copy(replace(copy, held=(first.guid, second.guid)))
    document = {"request": "settle", "volume": first.volume_identity.hex(), "snapshot": first.guid.hex()}
    ask(arrays, document)
    assert arrays.copy()[0].held == (first.guid, second.guid)
    ask(arrays, {**document, "snapshot": second.guid.hex()})
    assert arrays.copy()[0].held == (second.guid,)
    arrays.check_errors()
