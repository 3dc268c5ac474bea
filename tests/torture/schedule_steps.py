"""The steps that add, change, assign and run schedules, and the steps in which time passes for them.

The runner of the schedules looks at the clock only in a step `tick`, when no command is under way. So the content of each new
snapshot is known. The model notes each snapshot that appears or disappears, and checks if that may be.
"""

from collections.abc import Awaitable, Callable

from odx_target.store.api import Absent, NameTaken, OverLimit, PoolFailed, Snapshot
from odx_target.target.config.settings import ScheduleTemplate
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.storage import schedules as operations
from odx_target.target.schedules.calendar import minute_of
from odx_target.target.schedules.fields import parse_schedule
from tests.sim.simulated_disk import Crash
from tests.sim.virtual_environment import VirtualTask
from tests.torture import naive_schedules
from tests.torture.array import ADVANCE_S, MAX_WAITS, NO_ROOM, Stuck
from tests.torture.found import SLOT, plans_of, stored
from tests.torture.run import Difference, Run

MAX_KEPT = 64
"""Number of snapshots up to which schedules run, so that the model stays fast."""

FIELDS: tuple[dict[str, object], ...] = (
    {"every": "hourly", "at": [0]},
    {"every": "hourly", "at": [0, 20, 40]},
    {"every": "daily", "at": ["02:00", "13:30"]},
    {"every": "weekly", "at": ["05:00"], "days": ["mon", "fri"]},
)


def fields_of(calendar: int, keep: int, is_default: int, is_disabled: int) -> dict[str, object]:
    return {**FIELDS[calendar], "keep": max(1, keep), "default": bool(is_default), "enabled": not is_disabled}


def tick(run: Run, minutes: int) -> None:
    """Wait some minutes, look at the clock, and run everything that is due to its end."""
    run.wait_for_all()
    array = run.array
    array.environment.advance(minutes * 60.0)
    array.disk.check_on()
    array.run(array.manager.expire_in_turns(lambda: None))
    if len(run.now.snapshots) > MAX_KEPT:
        return
    runner, now_s = array.schedules, array.environment.time()
    reports = len(array.reports)
    first_job = len(array.environment.background)
    due = [each for each in runner.book.schedules.values() if naive_schedules.is_due(run, each, minute_of(now_s))]
    before = set(run.now.snapshots)
    runner.look()
    _finish(run, array.environment.background[first_job:])
    has_trouble = len(array.reports) > reports or array.pool.failure is not None or bool(array.disk.failing)
    for schedule in due:
        naive_schedules.check_ran(run, schedule, minute_of(now_s), before, has_trouble=has_trouble)
    run.latest_minute = max(run.latest_minute, minute_of(now_s))


def _finish(run: Run, jobs: list[VirtualTask]) -> None:
    """Run jobs of schedules to their end, and note all changes of the snapshots meanwhile."""
    environment = run.array.environment
    for count in range(MAX_WAITS * 10):
        try:
            if environment._runnable or environment._wake_sleepers():
                environment.step()
            else:
                environment.advance(ADVANCE_S)
            run.array.disk.check_on()
        finally:
            observe(run)
        jobs = [job for job in jobs if not job.done]
        if not jobs:
            return
        if count == MAX_WAITS * 5:
            run.array.disk.failing.clear()
    raise Stuck("a run of a schedule does not end")


def observe(run: Run) -> None:
    """Note the snapshots that have appeared or disappeared. Raises Difference if a snapshot must not."""
    pool = run.array.pool
    present = pool.snapshots
    new = [snapshot for guid, snapshot in present.items() if guid not in run.now.snapshots]
    for group in dict.fromkeys(snapshot.group for snapshot in new):
        for snapshot in new:
            if snapshot.group == group:
                _note_new(run, snapshot)
        run.mark()
    gone = [guid for guid in run.now.snapshots if guid not in present]
    for guid in sorted(gone, key=lambda guid: run.now.snapshots[guid].order):
        naive_schedules.check_deletable(run, guid)
        del run.now.snapshots[guid]
        run.mark()


def _note_new(run: Run, snapshot: Snapshot) -> None:
    slot = next(
        volume.attributes[SLOT] for volume in run.array.pool.volumes.values() if volume.identity == snapshot.volume_identity
    )
    naive_schedules.check_new(run, slot, snapshot)
    cells, unit, _ = run.now.volumes[slot]
    content = naive_schedules.content_of(snapshot, cells, unit)
    run.now.snapshots[snapshot.guid] = content


# Changes of schedules


def add_schedule(run: Run, name: int, calendar: int, keep: int, is_default: int, is_disabled: int, slots: list[int]) -> None:
    label, fields = f"h{name}", fields_of(calendar, keep, is_default, is_disabled)
    names = [f"v{slot}" for slot in slots if f"v{slot}" in run.now.volumes]
    volumes = [run.now.volumes[slot].settings.name for slot in names]
    plans = {slot: tuple(sorted({*run.now.plans.get(slot, ()), label})) for slot in names}

    def apply() -> None:
        run.now.schedules[label] = text_of(label, fields)
        run.now.plans.update(plans)

    _change(run, lambda: operations.add(run.array.storage, label, fields, volumes), apply)


def change_schedule(run: Run, name: int, calendar: int, keep: int, is_default: int, is_disabled: int) -> None:
    label, fields = f"h{name}", fields_of(calendar, keep, is_default, is_disabled)
    if label not in run.now.schedules:
        return

    def apply() -> None:
        run.now.schedules[label] = text_of(label, {"days": None, **fields})

    _change(run, lambda: operations.change(run.array.storage, label, fields), apply)


def remove_schedule(run: Run, name: int) -> None:
    label = f"h{name}"
    if label not in run.now.schedules:
        return

    def apply() -> None:
        del run.now.schedules[label]
        for slot, plan in list(run.now.plans.items()):
            kept = tuple(each for each in plan if each != label)
            if plan and not kept:
                del run.now.plans[slot]
            else:
                run.now.plans[slot] = kept

    _change(run, lambda: operations.remove(run.array.storage, label), apply)


def assign_schedules(run: Run, lun: int, choice: int) -> None:
    """Give a volume its own schedules: the bits of `choice` that are set, none (0), or the default schedules (8)."""
    slot = f"v{lun}"
    if slot not in run.now.volumes:
        return
    names = [f"h{bit}" for bit in range(3) if choice >> bit & 1 and f"h{bit}" in run.now.schedules]
    wanted = None if choice == 8 else names

    def apply() -> None:
        if wanted is None:
            run.now.plans.pop(slot, None)
        else:
            run.now.plans[slot] = tuple(names)

    name = run.now.volumes[slot].settings.name
    _change(run, lambda: operations.assign(run.array.storage, name, wanted), apply)


def _change(run: Run, operation: Callable[[], Awaitable[object]], apply: Callable[[], None]) -> None:
    """Change schedules by an operation of management. After a failure, the change has happened or not."""
    before = run.now.copy()
    try:
        run.array.run(operation())
    except (NameTaken, OverLimit, Absent):
        _check_unchanged(run)
        return
    except (Crash, *NO_ROOM, PoolFailed) as error:
        apply()
        run.mark()
        if isinstance(error, Crash):
            raise
        run.now.schedules, run.now.plans = _present(run)
        if (run.now.schedules, run.now.plans) != (before.schedules, before.plans):
            apply_again = before.copy()
            run.now.schedules, run.now.plans = apply_again.schedules, apply_again.plans
            apply()
            _check_unchanged(run)
        run.mark()
        return
    apply()
    run.mark()
    run.acknowledge()
    _check_unchanged(run)
    for schedule in run.array.schedules.book.schedules.values():
        if stored(schedule) != before.schedules.get(schedule.name):
            run.begun[schedule.identifier] = minute_of(run.array.environment.time())


def text_of(name: str, fields: dict[str, object]) -> str:
    return stored(parse_schedule(name, "", fields))


def _present(run: Run) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    book = run.array.schedules.book
    schedules = {name: stored(schedule) for name, schedule in book.schedules.items()}
    return schedules, plans_of(book, list(run.array.pool.volumes.values()))


def _check_unchanged(run: Run) -> None:
    if _present(run) != (run.now.schedules, run.now.plans):
        raise Difference(f"the schedules are {_present(run)} instead of {(run.now.schedules, run.now.plans)}")


def run_schedule(run: Run, name: int) -> None:
    """Take the snapshots of a schedule now."""
    label = f"h{name}"
    if label not in run.now.schedules or len(run.now.snapshots) > MAX_KEPT:
        return
    run.wait_for_all()
    task = run.array.environment.spawn(operations.run(run.array.storage, label))
    try:
        _finish(run, [task])
        task.value()
    except (*NO_ROOM, ManagementError, PoolFailed) as error:
        if isinstance(error, PoolFailed) and not run.may_fail:
            raise Difference(f"the pool has failed: {error}") from error


# Templates and restarts


def change_templates(run: Run, templates: list[list[int]]) -> None:
    """Change the schedules of the configuration, which the next start of the array adds to the pool."""
    run.templates = [ScheduleTemplate(f"h{name}", fields_of(*numbers)) for name, *numbers in templates]


def restarted(run: Run) -> None:
    """Open the schedules with the templates of the configuration. Templates of schedules that exist change nothing."""
    began = dict(run.begun)  # the clock may have gone back since then, and the array looks at it only in the step `tick`
    run.begun.clear()
    run.ran.clear()
    run.troubled.clear()
    run.array.run(run.array.open_schedules(run.templates))
    for template in run.templates:
        present = run.now.schedules
        defaults = sum('"default": true' in text for text in present.values())
        if template.name not in present and not (template.fields["default"] and defaults >= 3):
            present[template.name] = text_of(template.name, dict(template.fields))
    run.mark()
    _check_unchanged(run)
    for schedule in run.array.schedules.book.schedules.values():
        run.begun[schedule.identifier] = max(began.get(schedule.identifier, 0), minute_of(run.array.environment.time()))


Run.ACTIONS.update(
    tick=tick,
    add_schedule=add_schedule,
    change_schedule=change_schedule,
    remove_schedule=remove_schedule,
    assign_schedules=assign_schedules,
    run_schedule=run_schedule,
    change_templates=change_templates,
)
