"""Tests of the limits of groups, and of records that survive a restart or are damaged."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from odx_target.replica.link.limits import MAX_TEXT_BYTES
from odx_target.replica.membership.messages import MemberRecord
from odx_target.replica.membership.register import Register
from odx_target.replica.membership.witness import LastChange, WitnessRecord
from odx_target.replica.sync.group_records import (
    MEMBER_PREFIX,
    SETTINGS_PREFIX,
    WITNESS_PREFIX,
    GroupRecords,
    GroupSettings,
    InvalidGroupRecord,
    decode_witness,
    encode_witness,
)
from odx_target.replica.sync.group_table import GroupRefused, GroupTable
from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES, MAX_GROUPS, MAX_OUT_OF_SYNC_S, MIN_OUT_OF_SYNC_S
from odx_target.replica.sync.witness_desk import WitnessDesk
from odx_target.store.api import StoreError
from tests.store.pools import Machine

PEER, WITNESS = b"p" * 16, b"w" * 16
REGISTER = Register(1, "a", frozenset("a"))
RECORD = MemberRecord(3, REGISTER, 7, frozenset({1, 2}), is_adding=True)
SETTINGS = GroupSettings("db", PEER, WITNESS, (b"v" * 16,), 20.0)


def table(machine: Machine) -> GroupTable:
    return GroupTable(machine.pool, machine.environment, list)


def volumes(count: int) -> tuple[bytes, ...]:
    return tuple(number.to_bytes(16, "big") for number in range(1, count + 1))


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, volumes=volumes(MAX_GROUP_VOLUMES)),
        replace(SETTINGS, out_of_sync_s=MIN_OUT_OF_SYNC_S),
        replace(SETTINGS, out_of_sync_s=MAX_OUT_OF_SYNC_S),
        replace(SETTINGS, name="n" * MAX_TEXT_BYTES),
    ],
)
def test_a_group_at_a_limit_survives_a_restart(settings: GroupSettings) -> None:
    machine = Machine()
    table(machine).add(settings, RECORD)
    machine.environment.settle()
    machine.pool.commit()
    machine.flush()
    machine.lose_power()
    records = GroupRecords(machine.pool, settings.name)
    assert records.settings() == settings
    assert records.member() == replace(RECORD, life=RECORD.life + 1), "the first life has begun"
    found = table(machine)
    found.start()
    assert list(found.groups) == [settings.name]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(SETTINGS, volumes=volumes(MAX_GROUP_VOLUMES + 1)), "a group has 1 to 256 volumes"),
        (replace(SETTINGS, volumes=()), "a group has 1 to 256 volumes"),
        (replace(SETTINGS, volumes=(b"v" * 16,) * 2), "a volume is in one group only"),
        (replace(SETTINGS, out_of_sync_s=MIN_OUT_OF_SYNC_S - 1), "out of sync is 6 to 600 s"),
        (replace(SETTINGS, out_of_sync_s=MAX_OUT_OF_SYNC_S + 1), "out of sync is 6 to 600 s"),
        (replace(SETTINGS, name=""), "the name of a group"),
        (replace(SETTINGS, name="n" * (MAX_TEXT_BYTES + 1)), "the name of a group"),
        (replace(SETTINGS, name="a\nb"), "the name of a group"),
        (replace(SETTINGS, witness_pool=PEER), "are three arrays"),
    ],
)
def test_a_group_beyond_a_limit_is_refused(settings: GroupSettings, message: str) -> None:
    machine = Machine()
    with pytest.raises(GroupRefused, match=message):
        table(machine).add(settings, RECORD)
    assert machine.pool.remembered_keys(SETTINGS_PREFIX) == []


def test_an_array_has_only_some_groups() -> None:
    machine = Machine()
    found = table(machine)
    for number, volume in enumerate(volumes(MAX_GROUPS)):
        found.add(replace(SETTINGS, name=f"g{number}", volumes=(volume,)), RECORD)
    with pytest.raises(GroupRefused, match="which is the limit"):
        found.add(SETTINGS, RECORD)
    with pytest.raises(GroupRefused, match="there is a group g0 already"):
        found.add(replace(SETTINGS, name="g0"), RECORD)


def test_an_array_is_the_witness_of_only_some_groups() -> None:
    machine = Machine()
    desk = WitnessDesk(machine.pool, machine.environment)
    for number in range(MAX_GROUPS):
        desk.add(f"g{number}", ("a", "b"), WitnessRecord(number, REGISTER))
    with pytest.raises(StoreError, match="which is the limit"):
        desk.add("more", ("a", "b"), WitnessRecord(1, REGISTER))
    with pytest.raises(StoreError, match="of a group g0 already"):
        desk.add("g0", ("a", "b"), WitnessRecord(1, REGISTER))


def test_the_record_of_a_witness_survives_a_restart() -> None:
    for register in (REGISTER, None):
        record = WitnessRecord(9, register, {"a": 3, "b": 4}, {"a": LastChange(2, is_done=True)})
        assert decode_witness("db", encode_witness(("a", "b"), record)) == (("a", "b"), record)


def _garble(machine: Machine, key: str) -> None:
    machine.pool.remember(key, b'{"life": "x"}')
    machine.pool.commit()


@pytest.mark.parametrize("prefix", [SETTINGS_PREFIX, MEMBER_PREFIX])
def test_a_damaged_record_is_named_and_ends_nothing(prefix: str) -> None:
    machine = Machine()
    table(machine).add(SETTINGS, RECORD)
    _garble(machine, prefix + "db")
    found = table(machine)
    found.start()
    assert (found.unreadable, found.groups) == (["db"], {})
    read: Callable[[], object] = (
        GroupRecords(machine.pool, "db").settings if prefix == SETTINGS_PREFIX else GroupRecords(machine.pool, "db").member
    )
    with pytest.raises(InvalidGroupRecord, match="of the group db cannot be read"):
        read()


def test_a_damaged_record_of_the_witness_is_named() -> None:
    machine = Machine()
    _garble(machine, WITNESS_PREFIX + "db")
    desk = WitnessDesk(machine.pool, machine.environment)
    assert desk.unreadable == ["db"]
    assert not desk.has("db", PEER)
