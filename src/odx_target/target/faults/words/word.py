"""A word of a fault rule: a row of the table that parses, checks, documents and applies the words."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from odx_target.target.faults.occurrence import Occurrence, Point

Matches: TypeAlias = Callable[[Any, Occurrence], bool]


class Kind(StrEnum):
    """The three parts of a rule."""

    WHERE = "where"
    WHEN = "when"
    FAULT = "what"


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a rule.

    `points` are the points at which the word has a meaning. `parse` checks and converts its value, and raises ConfigError.
    `matches` compares the converted value of a word of the kind WHERE with an occurrence. If `parse` is `values.flag`, the word
    needs no value.
    """

    key: str
    kind: Kind
    points: frozenset[Point]
    parse: Callable[[object], Any]
    form: str
    meaning: str
    example: str
    matches: Matches | None = None
