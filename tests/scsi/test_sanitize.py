"""SANITIZE: what it deletes, which requests are refused, and commands during and after a sanitize operation."""

from collections.abc import Callable

import pytest

from odx_target.scsi.limits import FORMAT_RETRY_S, FORMAT_STEP_BYTES, PATTERN_BYTES
from odx_target.scsi.unit.sanitize_operation import KEY_PREFIX, SanitizeOperation, keep, recall
from odx_target.store.api import DamagedBlock, OutOfResources, PoolDamaged, PoolFailed, PoolFull
from tests.scsi.array import UnitUnderTest, code_of, data_of
from tests.scsi.reserving import ClusterOnDisk

BLOCK_ERASE, CRYPTOGRAPHIC_ERASE, EXIT_FAILURE_MODE = 0x02, 0x03, 0x1F
IMMED, AUSE = 0x80, 0x20
READ, WRITE = "28 00 00 00 00 08 00 00 08 00", "2a 00 00 00 00 08 00 00 08 00"
TEST_UNIT_READY, REQUEST_SENSE = "00 00 00 00 00 00", "03 00 00 00 12 00"
SANITIZE_IN_PROGRESS, SANITIZE_COMMAND_FAILED = (2, 0x04, 0x1B), (3, 0x31, 0x03)
INVALID_FIELD_IN_CDB, WRITE_FAULT = (5, 0x24, 0), (4, 0x03, 0)
HEAD_OF_QUEUE = 3
DATA = b"\xaa" * 4096


def cdb(service_action: int, flags: int = 0, length: int = 0) -> bytes:
    return bytes((0x48, flags | service_action, 0, 0, 0, 0, 0)) + length.to_bytes(2, "big") + b"\0"


def overwrite_list(pattern: bytes, byte_0: int = 1) -> bytes:
    return bytes((byte_0, 0)) + len(pattern).to_bytes(2, "big") + pattern


def overwrite(pattern: bytes, flags: int = 0) -> tuple[bytes, bytes]:
    return cdb(0x01, flags, 4 + len(pattern)), overwrite_list(pattern)


SANITIZES = {
    "overwrite": overwrite(b"\x5a\xa5"),
    "overwrite with zeros": overwrite(bytes(512)),
    "block erase": (cdb(BLOCK_ERASE), b""),
    "cryptographic erase": (cdb(CRYPTOGRAPHIC_ERASE), b""),
}


def in_background(command: bytes) -> bytes:
    return command[:1] + bytes((command[1] | IMMED,)) + command[2:]


def written(**options: object) -> UnitUnderTest:
    unit = UnitUnderTest(**options)  # type: ignore[arg-type]
    assert unit.command(WRITE, DATA).status == 0
    unit.pool.flushes = 0
    return unit


def sanitizing() -> UnitUnderTest:
    """Return a unit with a sanitize operation in the background that has not begun to work."""
    unit = written()
    assert not unit.start(cdb(BLOCK_ERASE, IMMED)).is_done
    return unit


def failed(flags: int = 0) -> UnitUnderTest:
    """Return a unit whose sanitize operation has failed, in a pool that works again."""
    unit = written()
    unit.pool.flush_failure = PoolFailed("the disk is gone")
    assert code_of(unit.command(cdb(BLOCK_ERASE, flags))) == SANITIZE_COMMAND_FAILED
    unit.pool.flush_failure = None
    return unit


def content(unit: UnitUnderTest) -> bytes:
    blocks = unit.volume.blocks
    return b"".join(blocks.get(block, bytes(4096)) for block in range(unit.volume.size_blocks))


@pytest.mark.parametrize("command", [SANITIZES["block erase"], SANITIZES["cryptographic erase"]], ids=["block", "crypto"])
@pytest.mark.parametrize("is_immediate", [False, True])
@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_all_blocks_can_be_read_after_an_erase(command: tuple[bytes, bytes], is_immediate: bool, block_bytes: int) -> None:
    unit = UnitUnderTest(block_bytes)
    last = unit.logical_unit.capacity_blocks - 1
    assert unit.command(bytes((0x2A, 0, *last.to_bytes(4, "big"), 0, 0, 1, 0)), b"\xbb" * block_bytes).status == 0
    assert unit.command("2a 00 00 00 00 00 00 00 01 00", b"\xbb" * block_bytes).status == 0
    reply = unit.command(in_background(command[0]) if is_immediate else command[0])
    assert (reply.status, reply.transfer_bytes) == (0, 0)
    unit.environment.advance(1.0)
    status = data_of(unit.command("9e 12 00 00 00 00 00 00 00 00 00 00 00 ff 00 00"))
    assert int.from_bytes(status[16:20], "big") == last + 1
    assert status[20] == 1, "deallocated"
    assert data_of(unit.command("28 00 00 00 00 00 00 00 01 00")) == bytes(block_bytes)
    assert unit.logical_unit.is_ready
    assert not unit.pool.remembered_keys(KEY_PREFIX)
    assert unit.pool.flushes == 2, "the record, and its end"
    assert not unit.internal_errors


@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize("pattern_bytes", [1, 3, 512])
@pytest.mark.parametrize("store_blocks", [1, 1024, 3000, 5 * 1024])
def test_every_block_begins_with_the_pattern(block_bytes: int, pattern_bytes: int, store_blocks: int) -> None:
    unit = UnitUnderTest(block_bytes, store_blocks)
    pattern = bytes(range(1, 256))[:pattern_bytes].ljust(pattern_bytes, b"\x77")
    command, data = overwrite(pattern)
    reply = unit.command(command, data)
    assert (reply.status, reply.transfer_bytes) == (0, len(data))
    block = (pattern * block_bytes)[:block_bytes]
    assert content(unit) == block * (store_blocks * 4096 // block_bytes)
    assert not unit.internal_errors


def test_a_pattern_of_the_whole_block_and_one_with_bytes_behind_it() -> None:
    unit = written(block_bytes=4096)
    block = bytes(range(256)) * 16
    assert unit.command(*overwrite(block)).status == 0
    assert content(unit) == block * unit.volume.size_blocks
    with_more = overwrite_list(b"\x11\x22") + b"\x33"
    assert unit.command(cdb(0x01, 0, len(with_more)), with_more).status == 0
    assert content(unit) == b"\x11\x22" * 2048 * unit.volume.size_blocks


@pytest.mark.parametrize("byte_0", [0x01, 0x1F, 0x81, 0x82])
def test_passes_and_inversion_end_with_the_pattern_as_it_is(byte_0: int) -> None:
    unit = written()
    data = overwrite_list(b"\x0f", byte_0)
    assert unit.command(cdb(0x01, 0, len(data)), data).status == 0
    assert content(unit) == b"\x0f" * 4096 * unit.volume.size_blocks


@pytest.mark.parametrize("missing", [0, 1, 7])
def test_an_overwrite_ends_at_the_last_block_of_the_unit(missing: int) -> None:
    """The store blocks are larger than the logical blocks. A unit that grows later must have zeros behind its former end."""
    unit = UnitUnderTest(512, PATTERN_BYTES // 4096 + 2)
    unit.logical_unit.capacity_blocks -= missing
    assert unit.command(*overwrite(b"\x77")).status == 0
    size_bytes = unit.logical_unit.capacity_blocks * 512
    assert content(unit) == b"\x77" * size_bytes + bytes(missing * 512)


def test_a_large_unit_shares_the_blocks_of_its_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    gibibytes = 3
    unit = UnitUnderTest(4096, gibibytes << 18)
    shared: list[tuple[int, int]] = []

    def copy_from(source: object, source_block: int, block: int, count_blocks: int) -> int:
        assert source_block == 0
        shared.append((block, count_blocks))
        return count_blocks

    monkeypatch.setattr(unit.volume, "copy_from", copy_from)
    assert unit.command(*overwrite(b"\x77")).status == 0
    assert len(unit.volume.blocks) == PATTERN_BYTES // 4096
    assert shared[0] == (1024, 1024)
    assert max(count for _, count in shared) == FORMAT_STEP_BYTES // 4096
    ends = [block + count for block, count in shared]
    assert [block for block, _ in shared] == [1024, *ends[:-1]]
    assert ends[-1] == gibibytes << 18


@pytest.mark.parametrize(
    ("command", "data", "code", "pointer"),
    [
        ("48 00 00 00 00 00 00 00 00 00", b"", INVALID_FIELD_IN_CDB, "cc 00 01"),
        ("48 04 00 00 00 00 00 00 00 00", b"", INVALID_FIELD_IN_CDB, "cc 00 01"),
        ("48 42 00 00 00 00 00 00 00 00", b"", INVALID_FIELD_IN_CDB, "ce 00 01"),  # ZNR
        ("48 02 00 00 00 00 00 00 08 00", bytes(8), INVALID_FIELD_IN_CDB, "cb 00 08"),
        ("48 03 00 00 00 00 00 01 00 00", bytes(256), INVALID_FIELD_IN_CDB, "c8 00 07"),
        ("48 1f 00 00 00 00 00 00 08 00", bytes(8), INVALID_FIELD_IN_CDB, "cb 00 08"),
        ("48 01 00 00 00 00 00 00 00 00", b"", INVALID_FIELD_IN_CDB, "c0 00 07"),
        ("48 01 00 00 00 00 00 00 04 00", bytes(4), INVALID_FIELD_IN_CDB, "c0 00 07"),
        ("48 01 00 00 00 00 00 02 05 00", bytes(517), INVALID_FIELD_IN_CDB, "c0 00 07"),
        ("48 01 00 00 00 00 00 00 08 00", bytes(7), (5, 0x1A, 0), "00 00 00"),
        ("48 01 00 00 00 00 00 00 08 00", overwrite_list(bytes(4), 0x00), (5, 0x26, 0), "8c 00 00"),  # OVERWRITE COUNT
        ("48 01 00 00 00 00 00 00 08 00", overwrite_list(bytes(4), 0x21), (5, 0x26, 0), "8e 00 00"),  # TEST
        ("48 01 00 00 00 00 00 00 08 00", b"\x01\0\0\0abcd", (5, 0x26, 0), "80 00 02"),
        ("48 01 00 00 00 00 00 00 08 00", b"\x01\0\0\x05abcd", (5, 0x26, 0), "80 00 02"),
    ],
)
def test_refused(command: str, data: bytes, code: tuple[int, int, int], pointer: str) -> None:
    unit = written()
    reply = unit.command(command, data)
    assert code_of(reply) == code
    assert reply.sense[15:18] == bytes.fromhex(pointer)
    assert data_of(unit.command(READ)) == DATA
    assert not unit.pool.remembered_keys(KEY_PREFIX)


def _read_only(unit: UnitUnderTest) -> None:
    unit.logical_unit.set_read_only(read_only=True)


def _stopped(unit: UnitUnderTest) -> None:
    unit.command("1b 00 00 00 00 00")


@pytest.mark.parametrize(("change", "code"), [(_read_only, (7, 0x27, 0)), (_stopped, (2, 0x04, 0x02))])
def test_a_unit_that_accepts_no_writes_is_not_sanitized(
    change: Callable[[UnitUnderTest], None], code: tuple[int, int, int]
) -> None:
    unit = written()
    change(unit)
    assert code_of(unit.command(cdb(BLOCK_ERASE))) == code
    assert DATA in content(unit)


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


def test_an_overwrite_waits_while_the_pool_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = UnitUnderTest(size_store_blocks=2048)
    copy_from, calls = unit.volume.copy_from, iter((0, 0))
    monkeypatch.setattr(unit.volume, "copy_from", lambda *copied: next(calls, None) or copy_from(*copied))
    unit.volume.times_busy = 2
    assert unit.command(*overwrite(b"\x77")).status == 0
    assert content(unit) == b"\x77" * (2048 * 4096)


@pytest.mark.parametrize("command", SANITIZES.values(), ids=SANITIZES)
def test_a_unit_that_shrinks_meanwhile_is_sanitized_to_its_new_end(command: tuple[bytes, bytes]) -> None:
    unit = written(size_store_blocks=2048)

    async def room_made() -> None:
        unit.logical_unit.capacity_blocks = 1537 * 8 - 1
        unit.volume.resize(1537)

    unit.volume.room_made = room_made  # type: ignore[method-assign]
    unit.volume.times_busy = 1
    assert unit.command(*command).status == 0
    assert unit.logical_unit.capacity_blocks == 1537 * 8 - 1
    assert DATA not in content(unit)
    assert content(unit)[-512:] == bytes(512), "the part of the last store block that no host can read"
    assert not unit.internal_errors


@pytest.mark.parametrize("command", [SANITIZES["block erase"], SANITIZES["overwrite"]], ids=["erase", "overwrite"])
def test_a_unit_that_is_not_made_smaller_after_all_is_sanitized_to_its_old_end(command: tuple[bytes, bytes]) -> None:
    unit = UnitUnderTest(4096, 64)
    assert unit.command("2a 00 00 00 00 3f 00 00 01 00", DATA).status == 0
    unit.logical_unit.capacity_blocks = 8  # the first step of a change of the size, which may still fail
    assert unit.command(*command).status == 0
    unit.logical_unit.capacity_blocks = 64
    assert content(unit) == (b"\x5a\xa5" if b"\x5a\xa5" in command[1] else b"\0\0") * (64 * 2048)


def test_a_unit_that_grows_meanwhile_is_filled_to_its_new_end() -> None:
    unit = written(size_store_blocks=2048)
    started = unit.start(*overwrite(b"\x77"))
    unit.volume.resize(3000)
    unit.logical_unit.capacity_blocks = 3000 * 8
    unit.environment.advance(1.0)
    assert started.reply.status == 0
    assert content(unit) == b"\x77" * (3000 * 4096)


def test_a_unit_of_a_part_of_a_store_block_that_grows_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = UnitUnderTest(512, 1)
    unit.logical_unit.capacity_blocks = 3
    flush, flushes = unit.pool.flush, iter((None, OutOfResources("no file descriptors")))

    async def failing_flush() -> None:
        if (failure := next(flushes, None)) is not None:
            raise failure
        await flush()

    monkeypatch.setattr(unit.pool, "flush", failing_flush)
    started = unit.start(*overwrite(b"\x77"))
    unit.environment.advance(FORMAT_RETRY_S / 2)
    assert unit.logical_unit.sanitize_operation is not None
    assert unit.logical_unit.sanitize_operation.filled_blocks == 3
    unit.volume.resize(3)
    unit.logical_unit.capacity_blocks = 24
    unit.environment.advance(FORMAT_RETRY_S)
    assert started.reply.status == 0
    assert content(unit) == b"\x77" * (3 * 4096)


def test_a_record_that_cannot_be_read_is_not_ignored() -> None:
    unit = UnitUnderTest()
    identity, make_event = unit.volume.identity, unit.environment.event
    operation = SanitizeOperation(b"pattern", is_restricted=True, make_event=make_event)
    keep(unit.pool, identity, operation)
    (key,) = unit.pool.remembered_keys(KEY_PREFIX)
    value = unit.pool.remembered(key)
    found = recall(unit.pool, identity, make_event)
    assert value is not None
    assert found is not None
    assert (found.pattern, found.is_restricted, found.has_failed) == (b"pattern", True, False)
    for damaged in (
        b"",
        value[:-1],
        b"\x02" + value[1:],
        *(value[:at] + b"\xff" + value[at + 1 :] for at in range(len(value))),
    ):
        unit.pool.remember(key, damaged)
        with pytest.raises(PoolDamaged):
            recall(unit.pool, identity, make_event)


@pytest.mark.parametrize("command", SANITIZES.values(), ids=SANITIZES)
@pytest.mark.parametrize("ends", [ClusterOnDisk.kill, ClusterOnDisk.lose_power])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13])
def test_a_sanitize_goes_on_after_a_restart(
    command: tuple[bytes, bytes], ends: Callable[[ClusterOnDisk], None], steps: int
) -> None:
    cluster = ClusterOnDisk(1)
    assert cluster.command(WRITE, DATA).status == 0
    assert cluster.command("35" + "00" * 9).status == 0
    cdb_bytes, data = command
    assert cluster.command(in_background(cdb_bytes), data).status == 0
    for _ in range(steps):
        cluster.environment.step()
    ends(cluster)
    reply = cluster.start(READ).reply
    if reply.status:
        assert code_of(reply) == SANITIZE_IN_PROGRESS
    cluster.environment.advance(1.0)
    expected = b"\x5a\xa5" * 2048 if b"\x5a\xa5" in data else bytes(4096)
    assert data_of(cluster.command(READ)) == expected
    assert not cluster.logical_unit.pool.remembered_keys(KEY_PREFIX)
    assert not cluster.internal_errors
    cluster.abandon()


def test_a_restart_does_not_sanitize_again_what_was_written_afterwards() -> None:
    cluster = ClusterOnDisk(1)
    assert cluster.command(cdb(BLOCK_ERASE)).status == 0
    assert cluster.command(WRITE, DATA).status == 0
    cluster.logical_unit.pool.commit()
    cluster.kill()
    cluster.environment.advance(1.0)
    assert data_of(cluster.command(READ)) == DATA
    cluster.abandon()


def test_a_failure_is_still_reported_after_a_restart() -> None:
    cluster = ClusterOnDisk(1)
    pool, identity = cluster.logical_unit.pool, cluster.logical_unit.volume.identity
    operation = SanitizeOperation(b"", is_restricted=True, make_event=cluster.environment.event)
    operation.fail()
    keep(pool, identity, operation)
    pool.commit()
    cluster.kill()
    cluster.environment.advance(1.0)
    assert code_of(cluster.command(READ)) == SANITIZE_COMMAND_FAILED
    assert code_of(cluster.command(cdb(EXIT_FAILURE_MODE))) == INVALID_FIELD_IN_CDB
    assert cluster.command(cdb(BLOCK_ERASE)).status == 0
    cluster.abandon()
