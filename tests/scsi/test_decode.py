import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.cdb.forms import Cdb16, WithServiceAction
from odx_target.scsi.cdb.table import CDB_LAYOUTS
from odx_target.scsi.describe.command_names import COMMAND_NAMES
from odx_target.scsi.describe.data import Descriptions, describe_cdb, describe_sense, describe_vpd
from odx_target.scsi.describe.rows import Row, value_row
from tests.scsi.array import UnitUnderTest, data_of

FIXTURES = Path(__file__).parents[2] / "fixtures"
CDBS = tomllib.loads((FIXTURES / "scsi_cdbs.toml").read_text())["cdb"]
SENSE = tomllib.loads((FIXTURES / "scsi_sense.toml").read_text())


class PopulateToken(WithServiceAction, Cdb16):
    """The CDB of a command that another package adds."""


def values(rows):
    return {row.name: row.value for row in rows}


@pytest.mark.parametrize("case", CDBS, ids=lambda case: case["name"])
def test_a_cdb_in_words(case):
    found = values(describe_cdb(bytes.fromhex(case["cdb"])))
    assert found["command"] == case["name"]
    for name, value in case["fields"].items():
        assert int(found[name], 0) == value


def test_a_cdb_padded_cut_or_unknown():
    read = bytes.fromhex("28 00 00 00 00 01 00 00 08 00")
    assert describe_cdb(read + bytes(6)) == describe_cdb(read)
    assert describe_cdb(read + b"\0\1")[-1] == Row("behind_the_cdb", "00 01", "2 bytes")
    cut = describe_cdb(read[:7])
    assert "transfer_length" not in values(cut)
    assert cut[-1] == Row("missing", "3", "bytes to the end of the CDB")
    assert values(describe_cdb(b"\xff\1"))["command"] == "unknown"
    assert values(describe_cdb(b"\x9e"))["command"] == "unknown"
    with pytest.raises(ValueError, match="at least one byte"):
        describe_cdb(b"")


def test_a_command_whose_fields_nobody_knows_is_named():
    aliases = bytes.fromhex("a3 0b 00 00 00 00 00 00 01 00 00 00")
    assert describe_cdb(aliases) == [
        Row("command", "REPORT ALIASES"),
        Row("operation_code", "0xa3"),
        Row("cdb", aliases.hex(" "), "12 bytes"),
    ]
    assert values(describe_cdb(b"\x85"))["command"] == "ATA PASS-THROUGH(16)"
    known = Descriptions()
    known.add_name(0x83, 0x00, "EXTENDED COPY (LID1)")
    assert values(describe_cdb(b"\x83\0", known))["command"] == "EXTENDED COPY (LID1)"
    assert values(describe_cdb(b"\x83\0"))["command"] == "unknown"


@pytest.mark.parametrize(
    ("cdb", "name", "fields"),
    [
        ("04 38 00 00 00 00", "FORMAT UNIT", {"longlist": 1, "fmtdata": 1, "cmplst": 1, "defect_list_format": 0}),
        (
            "16 1d 05 01 02 00",
            "RESERVE(6)",
            {"third_party": 1, "third_party_device_id": 6, "extent": 1, "parameter_list_length": 258},
        ),
        ("17 00 05 00 00 00", "RELEASE(6)", {"third_party": 0, "reservation_identification": 5}),
        ("1c 01 40 01 02 00", "RECEIVE DIAGNOSTIC RESULTS", {"pcv": 1, "page_code": 0x40, "allocation_length": 258}),
        ("1d b7 00 01 02 00", "SEND DIAGNOSTIC", {"self_test_code": 5, "pf": 1, "selftest": 1, "parameter_list_length": 258}),
        (
            "3b 02 07 00 00 09 00 01 02 00",
            "WRITE BUFFER",
            {"mode": 2, "buffer_id": 7, "buffer_offset": 9, "parameter_list_length": 258},
        ),
        ("3c 6a 07 00 00 09 00 01 02 00", "READ BUFFER(10)", {"mode_specific": 3, "mode": 10, "allocation_length": 258}),
        (
            "56 12 05 06 00 00 00 01 02 00",
            "RESERVE(10)",
            {"long_id": 1, "third_party_device_id": 6, "parameter_list_length": 258},
        ),
        ("57 01 00 00 00 00 00 00 00 00", "RELEASE(10)", {"extent": 1}),
        (
            "9b 02 00 00 00 00 00 00 00 09 00 00 01 02 07 00",
            "READ BUFFER(16)",
            {"buffer_offset": 9, "allocation_length": 258, "buffer_id": 7},
        ),
        (
            "a3 05 00 00 00 00 00 00 01 02 fe 00",
            "REPORT IDENTIFYING INFORMATION",
            {"allocation_length": 258, "information_type": 0x7F},
        ),
        ("a3 0f 00 00 00 00 00 00 01 02 00 00", "REPORT TIMESTAMP", {"allocation_length": 258}),
        (
            "a4 06 00 00 00 00 00 00 01 02 04 00",
            "SET IDENTIFYING INFORMATION",
            {"parameter_list_length": 258, "information_type": 2},
        ),
        ("a4 0f 00 00 00 00 00 00 00 0c 00 00", "SET TIMESTAMP", {"parameter_list_length": 12}),
        (
            "48 a1 00 00 00 00 00 01 02 00",
            "SANITIZE, OVERWRITE",
            {"immed": 1, "znr": 0, "ause": 1, "parameter_list_length": 258},
        ),
        ("48 42 00 00 00 00 00 00 00 00", "SANITIZE, BLOCK ERASE", {"immed": 0, "znr": 1, "ause": 0}),
        ("ab 01 00 00 00 00 00 00 01 02 00 00", "READ MEDIA SERIAL NUMBER", {"allocation_length": 258}),
    ],
)
def test_fields_of_a_cdb(cdb: str, name: str, fields: dict[str, int]) -> None:
    found = values(describe_cdb(bytes.fromhex(cdb)))
    assert found["command"] == name
    assert {field: int(found[field], 0) for field in fields} == fields


def test_no_command_has_both_fields_and_a_bare_name():
    assert not COMMAND_NAMES.keys() & CDB_LAYOUTS.keys()
    assert not {code for code, action in CDB_LAYOUTS if action is None} & {code for code, _ in COMMAND_NAMES}


@pytest.mark.parametrize("case", SENSE["fixed"] + SENSE["descriptor"], ids=lambda case: case["what"])
def test_sense_in_words(case):
    rows = describe_sense(bytes.fromhex(case["sense"]))
    found = values(rows)
    pointer = case.get("cdb_field", case.get("data_field"))
    if pointer is not None:
        words = next(row.words for row in rows if row.name == "at_fault")
        assert words.startswith(f"byte {pointer}")
        assert ("CDB" in words) == ("cdb_field" in case)
        assert ("bit" in words) == ("bit" in case)
    if found["response_code"] == "0x72" and "information" in case:
        assert int(found["information"], 0) == case["information"]
    assert any(row.name == "meaning" and row.words for row in rows)


def test_progress_and_segment_pointers_have_their_own_words():
    progress = describe_sense(bytes.fromhex("70 00 02 00 00 00 00 0a 00 00 00 00 04 01 00 80 80 00"))
    assert progress[-1] == Row("progress", "32768", "50.0% done")
    segment = describe_sense(bytes.fromhex("f0 00 0a 00 00 00 01 0a 00 00 00 02 26 09 00 a8 00 04"))
    assert segment[-1].words == "byte 4, bit 0 of the segment descriptor"


def test_sense_with_more_behind_it():
    assert describe_sense(bytes.fromhex("70 00 05 00 00 00 00 0c 00 00 00 00 24 00 00 00 00 00 ab cd"))[-1].value == "ab cd"
    unknown = describe_sense(bytes.fromhex("72 05 24 00 00 00 00 04 0d 02 ab cd"))
    assert unknown[-1] == Row("sense_descriptor_0dh", "0d 02 ab cd", "4 bytes")


@pytest.mark.parametrize("data", [b"", bytes(7), bytes(18), b"\x7f" + bytes(17)])
def test_what_is_no_sense_data_is_refused(data):
    with pytest.raises(ValueError):
        describe_sense(data)


@given(st.sampled_from([0x70, 0x71, 0x72, 0x73, 0xF0]), st.binary(min_size=7, max_size=60))
def test_any_sense_data_has_words(response_code, rest):
    assert describe_sense(bytes((response_code,)) + rest)


@given(st.binary(min_size=1, max_size=32))
def test_any_cdb_has_words(cdb):
    assert describe_cdb(cdb)


@given(st.binary(min_size=4, max_size=120), st.sampled_from([0, 0x80, 0x83, 0x86, 0xB0, 0xB1, 0xB2, 0x8F]))
def test_any_page_has_words(data, page_code):
    assert describe_vpd(data)
    assert describe_vpd(data[:1] + bytes((page_code,)) + data[2:])


def page(page_code):
    return data_of(UnitUnderTest().command(bytes((0x12, 1, page_code, 1, 0, 0))))


def test_our_own_pages_in_words():
    assert values(describe_vpd(page(0x80)))["product_serial_number"] == UnitUnderTest().logical_unit.serial_number
    assert next(row.words for row in describe_vpd(page(0)) if row.name == "supported_page") == "Supported VPD Pages"
    designators = [row.value for row in describe_vpd(page(0x83)) if row.name == "designator"]
    assert designators[0] == UnitUnderTest().logical_unit.identity.hex()
    assert designators[-1] == "iqn.2026-11.io.odx-target:array"
    assert values(describe_vpd(page(0xB0)))["maximum_transfer_length"] == "0x8000"
    assert Row("provisioning_type", "2", "thin provisioned") in describe_vpd(page(0xB2))
    assert Row("medium_rotation_rate", "1", "non-rotating medium") in describe_vpd(page(0xB1))
    assert values(describe_vpd(page(0x86)))["simpsup"] == "1"


def test_a_page_cut_short_says_what_is_missing():
    assert describe_vpd(page(0xB0)[:20])[-1] == Row("missing", "44", "bytes to the end of the page")
    with pytest.raises(ValueError, match="3 bytes"):
        describe_vpd(bytes(3))


def test_others_can_add_what_they_know():
    known = Descriptions()
    known.add_cdb(0x83, 0x10, "POPULATE TOKEN", PopulateToken)
    known.add_vpd_page(0x8F, "Third-party Copy", lambda body: [Row("body", body.hex())])
    populate = bytes((0x83, 0x10)) + bytes(14)
    assert values(describe_cdb(populate, known))["command"] == "POPULATE TOKEN"
    assert values(describe_cdb(populate))["command"] == "unknown", "nobody else hears of it"
    third_party = bytes.fromhex("00 8f 00 02 ab cd")
    assert describe_vpd(third_party, known)[-1] == Row("body", "abcd")
    assert describe_vpd(third_party)[-1] == Row("page_body", "ab cd", "2 bytes")
    assert describe_vpd(bytes.fromhex("00 00 00 02 00 8f"), known)[-1].words == "Third-party Copy"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, Row("x", "5")),
        (10, Row("x", "0xa", "10")),
        (1, Row("x", "1", "one")),
        (b"text\0\0", Row("x", "text")),
        (b"\0\0", Row("x", "00 00")),
        (b"\xff\1", Row("x", "ff 01")),
    ],
)
def test_values_in_words(value, expected):
    assert value_row("x", value, {1: "one"}) == expected
