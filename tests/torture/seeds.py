"""Runs of seeds: the whole run of a seed, and the run of a given list of steps."""

from collections.abc import Sequence

from tests.torture import (
    commands,
    faults,
    luns,
    management,
    observations,
    sanitize_steps,
    schedule_steps,
    task_steps,
    token_steps,
)
from tests.torture.run import Run
from tests.torture.setup import Counts, Setup
from tests.torture.steps import Step, steps_of

ROOMS = (commands, faults, luns, management, observations, sanitize_steps, schedule_steps, task_steps, token_steps)
"""The modules that add their actions to `Run.ACTIONS`."""


def new_run(setup: Setup) -> Run:
    """Begin a run that can do all kinds of steps."""
    assert all(ROOMS)
    return Run(setup)


def replay(seed: int, steps: Sequence[Step]) -> Counts:
    """Do steps on the array of a seed. Raises an exception if the array and the model disagree."""
    run = new_run(Setup.of_seed(seed))
    try:
        for step in steps:
            run.do(step)
        run.end()
    finally:
        run.array.abandon()
    return run.counts


def run_seed(seed: int, count_steps: int) -> Counts:
    """Do the steps that a seed chooses."""
    return replay(seed, steps_of(seed, count_steps))
