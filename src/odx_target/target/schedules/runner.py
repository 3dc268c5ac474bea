"""The runner of the schedules of a pool. It looks at the clock every second, and runs the schedules that are due.

Each run is a job of its own, so that the commands of one schedule do not delay other schedules. A run that fails for want of
room is tried again a limited number of times.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypedDict

from odx_target.environment import Environment
from odx_target.store.api import Pool, Refused, Scarcity, StoreError, Unwritable
from odx_target.target.schedules.book import LastRun, ScheduleBook, State
from odx_target.target.schedules.calendar import minute_of, moment_text, second_text
from odx_target.target.schedules.commands import Commands
from odx_target.target.schedules.deleting import tidy
from odx_target.target.schedules.due_moments import Decision, Progress, decide
from odx_target.target.schedules.schedule import Schedule
from odx_target.target.schedules.taking import LEFT_OUT, Skipped, Taken, attributes_of, take


class ScheduleProblem(TypedDict):
    """A schedule whose last run or current attempts have failed."""

    schedule: str
    problem: str


POLL_S = 1.0
"""Time between two looks at the clock."""

MAX_ATTEMPTS = 5
"""Number of attempts to take the snapshots of a moment. If all attempts fail, no snapshots are taken for the moment."""

RETRY_S = 60.0
"""Time between two attempts. Room may be freed by the cleaner or by the operator meanwhile."""

TIDY_INTERVAL_S = 600.0
"""Time between two deletions of snapshots that are too old. Each run of a schedule also deletes its old snapshots."""

ON_TIME_S = 120.0
"""A run within this time after its moment is on time. A later run makes up for a missed moment."""

CLOCK_JUMP_S = 600.0
"""The wall clock has jumped forward if it has gained more than this time on the monotonic clock between two looks. Corrections
by NTP are much smaller."""

NO_AGING_S = 86400.0
"""For this time after a jump forward of the clock, no snapshot is deleted for its age. The operator can correct a wrong clock
meanwhile."""

MISSED = "missed runs of a schedule are made up for by one snapshot"
RETRIED = "the snapshots of a schedule cannot be taken now"
GIVEN_UP = "the snapshots of a schedule were not taken"
COMMAND_FAILED = "a command of a schedule failed"
WENT_BACK = "the clock has gone back; moments of a schedule that have run do not run again"
JUMPED = "the clock has jumped forward; for a day, no snapshot is deleted for its age"
KEPT = "snapshots are kept beyond their retention"
NOT_STORED = "the state of a schedule cannot be stored now"
NOT_TIDIED = "old snapshots of schedules cannot be deleted now"
INTERNAL = "a run of a schedule failed inside the array"


class Report(Protocol):
    """Logs an event, as `Reporter.report` does."""

    def __call__(self, level: str, event: str, /, *, cause: object = None, lines: int = 1, **fields: object) -> None: ...


@dataclass(slots=True)
class _Attempts:
    """The attempts to take the snapshots of one moment."""

    moment: int
    made: int = 0
    next_s: float = 0.0
    is_running: bool = False
    problem: str = ""


class ScheduleRunner:
    """Runs the schedules of `book`. `make_durable` commits and flushes the pool. `commands` runs the commands of schedules."""

    def __init__(
        self,
        book: ScheduleBook,
        environment: Environment,
        report: Report,
        make_durable: Callable[[], Awaitable[None]],
        commands: Commands,
    ) -> None:
        self.book = book
        self._pool: Pool = book.pool
        self._environment = environment
        self._report = report
        self._make_durable = make_durable
        self.commands = commands
        self._attempts: dict[str, _Attempts] = {}
        self._offset_s = environment.time() - environment.monotonic()
        self._no_aging_until_s = environment.monotonic()
        self._next_tidying_s = environment.monotonic()
        self._is_tidying = False
        self._reported_kept: dict[str, frozenset[bytes]] = {}

    async def run(self) -> None:
        """Run the schedules until the task is cancelled."""
        while True:
            self.look()
            await self._environment.sleep(POLL_S)

    def look(self) -> None:
        """Look at the clock, and start the jobs that are due."""
        now_s = self._environment.time()
        self._watch_clock(now_s)
        for schedule in list(self.book.schedules.values()):
            if schedule.is_enabled:
                self._look_at(schedule, now_s)
        monotonic_s = self._environment.monotonic()
        if monotonic_s >= self._next_tidying_s and not self._is_tidying:
            self._next_tidying_s, self._is_tidying = monotonic_s + TIDY_INTERVAL_S, True
            self._environment.start_soon(self._tidy_all)

    async def run_now(self, schedule: Schedule) -> Taken:
        """Take snapshots for a schedule at once. Raises Skipped, StoreError. Skipped counts as a run without snapshots."""
        moment = second_text(self._environment.time())
        try:
            taken = await self._take(schedule, moment)
        except Skipped as error:
            await self._note_run(schedule, self._last_run(moment, 0, str(error)))
            raise
        await self._note_run(schedule, self._last_run(moment, len(taken.snapshots), problem_in(taken)))
        await self._make_durable()
        return taken

    async def _note_run(self, schedule: Schedule, last_run: LastRun) -> None:
        """Store a run that an operator has started. The planned moments of the schedule do not change."""
        if not self._is_present(schedule):
            return  # it was removed during the run
        state = self.book.states.get(schedule.identifier) or self.begin(schedule)
        self.book.states[schedule.identifier] = replace(state, last_run=last_run)
        await self._store(schedule)

    def begin(self, schedule: Schedule) -> State:
        """Return the state for a schedule that has just been added or changed. In this state, no moment before now is due."""
        state = self.book.states.get(schedule.identifier, State(Progress(0)))
        seen = schedule.calendar.previous(minute_of(self._environment.time()))
        return replace(state, progress=Progress(seen, state.progress.ran))

    def problem_of(self, schedule: Schedule) -> str:
        """Return the problem of the current attempts or of the last run of a schedule. Returns "" if there is none."""
        attempts = self._attempts.get(schedule.identifier)
        if attempts is not None and attempts.problem:
            return attempts.problem
        state = self.book.states.get(schedule.identifier)
        return "" if state is None or state.last_run is None else state.last_run.problem

    def problems(self) -> list[ScheduleProblem]:
        """Return the name and the problem of each schedule with a problem in its current attempts or its last run."""
        found = [(each.name, self.problem_of(each)) for each in self.book.schedules.values() if each.is_enabled]
        return [{"schedule": name, "problem": problem} for name, problem in found if problem]

    @property
    def clock_jumped(self) -> bool:
        """True if the clock has jumped forward within the last day."""
        return self._environment.monotonic() < self._no_aging_until_s

    def _watch_clock(self, now_s: float) -> None:
        offset_s = now_s - self._environment.monotonic()
        jump_s, self._offset_s = offset_s - self._offset_s, offset_s
        if jump_s > CLOCK_JUMP_S:
            self._no_aging_until_s = self._environment.monotonic() + NO_AGING_S
            self._report("warning", JUMPED, jump_s=round(jump_s))

    def _look_at(self, schedule: Schedule, now_s: float) -> None:
        identifier = schedule.identifier
        attempts = self._attempts.get(identifier)
        if attempts is not None and attempts.is_running:
            return
        state = self.book.states.get(identifier) or self.begin(schedule)
        decision = decide(schedule.calendar, state.progress, minute_of(now_s))
        if decision.due is None:
            self._pass_by(schedule, state, decision)
            return
        if attempts is None or attempts.moment != decision.due:
            attempts = self._attempts[identifier] = _Attempts(decision.due)
        if self._environment.monotonic() >= attempts.next_s:
            attempts.is_running = True
            attempts.made += 1
            self._environment.start_soon(self._run_once, schedule, attempts, decision.missed)

    def _pass_by(self, schedule: Schedule, state: State, decision: Decision) -> None:
        """Finish an examination of a schedule at which no moment is due. If the progress has changed, store it."""
        if decision.went_back:
            self._report("warning", WENT_BACK, cause=schedule.name, schedule=schedule.name)
        self._attempts.pop(schedule.identifier, None)
        if decision.progress != state.progress or schedule.identifier not in self.book.states:
            missed = state.missed + decision.missed
            self.book.states[schedule.identifier] = replace(state, progress=decision.progress, missed=missed)
            self._environment.start_soon(self._store, schedule)

    async def _run_once(self, schedule: Schedule, attempts: _Attempts, missed: int) -> None:
        try:
            await self._attempt(schedule, attempts, missed)
        except Exception as error:
            self._report("error", INTERNAL, cause=schedule.name, schedule=schedule.name, error=repr(error), exc_info=error)
            await self._finish(
                schedule, attempts, missed, LastRun(moment_text(attempts.moment), 0.0, 0, repr(error)), ran=False
            )
        finally:
            attempts.is_running = False

    async def _attempt(self, schedule: Schedule, attempts: _Attempts, missed: int) -> None:
        name, text = schedule.name, moment_text(attempts.moment)
        late = self._environment.time() - attempts.moment * 60 > ON_TIME_S and attempts.made == 1
        try:
            taken = await self._take(schedule, text)
        except Skipped as error:
            self._report("error", GIVEN_UP, cause=name, schedule=name, moment=text, reason=str(error))
            await self._finish(schedule, attempts, missed, self._last_run(text, 0, str(error)), ran=True)
            return
        except StoreError as error:
            attempts.problem = str(error)
            if isinstance(error, Scarcity | Unwritable | Refused) and attempts.made < MAX_ATTEMPTS:
                attempts.next_s = self._environment.monotonic() + RETRY_S
                self._report("warning", RETRIED, cause=name, schedule=name, moment=text, reason=str(error))
                return
            self._report("error", GIVEN_UP, cause=name, schedule=name, moment=text, reason=str(error))
            await self._finish(schedule, attempts, missed, self._last_run(text, 0, str(error)), ran=False)
            return
        if taken.problem:
            self._report("warning", COMMAND_FAILED, cause=name, schedule=name, moment=text, reason=taken.problem)
        if taken.left_out:
            self._report("warning", LEFT_OUT, cause=name, schedule=name, moment=text, volumes=list(taken.left_out))
        if missed or late:
            self._report("warning", MISSED, cause=name, schedule=name, moment=text, missed=missed + late)
        await self._finish(
            schedule, attempts, missed + late, self._last_run(text, len(taken.snapshots), problem_in(taken)), ran=True
        )

    def _last_run(self, moment: str, snapshots: int, problem: str) -> LastRun:
        return LastRun(moment, self._environment.time(), snapshots, problem)

    async def _take(self, schedule: Schedule, moment: str) -> Taken:
        volumes = await self.book.volumes_of(schedule)
        if not volumes:
            return Taken([])
        name = f"{schedule.name}-{moment}"
        attributes = attributes_of(schedule, moment)
        return await take(self._pool, self._environment, volumes, name, attributes, schedule.application, self.commands)

    async def _finish(self, schedule: Schedule, attempts: _Attempts, missed: int, last_run: LastRun, *, ran: bool) -> None:
        """Store the result of a run, and delete the old snapshots of the schedule."""
        self._attempts.pop(schedule.identifier, None)
        if not self._is_present(schedule):
            return  # it was removed during the run
        state = self.book.states.get(schedule.identifier) or self.begin(schedule)
        moment = attempts.moment
        progress = state.progress.with_run(schedule.calendar, moment) if ran else Progress(moment, state.progress.ran)
        self.book.states[schedule.identifier] = State(progress, last_run, state.missed + missed)
        if ran:
            await self._tidy_some([schedule])
        await self._store(schedule)

    def _is_present(self, schedule: Schedule) -> bool:
        present = self.book.schedules.get(schedule.name)
        return present is not None and present.identifier == schedule.identifier

    async def _store(self, schedule: Schedule) -> None:
        """Store the state of a schedule. If this fails, the state is stored with the next run."""
        try:
            if self._is_present(schedule):
                self.book.set_state(schedule, self.book.states[schedule.identifier])
            await self._make_durable()
        except StoreError as error:
            self._report("warning", NOT_STORED, cause=schedule.name, schedule=schedule.name, reason=str(error))

    async def _tidy_all(self) -> None:
        try:
            await self._tidy_some([each for each in self.book.schedules.values() if each.is_enabled])
        except Exception as error:
            self._report("error", INTERNAL, error=repr(error), exc_info=error)
        finally:
            self._is_tidying = False

    async def _tidy_some(self, schedules: list[Schedule]) -> None:
        try:
            await self._tidy(schedules)
            self._pool.commit()
        except StoreError as error:
            self._report("warning", NOT_TIDIED, reason=str(error))

    async def _tidy(self, schedules: list[Schedule]) -> None:
        volumes = list(self._pool.volumes.values())
        kept = await tidy(self._pool, schedules, volumes, self._environment.time(), clock_jumped=self.clock_jumped)
        for name, snapshots in kept.items():
            guids = frozenset(each.snapshot.guid for each in snapshots)
            if guids - self._reported_kept.get(name, frozenset()):
                first = snapshots[0]
                self._report(
                    "info",
                    KEPT,
                    cause=name,
                    schedule=name,
                    count=len(snapshots),
                    first=f"{first.snapshot.volume_name}@{first.snapshot.name}",
                    reason=first.reason,
                )
            self._reported_kept[name] = guids


def problem_in(taken: Taken) -> str:
    """Return what prevented a part of a run, as one line. Returns "" if nothing did."""
    left_out = f"{LEFT_OUT}: {' '.join(taken.left_out)}" if taken.left_out else ""
    return "; ".join(each for each in (taken.problem, left_out) if each)
