"""The sense data of every refusal of EXTENDED COPY, and its limits, at the limit and past it."""

from dataclasses import replace

import pytest

from odx_target.copymgr.limits import CopyLimits
from odx_target.scsi.sense import SenseKey
from tests.copymgr.array import CopyArray, code_of
from tests.copymgr.extended_copy import (
    HERE,
    BlocksSegment,
    BytesSegment,
    copy,
    copy_cdb,
    cscd,
    lid1_list,
    lid4_list,
    lun_list,
    receive,
)
from tests.copymgr.golden import golden

ONE = BlocksSegment(0, 0, HERE, 0, 8).build()


def refused(code: str, pointer: str = "000000") -> tuple[str, str]:
    return code, pointer


def result(array: CopyArray, parameters: bytes, *, is_lid4: bool = False) -> tuple[str, str]:
    """Return the sense code and the sense-key specific bytes."""
    reply = copy(array, 0, parameters, is_lid4=is_lid4)
    return code_of(reply), reply.sense[15:18].hex()


def names(array: CopyArray) -> list[bytes]:
    return [cscd(array.logical_units[1].identity)]


def changed(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes((value,)) + data[at + 1 :]


@pytest.mark.parametrize(
    ("at", "value", "code", "pointer"),
    [
        (1, 0x08, "5/26/00", "8c0001"),  # LIST ID USAGE 01b
        (1, 0x18, "5/26/00", "800000"),  # LIST ID USAGE 11b with a list identifier
        (3, 0x21, "5/1A/00", "000000"),
        (11, 0x1D, "5/1A/00", "000000"),  # the list ends inside a segment descriptor
        (15, 0x01, "5/1A/00", "000000"),  # the list ends inside its inline data
        (16, 0xE0, "5/26/07", "800010"),
        (48, 0x00, "5/26/09", "800030"),  # block to stream
        (48, 0x0B, "5/26/09", "800030"),
        (51, 0x17, "5/1A/00", "000000"),
        (1, 0x20, "good", ""),  # STR
        (1, 0x07, "good", ""),  # PRIORITY
        (17, 0xC0, "good", ""),  # LU ID TYPE is ignored
        (17, 0x20, "good", ""),  # NUL is obsolete
        (17, 0x01, "A/0D/03", "a00004"),
        (20, 0x02, "A/0D/02", "a00004"),  # CODE SET
        (21, 0x13, "A/0D/02", "a00004"),  # ASSOCIATION
        (21, 0x02, "A/0D/02", "a00004"),  # DESIGNATOR TYPE
        (23, 0x0F, "A/0D/02", "a00004"),  # DESIGNATOR LENGTH
        (24, 0x00, "A/0D/02", "a00004"),  # DESIGNATOR
        (46, 0x10, "A/26/00", "80002d"),  # DISK BLOCK LENGTH 1000h
        (46, 0x02, "good", ""),
        (53, 0x01, "A/08/04", "a00004"),  # source CSCD descriptor ID 1
        (52, 0xC0, "A/08/04", "a00004"),  # null device
        (54, 0xF8, "A/08/04", "a00006"),
        (60, 0x80, "A/0D/02", "a0000c"),  # source LBA
        (68, 0x80, "A/0D/02", "a00014"),  # destination LBA
    ],
)
def test_one_wrong_byte(at: int, value: int, code: str, pointer: str) -> None:
    array = CopyArray()
    assert result(array, changed(lid1_list(names(array), [ONE]), at, value)) == (code, pointer)
    assert array.manager.copies.operations == {}


@pytest.mark.parametrize(
    ("at", "value", "code", "pointer"),
    [
        (0, 0x00, "5/26/00", "800000"),
        (3, 0x40, "5/26/00", "800002"),
        (16, 0x00, "5/26/00", "800010"),
        (15, 0x02, "5/26/00", "89000f"),  # G_SENSE
        (15, 0x01, "5/26/00", "88000f"),  # IMMED
        (1, 0x18, "5/26/00", "800014"),
        (43, 0x40, "5/26/07", "800050"),  # the segment becomes a CSCD descriptor, which is complete with padding
        (48, 0xE0, "5/26/07", "800030"),
        (80, 0x00, "5/26/09", "800050"),
        (0, 0x01, "good", ""),
    ],
)
def test_one_wrong_byte_of_lid4(at: int, value: int, code: str, pointer: str) -> None:
    array = CopyArray()
    parameters = changed(lid4_list(names(array), [ONE]), at, value) + bytes(32)
    assert result(array, parameters, is_lid4=True) == (code, pointer)


def test_every_other_segment_type_is_refused() -> None:
    array = CopyArray()
    array.write(0, 0, b"\x11" * 4096)
    parameters = lid1_list(names(array), [ONE])
    types = sorted({*range(256)} - {0x02, 0x0A})
    found = {code: result(array, changed(parameters, 48, code)) for code in types}
    assert found == dict.fromkeys(types, ("5/26/09", "800030"))
    assert array.read(1, 0, 8) == bytes(4096)


@pytest.mark.parametrize("is_lid4", [False, True])
def test_every_other_cscd_type_is_refused(is_lid4: bool) -> None:
    array = CopyArray()
    at, build = (48, lid4_list) if is_lid4 else (16, lid1_list)
    parameters = build(names(array), [ONE])
    types = sorted({*range(256)} - {0xE4})
    found = {code: result(array, changed(parameters, at, code), is_lid4=is_lid4) for code in types}
    assert found == dict.fromkeys(types, ("5/26/07", f"8000{at:02x}"))


@pytest.mark.parametrize("inline_bytes", [1, 4, 100])
def test_inline_data_is_refused_at_the_length_field(inline_bytes: int) -> None:
    array = CopyArray()
    parameters = bytearray(lid1_list(names(array), [ONE]) + bytes(inline_bytes))
    parameters[12:16] = inline_bytes.to_bytes(4, "big")
    assert result(array, bytes(parameters)) == ("5/26/0B", "80000c")


@pytest.mark.parametrize("action", [0x01, 0x06])
def test_receive_copy_data_is_refused_as_an_unknown_service_action(action: int) -> None:
    reply = receive(CopyArray(), 0, action, 0)
    assert (code_of(reply), reply.sense[15:18].hex()) == ("5/24/00", "cc0001")


def test_golden_refusals() -> None:
    array = CopyArray()
    two = [*names(array), cscd(array.logical_units[0].identity)]
    assert copy(array, 0, lid1_list([two[0], changed(two[1], 0, 0xE1)], [ONE])).sense == golden(
        "extended_copy_failures", "bad_cscd_type"
    )
    usage = lid1_list(two, [ONE], usage=1)
    assert copy(array, 0, usage).sense == golden("extended_copy_failures", "bad_list_id_usage")
    assert copy(array, 0, usage[:-1]).sense == golden("extended_copy_failures", "cut")
    bad = [BlocksSegment(0, 0, 1, 0, 8), BlocksSegment(0, 0, 1, 8, 8), BlocksSegment(0, 0, 2, 0, 8)]
    array.write(1, 0, b"\xff" * 4096)
    assert copy(array, 0, lid1_list(two, [each.build() for each in bad])).sense == golden(
        "extended_copy_failures", "bad_identifier"
    )
    assert array.read(0, 0, 16) == b"\xff" * 8192, "the segments before the wrong segment were copied"
    assert array.read(1, 0, 16) == b"\xff" * 4096 + bytes(4096)


@pytest.mark.parametrize("wrong", range(4))
@pytest.mark.parametrize(
    "change",
    [{"source": 2}, {"destination": 7}, {"count": 0xFFFF}],
    ids=["unknown source", "unknown destination", "too long"],
)
@pytest.mark.parametrize("is_lid4", [False, True])
def test_the_number_in_the_sense_data_is_the_number_of_copied_segments(
    wrong: int, change: dict[str, int], is_lid4: bool
) -> None:
    array = CopyArray()
    array.write(0, 0, b"\xff" * 4096)
    segments = [BlocksSegment(0, 0, 1, 8 * number, 8) for number in range(4)]
    segments[wrong] = segments[wrong]._replace(**change)
    cscds = [cscd(unit.identity) for unit in array.logical_units.values()][:2]
    build = lid4_list if is_lid4 else lid1_list
    reply = copy(array, 0, build(cscds, [each.build() for each in segments]), is_lid4=is_lid4)
    assert reply.sense[2] == SenseKey.COPY_ABORTED
    assert int.from_bytes(reply.sense[10:12], "big") == wrong
    assert array.read(1, 0, 32) == (b"\xff" * 4096 * wrong).ljust(4 * 4096, b"\0")


@pytest.mark.parametrize("size", range(1, 17))
def test_a_cdb_with_a_short_list(size: int) -> None:
    array = CopyArray()
    parameters = lid1_list([], [])[:size]
    assert code_of(copy(array, 0, parameters)) == ("good" if size == 16 else "5/1A/00")
    assert code_of(array.command(0, copy_cdb(size + 1), parameters)) == "5/1A/00"


def test_limits_of_a_list() -> None:
    array = CopyArray(replace(CopyLimits(), max_descriptor_list_bytes=17 * 32 + 65 * 28))
    limits = array.limits
    name, empty = names(array)[0], BlocksSegment(0, 0, 0, 0, 0).build()
    most, more = limits.max_cscd_descriptors, limits.max_cscd_descriptors + 1
    assert result(array, lid1_list([name] * most, [empty] * limits.max_segment_descriptors)) == ("good", "")
    assert result(array, lid1_list([name] * more, [empty])) == ("5/26/06", "000000")
    assert result(array, lid1_list([name], [empty] * (limits.max_segment_descriptors + 1))) == ("5/26/08", "000000")
    assert result(array, lid1_list([name] * more, [empty] * 65)) == ("5/26/06", "000000")
    assert result(array, lid1_list([name] * more, [empty] * 66)) == ("5/1A/00", "000000")
    assert result(array, lid1_list([name], [empty], inline=b"\0")) == ("5/26/0B", "80000c")
    assert result(array, lid1_list([name[:31]], [empty])) == ("5/26/00", "800002")


def test_limits_of_a_segment() -> None:
    array = CopyArray(replace(CopyLimits(), max_segment_bytes=8192))
    for source, code in ((BytesSegment(0, 0, 0, HERE, 0, 0, 8192), "good"), (BytesSegment(0, 0, 511, HERE, 0, 0, 1), "good")):
        assert code_of(copy(array, 0, lid1_list(names(array), [source.build()]))) == code
    for segment, pointer in (
        (BytesSegment(0, 0, 0, HERE, 0, 0, 8193), "a00008"),
        (BlocksSegment(0, 0, HERE, 0, 17), "a0000a"),
        (BytesSegment(0, 0, 512, HERE, 0, 0, 1), "a0001c"),
        (BytesSegment(0, 0, 0, HERE, 0, 0xFFFF, 1), "a0001e"),
    ):
        assert result(array, lid1_list(names(array), [segment.build()])) == ("A/26/00", pointer)


def test_a_refused_list_leaves_no_record_but_a_wrong_segment_does() -> None:
    array = CopyArray()
    assert code_of(copy(array, 0, lid1_list(names(array), [ONE], usage=1))) == "5/26/00"
    assert code_of(receive(array, 0, 0x04)) == "5/24/00"
    assert code_of(copy(array, 0, lid1_list([], [ONE]))) == "A/08/04"
    assert receive(array, 0, 0x04).data_in[0][60:] == copy(array, 0, lid1_list([], [ONE])).sense


def test_too_many_operations() -> None:
    array = CopyArray(CopyLimits(max_concurrent_copies=1))
    array.manager.copies.before_step = lambda _: array.environment.sleep(1)
    array.start_populate(2, 1, [(0, 8)])
    assert code_of(copy(array, 0, lid1_list(names(array), [ONE]))) == "B/55/03"


def test_only_the_logical_units_of_the_nexus() -> None:
    """A logical unit that the nexus cannot address cannot be read through EXTENDED COPY."""
    array = CopyArray()
    array.write(1, 0, b"\xff" * 4096)
    narrow = array.new_nexus("iqn.narrow")
    narrow.logical_units = {0: array.logical_units[0]}
    parameters = lun_list(array, [1, 0], [BlocksSegment(0, 0, 1, 0, 8)])
    assert code_of(copy(array, 0, parameters, nexus=narrow)) == "A/0D/02"
    assert array.read(0, 0, 8) == bytes(4096)
    assert code_of(copy(array, 0, parameters)) == "good"


def test_descriptor_format_sense() -> None:
    array = CopyArray()
    array.logical_units[0].descriptor_format_sense = True
    array.logical_units[1].write_protected = True
    reply = copy(array, 0, lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8)]))
    forwarded = bytes.fromhex("7207270000000000")
    assert reply.sense == bytes.fromhex("720a0d0100000018 010a0000 0000000000000000 0c0a0202".replace(" ", "")) + forwarded
    assert code_of(receive(array, 0, 0x00)) == "good"
    array.logical_units[1].write_protected = False
    reply = copy(array, 0, lid1_list([], [ONE]))
    assert reply.sense == bytes.fromhex("720a080400000014 010a0000 0000000000000000 02060000 a0000400".replace(" ", ""))
