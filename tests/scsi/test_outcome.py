"""Pending work ends exactly once: it is either run or abandoned."""

import gc

import pytest

from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.outcome import Pending, Waiting, run_unless_aborted
from odx_target.scsi.tasks.task import Task, TaskAborted
from tests.sim.virtual_environment import VirtualEnvironment

REPLY = Reply(transfer_bytes=5)


class Holding(Pending):
    def __init__(self) -> None:
        self.log: list[str] = []

    async def _run(self) -> Reply:
        self.log.append("run")
        return REPLY

    def _abandon(self) -> None:
        self.log.append("abandoned")


async def give(reply: Reply, *others: Reply) -> Reply:
    return reply


def drive(coroutine):
    return VirtualEnvironment().run(coroutine)


def run(pending):
    assert drive(pending.run()) is REPLY


def abandon(pending):
    assert pending.abandon() is None


@pytest.mark.parametrize("first", [run, abandon])
@pytest.mark.parametrize("second", [run, abandon])
def test_work_is_run_or_abandoned_once(first, second):
    holding = Holding()
    first(holding)
    with pytest.raises(RuntimeError, match="once"):
        second(holding)
    assert holding.log == ["run" if first is run else "abandoned"]


def test_a_run_that_never_began_leaves_the_work_to_its_owner():
    holding = Holding()
    holding.run().close()
    assert holding.log == []
    holding.abandon()
    assert holding.log == ["abandoned"]


def test_work_that_holds_nothing_is_the_call_of_a_function():
    called = []

    async def function(*arguments):
        called.append(arguments)
        return REPLY

    waiting = Waiting(function, 1, "two")
    assert called == []
    run(waiting)
    assert called == [(1, "two")]
    Waiting(function).abandon()
    assert called == [(1, "two")]


@pytest.mark.parametrize("aborted", [False, True])
def test_work_of_an_aborted_task_is_abandoned(aborted):
    holding = Holding()
    task = Task(None, None, b"", aborted=aborted)
    if aborted:
        with pytest.raises(TaskAborted):
            drive(run_unless_aborted(task, holding))
    else:
        assert drive(run_unless_aborted(task, holding)) is REPLY
    assert holding.log == ["abandoned" if aborted else "run"]


def test_dropping_work_is_reported():
    def drop():
        Holding()
        gc.collect()

    with pytest.warns(ResourceWarning, match="Holding was neither run nor abandoned"):
        drop()
