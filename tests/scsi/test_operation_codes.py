import pytest

from odx_target.scsi.command_table import CommandRow, CommandTable
from odx_target.scsi.commands import identification, inquiry, mode_select, timestamp
from odx_target.scsi.commands.standard import standard_commands
from odx_target.scsi.reply import Reply
from odx_target.scsi.reservations import persistent_reserve_out
from odx_target.scsi.tasks.task_manager import TaskManager
from tests.scsi.array import UnitUnderTest, data_of

TIMEOUTS = bytes.fromhex("000a 0000 00000000 0000001e")


def ask(options):
    return data_of(UnitUnderTest().command(f"a3 0c {options} 00 00 10 00 00 00"))


def test_all_commands_are_listed_in_order():
    data = ask("00 00 00 00")
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    listed = [data[index : index + 8] for index in range(4, len(data), 8)]
    keys = [(entry[0], entry[2] << 8 | entry[3], entry[5], entry[6] << 8 | entry[7]) for entry in listed]
    rows = [*standard_commands(), *persistent_reserve_out.rows(TaskManager()), *mode_select.rows(TaskManager())]
    rows += [*identification.rows(TaskManager()), *inquiry.rows(TaskManager()), *timestamp.rows(TaskManager())]
    expected = {
        (row.operation_code, row.service_action or 0, int(row.service_action is not None), row.cdb_bytes)
        for row in rows
        if row.is_supported is None
    }
    assert set(keys) == expected | {(0xA3, 0x0C, 1, 12)}
    assert keys == sorted(keys)


def test_all_commands_with_timeouts():
    data = ask("80 00 00 00")
    assert not (len(data) - 4) % 20
    for index in range(4, len(data), 20):
        assert data[index + 5] & 0x02
        assert data[index + 8 : index + 20] == TIMEOUTS


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # one command by its operation code
        ("01 28 00 00", "00 03 00 0a 28 18 ff ff ff ff 3f ff ff 00"),
        ("81 28 00 00", "00 83 00 0a 28 18 ff ff ff ff 3f ff ff 00" + TIMEOUTS.hex()),
        ("01 00 00 00", "00 03 00 06 00 00 00 00 00 00"),
        ("01 28 00 07", "00 03 00 0a 28 18 ff ff ff ff 3f ff ff 00"),
        ("01 c0 00 00", "00 01 00 00"),
        # by operation code and service action
        ("02 9e 00 10", "00 03 00 10 9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00"),
        ("02 9e 00 11", "00 01 00 00"),
        ("02 c0 00 00", "00 01 00 00"),
        ("02 a3 00 0c", "00 03 00 0c a3 0c 87 ff ff ff ff ff ff ff 00 00"),
        # either with or without a service action
        ("03 28 00 00", "00 03 00 0a 28 18 ff ff ff ff 3f ff ff 00"),
        ("03 28 00 01", "00 01 00 00"),
        ("03 9e 00 12", "00 03 00 10 9e 12 ff ff ff ff ff ff ff ff ff ff ff ff 00 00"),
        ("03 9e 00 00", "00 01 00 00"),
    ],
)
def test_one_command(options, expected):
    assert ask(options) == bytes.fromhex(expected)


def test_the_allocation_length_cuts():
    assert data_of(UnitUnderTest().command("a3 0c 01 28 00 00 00 00 00 05 00 00")) == bytes.fromhex("00 03 00 0a 28")


@pytest.mark.parametrize(
    ("first", "second"),
    [((0x10, None), (0x10, None)), ((0x10, 1), (0x10, 1)), ((0x10, None), (0x10, 1)), ((0x10, 1), (0x10, None))],
)
def test_two_rows_for_one_command_are_a_mistake(first, second):
    rows = [
        CommandRow("ONE", code, bytes((code, action or 0, 0)), lambda task: Reply(), service_action=action)
        for code, action in (first, second)
    ]
    with pytest.raises(ValueError, match="two rows"):
        CommandTable(rows)
