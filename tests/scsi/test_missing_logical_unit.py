"""Every command to a LUN without a logical unit gets a reply, and uses no property of a logical unit."""

import pytest

from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Waiting
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.scsi.unit.addressed_unit import AddressedUnit
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.missing_logical_unit import MissingLogicalUnit
from tests.scsi.array import UnitUnderTest, code_of

LUN = 9
NOT_SUPPORTED = (5, 0x25, 0)
ROWS = list(UnitUnderTest().server.commands.rows())
# REPORT LUNS needs an allocation length for a list, REQUEST SENSE one for its sense data.
VALID = {"REPORT LUNS": "a0 00 00 00 00 00 00 00 10 00 00 00", "REQUEST SENSE": "03 00 00 00 fc 00"}


def cdb_of(row: CommandRow) -> bytes:
    head = bytes((row.operation_code, 0 if row.service_action is None else row.service_action))
    return bytes.fromhex(VALID[row.name]) if row.name in VALID else head.ljust(row.cdb_bytes, b"\0")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_command(row: CommandRow) -> None:
    unit = UnitUnderTest()
    for attribute in list(TaskAttribute)[:4]:
        started = unit.start(cdb_of(row), bytes(64), lun=LUN, attribute=attribute)
        assert not started.task.logical_unit.is_present
        if CommandFlag.WITHOUT_LOGICAL_UNIT in row.flags:
            assert started.reply.status == 0
        else:
            assert code_of(started.reply) == NOT_SUPPORTED
    assert unit.internal_errors == []


def test_a_bug_on_a_missing_unit_is_an_internal_failure() -> None:
    unit = UnitUnderTest()

    def fail(task):
        raise KeyError

    unit.server.before_command = fail
    assert code_of(unit.command("12 00 00 00 60 00", lun=LUN)) == (4, 0x44, 0)


def test_a_rule_may_delay_a_command_on_a_missing_unit() -> None:
    unit = UnitUnderTest()

    async def delay(task):
        await unit.environment.sleep(1.0)
        return Reply(transfer_bytes=7)

    unit.server.before_command = lambda task: Waiting(delay, task)
    started = [unit.start("12 00 00 00 60 00", lun=LUN) for _ in range(2)]
    unit.environment.advance(1.0)
    assert [each.reply.transfer_bytes for each in started] == [7, 7]


def test_it_has_all_that_is_asked_of_a_unit_before_a_command() -> None:
    missing, present = MissingLogicalUnit(), UnitUnderTest().logical_unit
    assert isinstance(present, LogicalUnit)
    common = vars(AddressedUnit(present.tasks)).keys()
    assert common == vars(missing).keys() < vars(present).keys()
    initial = {name: vars(missing)[name] for name in common - {"tasks", "traffic"}}
    assert initial == {name: vars(present)[name] for name in initial}
    assert not any(kind.commands for unit in (missing, present) for kind in unit.traffic.kinds)
