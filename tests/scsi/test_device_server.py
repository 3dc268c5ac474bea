"""The work of the device server around handlers: checks, failures, and data that must outlive its buffers."""

import pytest

from odx_target.scsi.command_table import CommandFlag, CommandRow
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.extent import Extent
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Waiting
from odx_target.scsi.unit.logical_unit import LogicalUnit
from tests.scsi.array import UnitUnderTest, code_of, data_of

OPERATION_CODE = 0xC0


def unit_with(handler, **row):
    unit = UnitUnderTest()
    mask = bytes((0, 0xFF, 0xFF, 0xFF, 0xFF, 0))
    unit.server = DeviceServer([CommandRow("TEST", OPERATION_CODE, mask, handler, **row)])
    unit.server.on_internal_error = unit.internal_errors.append
    unit.nexus = unit.new_nexus()
    return unit


async def ends_with(reply):
    return reply


def raises(error):
    def handler(task):
        raise error

    return handler


async def raises_later(error):
    raise error


@pytest.mark.parametrize("waits", [False, True])
def test_a_bug_in_a_handler_is_an_internal_target_failure(waits):
    error = ZeroDivisionError("oops")
    unit = unit_with(lambda task: Waiting(raises_later, error) if waits else raises(error)(task))
    assert code_of(unit.command("c0 00 00 00 00 00")) == (4, 0x44, 0)
    assert unit.internal_errors == [error]
    assert not unit.logical_unit.tasks.members
    unit.server.on_internal_error = None
    assert code_of(unit.command("c0 00 00 00 00 00")) == (4, 0x44, 0)


@pytest.mark.parametrize("is_busy", [False, True])
def test_a_bug_in_extents_is_one_too_and_leaves_nothing_behind(is_busy):
    unit = unit_with(lambda task: Waiting(ends_with, Reply()), extents=raises(KeyError("oops")))
    if is_busy:
        unit.logical_unit.tasks.join(unit.start("12 00 00 00 00 00").task, (), is_ordered=True)
    assert code_of(unit.command("c0 00 00 00 00 00")) == (4, 0x44, 0)
    assert len(unit.logical_unit.tasks.members) == is_busy


def test_a_handler_that_waits_sees_its_data_after_the_buffers_are_gone():
    seen = []

    async def look(task):
        await task.logical_unit.environment.sleep(1.0)
        seen.append(b"".join(task.data_out))
        return Reply()

    unit = unit_with(lambda task: Waiting(look, task), extents=lambda task: (Extent(0, 1, writes=True),))
    for _ in range(3):  # the first runs at once, and the others wait for the first
        buffer = bytearray(b"data")
        unit.start("c0 00 00 00 00 00", [memoryview(buffer)[:2], memoryview(buffer)[2:]])
        buffer[:] = b"gone"
    unit.environment.advance(10.0)
    assert seen == [b"data"] * 3


def test_a_handler_beside_others_sees_its_data_after_the_buffers_are_gone():
    seen = []

    async def look(task):
        await task.logical_unit.environment.sleep(1.0)
        seen.append(b"".join(task.data_out))
        return Reply()

    unit = unit_with(lambda task: Waiting(look, task))
    for _ in range(2):
        buffer = bytearray(b"data")
        unit.start("c0 00 00 00 00 00", [memoryview(buffer)])
        buffer[:] = b"gone"
    unit.environment.advance(10.0)
    assert seen == [b"data"] * 2


@pytest.mark.parametrize("waits", [False, True])
def test_rules_step_in_before_and_after(waits):
    handled = []
    reply = Reply(transfer_bytes=1)
    unit = unit_with(lambda task: handled.append(task) or (Waiting(ends_with, reply) if waits else reply))
    unit.server.before_command = lambda task: Reply(0x08) if task.cdb[1] else None
    assert unit.command("c0 01 00 00 00 00").status == 0x08
    assert not handled
    assert unit.command("c0 00 00 00 00 00") is reply
    unit.server.before_command = None
    seen = []
    unit.server.after_command = lambda task, before: seen.append((task, before)) or Reply(0x28)
    assert unit.command("c0 00 00 00 00 00").status == 0x28
    assert seen == [(handled[-1], reply)]
    assert unit.command("ff 00 00 00 00 00").status == 0x28, "also what was refused"


def test_a_rule_may_delay_a_command_without_losing_its_place():
    unit = unit_with(lambda task: Reply())

    async def delay(task):
        await unit.environment.sleep(5.0)
        return Reply(transfer_bytes=7)

    unit.server.before_command = lambda task: Waiting(delay, task)
    started = unit.start("c0 00 00 00 00 00")
    unit.environment.advance(4.9)
    assert not started.is_done
    unit.environment.advance(0.2)
    assert started.reply.transfer_bytes == 7


def test_a_task_knows_the_lun_it_was_sent_to():
    tasks = []
    unit = unit_with(lambda task: tasks.append(task) or Reply())
    unit.nexus.logical_units = {9: unit.logical_unit}
    unit.command("c0 00 00 00 00 00", b"abc", lun=9, tag=4711)
    task = tasks[0]
    assert (task.lun, task.tag, task.logical_unit, task.data_out_bytes) == (9, 4711, unit.logical_unit, 3)


def test_a_command_for_missing_units_meets_one_that_is_not_there():
    seen = []
    unit = unit_with(lambda task: seen.append(task.logical_unit.is_present) or Reply(), flags=CommandFlag.WITHOUT_LOGICAL_UNIT)
    assert unit.command("c0 00 00 00 00 00", lun=5).status == 0
    assert unit.command("c0 00 00 00 00 00", lun=0).status == 0
    assert seen == [False, True]


def test_cancelling_a_task_from_outside_takes_it_out_of_the_set():
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: True
    started = unit.start("28 00 00 00 00 00 00 00 08 00")
    unit.environment.settle()
    assert unit.logical_unit.tasks.members
    started.outcome.coroutine.close()
    assert not unit.logical_unit.tasks.members


def test_fast_and_careful_paths_answer_alike():
    plain, careful = UnitUnderTest(), UnitUnderTest()
    careful.server.before_command = lambda task: None
    for cdb in (
        "28" + "00" * 6 + "0100",
        "2a" + "00" * 6 + "0100",
        "00" * 6,
        "28 e0" + "00" * 8,
        "42" + "00" * 9,
        "12" + "00" * 5,
    ):
        assert plain.command(cdb, bytes(512)) == careful.command(cdb, bytes(512))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"block_bytes": 520}, "512 or 4096"),
        ({"capacity_blocks": 0}, "do not fit"),
        ({"capacity_blocks": 8193}, "do not fit"),
    ],
)
def test_a_logical_unit_that_cannot_be_is_refused(options, words):
    unit = UnitUnderTest()
    arguments = {
        "number": 0,
        "volume": unit.volume,
        "block_bytes": 512,
        "capacity_blocks": 8192,
        "pool": unit.pool,
        "environment": unit.environment,
    }
    LogicalUnit(**arguments)
    with pytest.raises(ValueError, match=words):
        LogicalUnit(**(arguments | options))


def test_a_unit_may_show_less_than_its_volume_holds():
    unit = UnitUnderTest()
    unit.logical_unit.capacity_blocks = 8187
    assert data_of(unit.command("28 00 00 00 1f fa 00 00 01 00")) == bytes(512)
    assert code_of(unit.command("28 00 00 00 1f fb 00 00 01 00")) == (5, 0x21, 0)
