"""Sanitize operations that fail, and the commands that end the failure."""

import pytest

from odx_target.scsi.unit.sanitize_operation import KEY_PREFIX, recall
from odx_target.store.api import DamagedBlock, PoolFailed, PoolFull
from tests.scsi.array import code_of, data_of
from tests.scsi.sanitizing import (
    AUSE,
    BLOCK_ERASE,
    DATA,
    EXIT_FAILURE_MODE,
    IMMED,
    INVALID_FIELD_IN_CDB,
    READ,
    REQUEST_SENSE,
    SANITIZE_COMMAND_FAILED,
    TEST_UNIT_READY,
    WRITE,
    WRITE_FAULT,
    cdb,
    failed,
    written,
)


@pytest.mark.parametrize("flags", [0, AUSE])
def test_a_failure_is_reported_until_the_next_sanitize(flags: int) -> None:
    unit = failed(flags)
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    unit.nexus.unit_attentions.clear()
    for command in (READ, WRITE, TEST_UNIT_READY, "1a 00 3f 00 ff 00", "04 00 00 00 00 00"):
        assert code_of(unit.command(command, DATA if command == WRITE else b"")) == SANITIZE_COMMAND_FAILED
    assert data_of(unit.command(REQUEST_SENSE))[2:14:10] == b"\x03\x31"
    assert unit.command("12 00 00 00 24 00").status == 0
    assert unit.command(cdb(BLOCK_ERASE, flags)).status == 0
    assert data_of(unit.command(READ)) == bytes(4096)


def test_the_failure_of_an_unrestricted_sanitize_can_be_left() -> None:
    unit = failed(AUSE)
    unit.pool.flushes = 0
    assert unit.command(cdb(EXIT_FAILURE_MODE)).status == 0
    assert unit.pool.flushes == 1
    assert data_of(unit.command(READ)) == DATA, "the operation had deallocated nothing"
    assert not unit.pool.remembered_keys(KEY_PREFIX)


@pytest.mark.parametrize(("command", "pointer"), [(cdb(EXIT_FAILURE_MODE), "cc 00 01"), (cdb(BLOCK_ERASE, AUSE), "cd 00 01")])
def test_only_a_restricted_sanitize_ends_the_failure_of_one(command: bytes, pointer: str) -> None:
    unit = failed()
    reply = unit.command(command)
    assert code_of(reply) == INVALID_FIELD_IN_CDB
    assert reply.sense[15:18] == bytes.fromhex(pointer)
    assert code_of(unit.command(READ)) == SANITIZE_COMMAND_FAILED
    assert unit.command(cdb(BLOCK_ERASE)).status == 0


def test_a_host_that_may_only_read_does_not_leave_the_failure() -> None:
    unit = failed(AUSE)
    unit.logical_unit.set_read_only(read_only=True)
    assert code_of(unit.command(cdb(EXIT_FAILURE_MODE))) == (7, 0x27, 0)
    assert code_of(unit.command(READ)) == SANITIZE_COMMAND_FAILED


def test_without_a_failure_there_is_none_to_leave() -> None:
    unit = written()
    assert unit.command(cdb(EXIT_FAILURE_MODE, AUSE | IMMED)).status == 0
    assert data_of(unit.command(READ)) == DATA


def test_a_sanitize_ends_the_failure_of_a_format() -> None:
    unit = written()
    unit.pool.flush_failure = PoolFailed("the disk is gone")
    assert code_of(unit.command("04 00 00 00 00 00")) == WRITE_FAULT
    unit.pool.flush_failure = None
    assert code_of(unit.command(READ)) == (3, 0x31, 0x01)
    assert unit.command(cdb(BLOCK_ERASE)).status == 0
    assert data_of(unit.command(READ)) == bytes(4096)


def test_a_format_in_the_background_prevents_a_sanitize() -> None:
    unit = written()
    unit.start("04 10 00 00 00 00", bytes.fromhex("00 02 00 00"))
    assert code_of(unit.start(cdb(BLOCK_ERASE)).reply) == (2, 0x04, 0x04)
    unit.environment.advance(1.0)


def test_if_nothing_can_be_recorded_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = written()

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PoolFull("no room")

    monkeypatch.setattr(unit.pool, "remember", refuse)
    assert code_of(unit.command(cdb(BLOCK_ERASE))) == (7, 0x27, 7)
    assert unit.logical_unit.is_ready
    assert data_of(unit.command(READ)) == DATA


@pytest.mark.parametrize("has_failed_before", [False, True])
def test_an_array_that_stops_begins_no_sanitize(has_failed_before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = failed() if has_failed_before else written()
    before = unit.logical_unit.sanitize_operation

    def refuse(*_arguments: object) -> None:
        raise RuntimeError("the array stops")

    monkeypatch.setattr(unit.environment, "start_soon", refuse)
    assert code_of(unit.command(cdb(BLOCK_ERASE))) == (4, 0x44, 0)
    assert unit.logical_unit.sanitize_operation is before
    assert bool(unit.pool.remembered_keys(KEY_PREFIX)) == has_failed_before


def test_a_damaged_map_makes_a_sanitize_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = written()

    def unmap(block: int, _count_blocks: int) -> None:
        raise DamagedBlock(block, "the map cannot be read")

    monkeypatch.setattr(unit.volume, "unmap", unmap)
    assert code_of(unit.command(cdb(BLOCK_ERASE))) == SANITIZE_COMMAND_FAILED
    kept = recall(unit.pool, unit.volume.identity, unit.environment.event)
    assert kept is not None
    assert kept.has_failed
