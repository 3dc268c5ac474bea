"""A waiting task releases its resources whenever and however it is ended, even before it has begun."""

import pytest

from odx_target.scsi import device_server
from odx_target.scsi.command_table import CommandRow
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.extent import Extent
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.tasks.outcome import Pending
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from tests.scsi.array import UnitUnderTest, code_of

CDB = bytes.fromhex("c0 00 00 00 00 00").ljust(16, b"\0")
INTERNAL_FAILURE = (4, 0x44, 0)


class Work(Pending):
    """Work that is counted in `held` from its construction to its end."""

    held = 0

    def __init__(self, unit):
        self.unit = unit
        self.began = False
        Work.held += 1

    async def _run(self):
        self.began = True
        try:
            await self.unit.environment.sleep(1.0)
        finally:
            Work.held -= 1
        return Reply(transfer_bytes=9)

    def _abandon(self):
        Work.held -= 1


@pytest.fixture
def unit():
    Work.held = 0
    unit = UnitUnderTest()
    unit.made = []
    unit.extents = (Extent(0, 8, writes=True),)

    def handler(task):
        unit.made.append(Work(unit))
        return unit.made[-1]

    row = CommandRow("TEST", CDB[0], bytes((0, 0xFF, 0xFF, 0xFF, 0xFF, 0)), handler, extents=lambda task: unit.extents)
    unit.server = DeviceServer([row])
    unit.server.on_internal_error = unit.internal_errors.append
    unit.nexus = unit.new_nexus()
    yield unit
    unit.environment.advance(100.0)
    assert Work.held == 0
    assert unit.logical_unit.tasks.members == []
    assert unit.logical_unit.tasks.barriers == 0


def execute(unit, tag=1, data_out=(), attribute=TaskAttribute.SIMPLE):
    return unit.server.execute(unit.nexus, 0, CDB, data_out, attribute, tag)


ENDS = {
    "abort task": lambda unit: unit.server.abort_task(unit.nexus, 0, 1),
    "abort task set": lambda unit: unit.server.abort_task_set(unit.nexus, 0),
    "clear task set": lambda unit: unit.server.clear_task_set(unit.new_nexus(), 0),
    "logical unit reset": lambda unit: unit.server.reset_logical_unit(unit.logical_unit, None),
    "target reset": lambda unit: unit.server.reset_target(None),
    "nexus loss": lambda unit: unit.server.detach(unit.nexus),
}
every_end = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)


@every_end
def test_a_task_aborted_before_it_began_is_not_begun(unit, end):
    started = unit.start(CDB, tag=1)
    end(unit)
    unit.environment.settle()
    assert started.reply.status == Status.TASK_ABORTED
    assert not unit.made[0].began
    assert Work.held == 0


@every_end
@pytest.mark.parametrize("settles", [False, True])
def test_a_task_aborted_while_it_waits_for_its_turn_makes_no_work(unit, end, settles):
    first = unit.start(CDB, tag=2)
    second = unit.start(CDB, tag=1)
    if settles:
        unit.environment.settle()
    end(unit)
    unit.environment.advance(10.0)
    assert second.reply.status == Status.TASK_ABORTED
    assert first.is_done
    assert len(unit.made) == 1


@every_end
def test_a_task_aborted_by_its_own_handler_is_not_begun(unit, end):
    handler = unit.server.commands.find(CDB).handler

    def before(task):
        outcome = handler(task)
        if len(unit.made) == 2:
            end(unit)
        return outcome

    unit.server.before_command = before
    unit.start(CDB, tag=2)
    second = unit.start(CDB, tag=1)
    unit.environment.advance(10.0)
    assert second.reply.status == Status.TASK_ABORTED
    assert [work.began for work in unit.made] == [True, False]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("careful", [False, True])
def test_an_owner_may_abandon_what_it_was_given(unit, count, careful):
    """The first outcome would run at once; the others wait for their turn."""
    if careful:
        unit.server.before_command = lambda task: None
    outcomes = [execute(unit, tag)[1] for tag in range(count)]
    assert len(unit.logical_unit.tasks.members) == count
    assert Work.held == 1
    for outcome in outcomes:
        outcome.abandon()
    assert Work.held == 0


def test_those_behind_an_abandoned_task_go_on(unit):
    _, first = execute(unit)
    second = unit.start(CDB, tag=2)
    unit.environment.settle()
    first.abandon()
    unit.environment.advance(1.0)
    assert second.reply.transfer_bytes == 9


@pytest.mark.parametrize("end", ["before it begins", "while it runs", "while it waits for its turn"])
def test_a_cancelled_run_gives_everything_back(unit, end):
    if end == "while it waits for its turn":
        _, other = execute(unit, 2)
    _, outcome = execute(unit)
    running = outcome.run()
    if end == "before it begins":
        running.close()
        outcome.abandon()
    else:
        running.send(None)
        running.close()
    if end == "while it waits for its turn":
        other.abandon()
    assert Work.held == 0


@pytest.mark.parametrize("is_busy", [False, True])
def test_extents_that_cannot_be_had_after_the_handler(unit, is_busy, monkeypatch):
    if is_busy:
        unit.start(CDB, tag=9)
        unit.environment.settle()
    unit.extents = None
    before = len(unit.made)
    _, outcome = execute(unit)
    assert code_of(outcome) == INTERNAL_FAILURE
    assert len(unit.made) == (before if is_busy else before + 1)


@pytest.mark.parametrize("beside", ["nothing", "a task that it waits for", "a task that it does not meet"])
def test_no_memory_for_the_data_of_a_task_that_waits(unit, beside, monkeypatch):
    if beside != "nothing":
        unit.start(CDB, tag=9)
        unit.environment.settle()
        if beside == "a task that it does not meet":
            unit.extents = (Extent(800, 8, writes=True),)
    members = list(unit.logical_unit.tasks.members)

    def fail(task):
        raise MemoryError

    monkeypatch.setattr(device_server, "_own_data_out", fail)
    _, outcome = execute(unit, data_out=[b"data"])
    assert outcome.status == Status.BUSY
    assert unit.logical_unit.tasks.members == members


@pytest.mark.parametrize("waits", [False, True])
def test_a_rule_that_fails_after_a_command_is_an_internal_failure(unit, waits):
    def after(task, reply):
        raise ZeroDivisionError

    unit.server.after_command = after
    reply = unit.command(CDB) if waits else unit.command("12 00 00 00 00 00")
    assert code_of(reply) == INTERNAL_FAILURE
    assert len(unit.internal_errors) == 1
