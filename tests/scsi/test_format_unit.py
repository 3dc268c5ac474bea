"""FORMAT UNIT: what it deletes, which requests are refused, and commands during and after a format operation."""

import pytest

from odx_target.scsi.limits import FORMAT_RETRY_S
from odx_target.store.api import OutOfResources, PoolFailed
from tests.scsi.array import UnitUnderTest, code_of, data_of
from tests.scsi.reserving import ClusterOnDisk

FORMAT, WITH_LIST, WITH_LONG_LIST = "04 00 00 00 00 00", "04 10 00 00 00 00", "04 30 00 00 00 00"
IMMED, IMMED_LONG = bytes.fromhex("00 02 00 00"), bytes.fromhex("00 02 00 00 00 00 00 00")
READ, WRITE = "28 00 00 00 00 08 00 00 08 00", "2a 00 00 00 00 08 00 00 08 00"
TEST_UNIT_READY, REQUEST_SENSE = "00 00 00 00 00 00", "03 00 00 00 12 00"
FORMAT_IN_PROGRESS, FORMAT_COMMAND_FAILED = (2, 0x04, 0x04), (3, 0x31, 0x01)
DATA = b"\xaa" * 4096


def written(**options: object) -> UnitUnderTest:
    unit = UnitUnderTest(**options)  # type: ignore[arg-type]
    assert unit.command(WRITE, DATA).status == 0
    unit.pool.flushes = 0
    return unit


def formatting(flush_failure: Exception | None = None) -> UnitUnderTest:
    """Return a unit with a format operation in the background that has not begun to work."""
    unit = written()
    unit.pool.flush_failure = flush_failure
    assert unit.start(WITH_LIST, IMMED).reply.status == 0
    return unit


@pytest.mark.parametrize(
    ("cdb", "data"),
    [(FORMAT, b""), (WITH_LIST, bytes(4)), (WITH_LONG_LIST, bytes(8)), (WITH_LIST, IMMED), (WITH_LONG_LIST, IMMED_LONG)],
)
@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_all_blocks_are_deallocated_durably(cdb: str, data: bytes, block_bytes: int) -> None:
    unit = UnitUnderTest(block_bytes)
    last = unit.logical_unit.capacity_blocks - 1
    write = bytes((0x2A, 0, *last.to_bytes(4, "big"), 0, 0, 1, 0))
    assert unit.command(write, b"\xbb" * block_bytes).status == 0
    assert unit.command("2a 00 00 00 00 00 00 00 01 00", b"\xbb" * block_bytes).status == 0
    reply = unit.command(cdb, data)
    assert (reply.status, reply.transfer_bytes) == (0, len(data))
    unit.environment.advance(1.0)
    assert unit.pool.flushes == 1
    status = data_of(unit.command("9e 12 00 00 00 00 00 00 00 00 00 00 00 ff 00 00"))
    assert int.from_bytes(status[16:20], "big") == last + 1
    assert status[20] == 1, "deallocated"
    assert unit.logical_unit.is_ready
    assert not unit.internal_errors


@pytest.mark.parametrize(
    ("cdb", "data", "code", "pointer"),
    [
        ("04 40 00 00 00 00", b"", (5, 0x24, 0), "ce 00 01"),  # FMTPINFO
        ("04 00 01 00 00 00", b"", (5, 0x24, 0), "c8 00 02"),
        ("04 00 00 00 01 00", b"", (5, 0x24, 0), "c8 00 04"),  # FFMT
        ("04 14 00 00 00 00", bytes(4), (5, 0x24, 0), "ca 00 01"),  # DEFECT LIST FORMAT
        (WITH_LIST, b"", (5, 0x1A, 0), "00 00 00"),
        (WITH_LIST, bytes(3), (5, 0x1A, 0), "00 00 00"),
        (WITH_LONG_LIST, bytes(7), (5, 0x1A, 0), "00 00 00"),
        (WITH_LIST, b"\x01\0\0\0", (5, 0x26, 0), "80 00 00"),  # PROTECTION FIELD USAGE
        (WITH_LIST, b"\0\x40\0\0", (5, 0x26, 0), "8e 00 01"),  # DPRY without FOV
        (WITH_LIST, b"\0\x20\0\0", (5, 0x26, 0), "8d 00 01"),  # DCRT without FOV
        (WITH_LIST, b"\0\x10\0\0", (5, 0x26, 0), "8c 00 01"),  # STPF without FOV
        (WITH_LIST, b"\0\x08\0\0", (5, 0x26, 0), "8b 00 01"),  # IP without FOV
        (WITH_LIST, b"\0\x88\0\0", (5, 0x26, 0), "8b 00 01"),  # IP
        (WITH_LIST, b"\0\0\0\x08", (5, 0x26, 0), "80 00 02"),  # DEFECT LIST LENGTH
        (WITH_LONG_LIST, b"\0\0\0\x10\0\0\0\0", (5, 0x26, 0), "80 00 03"),  # P_I_INFORMATION
        (WITH_LONG_LIST, b"\0\0\0\x01\0\0\0\0", (5, 0x26, 0), "80 00 03"),  # PROTECTION INTERVAL EXPONENT
        (WITH_LONG_LIST, b"\0\0\0\0\0\0\0\x08", (5, 0x26, 0), "80 00 04"),
    ],
)
def test_refused(cdb: str, data: bytes, code: tuple[int, int, int], pointer: str) -> None:
    unit = written()
    reply = unit.command(cdb, data)
    assert code_of(reply) == code
    assert reply.sense[15:18] == bytes.fromhex(pointer)
    assert data_of(unit.command(READ)) == DATA


def test_format_options_and_a_complete_list_change_nothing() -> None:
    unit = written()
    assert unit.command("04 18 00 00 00 00", b"\0\xf0\0\0").status == 0
    assert data_of(unit.command(READ)) == bytes(4096)


def test_a_write_protected_unit_is_not_formatted() -> None:
    unit = written()
    unit.logical_unit.set_read_only(read_only=True)
    assert code_of(unit.command(FORMAT)) == (7, 0x27, 0)
    assert data_of(unit.command(READ)) == DATA


def test_a_stopped_unit_is_not_formatted() -> None:
    unit = written()
    unit.command("1b 00 00 00 04 00")
    assert code_of(unit.command(FORMAT)) == (2, 0x04, 0x02)


@pytest.mark.parametrize(
    ("cdb", "data"),
    [
        (TEST_UNIT_READY, b""),
        (READ, b""),
        (WRITE, DATA),
        (FORMAT, b""),
        ("1a 00 3f 00 ff 00", b""),
        ("25" + "00" * 9, b""),
        ("1b 00 00 00 01 00", b""),
        ("16 00 00 00 00 00", b""),
    ],
)
def test_commands_during_a_format(cdb: str, data: bytes) -> None:
    unit = formatting()
    reply = unit.start(cdb, data).reply
    assert code_of(reply) == FORMAT_IN_PROGRESS
    assert reply.sense[15:18] == b"\x80\0\0", "no progress yet"
    assert unit.start("12 00 00 00 24 00").reply.status == 0
    assert unit.start("a0 00 00 00 00 00 00 00 10 00 00 00").reply.status == 0
    unit.environment.advance(1.0)
    assert data_of(unit.command(READ)) == bytes(4096)
    assert unit.command(TEST_UNIT_READY).status == 0


def test_progress_in_both_formats() -> None:
    unit = formatting()
    operation = unit.logical_unit.format_operation
    assert operation is not None
    for done, expected in ((0, 0), (1, 0x4000), (2, 0x8000), (4, 0xFFFF)):
        operation.made_progress(done, 4)
        fixed = data_of(unit.start(REQUEST_SENSE).reply)
        assert (fixed[2], fixed[12], fixed[13]) == FORMAT_IN_PROGRESS
        assert fixed[15:18] == b"\x80" + expected.to_bytes(2, "big")
        described = data_of(unit.start("03 01 00 00 ff 00").reply)
        assert described == bytes.fromhex("72 02 04 04 00 00 00 08 02 06 00 00 80") + expected.to_bytes(2, "big") + b"\0"
    unit.environment.advance(1.0)
    assert data_of(unit.command(REQUEST_SENSE))[2:14:10] == b"\0\0"


def test_a_format_waits_for_commands_before_it_and_commands_behind_it_wait() -> None:
    unit = UnitUnderTest()
    before = unit.start("93 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00", b"\xcc" * 512)
    started = unit.start(FORMAT)
    behind = unit.start(WRITE, DATA)
    assert not any(each.is_done for each in (before, started, behind))
    assert unit.logical_unit.format_operation is None, "it has not begun"
    unit.environment.advance(1.0)
    assert [each.reply.status for each in (before, started, behind)] == [0, 0, 0]
    assert data_of(unit.command(READ)) == DATA
    assert data_of(unit.command("28 00 00 00 00 00 00 00 08 00")) == bytes(4096)


def test_a_reset_stops_a_format_in_the_background() -> None:
    unit = formatting()
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    unit.nexus.unit_attentions.clear()
    assert unit.logical_unit.is_ready
    unit.environment.advance(1.0)
    assert data_of(unit.command(READ)) == DATA, "nothing was reached before the reset"


@pytest.mark.parametrize("data", [bytes(4), IMMED])
def test_a_format_ends_before_a_unit_is_restored_or_removed(data: bytes) -> None:
    unit = written()
    unit.start(WITH_LIST, data)
    unit.server.clear_tasks(unit.logical_unit)
    unit.nexus.unit_attentions.clear()
    unit.environment.advance(1.0)
    assert unit.logical_unit.is_ready
    assert data_of(unit.command(READ)) == DATA


def test_a_reset_aborts_a_format() -> None:
    unit = written()
    started = unit.start(FORMAT)
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    unit.nexus.unit_attentions.clear()
    unit.environment.advance(1.0)
    assert started.reply.status == 0x40
    assert unit.logical_unit.is_ready
    assert data_of(unit.command(READ)) == DATA


@pytest.mark.parametrize("is_reset", [False, True])
def test_a_failed_format_is_reported_until_the_next_one(is_reset: bool) -> None:
    unit = formatting(PoolFailed("the disk is gone"))
    unit.environment.advance(1.0)
    if is_reset:
        unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
        unit.nexus.unit_attentions.clear()
    for cdb in (READ, WRITE, TEST_UNIT_READY):
        assert code_of(unit.command(cdb, DATA if cdb == WRITE else b"")) == FORMAT_COMMAND_FAILED
    assert data_of(unit.command(REQUEST_SENSE))[2:14:10] == b"\x03\x31"
    assert unit.command("1a 00 3f 00 ff 00").status == 0
    assert unit.command("1b 00 00 00 01 00").status == 0
    assert code_of(unit.command(READ)) == FORMAT_COMMAND_FAILED
    assert code_of(unit.command(FORMAT)) == (4, 0x03, 0), "PERIPHERAL DEVICE WRITE FAULT"
    started = unit.start(FORMAT)
    unit.server.abort_task_set(unit.nexus, 0)
    unit.environment.advance(1.0)
    assert started.reply.status == 0x40
    assert code_of(unit.command(READ)) == FORMAT_COMMAND_FAILED, "an aborted format does not repair it"
    unit.pool.flush_failure = None
    assert unit.command(FORMAT).status == 0
    assert data_of(unit.command(READ)) == bytes(4096)


def test_scarcity_passes() -> None:
    unit = formatting(OutOfResources("no file descriptors"))
    unit.environment.advance(FORMAT_RETRY_S / 2)
    assert code_of(unit.command(READ)) == FORMAT_IN_PROGRESS
    unit.pool.flush_failure = None
    unit.environment.advance(FORMAT_RETRY_S)
    assert data_of(unit.command(READ)) == bytes(4096)


def test_scarcity_ends_a_format_in_the_foreground_with_busy() -> None:
    unit = written()
    unit.pool.flush_failure = OutOfResources("no file descriptors")
    assert unit.command(FORMAT).status == 8
    assert unit.logical_unit.is_ready


def test_after_scarcity_a_format_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = formatting(OutOfResources("no file descriptors"))
    unit.environment.advance(FORMAT_RETRY_S / 2)
    operation = unit.logical_unit.format_operation
    assert operation is not None
    assert operation.progress == 0xFFFF

    deallocated: list[object] = []
    monkeypatch.setattr(unit.volume, "unmap", lambda *range_: deallocated.append(range_))
    unit.pool.flush_failure = None
    unit.environment.advance(FORMAT_RETRY_S)
    assert unit.logical_unit.is_ready
    assert not deallocated


@pytest.mark.parametrize("data", [bytes(4), IMMED])
def test_a_unit_that_becomes_read_only_meanwhile_keeps_the_rest(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = written()

    async def room_made() -> None:
        unit.logical_unit.set_read_only(read_only=True)

    monkeypatch.setattr(unit.volume, "room_made", room_made)
    unit.volume.times_busy = 1
    started = unit.start(WITH_LIST, data)
    unit.environment.advance(1.0)
    assert unit.logical_unit.is_ready
    if data == IMMED:
        assert started.reply.status == 0
    else:
        assert code_of(started.reply) == (7, 0x27, 0)
    assert data_of(unit.command(READ)) == DATA


@pytest.mark.parametrize("data", [bytes(4), IMMED])
def test_a_damaged_block_that_is_only_in_part_within_the_capacity_is_deallocated(data: bytes) -> None:
    unit = written()
    unit.logical_unit.capacity_blocks = 1001
    unit.volume.blocks[125] = DATA
    unit.volume.damaged = {125}
    assert unit.command(WITH_LIST, data).status == 0
    unit.environment.advance(1.0)
    assert unit.logical_unit.is_ready
    assert 125 not in unit.volume.blocks


def test_failed_formats_do_not_pile_up() -> None:
    unit = written()
    unit.pool.flush_failure = PoolFailed("the disk is gone")
    for _ in range(3):
        assert code_of(unit.command(FORMAT)) == (4, 0x03, 0)
    assert unit.logical_unit.format_operation is not None
    assert unit.logical_unit.format_operation.previous is None


def test_a_unit_that_shrinks_meanwhile_is_formatted_to_its_new_end() -> None:
    unit = formatting()
    unit.logical_unit.capacity_blocks = 1001
    unit.environment.advance(1.0)
    assert unit.logical_unit.is_ready
    assert not unit.internal_errors


def test_a_unit_that_shrinks_during_a_step_is_formatted_to_its_new_end(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = formatting()

    async def room_made() -> None:
        unit.logical_unit.capacity_blocks = 800
        unit.volume.resize(100)

    monkeypatch.setattr(unit.volume, "room_made", room_made)
    unit.volume.times_busy = 1
    unit.environment.advance(1.0)
    assert unit.logical_unit.capacity_blocks == 800
    assert unit.logical_unit.is_ready
    assert data_of(unit.command("28 00 00 00 00 08 00 00 08 00")) == bytes(4096)


@pytest.mark.parametrize("data", [bytes(4), IMMED])
def test_a_format_survives_a_loss_of_power(data: bytes) -> None:
    cluster = ClusterOnDisk(1)
    assert cluster.command(WRITE, DATA).status == 0
    assert cluster.command("35" + "00" * 9).status == 0
    assert cluster.command(WITH_LIST, data).status == 0
    while data_of(cluster.start(REQUEST_SENSE).reply)[2]:
        cluster.environment.advance(0.01)
    cluster.lose_power()
    assert data_of(cluster.command(READ)) == bytes(4096)
    cluster.abandon()


def test_a_loss_of_power_during_a_format_leaves_old_data_or_zeros() -> None:
    cluster = ClusterOnDisk(1)
    assert cluster.command(WRITE, DATA).status == 0
    assert cluster.command("35" + "00" * 9).status == 0
    assert cluster.start(WITH_LIST, IMMED).reply.status == 0
    cluster.lose_power()
    assert data_of(cluster.command(READ)) == DATA, "nothing was reached"
    assert cluster.command(FORMAT).status == 0
    assert data_of(cluster.command(READ)) == bytes(4096)
    cluster.abandon()
