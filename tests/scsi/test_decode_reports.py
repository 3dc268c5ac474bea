"""Descriptions of reports of supported commands and functions: our own, and incomplete data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.describe.data import DescribePage
from odx_target.scsi.describe.reports import (
    describe_all_commands,
    describe_defect_data_10,
    describe_defect_data_12,
    describe_one_command,
    describe_task_management_functions,
)
from odx_target.scsi.describe.rows import Row
from tests.scsi.array import UnitUnderTest, data_of


def answer(cdb: str) -> bytes:
    return data_of(UnitUnderTest().command(bytes.fromhex(cdb)))


@pytest.mark.parametrize("with_timeouts", [False, True])
def test_all_commands(with_timeouts: bool) -> None:
    data = answer(f"a3 0c {'80' if with_timeouts else '00'} 00 00 00 00 00 ff ff 00 00")
    rows = describe_all_commands(data)
    commands = [row for row in rows if row.name == "command"]
    assert len(commands) == (len(data) - 4) // (20 if with_timeouts else 8)
    assert commands[0] == Row("command", "00h", "TEST UNIT READY")
    assert Row("command", "9eh/10h", "READ CAPACITY(16)") in commands
    assert "unknown" not in {row.words for row in commands}
    assert describe_all_commands(data[:15])[-1].name == ("command" if with_timeouts else "partial_command_descriptor")
    assert Row("command", "83h/10h", "unknown") in describe_all_commands(bytes.fromhex("00000008 83 00 0010 00 01 0010"))


def test_one_command() -> None:
    rows = describe_one_command(answer("a3 0c 81 28 00 00 00 00 00 ff 00 00"))
    assert Row("support", "3", "supported as the standard says") in rows
    assert next(row for row in rows if row.name == "cdb_usage_data").value.startswith("28 ")
    assert Row("recommended_command_timeout", "0x1e", "30") in rows
    none = describe_one_command(answer("a3 0c 01 c1 00 00 00 00 00 ff 00 00"))
    assert Row("support", "1", "not supported") in none
    assert "cdb_usage_data" not in {row.name for row in none}


def test_task_management_functions() -> None:
    rows = describe_task_management_functions(answer("a3 0d 80 00 00 00 00 00 00 ff 00 00"))
    assert [row.words for row in rows if row.value == "1"] == [
        "ABORT TASK",
        "ABORT TASK SET",
        "CLEAR TASK SET",
        "LOGICAL UNIT RESET",
        "TARGET RESET",
    ]
    assert Row("short_timeout", "0") in rows
    assert "short_timeout" not in {
        row.name for row in describe_task_management_functions(answer("a3 0d 00 00 00 00 00 00 00 ff 00 00"))
    }


def test_defect_data() -> None:
    assert Row("defect_list_format", "5") in describe_defect_data_10(answer("37 00 1d 00 00 00 00 00 ff 00"))
    assert Row("glistv", "1") in describe_defect_data_12(answer("b7 0d 00 00 00 00 00 00 00 ff 00 00"))
    found = describe_defect_data_10(bytes.fromhex("00 0d 00 04 00 00 12 34"))
    assert found[-1] == Row("address_descriptors", "00 00 12 34", "4 bytes")


@pytest.mark.parametrize(
    "describe",
    [
        describe_all_commands,
        describe_one_command,
        describe_task_management_functions,
        describe_defect_data_10,
        describe_defect_data_12,
    ],
)
@given(data=st.binary(max_size=120))
def test_any_data_have_words(describe: DescribePage, data: bytes) -> None:
    assert describe(data) or len(data) < 4
