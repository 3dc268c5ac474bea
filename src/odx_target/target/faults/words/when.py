"""The words that say when a rule fires."""

from collections.abc import Callable
from typing import Any

from odx_target.target.faults import values
from odx_target.target.faults.occurrence import Point
from odx_target.target.faults.words.word import Kind, Word

_EVERYWHERE = frozenset(Point)


def _when(key: str, parse: Callable[[object], Any], form: str, meaning: str, example: str) -> Word:
    return Word(key, Kind.WHEN, _EVERYWHERE, parse, form, meaning, example)


WHEN: tuple[Word, ...] = (
    _when("nth", values.numbers, "N[,N...]", "only these occurrences, counted from 1", "3"),
    _when("first", values.count, "N", "only the first N occurrences", "2"),
    _when("every", values.count, "N", "every Nth occurrence", "10"),
    _when("times", values.count, "N", "at most N times", "1"),
    _when("probability", values.probability, "PERCENT", "with this probability, from the seed of the rules", "25%"),
    _when("after", values.duration, "TIME", "from this time on, counted from the addition of the rule", "10s"),
    _when("until", values.duration, "TIME", "until this time, counted from the addition of the rule", "60s"),
    _when("scenario", values.name, "NAME", "the scenario whose states the rule uses; default: `main`", "outage"),
    _when("state", values.name, "NAME", "only while the scenario is in this state. A scenario begins in `started`", "started"),
    _when("next-state", values.name, "NAME", "each hit moves the scenario to this state", "broken"),
)
"""Conditions on the number of the occurrence, on chance, on time, and on the state of a scenario."""
