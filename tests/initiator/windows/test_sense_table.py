"""The table of sense data: the rows that the scripts do not meet, and the order in which rows are compared."""

import struct

import pytest

from odx_target.initiator.result import CommandResult, Status
from odx_target.initiator.windows.disk import DiskUnusable
from odx_target.initiator.windows.host import WindowsHost
from odx_target.initiator.windows.nt_status import NtStatus
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.sense_table import ROWS, Effect, read_result, read_sense_data
from odx_target.initiator.windows.session.multipath import Reaction, reaction_to
from tests.initiator.driving import run
from tests.initiator.naive_target import check_condition
from tests.initiator.windows.bench import Bench
from tests.initiator.windows.scripted import Clock

CASES = [
    # sense, status, delay before the retry
    ("0A/0D/04", NtStatus.SUCCESS, None),
    ("0B/0D/04", NtStatus.SUCCESS, None),
    ("0B/55/03", NtStatus.INSUFFICIENT_RESOURCES, None),
    ("0A/00/00", NtStatus.IO_DEVICE_ERROR, 0),
    ("0B/47/03", NtStatus.IO_DEVICE_ERROR, 0),
    ("05/00/16", NtStatus.OPERATION_IN_PROGRESS, None),
    ("05/08/04", NtStatus.DEVICE_UNREACHABLE, None),
    ("05/0D/04", NtStatus.DATA_OVERRUN, None),
    ("05/1A/00", NtStatus.DATA_OVERRUN, None),
    ("05/20/00", NtStatus.INVALID_DEVICE_REQUEST, None),
    ("05/21/00", NtStatus.NONEXISTENT_SECTOR, None),
    ("05/23/00", NtStatus.INVALID_TOKEN, None),
    ("05/23/0A", NtStatus.INVALID_TOKEN, None),
    ("05/24/00", NtStatus.INVALID_INITIATOR_TARGET_PATH, None),
    ("05/25/00", NtStatus.NO_SUCH_DEVICE, None),
    ("05/26/04", NtStatus.INVALID_OFFSET_ALIGNMENT, None),
    ("05/26/08", NtStatus.TOO_MANY_SEGMENT_DESCRIPTORS, None),
    ("05/26/00", NtStatus.INVALID_FIELD_IN_PARAMETER_LIST, None),
    ("05/2C/00", NtStatus.INVALID_DEVICE_REQUEST, None),
    ("02/04/01", NtStatus.DEVICE_NOT_READY, 10),
    ("02/04/07", NtStatus.DEVICE_NOT_READY, 10),
    ("02/04/14", NtStatus.RETRY, 10),
    ("02/04/03", NtStatus.DEVICE_NOT_READY, None),
    ("02/04/02", NtStatus.DEVICE_NOT_READY, 0),
    ("02/3A/00", NtStatus.DEVICE_NOT_READY, 0),
    ("03/11/00", NtStatus.DEVICE_DATA_ERROR, None),
    ("04/08/03", NtStatus.DEVICE_HARDWARE_ERROR, 1),
    ("04/44/00", NtStatus.DEVICE_HARDWARE_ERROR, None),
    ("06/29/01", NtStatus.IO_DEVICE_ERROR, 0),
    ("06/2A/09", NtStatus.IO_DEVICE_ERROR, 1),
    ("06/3F/01", NtStatus.IO_DEVICE_ERROR, 1),
    ("06/3F/0E", NtStatus.IO_DEVICE_ERROR, 5),
    ("06/38/07", NtStatus.IO_DEVICE_ERROR, 0),
    ("06/38/00", NtStatus.IO_DEVICE_ERROR, None),
    ("07/27/07", NtStatus.DISK_RESOURCES_EXHAUSTED, None),
    ("07/27/00", NtStatus.IO_DEVICE_ERROR, None),
    ("07/20/02", NtStatus.ACCESS_DENIED, None),
    ("08/00/00", NtStatus.NO_DATA_DETECTED, None),
]


@pytest.mark.parametrize(("sense", "status", "delay_s"), CASES)
def test_a_row(sense: str, status: NtStatus, delay_s: float | None) -> None:
    key, asc, ascq = (int(part, 16) for part in sense.split("/"))
    reading = read_result(check_condition(key, asc, ascq))
    assert (reading.status, reading.retry_delay_s) == (status, delay_s)


def test_every_row_can_be_met() -> None:
    for number, row in enumerate(ROWS):
        sense = read_sense_data(check_condition(row.key, row.asc or 0x7F, row.ascq or 0x7F).sense).sense
        assert sense is not None
        if row.asc is None or row.ascq is None:
            continue
        exact = read_sense_data(check_condition(row.key, row.asc, row.ascq).sense).sense
        assert exact is not None
        assert next(at for at, other in enumerate(ROWS) if other.fits(exact)) == number


@pytest.mark.parametrize(
    ("status", "reading"),
    [
        (Status.GOOD, NtStatus.SUCCESS),
        (Status.RESERVATION_CONFLICT, NtStatus.DEVICE_BUSY),
        (Status.BUSY, NtStatus.DEVICE_NOT_READY),
        (Status.TASK_SET_FULL, NtStatus.DEVICE_BUSY),
        (Status.TASK_ABORTED, NtStatus.IO_DEVICE_ERROR),
        (0x77, NtStatus.IO_DEVICE_ERROR),
        (Status.CHECK_CONDITION, NtStatus.IO_DEVICE_ERROR),
    ],
)
def test_statuses_without_sense(status: int, reading: NtStatus) -> None:
    assert read_result(CommandResult(status)).status is reading


def test_a_unit_that_is_not_started_is_started() -> None:
    bench = Bench().start()
    answers = [check_condition(2, 4, 2)]
    bench.source.answer = lambda cdb, data: answers.pop() if cdb[0] == 0x28 and answers else None
    run(bench.disks[0].read(0, 1))
    assert [cdb[0] for cdb in bench.source.cdbs()] == [0x28, 0x1B, 0x28]


def test_delays_are_waited_for() -> None:
    bench = Bench().start()
    answers = [check_condition(2, 4, 1), check_condition(6, 0x3F, 0x0E)]
    bench.source.answer = lambda cdb, data: answers.pop() if cdb[0] == 0x28 and answers else None
    began_s = bench.clock.now()
    run(bench.disks[0].read(0, 1))
    assert bench.clock.now() - began_s == 15


def test_effects() -> None:
    assert read_result(check_condition(7, 0x27, 7)).effect is Effect.OFFLINE
    assert reaction_to(read_result(check_condition(5, 0x25, 0)).sense) is Reaction.FAIL_OVER
    assert reaction_to(read_result(check_condition(6, 0x29, 0)).sense) is None
    assert reaction_to(None) is None


NOTED = {"06/2A/09": Rule.CAPACITY_CHANGED, "06/3F/03": Rule.INQUIRY_CHANGED, "06/38/07": Rule.SOFT_THRESHOLD}


@pytest.mark.parametrize("sense", NOTED)
def test_what_is_told_of_an_ending(sense: str) -> None:
    key, asc, ascq = (int(part, 16) for part in sense.split("/"))
    bench = Bench().start()
    answers = [check_condition(key, asc, ascq)]
    bench.source.answer = lambda cdb, data: answers.pop() if cdb[0] == 0x28 and answers else None
    run(bench.disks[0].read(0, 1))
    assert bench.rules() == [NOTED[sense]]
    asked = [cdb for cdb in bench.source.cdbs() if cdb[0] == 0x12]
    assert asked == ([bytes.fromhex("12 01 B0 00 FF 00")] if sense == "06/3F/03" else [])  # page 8Fh is not read again


def log_page(*counts: tuple[int, int, int], cut_bytes: int = 28) -> CommandResult:
    """Return the reply of LOG SENSE with parameters: code, number of threshold sets, scope."""
    parameters = [struct.pack(">HBBLB3x", code, 3, 8, count, scope) for code, count, scope in counts]
    body = b"".join(parameters)
    return CommandResult(0, (struct.pack(">BxH", 0x8C, len(body)) + body)[:cut_bytes])


THIN_PAGE = bytes((11, 0x80, 2, 0))
"""The body of VPD page B2h: threshold sets of 2^11 blocks, LBPU, thin provisioned."""


@pytest.mark.parametrize(
    ("page", "event"),
    [
        (log_page((1, 2, 2), (2, 8, 2)), "149: 8388608 bytes of the pool used, 2097152 bytes of the pool available"),
        (log_page((1, 2, 1), (2, 8, 2)), "148: 8388608 bytes of the pool used, 2097152 bytes of the disk available"),
        (log_page((1, 2, 2), (2, 8, 1)), "147: 8388608 bytes of the disk used, 2097152 bytes of the pool available"),
        (log_page((1, 2, 1), (2, 8, 1)), "146: 8388608 bytes of the disk used, 2097152 bytes of the disk available"),
        (log_page((1, 2, 0), (2, 8, 2)), "145: 8388608 bytes of the pool used, 2097152 bytes available"),
        (log_page((2, 8, 2)), "144"),
        (log_page((0x100, 0, 2), (1, 2, 2), (2, 8, 2)), "144"),
        (log_page((1, 2, 2), (2, 8, 2), cut_bytes=20), "144"),
        (check_condition(5, 0x20, 0), "144"),
        (None, "144"),
    ],
)
def test_a_soft_threshold_is_an_event_with_the_room_of_the_log_page(page: CommandResult | None, event: str) -> None:
    bench = Bench()
    bench.source.pages[0xB2] = THIN_PAGE
    if page is None:
        del bench.source.pages[0xB2]
    bench.start()
    answers = [check_condition(6, 0x38, 7)]

    def answer(cdb: bytes, data: bytes) -> CommandResult | None:
        if cdb[0] == 0x4D:
            return page
        return answers.pop() if cdb[0] == 0x28 and answers else None

    bench.source.answer = answer
    run(bench.disks[0].read(0, 1))
    (finding,) = bench.host.journal.findings
    assert (finding.rule, finding.detail) == (Rule.SOFT_THRESHOLD, f"disk event {event}")
    asked = [bytes.fromhex("4d 00 0c 00 00 00 00 00 1c 00")] if page is not None else []
    assert bench.source.cdbs(0x4D) == asked
    assert len(bench.source.cdbs(0x28)) == 2


@pytest.mark.parametrize("count", [32, 33])
def test_reads_and_writes_meet_many_thresholds(count: int) -> None:
    bench = Bench().start()
    answers = [check_condition(6, 0x38, 7)] * count + [check_condition(6, 0x29, 0)] * 4
    bench.source.answer = lambda cdb, data: answers.pop(0) if cdb[0] == 0x28 and answers else None
    if count > 32:
        with pytest.raises(DiskUnusable):
            run(bench.disks[0].read(0, 1))
    else:
        run(bench.disks[0].read(0, 1))
        assert not answers, "the ordinary retries are left"


@pytest.mark.parametrize("count", [32, 33])
def test_reads_and_writes_wait_long_for_a_thin_disk(count: int) -> None:
    bench = Bench().start()
    answers = [check_condition(2, 4, 0x14)] * count
    bench.source.answer = lambda cdb, data: answers.pop() if cdb[0] == 0x28 and answers else None
    began_s = bench.clock.now()
    if count > 32:
        with pytest.raises(DiskUnusable):
            run(bench.disks[0].read(0, 1))
    else:
        run(bench.disks[0].read(0, 1))
    assert bench.clock.now() - began_s == 320


def test_ordinary_commands_are_sent_five_times_and_hardware_errors_once() -> None:
    for sense, times in ((check_condition(6, 0x29, 0), 5), (check_condition(4, 0x44, 0), 1)):
        bench = Bench().start()
        bench.source.answer = lambda cdb, data, sense=sense: sense if cdb[0] == 0x28 else None
        with pytest.raises(DiskUnusable):
            run(bench.disks[0].read(0, 1))
        assert len(bench.source.cdbs(0x28)) == times


def test_hosts_share_nothing() -> None:
    one, two = WindowsHost(Clock()), WindowsHost(Clock())
    assert one.list_identifiers.take() == two.list_identifiers.take() == 0
    assert one.list_identifiers.take() == 1
