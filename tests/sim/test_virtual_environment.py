"""Tests that the virtual environment ends tasks as trio does, so that other tests can rely on it."""

from typing import Any

import pytest
import trio

from odx_target.target.trio_environment import TrioEnvironment
from tests.sim import virtual_environment
from tests.sim.virtual_environment import Cancelled, JobsOf, VirtualEnvironment

WAITS = ["sleep", "event", "event that is set", "thread", "turn"]


def event_of(environment: Any, *, is_set: bool) -> Any:
    event = environment.event()
    if is_set:
        event.set()
    return event


async def wait(environment: Any, kind: str, log: list[str]) -> None:
    if kind == "sleep":
        await environment.sleep(1000.0)
    elif kind == "thread":
        await environment.in_thread(log.append, "in thread")
    elif kind == "turn":
        await environment.turns.next()
    else:
        await event_of(environment, is_set=kind == "event that is set").wait()


async def job(environment: Any, kinds: list[str], log: list[str]) -> None:
    log.append("begins")
    try:
        for kind in kinds:
            await wait(environment, kind, log)
            log.append(f"after {kind}")
    except BaseException as error:
        log.append("cancelled" if isinstance(error, trio.Cancelled | Cancelled) else repr(error))
        raise
    finally:
        log.append("ends")


async def cancelled_by_trio(kinds: list[str], *, begun: bool) -> list[str]:
    log: list[str] = []
    async with trio.open_nursery() as nursery:
        environment = TrioEnvironment(nursery)
        environment.start_soon(job, environment, kinds, log)
        if begun:
            while not log:
                await trio.sleep(0)
        nursery.cancel_scope.cancel()
    return log


def cancelled_here(kinds: list[str], *, begun: bool) -> list[str]:
    log: list[str] = []
    environment = VirtualEnvironment()
    environment.start_soon(job, environment, kinds, log)
    if begun:
        environment.step()
    environment.stop()
    return log


@pytest.mark.parametrize("kind", WAITS)
async def test_a_job_that_has_not_begun_begins_and_its_first_wait_is_cancelled(kind: str) -> None:
    expected = ["begins", "cancelled", "ends"]
    assert await cancelled_by_trio([kind], begun=False) == expected
    assert cancelled_here([kind], begun=False) == expected


@pytest.mark.parametrize("kind", ["sleep", "event"])
async def test_a_job_that_waits_is_cancelled_there(kind: str) -> None:
    expected = ["begins", "cancelled", "ends"]
    assert await cancelled_by_trio([kind, "sleep"], begun=True) == expected
    assert cancelled_here([kind, "sleep"], begun=True) == expected


@pytest.mark.parametrize("kind", WAITS)
async def test_what_runs_in_a_thread_is_not_cancelled_half_way(kind: str) -> None:
    expected = ["begins", "in thread", "after thread", "cancelled", "ends"]
    assert await cancelled_by_trio(["thread", kind], begun=True) == expected
    assert cancelled_here(["thread", kind], begun=True) == expected


def test_what_a_cancelled_task_starts_is_cancelled_too() -> None:
    environment = VirtualEnvironment()
    log: list[str] = []

    async def parent() -> None:
        try:
            await environment.sleep(1.0)
        finally:
            environment.start_soon(job, environment, ["sleep"], log)

    environment.start_soon(parent)
    environment.settle()
    environment.stop()
    assert log == ["begins", "cancelled", "ends"]
    environment.advance(10.0)


def test_jobs_that_are_cancelled_apart_from_others() -> None:
    environment = VirtualEnvironment()
    logs: list[list[str]] = [[], []]
    jobs = JobsOf(environment)
    jobs.start_soon(job, jobs, ["sleep"], logs[0])
    environment.start_soon(job, environment, ["sleep"], logs[1])
    jobs.stop()
    assert logs == [["begins", "cancelled", "ends"], ["begins"]]
    environment.advance(1000.0)
    assert logs[1] == ["begins", "after sleep", "ends"]


def test_a_task_that_was_cancelled_is_not_woken_again() -> None:
    environment = VirtualEnvironment()
    event = environment.event()

    async def stubborn() -> None:
        try:
            await event.wait()
        finally:
            event.set()

    task = environment.spawn(stubborn())
    environment.settle()
    environment.cancel([task])
    assert isinstance(task.error, Cancelled)
    environment.advance(1.0)


def test_a_process_that_dies_runs_nothing_more() -> None:
    environment = VirtualEnvironment()
    log: list[str] = []
    environment.start_soon(job, environment, ["sleep"], log)
    environment.die()
    environment.advance(1000.0)
    assert log == []


class _MachineOff(BaseException):
    pass


def test_no_job_is_started_after_the_death_of_the_process() -> None:
    environment = VirtualEnvironment()

    async def die() -> None:
        raise _MachineOff

    async def go_on() -> None:
        while True:
            environment.start_soon(die)
            await environment.sleep(0)

    with pytest.raises(_MachineOff):
        environment.run(go_on())


def test_tasks_that_run_on_and_on_without_time_passing_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual_environment, "MAX_STEPS_OF_A_MOMENT", 100)
    environment = VirtualEnvironment(1)

    async def take_turns(count: int) -> None:
        for _ in range(count):
            await environment.turns.next()

    environment.spawn(take_turns(40))
    environment.settle()
    environment.spawn(take_turns(1000))
    with pytest.raises(virtual_environment.Livelock):
        environment.settle()
