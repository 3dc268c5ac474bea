"""Descriptions of log pages: our own, those of other targets, and incomplete data."""

from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.describe.log_pages import describe_log_page
from odx_target.scsi.describe.rows import Row
from tests.scsi.array import UnitUnderTest, data_of


def page(page_code: int, subpage_code: int = 0) -> bytes:
    return data_of(UnitUnderTest().command(bytes((0x4D, 0, 0x40 | page_code, subpage_code, 0, 0, 0, 0, 0xFF, 0))))


def test_pages_that_list_pages() -> None:
    assert [row for row in describe_log_page(page(0x00)) if row.name == "supported_page"] == [
        Row("supported_page", "0x00", "Supported Log Pages"),
        Row("supported_page", "0x0c", "Logical Block Provisioning"),
        Row("supported_page", "0x2f", "Informational Exceptions"),
    ]
    rows = describe_log_page(page(0x00, 0xFF))
    assert Row("page_code", "0", "Supported Log Pages and Subpages") in rows
    assert Row("supported_page", "0x00/0xff", "Supported Log Pages and Subpages") in rows
    assert Row("supported_page", "0x0c/0xff", "Supported Subpages of 0x0c") in rows
    assert Row("page_code", "0xc", "Supported Subpages of 0x0c") in describe_log_page(page(0x0C, 0xFF))


def test_what_the_pool_has_used() -> None:
    rows = describe_log_page(page(0x0C))
    assert Row("page_code", "0xc", "Logical Block Provisioning") in rows
    assert Row("parameter_code", "0x0002", "used LBA mapping resource count") in rows
    assert Row("scope", "2", "shared by logical units") in rows
    assert any(row.name == "resource_count" for row in rows)


def test_informational_exceptions() -> None:
    rows = describe_log_page(page(0x2F))
    assert Row("parameter_code", "0x0000", "informational exceptions general") in rows
    assert Row("most_recent_temperature_reading", "0xff", "not available") in rows
    assert rows[-1].name == "meaning"
    failed = describe_log_page(bytes.fromhex("2f 00 00 07 00 00 03 03 5d 00 ff"))
    assert failed[-1].value == "5Dh/00h"
    assert "threshold" in failed[-1].words.lower()


def test_foreign_pages_are_named_and_shown_as_they_are() -> None:
    rows = describe_log_page(bytes.fromhex("0d 00 00 0a 00 00 03 02 00 2a 00 01 03"))
    assert Row("page_code", "0xd", "Temperature") in rows
    assert Row("parameter_value", "00 2a", "2 bytes") in rows
    assert rows[-2:] == [
        Row("partial_parameter_header", "00 01 03", "3 bytes"),
        Row("missing", "1", "bytes to the end of the page"),
    ]
    assert Row("page_code", "0x3e", "unknown") in describe_log_page(bytes.fromhex("3e 00 00 00"))
    subpage = describe_log_page(bytes.fromhex("6f 05 00 06 00 00 03 02 01 02"))
    assert Row("parameter_value", "01 02", "2 bytes") in subpage, "a subpage has parameters of its own"


@given(st.binary(max_size=120))
def test_any_data_have_words(data: bytes) -> None:
    assert describe_log_page(data) or not data
    for start in (b"\x0c\0\0\x40", b"\x2f\0\0\x40", b"\0\0\0\x40", b"\x40\xff\0\x40"):
        assert describe_log_page(start + data)
