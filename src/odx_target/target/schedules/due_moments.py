"""The due moments of a schedule: which moments have run, which moment is due, and which were missed.

The clock of the machine may jump. After a jump forward, or after a time in which no array served the pool, one run makes up for
all missed moments. After a jump back, a moment that has run does not run again.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from odx_target.target.schedules.calendar import Calendar

MAX_SPANS = 32
"""Largest number of spans that are kept for one schedule. Each interruption of the array begins a new span, and only the spans
near the present time matter."""

Span: TypeAlias = tuple[int, int]
"""The first and the last of consecutive moments that have all run."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a schedule. `seen` is the last moment that had passed when the schedule was last examined. `ran` has the
    spans of moments that have run, in ascending order.
    """

    seen: int
    ran: tuple[Span, ...] = ()

    def has_run(self, moment: int) -> bool:
        """True if the moment is in one of the spans."""
        return any(first <= moment <= last for first, last in self.ran)

    def count_ran(self, calendar: Calendar, after: int, until: int) -> int:
        """Return how many moments later than `after`, up to and including `until`, have run."""
        return sum(calendar.count(max(after, first - 1), min(until, last)) for first, last in self.ran)

    def with_run(self, calendar: Calendar, moment: int) -> "Progress":
        """Return the progress after a moment has run."""
        if self.has_run(moment):
            return Progress(moment, self.ran)
        first = last = moment
        others = []
        for span in self.ran:
            if span[1] == calendar.previous(moment - 1):
                first = span[0]
            elif span[0] == calendar.next(moment):
                last = span[1]
            else:
                others.append(span)
        return Progress(moment, tuple(sorted([*others, (first, last)], key=_last))[-MAX_SPANS:])


class Decision(NamedTuple):
    """The result of a look at the clock.

    `due` is the moment to run now, or None. `missed` is the number of earlier moments that passed without a run. `went_back` is
    True if the clock shows a time before a moment that had already passed.
    """

    progress: Progress
    due: int | None = None
    missed: int = 0
    went_back: bool = False


def decide(calendar: Calendar, progress: Progress, now_minute: int) -> Decision:
    """Decide which moment is due at the minute `now_minute` of the clock. The progress in the result does not include the run
    of the due moment, because this run may fail.
    """
    latest = calendar.previous(now_minute)
    if latest <= progress.seen:
        seen = Progress(latest, progress.ran)
        return Decision(seen, went_back=latest < progress.seen)
    passed = calendar.count(progress.seen, latest) - progress.count_ran(calendar, progress.seen, latest)
    if progress.has_run(latest):
        return Decision(Progress(latest, progress.ran), None, passed)
    return Decision(progress, latest, passed - 1)


def _last(span: Span) -> int:
    return span[1]
