"""EXTENDED COPY: golden bytes, the copy itself compared with a naive model, results, and failures in the middle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.copymgr.commands.extended_copy_list import (
    SEGMENT_TYPES,
    IdentificationDescriptor,
    Lid1Header,
    decode_cscd,
    decode_list,
    decode_segment,
)
from odx_target.copymgr.describe_extended_copy import (
    describe_copy_status_lid1,
    describe_extended_copy_lid1,
    describe_extended_copy_lid4,
    describe_failure_details,
    describe_operating_parameters,
)
from odx_target.copymgr.limits import CopyLimits
from odx_target.scsi.sense import (
    PERIPHERAL_DEVICE_WRITE_FAULT,
    SPACE_ALLOCATION_FAILED_WRITE_PROTECT,
    UNRECOVERED_READ_ERROR,
    CheckCondition,
)
from odx_target.store.api import DamagedBlock, OutOfResources, PoolFailed, PoolFull
from odx_target.store.volumes.sources import LogFrozenMap
from tests.copymgr.array import CopyArray, code_of, data_of, in_cdb, pattern
from tests.copymgr.extended_copy import (
    HERE,
    BlocksSegment,
    BytesSegment,
    copy,
    cscd,
    lid1_list,
    lid4_list,
    lun_list,
    receive,
    start_copy,
)
from tests.copymgr.golden import golden
from tests.copymgr.test_writing import damage
from tests.settings import searching

NAMES = [bytes.fromhex("6001405aabbccddeeff0011223344556"), bytes.fromhex("6001405aabbccddeeff0011223344557")]
STORE_BLOCKS = 24


def test_the_golden_lists() -> None:
    cscds = [cscd(name, block_bytes=512) for name in NAMES]
    lid1 = bytearray(lid1_list(cscds, [BlocksSegment(0, 0x1000, 1, 0x2000, 0x40).build()], identifier=1, usage=2))
    lid1[1] |= 1  # PRIORITY
    assert lid1 == golden("extended_copy", "list")
    lid4 = lid4_list(cscds, [BytesSegment(0, 0x1000, 0x10, 1, 0x2000, 0x20, 0x8000).build()], identifier=0x101, usage=2)
    assert lid4 == golden("extended_copy_lid4", "list")
    for data, is_lid4, identifier in ((bytes(lid1), False, 1), (lid4, True, 0x101)):
        decoded = decode_list(data, is_lid4=is_lid4, max_descriptors=10)
        assert (decoded.header.list_identifier, len(decoded.cscds), len(decoded.segments)) == (identifier, 2, 1)
        assert not decoded.is_cut
        assert all(
            decode_list(data[:size], is_lid4=is_lid4, max_descriptors=10).is_cut
            for size in range(decoded.fields.size_bytes, len(data))
        )


@searching(max_examples=100)
@given(data=st.binary(min_size=32, max_size=32), header=st.binary(min_size=16, max_size=16))
def test_the_fast_decoders_agree_with_the_layouts(data: bytes, header: bytes) -> None:
    for kind, layout in SEGMENT_TYPES.items():
        raw = bytes((kind,)) + data[1 : layout.size_bytes]
        values = {name: int(value) for name, value in layout.parse(raw).values().items()}
        decoded = decode_segment(raw)
        is_plain = kind == 0x02
        assert decoded == (
            values["source_cscd_descriptor_id"],
            values["destination_cscd_descriptor_id"],
            values["block_device_number_of_blocks" if is_plain else "number_of_bytes"],
            values["source_block_device_logical_block_address"],
            values["destination_block_device_logical_block_address"],
            values.get("source_block_device_byte_offset", 0),
            values.get("destination_block_device_byte_offset", 0),
            values.get("dc", 0),
            values["cat"] if is_plain else 0,
        )
    cscd_fields, fields = decode_cscd(data), IdentificationDescriptor.parse(data)
    assert cscd_fields.designator == fields.designator[: fields.designator_length]
    for name in ("peripheral_device_type", "code_set", "association", "designator_type", "pad", "disk_block_length"):
        assert getattr(cscd_fields, name) == getattr(fields, name)
    list_header, lid1 = decode_list(header, is_lid4=False, max_descriptors=1).header, Lid1Header.parse(header)
    assert list_header == tuple(lid1.values()[name] for name in list_header._fields)


def test_all_commands_and_responses_can_be_described() -> None:
    array = CopyArray()
    for section, describe in (
        ("extended_copy", describe_extended_copy_lid1),
        ("extended_copy_lid4", describe_extended_copy_lid4),
    ):
        data = golden(section, "list")
        rows = describe(data)
        assert [row.value for row in rows if row.name == "designator"] == [name.ljust(20, b"\0").hex() for name in NAMES]
        assert all(describe(data[:size]) is not None for size in range(len(data)))
    copy(array, 0, lun_list(array, [0, 1], [BlocksSegment(0, 0, 5, 0, 8)]))
    details = describe_failure_details(data_of(receive(array, 0, 0x04)))
    assert any("unreachable copy target" in row.words for row in details)
    assert describe_copy_status_lid1(golden("copy_status_lid1", "completed"))[-1].value == "0x8000"
    assert [row.value for row in describe_operating_parameters(golden("operating_parameters"))][-3:] == ["02h", "0ah", "e4h"]


@pytest.mark.parametrize(("section", "is_lid4"), [("extended_copy", False), ("extended_copy_lid4", True)])
def test_an_array_copies_by_the_golden_lists(section: str, is_lid4: bool) -> None:
    array = CopyArray(size_store_blocks=2048)
    array.write(0, 0x1000, pattern(1, 0x1000, 0x50, 512))
    parameters = golden(section, "list")
    for lun, name in enumerate(NAMES):
        parameters = parameters.replace(name, array.logical_units[lun].identity)
    assert array.command(0, golden(section, "cdb"), parameters).status == 0
    source = pattern(1, 0x1000, 0x50, 512)
    expected = bytes(0x20) + source[0x10:0x8010] if is_lid4 else source[:0x8000]
    assert array.read(1, 0x2000, 0x50) == expected.ljust(0x50 * 512, b"\0")
    assert array.command(0, bytes.fromhex("84050000010100000000000004000000")).status == (0 if is_lid4 else 2)


def test_the_operating_parameters() -> None:
    array = CopyArray()
    assert data_of(array.command(0, golden("operating_parameters", "cdb"))) == golden("operating_parameters")


_PLACES = st.tuples(st.integers(0, 3), st.integers(0, STORE_BLOCKS * 4096 - 1))


@searching(max_examples=150)
@given(
    receiver=st.integers(0, 3),
    segments=st.lists(st.tuples(_PLACES, _PLACES, st.integers(0, 6 * 4096), st.booleans()), min_size=1, max_size=6),
    writes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, STORE_BLOCKS - 4), st.integers(1, 4)), max_size=8),
    small_steps=st.booleans(),
)
def test_copies_equal_a_naive_model(
    receiver: int,
    segments: list[tuple[tuple[int, int], tuple[int, int], int, bool]],
    writes: list[tuple[int, int, int]],
    small_steps: bool,
) -> None:
    """Copy random segments between LUNs with different block lengths, with holes and overlapping ranges. The model copies one
    segment after the other in bytearrays.
    """
    limits = CopyLimits(copy_step_bytes=4096, remap_step_bytes=8192) if small_steps else CopyLimits()
    array = CopyArray(limits, size_store_blocks=STORE_BLOCKS)
    model = [bytearray(STORE_BLOCKS * 4096) for _ in range(4)]
    for lun, block, count in writes:
        block_bytes = array.block_bytes(lun)
        data = pattern(lun, block, count * 4096 // block_bytes, block_bytes)
        array.write(lun, block * 4096 // block_bytes, data)
        model[lun][block * 4096 : block * 4096 + len(data)] = data
    built, done, copied = [], 0, 0
    expected = "good"
    for (source, source_at), (destination, destination_at), size, is_plain in segments:
        source_bytes, destination_bytes = array.block_bytes(source), array.block_bytes(destination)
        if is_plain:
            unit = max(source_bytes, destination_bytes)
            source_at, destination_at, size = source_at // unit * unit, destination_at // unit * unit, size // unit * unit
            segment: BlocksSegment | BytesSegment = BlocksSegment(
                source, source_at // source_bytes, destination, destination_at // destination_bytes, size // source_bytes
            )
        else:
            segment = BytesSegment(
                source,
                source_at // source_bytes,
                source_at % source_bytes,
                destination,
                destination_at // destination_bytes,
                destination_at % destination_bytes,
                size,
            )
        built.append(segment)
        if expected == "good":
            if size and max(source_at, destination_at) + size > STORE_BLOCKS * 4096:
                expected = "A/0D/02"
                continue
            model[destination][destination_at : destination_at + size] = model[source][source_at : source_at + size]
            done, copied = done + 1, copied + size
    reply = copy(array, receiver, lun_list(array, range(4), built))
    assert code_of(reply) == expected
    if expected != "good":
        assert int.from_bytes(reply.sense[10:12], "big") == done
    for lun in range(4):
        assert array.read(lun, 0, STORE_BLOCKS * 4096 // array.block_bytes(lun)) == bytes(model[lun])
    status = data_of(receive(array, receiver, 0x00))
    assert status == b"\0\0\0\x08" + bytes((1 if expected == "good" else 2, 0, done, 0)) + copied.to_bytes(4, "big")
    assert not array.pool.frozen_maps
    assert not any(unit.tasks.members for unit in array.logical_units.values())
    assert not array.internal_errors


def test_results_are_reported_once() -> None:
    array = CopyArray()
    array.write(0, 0, pattern(1, 0, 64, 512))
    segments = [BlocksSegment(0, 0, 1, 0, 32), BlocksSegment(0, 32, 1, 32, 32)]
    assert code_of(copy(array, 0, lun_list(array, [0, 1], segments))) == "good"
    assert len(data_of(receive(array, 0, 0x00, allocation=4))) == 4
    assert data_of(receive(array, 0, 0x00)) == golden("copy_status_lid1", "completed")
    assert receive(array, 0, 0x00).sense == golden("refusals", "unknown_list_identifier")
    assert data_of(receive(array, 0, 0x04)) == bytes(4)
    assert code_of(receive(array, 0, 0x04)) == "5/24/00"
    lid4 = data_of(array.command(0, in_cdb(0x05, 7, 1024)))
    assert lid4[4:6] == b"\x00\x01"
    assert (lid4[15], int.from_bytes(lid4[16:24], "big"), lid4[24:26]) == (0, 0x8000, b"\0\x02")


def test_a_failure_in_the_second_segment() -> None:
    array = CopyArray()
    segments = [BlocksSegment(0, 0, 1, 0, 32), BlocksSegment(0, 0, 1, array.logical_units[1].capacity_blocks - 1, 2)]
    reply = copy(array, 0, lun_list(array, [0, 1], segments))
    assert reply.sense == bytes.fromhex("70000a000000000a000000010d0200a00014")
    assert data_of(receive(array, 0, 0x00)) == golden("copy_status_lid1", "with_error")
    details = data_of(receive(array, 0, 0x04))
    assert int.from_bytes(details[:4], "big") == len(details) - 4 == 56 + 18
    assert (details[56], int.from_bytes(details[58:60], "big"), details[60:]) == (2, 18, reply.sense)


def test_no_list_identifier_leaves_no_record() -> None:
    array = CopyArray()
    cscds = [cscd(array.logical_units[1].identity)]
    parameters = lid1_list(cscds, [BlocksSegment(0, 0, HERE, 0, 8).build()], identifier=0, usage=3)
    assert code_of(copy(array, 0, parameters)) == "good"
    assert code_of(receive(array, 0, 0x00, 0)) == "5/24/00"


def test_nothing_to_do() -> None:
    array = CopyArray()
    assert code_of(array.command(0, bytes((0x83, 0)) + bytes(14))) == "good"
    assert code_of(copy(array, 0, lid1_list([cscd(array.logical_units[1].identity)], []))) == "good"
    assert code_of(copy(array, 0, lid1_list([], []))) == "good"


@pytest.mark.parametrize(
    ("source", "destination", "flags", "pad", "count", "code"),
    [
        (0, 2, 0, True, 9, "good"),
        (0, 2, 0, False, 9, "A/26/0A"),
        (0, 2, 1, True, 9, "A/26/0A"),
        (0, 2, 0, False, 16, "good"),
        (2, 0, 0, False, 3, "good"),
        (2, 0, 2, True, 9, "good"),
        (2, 0, 2, False, 9, "A/26/0A"),
        (0, 2, 2, False, 2, "good"),
    ],
)
def test_residual_bytes(source: int, destination: int, flags: int, pad: bool, count: int, code: str) -> None:
    """Segments between LUNs with blocks of 512 and of 4096 bytes. DC is 02h, and CAT is 01h."""
    array = CopyArray()
    data = pattern(1, 0, 64, 4096)
    array.write(source, 0, data)
    array.write(destination, 0, b"\xff" * len(data))
    segment = BlocksSegment(0, 0, 1, 0, count, flags)
    assert code_of(copy(array, source, lun_list(array, [source, destination], [segment], pad=pad))) == code
    size = count * array.block_bytes(destination if flags & 2 else source) if code == "good" else 0
    written = data[:size].ljust(-(-size // array.block_bytes(destination)) * array.block_bytes(destination), b"\0")
    after = array.read(destination, 0, len(data) // array.block_bytes(destination))
    assert after == written + b"\xff" * (len(data) - len(written))


def test_a_damaged_source_block_ends_the_copy_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray(size_store_blocks=64)
    array.write(0, 0, pattern(1, 0, 128, 512))
    array.write(1, 0, b"\xff" * 128 * 512)
    array.pool.commit()
    block = 5
    segment = BytesSegment(0, 0, 0, 1, 0, 10, 16 * 4096)
    damage(monkeypatch, LogFrozenMap, block)
    reply = copy(array, 0, lun_list(array, [0, 1], [segment]))
    good = block * 4096 // 512 * 512
    assert code_of(reply) == "A/0D/01"
    assert reply.sense[0] == 0xF0
    assert int.from_bytes(reply.sense[3:7], "big") == 129 - (good // 512)
    forwarded = CheckCondition(UNRECOVERED_READ_ERROR, information=block * 8).sense()
    assert reply.sense[8:12] == bytes((18, 0, 0, 0))
    assert reply.sense[18:] == b"\x02" + forwarded
    written = array.read(1, 0, 128)
    source = pattern(1, 0, 128, 512)
    copied = good - 10
    assert written == b"\xff" * 10 + source[:copied] + b"\xff" * (128 * 512 - 10 - copied)
    assert data_of(receive(array, 0, 0x00))[8:] == copied.to_bytes(4, "big")


def test_receive_copy_data_is_not_supported() -> None:
    array = CopyArray()
    reply = array.command(0, bytes((0x84, 0x01)) + bytes(14))
    assert reply.sense == bytes.fromhex("70000500000000 0a00000000 24 00 00 cc 0001".replace(" ", ""))


def test_running_copies_are_reported() -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda _: array.environment.sleep(1)
    segments = [BlocksSegment(0, 0, 1, 0, 8), BlocksSegment(0, 0, 1, 8, 8)]
    running = start_copy(array, 0, lun_list(array, [0, 1], segments))
    array.environment.advance(1.5)
    assert data_of(receive(array, 0, 0x00)) == bytes.fromhex("00000008 00 0001 00 00001000")
    assert code_of(receive(array, 0, 0x04)) == "5/24/00"
    segments = [BlocksSegment(0, 0, 1, 64, 8)]  # other blocks, because a conflicting command would wait
    assert code_of(copy(array, 0, lun_list(array, [0, 1], segments))) == "5/00/16"
    assert code_of(array.populate(0, 7, [(0, 8)])) == "5/00/16"
    cscds = [cscd(array.logical_units[lun].identity) for lun in (0, 1)]
    other = copy(array, 0, lid4_list(cscds, [each.build() for each in segments]), is_lid4=True)
    assert other.sense == bytes.fromhex("70000500000000 0a00000000 26 00 00 80 0014".replace(" ", ""))
    assert code_of(array.abort(0, 7)) == "good"
    assert code_of(running.wait(array.environment)) == "A/2F/02"


@pytest.mark.parametrize(
    ("error", "forwarded"),
    [
        (PoolFull("full"), CheckCondition(SPACE_ALLOCATION_FAILED_WRITE_PROTECT)),
        (PoolFailed("failed"), CheckCondition(PERIPHERAL_DEVICE_WRITE_FAULT)),
        (OutOfResources("no memory"), None),
        (DamagedBlock(4), CheckCondition(UNRECOVERED_READ_ERROR, information=32)),
    ],
)
def test_a_destination_that_fails_in_the_middle(
    error: Exception, forwarded: CheckCondition | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first three store blocks are written, then a write fails. The sense data has the reply to this write."""
    array = CopyArray(CopyLimits(copy_step_bytes=4096))
    array.write(0, 0, pattern(1, 0, 128, 512))
    original, left = array.volume(1).write, [3]

    def write(block: int, data: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise error
        original(block, data)  # type: ignore[arg-type]

    monkeypatch.setattr(array.volume(1), "write", write)
    reply = copy(array, 0, lun_list(array, [0, 1], [BlocksSegment(0, 1, 1, 8, 64)]))
    assert code_of(reply) == "A/0D/01"
    assert (reply.sense[0], int.from_bytes(reply.sense[3:7], "big")) == (0xF0, 40)
    assert reply.sense[8:12] == bytes((0, 18, 0, 0))
    assert reply.sense[18:] == (b"\x08" if forwarded is None else b"\x02" + forwarded.sense())
    monkeypatch.undo()
    assert array.read(1, 0, 80) == bytes(8 * 512) + pattern(1, 1, 24, 512) + bytes(48 * 512)
    assert data_of(receive(array, 0, 0x00))[4:] == bytes((2, 0, 0, 0)) + (24 * 512).to_bytes(4, "big")
    assert not array.pool.frozen_maps
    assert not array.internal_errors


def test_a_fault_of_the_program_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray()
    array.write(0, 0, pattern(1, 0, 16, 512))

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(array.volume(1), "copy_from", fail)
    assert code_of(copy(array, 0, lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 16)]))) == "4/44/00"
    assert [str(error) for error in array.internal_errors] == ["a bug"]
    assert not array.pool.frozen_maps


def test_aligned_blocks_are_shared() -> None:
    """Aligned store blocks are shared and holes stay holes. Only the edges are read and written."""
    array = CopyArray(size_store_blocks=64)
    array.write(0, 0, pattern(1, 0, 256, 512))
    array.write(1, 0, b"\xff" * 256 * 512)
    assert code_of(copy(array, 0, lun_list(array, [0, 1], [BlocksSegment(0, 4, 1, 4, 300)]))) == "good"
    counters = array.manager.copies.counters
    assert (counters.shared_bytes, counters.moved_bytes, counters.zeroed_bytes) == (37 * 4096, 4 * 512, 0)
    assert array.read(1, 0, 304) == b"\xff" * 2048 + pattern(1, 4, 252, 512) + bytes(48 * 512)
