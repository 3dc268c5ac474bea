"""A check: one rule of a standard, and the function that finds out whether a target follows the rule."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import TypeAlias

from odx_target.conformance.bench import Bench


class Need(Flag):
    """Conditions without which a check cannot run."""

    NOTHING = 0
    DESTRUCTIVE = auto()
    """The check overwrites data of the LUN, or disturbs other hosts by reservations and resets."""
    SECOND_LUN = auto()
    TOKEN_COPY = auto()
    EXTENDED_COPY = auto()
    RESERVATIONS = auto()
    PORTAL = auto()
    """The check opens connections of its own to the portal of the target."""


class Verdict(Enum):
    """The result of a check."""

    PASS = "pass"  # noqa: S105 - this is no password
    FAIL = "fail"
    SKIP = "skip"
    """The rule does not apply, because the target does not support a feature that the standard leaves open."""
    NOT_RUN = "not run"
    """The user has not asked for the check, or has not given a second LUN."""


Function: TypeAlias = Callable[[Bench], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule.

    `identifier` has the form "area.subject.rule" and never changes. `clause` names the standard and the clause. `run` raises
    CheckFailed if the target breaks the rule, and NotSupported if the rule does not apply.
    """

    identifier: str
    clause: str
    title: str
    run: Function
    needs: Need = Need.NOTHING
    time_limit_s: float = 30.0

    @property
    def area(self) -> str:
        return self.identifier.partition(".")[0]
