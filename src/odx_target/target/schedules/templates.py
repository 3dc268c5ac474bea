"""The schedules of an array at its start: the schedules that the pool remembers, and new ones from the configuration."""

from collections.abc import Awaitable, Callable, Sequence

from odx_target.environment import Environment
from odx_target.store.api import Pool, StoreError, change_when_ready
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import ScheduleTemplate
from odx_target.target.event_log import log
from odx_target.target.schedules.book import ScheduleBook, open_book
from odx_target.target.schedules.calendar import minute_of
from odx_target.target.schedules.commands import Commands, ProcessCommands
from odx_target.target.schedules.fields import parse_schedule
from odx_target.target.schedules.runner import Report, ScheduleRunner
from odx_target.target.schedules.schedule import IDENTIFIER_BYTES, Schedule


async def open_schedules(
    pool: Pool,
    environment: Environment,
    report: Report,
    make_durable: Callable[[], Awaitable[None]],
    templates: Sequence[ScheduleTemplate] = (),
    commands: Commands | None = None,
) -> ScheduleRunner:
    """Return the runner of the schedules of a pool. Schedules in `templates` that the pool does not have are added.
    Their commands run as processes, unless `commands` runs them.

    Raises ConfigError if a template names a volume that does not exist.
    """
    book = await open_book(pool)
    for name in book.unreadable:
        log.error("a schedule cannot be read and does not run; a newer program may have stored it", schedule=name)
    await add_schedules(book, templates, environment)
    return ScheduleRunner(book, environment, report, make_durable, commands or ProcessCommands())


async def add_schedules(book: ScheduleBook, templates: Sequence[ScheduleTemplate], environment: Environment) -> None:
    """Add the schedules of a configuration that the pool does not have. The others keep the settings that the pool has.

    Raises ConfigError if a template names a volume that does not exist.
    """
    for template in templates:
        try:
            await _apply(book, template, environment)
        except StoreError as error:
            log.error("a schedule of the configuration cannot be stored", schedule=template.name, reason=str(error))


def new_schedule(name: str, fields: dict[str, object], environment: Environment) -> tuple[Schedule, int]:
    """Return a new schedule, and the last moment before now. Raises ConfigError."""
    schedule = parse_schedule(name, environment.entropy(IDENTIFIER_BYTES).hex(), fields)
    return schedule, schedule.calendar.previous(minute_of(environment.time()))


async def _apply(book: ScheduleBook, template: ScheduleTemplate, environment: Environment) -> None:
    present = book.schedules.get(template.name)
    if present is not None:
        if parse_schedule(template.name, present.identifier, template.fields) != present:
            hint = "`odx-target schedule change POOL NAME` changes it"
            log.info("a schedule keeps the settings that the pool has", schedule=template.name, hint=hint)
        return
    for name in template.volumes:
        if name not in book.pool.volumes:
            raise ConfigError(f"schedule {template.name}: the pool has no volume {name!r}")
    volumes = [book.pool.volumes[name] for name in template.volumes]
    schedule, seen = new_schedule(template.name, dict(template.fields), environment)
    await change_when_ready(book.pool, environment, lambda: book.add(schedule, seen, volumes))
