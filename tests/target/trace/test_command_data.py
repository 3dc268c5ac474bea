"""Descriptions of parameter lists and responses: all that our array has, and the names of those that it lacks."""

import pytest

from odx_target.target.trace.one_line import MAX_VALUE_CHARACTERS
from odx_target.target.trace.parameter_list_text import (
    MAX_DESCRIBED_BYTES,
    MAX_SHOWN_WORDS,
    describe_answer,
    describe_command,
    describe_parameter_list,
    wants_answer,
)
from tests.scsi.array import UnitUnderTest, data_of
from tests.scsi.port_groups import PortGroupsUnderTest, report_cdb, set_cdb, set_list

MODE_SELECT_6 = "15 10 00 00 18 00"
MODE_SELECT_10 = "55 10 00 00 00 00 00 00 1c 00"
CACHING_PAGE = "08 12 00" + " 00" * 17


def answer(cdb: str) -> str:
    """Describe the response of our own array."""
    command = bytes.fromhex(cdb)
    assert wants_answer(command)
    return " ".join(describe_answer(command, data_of(UnitUnderTest().command(command))))


@pytest.mark.parametrize(("cdb", "header"), [(MODE_SELECT_6, "00 00 00 00"), (MODE_SELECT_10, "00 00 00 00 00 00 00 00")])
def test_a_mode_select_that_switches_the_write_cache_off(cdb: str, header: str) -> None:
    words = describe_parameter_list(bytes.fromhex(cdb), bytes.fromhex(header + CACHING_PAGE))
    assert " ".join(words) == "page_code=8 (Caching) page_length=18 wce=0"


def test_a_mode_select_with_a_block_descriptor() -> None:
    data = bytes.fromhex("00 00 00 08 00 00 20 00 00 00 02 00 0a 0a 04 00 08 00 00 00 00 00 00 00")
    assert " ".join(describe_parameter_list(bytes.fromhex(MODE_SELECT_6), data)) == (
        "block_descriptor_length=8 number_of_logical_blocks=8192 logical_block_length=512 "
        "page_code=0xa (Control) page_length=10 d_sense=1 swp=1"
    )


@pytest.mark.parametrize(
    ("cdb", "expected"),
    [
        (
            "1a 08 08 00 ff 00",
            "mode_data_length=23 dpofua=1 page_code=8 (Caching) page_length=18 wce=1",
        ),
        (
            "5a 00 0a 00 00 00 00 00 ff 00",
            "mode_data_length=26 dpofua=1 block_descriptor_length=8 number_of_logical_blocks=8192 logical_block_length=512 "
            "page_code=0xa (Control) page_length=10 d_sense=0 swp=0",
        ),
        (
            "4d 00 40 00 00 00 00 00 ff 00",
            "page_code=0 (Supported Log Pages) page_length=3 supported_page=0x00 (Supported Log Pages) "
            "supported_page=0x0c (Logical Block Provisioning) supported_page=0x2f (Informational Exceptions)",
        ),
        (
            "4d 00 6f 00 00 00 00 00 ff 00",
            "ds=1 page_code=0x2f (Informational Exceptions) page_length=7 "
            "parameter_code=0x0000 (informational exceptions general) "
            "most_recent_temperature_reading=0xff (not available) meaning=00h/00h (no additional sense information)",
        ),
        ("a3 0c 01 c1 00 00 00 00 00 ff 00 00", "support=1 (not supported)"),
        (
            "a3 0c 81 28 00 00 00 00 00 ff 00 00",
            "ctdp=1 support=3 (supported as the standard says) cdb_size=10 "
            "cdb_usage_data=28 18 ff ff ff ff 3f ff ff 00 (10 bytes) descriptor_length=10 recommended_command_timeout=30",
        ),
        (
            "a3 0d 00 00 00 00 00 00 00 ff 00 00",
            "ats=1 (ABORT TASK) atss=1 (ABORT TASK SET) ctss=1 (CLEAR TASK SET) lurs=1 (LOGICAL UNIT RESET) "
            "trs=1 (TARGET RESET)",
        ),
        ("1c 01 00 00 ff 00", "page_length=1"),
        (
            "a3 0f 00 00 00 00 00 00 00 0a 00 00",
            "timestamp_parameter_data_length=10 timestamp_origin=3 timestamp=1701000000000",
        ),
        ("37 00 1d 00 00 00 00 00 ff 00", "plistv=1 glistv=1 defect_list_format=5 defect_list_length=0"),
        ("b7 0d 00 00 00 00 00 00 00 ff 00 00", "glistv=1 defect_list_format=5 defect_list_length=0"),
    ],
)
def test_what_our_array_answers(cdb: str, expected: str) -> None:
    assert answer(cdb) == expected


@pytest.mark.parametrize(
    ("cdb", "data", "expected"),
    [
        ("04 10 00 00 00 00", "00 02 00 00", "immed=1 defect_list_length=0"),
        ("04 30 00 00 00 00", "00 a2 00 00 00 00 00 08", "fov=1 dcrt=1 immed=1 defect_list_length=8"),
        ("1d 10 00 00 04 00", "40 00 00 03", "page_code=0x40 page_length=3"),
    ],
)
def test_lists_of_format_unit_and_send_diagnostic(cdb: str, data: str, expected: str) -> None:
    assert " ".join(describe_parameter_list(bytes.fromhex(cdb), bytes.fromhex(data))) == expected


def test_target_port_groups() -> None:
    unit = PortGroupsUnderTest()
    cdb = report_cdb()
    words = describe_answer(cdb, data_of(unit.command(cdb)))
    assert words[:4] == ["return_data_length=28", "pref=1", "asymmetric_access_state=0 (active-optimized)", "t_sup=1"]
    assert "target_port_group=2" in words
    data = set_list((2, 1))
    assert describe_parameter_list(set_cdb(8), data) == ["asymmetric_access_state=2 (standby)", "target_port_group=1"]


def test_standard_inquiry_data_tell_what_a_host_decides_by() -> None:
    assert answer("12 00 00 00 60 00") == (
        "version=6 hisup=1 cmdque=1 t10_vendor_identification=ODX product_identification=odx-target "
        "product_revision_level=0001 version_descriptors=[SAM-5, SPC-4, SBC-3, iSCSI]"
    )
    cdb = bytes.fromhex("12 00 00 00 60 00")
    data = bytearray(96)
    data[5], data[58:66] = 0x19, bytes.fromhex("0307 0000 1234 0620")
    words = describe_answer(cdb, bytes(data))
    assert words[:3] == ["tpgs=1", "third_party_copy=1", "protect=1"]
    assert words[-1] == "version_descriptors=[SPC-3, 1234h, 0620h]"
    assert "version_descriptors" not in " ".join(describe_answer(cdb, bytes(96)))
    assert "version_descriptors=[SPC-3]" in describe_answer(cdb, bytes(data[:61])), "an answer may end anywhere"


@pytest.mark.parametrize("options", ["00", "80"])
def test_all_commands_are_told_as_codes(options: str) -> None:
    words = answer(f"a3 0c {options} 00 00 00 00 00 ff ff 00 00")
    head, _, codes = words.partition(" operation_codes=[")
    listed = codes.rstrip("]").split()
    assert head.endswith(f" commands={len(listed)}")
    assert listed[0] == "00"
    assert {"28", "9e/10", "a3/0c"} <= set(listed)
    assert len(words) < 400


def test_a_list_of_all_commands_knows_those_of_token_copy() -> None:
    words = describe_answer(bytes.fromhex("a30c00000000000000ff0000"), bytes.fromhex("00000008 83 00 0010 00 01 0010"))
    assert words == ["command_data_length=8", "commands=1", "operation_codes=[83/10]"]


def test_a_list_that_is_cut_short_ends_with_the_rest() -> None:
    words = describe_answer(bytes.fromhex("a30c00000000000000ff0000"), bytes.fromhex("00000008 83 00 00"))
    assert words == [
        "command_data_length=8",
        "commands=0",
        "operation_codes=[]",
        "partial_command_descriptor=83 00 00 (3 bytes)",
    ]


@pytest.mark.parametrize("more", [0, 1, 5])
def test_no_more_words_are_shown_than_the_limit(more: int) -> None:
    """The response is a log page that lists many pages."""
    count = MAX_SHOWN_WORDS - 2 + more  # after the page code and the page length
    words = describe_answer(bytes.fromhex("4d004000000000ffff00"), b"\0\0" + count.to_bytes(2, "big") + bytes(count))
    assert words[-1].startswith("supported_page=" if not more else f"... ({count + 4} bytes in all)")
    assert len(words) == MAX_SHOWN_WORDS + bool(more)


@pytest.mark.parametrize("more", [0, 1])
def test_no_more_bytes_are_described_than_the_limit(more: int) -> None:
    """The parameter list has one long subpage of an unknown format."""
    size_bytes = MAX_DESCRIBED_BYTES + more
    words = describe_parameter_list(
        bytes.fromhex(MODE_SELECT_10), bytes(8) + b"\x7e\1" + (size_bytes - 12).to_bytes(2, "big") + bytes(size_bytes - 12)
    )
    assert words[-1] == (
        "... (4097 bytes in all)" if more else "page_body=" + ("00 " * 86)[:MAX_VALUE_CHARACTERS] + "... (4084 bytes)"
    )


@pytest.mark.parametrize("more", [0, 1])
def test_a_value_longer_than_the_limit_is_cut(more: int) -> None:
    """Each byte is shown as two digits and a blank."""
    size_bytes = (MAX_VALUE_CHARACTERS + 1) // 3 + more
    parameter = b"\0\0\3" + bytes([size_bytes]) + b"\xab" * size_bytes
    words = describe_answer(bytes.fromhex("4d004d000000000fff00"), b"\x0d\0" + len(parameter).to_bytes(2, "big") + parameter)
    assert words[-1].endswith(f"{'...' if more else 'ab'} ({size_bytes} bytes)")


@pytest.mark.parametrize(
    ("cdb", "name"),
    [
        ("83 1f", "THIRD-PARTY COPY OUT"),
        ("84 1f", "THIRD-PARTY COPY IN"),
        ("a3 0b", "REPORT ALIASES"),
        ("a3 8b", "REPORT ALIASES"),
        ("a3 1f", "MAINTENANCE IN"),
        ("a1 08", "ATA PASS-THROUGH(12)"),
        ("85 08", "ATA PASS-THROUGH(16)"),
        ("a2 00", "SECURITY PROTOCOL IN"),
        ("b5 00", "SECURITY PROTOCOL OUT"),
        ("48 04", "SANITIZE"),
        ("5e 1f", "PERSISTENT RESERVE IN"),
        ("7f 00 00 00 00 00 00 18 00 0b", "WRITE(32)"),
        ("7f 00 00 00 00 00 00 18 12 34", "variable length command"),
        ("c1 00", "unknown command"),
    ],
)
def test_a_command_that_we_do_not_have_is_named_and_shown_as_it_is(cdb: str, name: str) -> None:
    padded = bytes.fromhex(cdb).ljust(16, b"\0")
    assert describe_command(padded) == [name, f"cdb={padded.hex(' ')}"]
