"""Runs the host side without an event loop: with a naive target, no command has to wait."""

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from odx_target.initiator.disk import Disk
from odx_target.initiator.result import Executor, Job

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


async def no_sleep(delay_s: float) -> None:
    pass


async def one_by_one(jobs: Sequence[Job]) -> None:
    for job in jobs:
        await job()


def probe(executor: Executor, name: str = "disk") -> Disk:
    return run(Disk.probe(executor, no_sleep, name))
