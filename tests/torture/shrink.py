"""Shortens a list of steps that fails, by leaving out steps and by halving numbers."""

from collections.abc import Callable, Iterator

from tests.torture.steps import Step


def shrunk(steps: list[Step], fails: Callable[[list[Step]], bool], attempts: int = 2000) -> list[Step]:
    """Return a short list of steps that still fails. `fails` does the steps and returns True if they still fail."""
    left = attempts
    changed = True
    while changed and left > 0:
        changed = False
        for shorter in _shorter(steps):
            left -= 1
            if left <= 0:
                break
            if fails(shorter):
                steps, changed = shorter, True
                break
    return steps


def _shorter(steps: list[Step]) -> Iterator[list[Step]]:
    size = len(steps) // 2
    while size:
        for start in range(len(steps) - size, -1, -size):
            yield steps[:start] + steps[start + size :]
        size //= 2
    for index, step in enumerate(steps):
        for simpler in _simpler(step):
            yield [*steps[:index], simpler, *steps[index + 1 :]]


def _simpler(step: Step) -> Iterator[Step]:
    for index, argument in enumerate(step):
        if isinstance(argument, int) and argument > 0:
            for smaller in {0, argument // 2, argument - 1}:
                yield [*step[:index], smaller, *step[index + 1 :]]
        elif isinstance(argument, list) and len(argument) > 1:
            for each in argument:
                yield [*step[:index], [each], *step[index + 1 :]]
