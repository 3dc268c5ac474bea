"""A schedule: when it takes snapshots, how long they are kept, and how consistent they are."""

from dataclasses import dataclass
from enum import StrEnum

from odx_target.target.schedules.calendar import Calendar

IDENTIFIER_BYTES = 16

DEFAULT_TIMEOUT_S = 30.0
"""Default of the longest time that a command of a schedule may take. A file system is frozen for at most about this time."""


class OnFailure(StrEnum):
    """The reaction if the command that runs before a snapshot fails or takes too long."""

    CRASH_CONSISTENT = "crash-consistent"
    """The snapshot is taken nevertheless, but it is only crash-consistent."""
    SKIP = "skip"
    """No snapshot is taken."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The number of snapshots of each volume to keep, or the age up to which snapshots are kept. Exactly one of the two fields
    is set.
    """

    count: int | None = None
    age_s: int | None = None


@dataclass(frozen=True, slots=True)
class Application:
    """The commands that make an application consistent while a snapshot is taken. An empty command is not run."""

    before: str = ""
    after: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S
    on_failure: OnFailure = OnFailure.CRASH_CONSISTENT


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule of a pool. `identifier` is in the attributes of the snapshots that the schedule makes."""

    name: str
    identifier: str
    calendar: Calendar
    retention: Retention
    application: Application | None = None
    is_default: bool = False
    """True if the schedule applies to all volumes that have no schedules of their own."""
    is_enabled: bool = True
