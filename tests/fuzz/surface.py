"""The surfaces that the fuzzer attacks, the scripts of its attacks, and its findings."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

Step: TypeAlias = list[Any]
"""One step of an attack: the name of an action and its arguments, all of them values of JSON."""

Script: TypeAlias = list[Step]
"""An attack, as JSON. A script that was written to a file repeats the attack."""


class Finding(AssertionError):
    """The attacked code has broken a rule. `rule` is the same for all scripts that break the same rule at the same place."""

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(f"{rule}: {detail}" if detail else rule)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Surface:
    """A part of the program that gets data from strangers.

    `new_step` and `new_script` make random attacks. `run` runs a script, and returns the outcomes that were seen, as texts. A
    script with a new outcome is interesting. `run` raises Finding. `packages` are the folders below `src/odx_target` that the
    scripts are meant to reach. A surface with a greater `weight` is attacked more often.
    """

    name: str
    new_step: Callable[[Random], Step]
    new_script: Callable[[Random], Script]
    run: Callable[[Script], set[str]]
    packages: tuple[str, ...]
    weight: int = 1
