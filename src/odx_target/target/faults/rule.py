"""One rule: where it applies, when it fires, and which faults it injects. The rule counts its hits and its passes."""

import random
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from odx_target.target.faults.occurrence import Occurrence, Point
from odx_target.target.faults.words.table import WORDS
from odx_target.target.faults.words.where import WHERE
from odx_target.target.faults.words.word import Kind

FIRST_STATE = "started"
"""The state in which each scenario begins."""
DEFAULT_SCENARIO = "main"


@dataclass(slots=True, eq=False)
class Rule:
    """A rule. `given` has the words as they were given, and `values` their converted values.

    `hits` is the number of injected faults. `passed` is the number of occurrences that were in the right place, but at the
    wrong moment. `added_at_s` is a monotonic time.
    """

    name: str
    point: Point
    given: Mapping[str, object]
    values: Mapping[str, Any]
    added_at_s: float
    chance: random.Random
    enabled: bool = True
    hits: int = 0
    passed: int = 0
    _met: int = 0
    """Number of occurrences in the right place, in the right state and at the right time."""

    @property
    def scenario(self) -> str:
        return str(self.values.get("scenario", DEFAULT_SCENARIO))

    @property
    def text(self) -> str:
        """The rule as KEY=VALUE words."""
        return " ".join(word_text(key, value) for key, value in self.given.items())

    def faults(self) -> dict[str, Any]:
        """Return the values of the words that are faults."""
        return {key: value for key, value in self.values.items() if WORDS[key].kind is Kind.FAULT}

    def is_here(self, seen: Occurrence) -> bool:
        """True if all conditions on the place hold."""
        values = self.values
        for word in WHERE:
            if word.key in values and word.matches is not None and not word.matches(values[word.key], seen):
                return False
        return True

    def fires(self, now_s: float, states: dict[str, str]) -> bool:
        """Count an occurrence in the right place, and return True if the rule injects its faults now.

        `states` has the state of each scenario, and is changed by a hit.
        """
        if not self._is_time(now_s, states):
            self.passed += 1
            return False
        self.hits += 1
        if "next-state" in self.values:
            states[self.scenario] = self.values["next-state"]
        return True

    def _is_time(self, now_s: float, states: Mapping[str, str]) -> bool:
        values = self.values
        age_s = now_s - self.added_at_s
        if (
            ("after" in values and age_s < values["after"])
            or ("until" in values and age_s >= values["until"])
            or ("state" in values and states.get(self.scenario, FIRST_STATE) != values["state"])
        ):
            return False
        self._met += 1
        number = self._met
        return (
            ("nth" not in values or number in values["nth"])
            and ("first" not in values or number <= values["first"])
            and ("every" not in values or number % values["every"] == 0)
            and ("times" not in values or self.hits < values["times"])
            and ("probability" not in values or self.chance.random() < values["probability"])
        )


def word_text(key: str, value: object) -> str:
    """Return a word as it is typed on a command line."""
    if value is True or value == "":
        return key
    if isinstance(value, dict):
        value = ",".join(f"{field}:{content}" for field, content in value.items())
    if isinstance(value, list):
        value = ",".join(map(str, value))
    return shlex.quote(f"{key}={value}")
