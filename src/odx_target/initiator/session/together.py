"""Jobs that run concurrently."""

from collections.abc import Sequence

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
