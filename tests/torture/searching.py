"""The search of one seed for a difference, and the shortest script that replays the difference."""

import json
from pathlib import Path

from tests.torture.seeds import new_run, replay
from tests.torture.setup import Counts, Setup
from tests.torture.shrink import shrunk
from tests.torture.steps import Step, steps_of

MAX_ATTEMPTS = 600


def search(seed: int, count_steps: int) -> tuple[Counts, str, list[Step]]:
    """Run a seed. Returns its counts; after a difference also the error and the steps up to the difference."""
    steps = steps_of(seed, count_steps)
    run = new_run(Setup.of_seed(seed))
    try:
        for step in steps:
            run.do(step)
        run.end()
    except Exception as error:
        return run.counts, f"{type(error).__name__}: {error}", steps[: run.counts.steps]
    finally:
        run.array.abandon()
    return run.counts, "", []


def shortest(seed: int, steps: list[Step], attempts: int = MAX_ATTEMPTS) -> tuple[str, list[Step]]:
    """Shorten steps that fail. Returns the error of the shortest steps, and these steps.

    The error has the same type as the error of all steps. Returns "" as the error if the steps do not fail again.
    """

    def error_of(some: list[Step]) -> str:
        try:
            replay(seed, some)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""

    kind = error_of(steps).partition(":")[0]
    if not kind:
        return "", steps
    short = shrunk(steps, lambda some: error_of(some).partition(":")[0] == kind, attempts)
    return error_of(short), short


def write_script(path: Path, seed: int, error: str, steps: list[Step]) -> None:
    """Write a script: a JSON document that `python -m tests.torture replay` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"    {json.dumps(step)}" for step in steps)
    path.write_text(f'{{\n  "seed": {seed},\n  "error": {json.dumps(error)},\n  "steps": [\n{lines}\n  ]\n}}\n')


def read_script(path: Path) -> tuple[int, list[Step]]:
    document = json.loads(path.read_text())
    return document["seed"], document["steps"]
