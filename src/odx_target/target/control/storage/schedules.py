"""Operations on the schedules of snapshots, and the table of these operations."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from odx_target.target.config.error import ConfigError
from odx_target.target.control import arguments
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.describe import rows_in_turns
from odx_target.target.control.operation import Operation
from odx_target.target.control.storage import answers
from odx_target.target.control.storage.describe import describe_snapshot, volume_names
from odx_target.target.control.storage.names import find_own_volume
from odx_target.target.control.storage.snapshots import taken_answer
from odx_target.target.control.storage.storage import Storage
from odx_target.target.schedules.book import LastRun
from odx_target.target.schedules.calendar import minute_of
from odx_target.target.schedules.deleting import judge_all
from odx_target.target.schedules.fields import changed, fields_of, parse_name
from odx_target.target.schedules.runner import ScheduleRunner
from odx_target.target.schedules.schedule import Schedule
from odx_target.target.schedules.taking import Skipped
from odx_target.target.schedules.templates import new_schedule

MAX_KEPT_SHOWN = 100
"""Maximum number of snapshots that `schedule-show` lists although the retention of the schedule no longer covers them. Further
snapshots are only counted.
"""


async def schedules(storage: Storage) -> answers.Schedules:
    """List the schedules of the pool."""
    runner = await storage.schedules()
    found = sorted(runner.book.schedules.items())
    counts = await runner.book.count_volumes()
    rows = [_row(storage, runner, schedule, counts[schedule.identifier]) for _, schedule in found]
    return {"schedules": rows, "unreadable": runner.book.unreadable}


async def show(storage: Storage, name: str) -> answers.ShownSchedule:
    """Describe a schedule, its volumes, and the snapshots that it keeps although its retention no longer covers them."""
    runner = await storage.schedules()
    schedule = runner.book.find(name)
    pool, now_s = storage.pool, storage.environment.time()
    judged = await judge_all(pool, [schedule], list(pool.volumes.values()), now_s, clock_jumped=runner.clock_jumped)
    kept = [each for _, judgement in judged for each in judgement.kept]
    names = volume_names(pool)
    volumes = await runner.book.volumes_of(schedule)
    return {
        **_row(storage, runner, schedule, len(volumes)),
        "volume_names": [each.name for each in volumes],
        "kept": await rows_in_turns(
            storage.environment.turns,
            kept[:MAX_KEPT_SHOWN],
            lambda each: {**describe_snapshot(each.snapshot, names), "reason": each.reason},
        ),
        "kept_not_shown": max(0, len(kept) - MAX_KEPT_SHOWN),
    }


async def add(storage: Storage, name: str, fields: dict[str, object], volumes: Sequence[str]) -> answers.Schedule:
    """Add a schedule. The named volumes get it in addition to the schedules that are already assigned to them."""
    runner = await storage.schedules()
    book = runner.book
    with _as_mistakes():
        schedule, seen = new_schedule(name, fields, storage.environment)
    assigned = [find_own_volume(storage.pool, each) for each in volumes]
    await storage.when_ready(lambda: book.add(schedule, seen, assigned))
    await storage.make_durable()
    return await _counted_row(storage, runner, schedule)


async def change(storage: Storage, name: str, fields: dict[str, object]) -> answers.Schedule:
    """Change fields of a schedule. A planned time before this change is never due, even if the new fields contain it."""
    runner = await storage.schedules()

    # Another request may change or remove the schedule while this one waits for room, so each step finds the schedule again.
    def store() -> tuple[Schedule, Schedule]:
        former = runner.book.find(name)
        with _as_mistakes():
            schedule = changed(former, fields)
        runner.book.change(schedule)
        return former, schedule

    def begin() -> None:
        present = runner.book.find(name)
        runner.book.set_state(present, runner.begin(present))

    former, schedule = await storage.when_ready(store)
    if (schedule.calendar, schedule.is_enabled) != (former.calendar, former.is_enabled):
        await storage.when_ready(begin)
    await storage.make_durable()
    return await _counted_row(storage, runner, schedule)


async def remove(storage: Storage, name: str) -> answers.Schedule:
    """Remove a schedule. Its snapshots stay."""
    runner = await storage.schedules()
    row = await _counted_row(storage, runner, runner.book.find(name))
    runner.book.remove(name)
    await storage.make_durable()
    return row


async def assign(storage: Storage, volume: str, schedules: Sequence[str] | None) -> answers.Assignment:
    """Give a volume its own schedules. An empty list means no schedules. None means the default schedules."""
    runner = await storage.schedules()
    found = find_own_volume(storage.pool, volume)
    own = None if schedules is None else [runner.book.find(name) for name in schedules]
    await storage.when_ready(lambda: runner.book.assign(found, own))
    await storage.make_durable()
    return {"volume": volume, "schedules": [each.name for each in runner.book.schedules_of(found)], "is_default": own is None}


async def run(storage: Storage, name: str) -> answers.TakenSnapshots:
    """Take the snapshots of a schedule now."""
    runner = await storage.schedules()
    schedule = runner.book.find(name)
    if not await runner.book.volumes_of(schedule):
        raise ManagementError(f"schedule {name} applies to no volume: `odx-target schedule assign` gives it to volumes")
    try:
        taken = await runner.run_now(schedule)
    except Skipped as error:
        raise ManagementError(f"no snapshot was taken: {error}") from error
    return await taken_answer(storage, taken)


async def _counted_row(storage: Storage, runner: ScheduleRunner, schedule: Schedule) -> answers.Schedule:
    return _row(storage, runner, schedule, len(await runner.book.volumes_of(schedule)))


def _row(storage: Storage, runner: ScheduleRunner, schedule: Schedule, volumes: int) -> answers.Schedule:
    state = runner.book.states.get(schedule.identifier)
    last_run = None if state is None else state.last_run
    next_s = schedule.calendar.next(minute_of(storage.environment.time())) * 60
    return {
        "name": schedule.name,
        **fields_of(schedule),
        "volumes": volumes,
        "next_s": next_s if schedule.is_enabled else None,
        "last_run": None if last_run is None else _last_run(last_run),
        "missed": 0 if state is None else state.missed,
        "problem": runner.problem_of(schedule),
    }


def _last_run(run: LastRun) -> answers.LastRun:
    return {"moment": run.moment, "ended_s": run.ended_s, "snapshots": run.snapshots, "problem": run.problem}


@contextmanager
def _as_mistakes() -> Iterator[None]:
    """Raise errors of the fields of a schedule as mistakes in the request."""
    try:
        yield
    except ConfigError as error:
        raise ManagementError(str(error), is_usage=True) from error


def _fields(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError("fields: want the fields of a schedule")
    return dict(value)


_NAME = Argument("name", "the name of the schedule", arguments.text)

SCHEDULE_OPERATIONS = (
    Operation("schedules", schedules),
    Operation("schedule-show", show, (_NAME,)),
    Operation(
        "schedule-add",
        add,
        (
            Argument("name", "the name of the schedule", parse_name),
            Argument("fields", "the fields of the schedule", _fields),
            Argument("volumes", "names of volumes that get the schedule", arguments.names, ()),
        ),
        is_recorded=True,
    ),
    Operation("schedule-change", change, (_NAME, Argument("fields", "the fields to change", _fields)), is_recorded=True),
    Operation("schedule-remove", remove, (_NAME,), is_recorded=True),
    Operation(
        "schedule-assign",
        assign,
        (
            Argument("volume", "the name of the volume", arguments.text),
            Argument("schedules", "names of schedules; without it, the volume gets the default ones", arguments.names, None),
        ),
        is_recorded=True,
    ),
    Operation("schedule-run", run, (_NAME,), is_recorded=True),
)
