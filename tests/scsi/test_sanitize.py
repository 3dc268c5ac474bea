"""SANITIZE: the data that it deletes, the patterns that it writes, and the requests that are refused."""

from collections.abc import Callable

import pytest

from odx_target.scsi.limits import PATTERN_BYTES
from odx_target.scsi.unit.sanitize_operation import KEY_PREFIX
from tests.scsi.array import UnitUnderTest, code_of, data_of
from tests.scsi.sanitizing import (
    BLOCK_ERASE,
    DATA,
    INVALID_FIELD_IN_CDB,
    READ,
    SANITIZES,
    cdb,
    content,
    in_background,
    overwrite,
    overwrite_list,
    written,
)


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


@pytest.mark.parametrize("count", [1, 2, 3, 30, 31])
@pytest.mark.parametrize("pattern", [b"\x0f\x33", b"\xff"])
def test_passes_leave_what_the_last_one_writes(pattern: bytes, count: int) -> None:
    """The pattern is inverted between consecutive passes if INVERT is set."""
    inverted = bytes(255 - byte for byte in pattern)
    for invert, last in ((0x00, pattern), (0x80, pattern if count % 2 else inverted)):
        unit = written()
        data = overwrite_list(pattern, invert | count)
        assert unit.command(cdb(0x01, 0, len(data)), data).status == 0
        assert content(unit) == (last * 4096)[:4096] * unit.volume.size_blocks


@pytest.mark.parametrize("missing", [0, 1, 7])
def test_an_overwrite_ends_at_the_last_block_of_the_unit(missing: int) -> None:
    """The store blocks are larger than the logical blocks. A unit that grows later must have zeros behind its former end."""
    unit = UnitUnderTest(512, PATTERN_BYTES // 4096 + 2)
    unit.logical_unit.capacity_blocks -= missing
    assert unit.command(*overwrite(b"\x77")).status == 0
    size_bytes = unit.logical_unit.capacity_blocks * 512
    assert content(unit) == b"\x77" * size_bytes + bytes(missing * 512)


@pytest.mark.parametrize("end", [3 << 18, (3 << 18) + 777])
def test_a_large_unit_shares_the_blocks_of_its_pattern(monkeypatch: pytest.MonkeyPatch, end: int) -> None:
    """Source and destination begin at the same place in their nodes of the map, so that whole nodes are shared."""
    unit = UnitUnderTest(4096, end)
    shared: list[tuple[int, int, int]] = []

    def copy_from(_source: object, source_block: int, block: int, count_blocks: int) -> int:
        shared.append((source_block, block, count_blocks))
        return count_blocks

    monkeypatch.setattr(unit.volume, "copy_from", copy_from)
    assert unit.command(*overwrite(b"\x77")).status == 0
    assert len(unit.volume.blocks) == PATTERN_BYTES // 4096
    assert shared[:2] == [(0, 1024, 1024), (0, 2048, 2048)]
    ends = [block + count for _, block, count in shared]
    assert [block for _, block, _ in shared] == [1024, *ends[:-1]]
    assert ends[-1] == end
    for source_block, block, count_blocks in shared:
        assert source_block >= 0
        assert source_block + count_blocks <= block
        assert (block - source_block).bit_count() == 1
    assert len(shared) <= end.bit_length()


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
