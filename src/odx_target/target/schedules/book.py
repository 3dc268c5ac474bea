"""The schedules of a pool, the schedules of each volume, and the progress of each schedule. All of this is stored in the pool,
as values that the pool remembers.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from odx_target.replica.remote_tokens.staging_names import STAGING_ATTRIBUTE
from odx_target.replica.snapshots.protection import COPY_ATTRIBUTE
from odx_target.store.api import Absent, NameTaken, OverLimit, Pool, Volume
from odx_target.target.config.error import ConfigError
from odx_target.target.schedules.due_moments import Progress
from odx_target.target.schedules.fields import fields_of, parse_schedule
from odx_target.target.schedules.schedule import Schedule

SCHEDULE_KEY = "schedule: "
PROGRESS_KEY = "schedule progress: "
VOLUME_KEY = "schedules of volume: "

WAS_EMPTY = "none"
"""First item of the stored identifiers of a volume, if the volume was to have no schedules before the other item was added.

If the addition was not completed, the volume still has no schedules. No identifier of a schedule is equal to this text, because
identifiers have only hexadecimal digits.
"""

MAX_SCHEDULES = 256
"""Largest number of schedules of a pool. The array looks at all schedules every second."""
MAX_SCHEDULES_OF_A_VOLUME = 3
"""Largest number of schedules of a volume: an hourly, a daily and a weekly one."""

STEPS_OF_A_VOLUME = 2
"""Number of steps (see `turns`) that the search for the schedules of one volume takes."""


def _has_snapshots_of_its_own(volume: Volume) -> bool:
    """True if schedules may apply to a volume: no other array sends its snapshots, and it does not only take arriving data."""
    return COPY_ATTRIBUTE not in volume.attributes and STAGING_ATTRIBUTE not in volume.attributes


@dataclass(frozen=True, slots=True)
class LastRun:
    """The result of the last run of a schedule: the moment, the end of the run in seconds since 1970, and the number of
    snapshots. `problem` is "" if the run was complete.
    """

    moment: str
    ended_s: float
    snapshots: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The progress of a schedule, its last run, and the number of moments (planned times) at which it missed its run."""

    progress: Progress
    last_run: LastRun | None = None
    missed: int = 0


@dataclass(slots=True)
class ScheduleBook:
    """The schedules of a pool. The pool stores every change, and the caller must commit the pool.

    If the pool cannot store a change, the method raises PoolFull, PoolBusy or PoolFailed, and nothing has changed.
    """

    pool: Pool
    schedules: dict[str, Schedule] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    """State of each schedule, by the identifier of the schedule."""
    plans: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    """For each volume with its own schedules, the identifiers of these schedules. The key is the identity of the volume."""
    unreadable: list[str] = field(default_factory=list)
    """Names of stored schedules that this program cannot read. These schedules do not run, and are not changed."""

    def find(self, name: str) -> Schedule:
        """Return the schedule with a name. Raises Absent."""
        schedule = self.schedules.get(name)
        if schedule is None:
            raise Absent(f"there is no schedule {name!r}")
        return schedule

    def add(self, schedule: Schedule, seen: int, volumes: Sequence[Volume] = ()) -> None:
        """Add a schedule, and add it to the own schedules of `volumes`. Its first run is at its first moment after `seen`.

        Raises NameTaken. Raises OverLimit if the pool or one of the volumes can have no further schedule.
        """
        self._check_new(schedule)
        plans = {volume.identity: self._plan_with(volume, schedule) for volume in volumes}
        state = State(Progress(seen))
        # The schedule is recorded last. As long as its record is missing, no volume has the schedule, and a later call repeats
        # the other records. A state without a schedule shows that an addition was not completed.
        self._record_state(schedule, state)
        for identity, plan in plans.items():
            self._record_plan(identity, [WAS_EMPTY, *plan] if self.plans.get(identity) == () else plan)
        self._store(schedule)
        self.states[schedule.identifier] = state
        self.plans.update(plans)

    def change(self, schedule: Schedule) -> None:
        """Replace the schedule with the same name."""
        self._check_defaults(schedule)
        self._store(schedule)

    def remove(self, name: str) -> Schedule:
        """Remove a schedule. Its snapshots stay, and no schedule deletes them. Raises Absent."""
        schedule = self.find(name)
        self.pool.forget(PROGRESS_KEY + schedule.identifier)  # first, see the comment in `add`
        self.pool.forget(SCHEDULE_KEY + name)
        del self.schedules[name]
        self.states.pop(schedule.identifier, None)
        return schedule

    def assign(self, volume: Volume, schedules: Sequence[Schedule] | None) -> None:
        """Give a volume its own schedules. An empty list means that no schedule applies. None means the default schedules."""
        if schedules is None:
            self.forget_volume(volume)
            return
        plan = tuple(dict.fromkeys(each.identifier for each in schedules))
        if len(plan) > MAX_SCHEDULES_OF_A_VOLUME:
            raise OverLimit(f"a volume has at most {MAX_SCHEDULES_OF_A_VOLUME} schedules")
        self._record_plan(volume.identity, plan)
        self.plans[volume.identity] = plan

    def forget_volume(self, volume: Volume) -> None:
        """Remove a volume's own schedules, because the volume gets the default schedules or is about to be deleted."""
        self.plans.pop(volume.identity, None)
        self.pool.forget(VOLUME_KEY + volume.identity.hex())

    def set_state(self, schedule: Schedule, state: State) -> None:
        """Store the state of a schedule."""
        self._record_state(schedule, state)
        self.states[schedule.identifier] = state

    def schedules_of(self, volume: Volume) -> list[Schedule]:
        """Return the schedules of a volume. A volume whose own schedules were all removed has the default schedules."""
        if not _has_snapshots_of_its_own(volume):
            return []
        own = self._own(volume)
        if own or self.plans.get(volume.identity) == ():
            return own
        return [each for each in self.schedules.values() if each.is_default]

    async def volumes_of(self, schedule: Schedule) -> list[Volume]:
        """Return the volumes to which a schedule applies, in the order of their creation. Other tasks may run meanwhile.

        No schedule applies to a base, which is deleted when it is settled.
        """
        found = [volume async for volume, applying in self._each_volume() if schedule.identifier in applying]
        return [volume for volume in found if not self.pool.bases.is_base(volume)]

    async def count_volumes(self) -> Counter[str]:
        """Return the number of volumes to which each schedule applies, by the identifier of the schedule. Other tasks may run
        meanwhile.
        """
        counts: Counter[str] = Counter()
        async for _, applying in self._each_volume():
            counts.update(applying)
        return counts

    async def _each_volume(self) -> AsyncIterator[tuple[Volume, Iterable[str]]]:
        """Yield each volume with the identifiers of the schedules that apply to it."""
        known = {each.identifier for each in self.schedules.values()}
        default = {each.identifier for each in self.schedules.values() if each.is_default}
        for volume in list(self.pool.volumes.values()):
            await self.pool.turns.next_if_spent()
            self.pool.turns.take(STEPS_OF_A_VOLUME)
            if not _has_snapshots_of_its_own(volume):
                continue
            plan = self.plans.get(volume.identity)
            own = known.intersection(plan or ())
            yield volume, own if own or plan == () else default

    def _own(self, volume: Volume) -> list[Schedule]:
        plan = self.plans.get(volume.identity, ())
        return [each for each in self.schedules.values() if each.identifier in plan]

    def _plan_with(self, volume: Volume, schedule: Schedule) -> tuple[str, ...]:
        """Return the identifiers of a volume's own schedules and of a further schedule. Raises OverLimit."""
        own = self._own(volume)
        if len(own) >= MAX_SCHEDULES_OF_A_VOLUME:
            raise OverLimit(f"volume {volume.name!r} has {MAX_SCHEDULES_OF_A_VOLUME} schedules already")
        return (*(each.identifier for each in own), schedule.identifier)

    def _record_plan(self, volume_identity: bytes, plan: Sequence[str]) -> None:
        self.pool.remember(VOLUME_KEY + volume_identity.hex(), json.dumps(plan).encode())

    def _record_state(self, schedule: Schedule, state: State) -> None:
        self.pool.remember(PROGRESS_KEY + schedule.identifier, json.dumps(_state_fields(state)).encode())

    def _store(self, schedule: Schedule) -> None:
        fields = {**fields_of(schedule), "identifier": schedule.identifier}
        self.pool.remember(SCHEDULE_KEY + schedule.name, json.dumps(fields).encode())
        self.schedules[schedule.name] = schedule

    def _check_new(self, schedule: Schedule) -> None:
        """Raise NameTaken or OverLimit if the pool cannot have this further schedule."""
        if schedule.name in self.schedules or schedule.name in self.unreadable:
            raise NameTaken(f"there is a schedule {schedule.name!r} already")
        if len(self.schedules) >= MAX_SCHEDULES:
            raise OverLimit(f"a pool has at most {MAX_SCHEDULES} schedules")
        self._check_defaults(schedule)

    def _check_defaults(self, schedule: Schedule) -> None:
        others = sum(each.is_default and each.name != schedule.name for each in self.schedules.values())
        if schedule.is_default and others >= MAX_SCHEDULES_OF_A_VOLUME:
            raise OverLimit(f"a pool has at most {MAX_SCHEDULES_OF_A_VOLUME} default schedules")


async def open_book(pool: Pool) -> ScheduleBook:
    """Return the schedules that a pool remembers."""
    book = ScheduleBook(pool)
    for key in pool.remembered_keys(SCHEDULE_KEY):
        await pool.turns.next_if_spent()
        pool.turns.take(STEPS_OF_A_VOLUME)
        _read_schedule(book, key.removeprefix(SCHEDULE_KEY), pool.remembered(key) or b"")
    for key in pool.remembered_keys(VOLUME_KEY):
        await pool.turns.next_if_spent()
        pool.turns.take(STEPS_OF_A_VOLUME)
        plan = _decoded(pool.remembered(key) or b"")
        if isinstance(plan, list):
            book.plans[bytes.fromhex(key.removeprefix(VOLUME_KEY))] = _plan(book, tuple(map(str, plan)))
    return book


def _plan(book: ScheduleBook, stored: tuple[str, ...]) -> tuple[str, ...]:
    """Return the identifiers of a volume's own schedules from their stored form. Read all schedules before."""
    if stored[:1] != (WAS_EMPTY,):
        return stored
    plan, known = stored[1:], {each.identifier for each in book.schedules.values()}
    is_added = any(each in known or book.pool.remembered(PROGRESS_KEY + each) is None for each in plan)
    return plan if is_added else ()


def _read_schedule(book: ScheduleBook, name: str, value: bytes) -> None:
    fields = _decoded(value)
    try:
        if not isinstance(fields, dict):
            raise ConfigError("no JSON object")
        identifier = str(fields.pop("identifier", ""))
        schedule = parse_schedule(name, identifier, fields)
    except ConfigError:
        book.unreadable.append(name)
        return
    book.schedules[name] = schedule
    state = _state(_decoded(book.pool.remembered(PROGRESS_KEY + identifier) or b""))
    if state is not None:
        book.states[identifier] = state


def _decoded(value: bytes) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _state_fields(state: State) -> dict[str, object]:
    last = state.last_run
    return {
        "seen": state.progress.seen,
        "ran": [list(span) for span in state.progress.ran],
        "missed": state.missed,
        "last_run": None if last is None else [last.moment, last.ended_s, last.snapshots, last.problem],
    }


def _state(fields: Any) -> State | None:
    """Return a state from its stored form. Returns None if the stored form is missing or invalid. The schedule then begins
    anew.
    """
    try:
        last = fields["last_run"]
        ran = tuple((int(first), int(end)) for first, end in fields["ran"])
        return State(Progress(int(fields["seen"]), ran), LastRun(*last) if last else None, int(fields["missed"]))
    except (TypeError, KeyError, ValueError):
        return None
