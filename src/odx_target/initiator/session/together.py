"""Jobs that run concurrently."""

from collections.abc import Sequence
from functools import partial

import trio

from odx_target.initiator.errors import InitiatorError
from odx_target.initiator.result import Job


async def run_together(jobs: Sequence[Job]) -> None:
    """Run jobs concurrently until all have ended. The first InitiatorError cancels the other jobs and is raised."""
    failures: list[InitiatorError] = []

    async def run(job: Job) -> None:
        try:
            await job()
        except InitiatorError as failure:
            failures.append(failure)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(run, job)
    if failures:
        raise failures[0]


async def run_beside(job: Job, background: Job) -> None:
    """Run a job, and run `background` until the job ends. An InitiatorError of one of them cancels the other and is raised."""
    failures: list[InitiatorError] = []

    async def run(one: Job, *, ends_both: bool) -> None:
        try:
            await one()
        except InitiatorError as failure:
            failures.append(failure)
            ends_both = True
        if ends_both:
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run, background, ends_both=False))
        nursery.start_soon(partial(run, job, ends_both=True))
    if failures:
        raise failures[0]


async def run_to_its_end(job: Job, limit_s: float) -> None:
    """Run a job that gives something back, even if the caller has been cancelled. After `limit_s` seconds the job is
    cancelled.
    """
    with trio.move_on_after(limit_s, shield=True):
        await job()
