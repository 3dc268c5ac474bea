"""Tests of the list of volumes that goes from one member to the other: neither can name volumes that are not in the group."""

import pytest

from odx_target.replica.link.errors import PeerFault
from odx_target.replica.sync.anchors.anchors import Anchors
from odx_target.replica.sync.group_records import Departure, GroupRecords, GroupSettings
from odx_target.replica.sync.group_volumes import GroupVolumes
from odx_target.replica.sync.stream.preparation import Preparation
from odx_target.replica.sync.stream.shipped_volumes import ShippedVolumes
from odx_target.replica.sync.stream.shipping import Shipping
from odx_target.store.api import BLOCK_BYTES, Absent, Followed, NameTaken, Write
from tests.store.pools import Machine

A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))


class Member:
    """A member with the volume `a` in the group, and the volume `other` outside of it."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.pool = self.machine.pool
        self.pool.create_volume("a", 10, {}, identity=A)
        self.pool.create_volume("other", 10, {}, identity=B)
        self.records = GroupRecords(self.pool, "g")
        settings = GroupSettings("g", bytes(16), bytes(16), (A,), 20.0)
        self.list = GroupVolumes(self.pool, self.records, Anchors(self.pool, "g"), settings)
        self.shipped = ShippedVolumes(self.pool, self.records, self.list)
        self.preparation = Preparation(self.pool, self.records, self.list)


def test_the_primary_takes_no_volume_of_others() -> None:
    member = Member()
    with pytest.raises(PeerFault, match="names others"):
        member.shipped.change([A, B])
    with pytest.raises(NameTaken, match="and not in the group"):
        member.shipped.add(B, "new", 10, {})
    with pytest.raises(NameTaken):
        member.shipped.add(C, "other", 10, {})
    with pytest.raises(PeerFault, match="one of them twice"):
        member.shipped.change([A, A])
    assert member.list.identities == (A,)
    assert set(member.pool.volumes) == {"a", "other"}


def test_a_volume_that_was_made_for_the_group_comes_to_it_or_is_deleted() -> None:
    member = Member()
    member.shipped.add(C, "new", 10, {})
    member.shipped.add(C, "new", 10, {})
    assert "new" in member.pool.volumes
    member.preparation.undo()
    assert set(member.pool.volumes) == {"a", "other"}
    member.shipped.add(C, "new", 10, {})
    member.shipped.change([A, C])
    member.preparation.undo()
    assert [volume.name for volume in member.list.present()] == ["a", "new"]
    member.shipped.change([C])
    assert set(member.pool.volumes) == {"new", "other"}


def test_a_volume_that_has_left_only_here_comes_back() -> None:
    member = Member()
    member.records.keep_departure(Departure(B, deletes=True))
    member.shipped.add(B, "other", 10, {})
    member.shipped.change([A, B])
    assert member.records.departure is None


@pytest.mark.parametrize("departure", [Departure(A, deletes=True), Departure(B, deletes=False), None])
def test_a_departure_survives_a_restart(departure: Departure | None) -> None:
    member = Member()
    member.records.keep_departure(departure)
    member.records.keep_prepared(frozenset({A, C}))
    assert GroupRecords(member.pool, "g").departure == departure
    assert GroupRecords(member.pool, "g").prepared == {A, C}


@pytest.mark.parametrize("value", [b"", b"xyz", b"\xff\xfe", b"01" * 15, b"deleted"])
def test_a_damaged_mark_names_no_volume(value: bytes) -> None:
    member = Member()
    for prefix in ("sync/departure/", "sync/prepared/"):
        member.pool.remember(prefix + "g", value)
    assert member.records.departure is None
    assert not member.records.prepared


def test_a_list_with_a_volume_that_does_not_exist_changes_nothing() -> None:
    member = Member()
    with pytest.raises(Absent):
        member.list.change([A, C], deletes=False)
    assert member.list.identities == (A,)


def test_the_other_member_gets_no_volume_of_others() -> None:
    member = Member()
    number = member.pool.volumes["other"].number
    shipping = Shipping(member.pool, [A, B], "g", own=[A])
    assert shipping.volume(1) is None
    data = memoryview(bytes(BLOCK_BYTES))
    assert list(shipping.shipped(Followed(1, 0, Write(number, 0, 1), 0, data))) == []
    assert list(shipping.shipped(Followed(1, 0, Write(member.pool.volumes["a"].number, 0, 1), 0, data)))
