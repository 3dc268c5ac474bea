"""Commands, task management and progress while a sanitize operation is under way."""

import pytest

from odx_target.scsi.limits import FORMAT_RETRY_S
from odx_target.scsi.unit.sanitize_operation import SanitizeOperation
from odx_target.store.api import OutOfResources
from tests.scsi.array import UnitUnderTest, code_of, data_of
from tests.scsi.sanitizing import (
    BLOCK_ERASE,
    DATA,
    EXIT_FAILURE_MODE,
    HEAD_OF_QUEUE,
    IMMED,
    READ,
    REQUEST_SENSE,
    SANITIZE_IN_PROGRESS,
    TEST_UNIT_READY,
    WRITE,
    cdb,
    content,
    overwrite,
    sanitizing,
    written,
)


@pytest.mark.parametrize(
    ("command", "data"),
    [
        (TEST_UNIT_READY, b""),
        (READ, b""),
        (WRITE, DATA),
        ("04 00 00 00 00 00", b""),
        (cdb(BLOCK_ERASE).hex(), b""),
        (cdb(EXIT_FAILURE_MODE).hex(), b""),
        ("1a 00 3f 00 ff 00", b""),
        ("25" + "00" * 9, b""),
        ("1b 00 00 00 01 00", b""),
        ("1b 01 00 00 02 00", b""),  # LOEJ, which is refused at other times
        ("16 00 00 00 00 00", b""),
    ],
)
def test_commands_during_a_sanitize(command: str, data: bytes) -> None:
    unit = sanitizing()
    reply = unit.start(command, data).reply
    assert code_of(reply) == SANITIZE_IN_PROGRESS
    assert reply.sense[15:18] == b"\x80\0\0", "no progress yet"
    assert unit.start("12 00 00 00 24 00").reply.status == 0
    assert unit.start("a0 00 00 00 00 00 00 00 10 00 00 00").reply.status == 0
    unit.environment.advance(1.0)
    assert data_of(unit.command(READ)) == bytes(4096)
    assert unit.command(TEST_UNIT_READY).status == 0


def test_the_reply_to_immed_comes_when_the_record_is_durable() -> None:
    unit = written()
    unit.pool.flush_failure = OutOfResources("no file descriptors")
    started = unit.start(cdb(BLOCK_ERASE, IMMED))
    unit.environment.advance(FORMAT_RETRY_S / 2)
    assert not started.is_done
    assert DATA in content(unit), "nothing is deallocated before the record is durable"
    unit.pool.flush_failure = None
    unit.environment.advance(2 * FORMAT_RETRY_S)
    assert started.reply.status == 0
    assert data_of(unit.command(READ)) == bytes(4096)


def test_progress_in_both_formats() -> None:
    unit = sanitizing()
    operation = unit.logical_unit.sanitize_operation
    assert operation is not None
    for done, expected in ((0, 0), (1, 0x4000), (2, 0x8000), (4, 0xFFFF)):
        operation.made_progress(done, 4)
        fixed = data_of(unit.start(REQUEST_SENSE).reply)
        assert (fixed[2], fixed[12], fixed[13]) == SANITIZE_IN_PROGRESS
        assert fixed[15:18] == b"\x80" + expected.to_bytes(2, "big")
        described = data_of(unit.start("03 01 00 00 ff 00").reply)
        assert described == bytes.fromhex("72 02 04 1b 00 00 00 08 02 06 00 00 80") + expected.to_bytes(2, "big") + b"\0"
    unit.environment.advance(1.0)


def test_a_pattern_takes_the_second_half_of_the_progress() -> None:
    unit = UnitUnderTest()
    operation = SanitizeOperation(b"\x01", is_restricted=True, make_event=unit.environment.event)
    operation.made_progress(4, 4)
    assert operation.progress == 0x7FFF
    for filled, expected in ((1, 0xA000), (2, 0xC000), (4, 0xFFFF), (5, 0xFFFF)):
        operation.made_filling_progress(filled, 4)
        assert operation.progress == expected


def test_a_sanitize_waits_for_running_commands_and_passes_those_who_wait() -> None:
    unit = UnitUnderTest()
    running = unit.start("93 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00", b"\xcc" * 512)
    waiting = unit.start(WRITE, DATA, attribute=2)
    started = unit.start(cdb(BLOCK_ERASE))
    assert not any(each.is_done for each in (running, waiting, started))
    assert unit.logical_unit.sanitize_operation is None, "it has not begun"
    unit.environment.advance(1.0)
    assert (running.reply.status, started.reply.status) == (0, 0)
    assert started.task.attribute == HEAD_OF_QUEUE
    assert waiting.reply.status == 0 or code_of(waiting.reply) == SANITIZE_IN_PROGRESS
    assert data_of(unit.command("28 00 00 00 00 00 00 00 08 00")) == bytes(4096)


@pytest.mark.parametrize("flags", [0, IMMED])
def test_task_management_does_not_stop_a_sanitize(flags: int) -> None:
    unit = written()
    started = unit.start(cdb(BLOCK_ERASE, flags), tag=77)
    unit.server.abort_task(unit.nexus, 0, 77)
    unit.server.abort_task_set(unit.nexus, 0)
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    unit.server.reset_target(unit.nexus)
    unit.server.clear_tasks(unit.logical_unit)
    unit.server.detach(unit.nexus)
    unit.nexus = unit.new_nexus()
    assert code_of(unit.start(TEST_UNIT_READY).reply) == SANITIZE_IN_PROGRESS
    unit.environment.advance(1.0)
    assert started.reply.status == 0x40
    assert data_of(unit.command(READ)) == bytes(4096)


def test_a_sanitize_that_ends_before_it_is_complete_is_not_reported_as_done() -> None:
    unit = written()
    started = unit.start(cdb(BLOCK_ERASE))
    unit.logical_unit.sanitize_operation = None  # as if the unit were removed
    unit.environment.advance(1.0)
    assert started.reply.status == 0x40
    assert DATA in content(unit)


def test_an_overwrite_waits_while_the_pool_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = UnitUnderTest(size_store_blocks=2048)
    copy_from, calls = unit.volume.copy_from, iter((0, 0))
    monkeypatch.setattr(unit.volume, "copy_from", lambda *copied: next(calls, None) or copy_from(*copied))
    unit.volume.times_busy = 2
    assert unit.command(*overwrite(b"\x77")).status == 0
    assert content(unit) == b"\x77" * (2048 * 4096)
