"""Descriptions of mode parameters: our own, those of other targets, and incomplete data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.describe.data import DescribePage
from odx_target.scsi.describe.mode_pages import describe_mode_parameters_6, describe_mode_parameters_10
from odx_target.scsi.describe.rows import Row
from tests.scsi.array import UnitUnderTest, data_of

ALL_PAGES_6, ALL_PAGES_10 = "1a 00 3f 00 ff 00", "5a 10 3f 00 00 00 00 00 ff 00"


def values(rows: list[Row], name: str) -> list[str]:
    return [row.value for row in rows if row.name == name]


@pytest.mark.parametrize(
    ("cdb", "describe", "descriptor_length"),
    [
        (ALL_PAGES_6, describe_mode_parameters_6, Row("block_descriptor_length", "8")),
        (ALL_PAGES_10, describe_mode_parameters_10, Row("block_descriptor_length", "0x10", "16")),
    ],
)
def test_our_own_pages(cdb: str, describe: DescribePage, descriptor_length: Row) -> None:
    data = data_of(UnitUnderTest().command(cdb))
    rows = describe(data)
    assert descriptor_length in rows
    assert Row("number_of_logical_blocks", "0x2000", "8192") in rows
    assert Row("logical_block_length", "0x200", "512") in rows
    assert [row.words for row in rows if row.name == "page_code"] == [
        "Read-Write Error Recovery",
        "Caching",
        "Control",
        "Informational Exceptions Control",
    ]
    assert values(rows, "lbpere") == ["1"]
    assert values(rows, "wce") == ["1"]
    assert values(rows, "d_sense") == ["0"]
    assert values(rows, "dexcpt") == ["1"]
    assert not [row for row in rows if row.name.startswith(("partial", "missing", "behind"))]
    for size in range(len(data)):
        assert describe(data[:size]) or size < 2


def test_a_page_that_ends_early_says_what_is_missing() -> None:
    data = data_of(UnitUnderTest().command("1a 08 08 00 ff 00"))
    assert describe_mode_parameters_6(data[:-3])[-1] == Row("missing", "3", "bytes to the end of the page")
    assert describe_mode_parameters_6(data[:5])[-1] == Row("partial_page_header", "08", "1 bytes")


def test_foreign_pages_are_named_and_shown_as_they_are() -> None:
    rows = describe_mode_parameters_6(bytes.fromhex("00 00 00 00 07 02 c0 05 5c 01 00 02 ab cd 3e 01 77"))
    assert [row.words for row in rows if row.name == "page_code"] == [
        "Verify Error Recovery",
        "Background Control",
        "unknown",
    ]
    assert Row("subpage_code", "1") in rows
    assert values(rows, "page_body") == ["c0 05", "ab cd", "77"]


def test_a_page_longer_than_ours_and_a_descriptor_of_another_size() -> None:
    rows = describe_mode_parameters_6(bytes.fromhex("00 00 00 03 01 02 03 0a 0b") + bytes(10) + b"\x42")
    assert values(rows, "partial_block_descriptor") == ["01 02 03"]
    assert rows[-1] == Row("behind_the_page", "42", "1 bytes")


def test_thresholds_are_shown_one_by_one() -> None:
    thresholds = bytes.fromhex("80 01 00 00 00 00 01 00 81 02 00 00 00 00 00 07")
    rows = describe_mode_parameters_6(bytes.fromhex("00 00 00 00 5c 02 00 1c 01") + bytes(11) + thresholds)
    assert [row.words for row in rows if row.name == "page_code"] == ["Logical Block Provisioning"]
    assert values(rows, "situa") == ["1"]
    assert values(rows, "enabled") == ["1", "1"]
    assert [row.words for row in rows if row.name == "threshold_arming"] == ["decreasing", "increasing"]
    assert [row.words for row in rows if row.name == "threshold_resource"] == ["available", "used"]
    assert values(rows, "threshold_count") == ["0x100", "7"]


@given(st.binary(max_size=120))
def test_any_data_have_words(data: bytes) -> None:
    assert describe_mode_parameters_6(data) or not data
    assert describe_mode_parameters_10(data) or len(data) < 2
