"""A schedule as plain data, for requests, responses and the stored form, and the checks of this data.

| field | value |
|---|---|
| `every` | `hourly`, `daily` or `weekly` |
| `at` | a list: minutes of an hour such as 30, or times in UTC such as `02:00` |
| `days` | a list of `mon` to `sun`, for a weekly schedule |
| `keep` | number of snapshots of each volume to keep, or null |
| `keep_for_s` | age in seconds up to which snapshots are kept, or null |
| `before`, `after` | commands that are run before and after a snapshot; "" means none |
| `timeout_s` | longest time for one of the commands |
| `on_failure` | `crash-consistent` or `skip` |
| `default` | true if the schedule applies to all volumes that have no schedules of their own |
| `enabled` | false if the schedule does not run |
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, TypeAlias, TypedDict

from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_choice
from odx_target.target.schedules.calendar import DAY_MINUTES, HOUR_MINUTES, Calendar, Every
from odx_target.target.schedules.schedule import DEFAULT_TIMEOUT_S, Application, OnFailure, Retention, Schedule

Fields: TypeAlias = dict[str, Any]


class ScheduleFields(TypedDict):
    """The fields of a schedule that operators choose."""

    every: Annotated[str, "`hourly`, `daily` or `weekly`"]
    at: Annotated[list[int] | list[str], 'minutes (`[0, 30]`) or times (`["02:00"]`)']
    days: Annotated[list[str] | None, "`mon` to `sun` for a weekly schedule"]
    keep: Annotated[int | None, "number of snapshots to keep; null if `keep_for_s` is given"]
    keep_for_s: Annotated[int | None, "age up to which snapshots are kept; null if `keep` is given"]
    before: Annotated[str, "command that runs before the snapshots, or empty"]
    after: Annotated[str, "command that runs after the snapshots, or empty"]
    timeout_s: Annotated[float, "longest time for a command"]
    on_failure: Annotated[str, "`crash-consistent` or `skip`"]
    default: Annotated[bool, "true if it applies to volumes that have no schedules of their own"]
    enabled: bool


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

MAX_TIMES = 60
"""Largest number of minutes or times of one schedule. A schedule that runs every minute has this number."""
MAX_KEEP = 10_000
"""Largest number of snapshots of each volume that a schedule keeps. The number covers more than a year of hourly snapshots."""
MAX_AGE_S = 100 * 366 * 86400
"""Maximum age up to which a schedule keeps snapshots, a hundred years. To keep a snapshot longer, an operator can hold it."""
MAX_TIMEOUT_S = 3600.0
"""Maximum time for a command of a schedule. An application that the command freezes may stay frozen for this time."""
MAX_COMMAND_CHARACTERS = 4096
"""Largest length of a command of a schedule. A longer command belongs in a script."""
MAX_NAME_CHARACTERS = 64
"""Largest length of the name of a schedule. The names of its snapshots contain this name and the moment, and stay short."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DURATION = re.compile(r"([0-9]{1,10})([smhdw])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_KEEP = {Every.HOURLY: 24, Every.DAILY: 7, Every.WEEKLY: 4}
"""Default number of snapshots to keep: hourly snapshots of a day, daily snapshots of a week, and weekly snapshots of about a
month."""


def parse_name(value: object) -> str:
    """Return the name of a schedule. Raises ConfigError."""
    if not isinstance(value, str) or not _NAME.fullmatch(value) or len(value) > MAX_NAME_CHARACTERS:
        raise ConfigError(
            f"schedule name {str(value)[:80]!r}: want letters, digits, '.', '_' or '-', at most {MAX_NAME_CHARACTERS}"
        )
    return value


def parse_duration(value: object) -> int:
    """Return the seconds in a duration such as 3600, "90m", "12h", "7d" or "4w". Raises ConfigError."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    duration_s = int(match[1]) * _UNITS_S[match[2]] if match else value
    if type(duration_s) is not int or not 0 < duration_s <= MAX_AGE_S:
        raise ConfigError(f"duration {str(value)[:40]!r}: want a number with s, m, h, d or w, such as 12h or 7d")
    return duration_s


def parse_schedule(name: str, identifier: str, fields: Mapping[str, Any]) -> Schedule:
    """Return the schedule with these fields. Absent fields have their default values. Raises ConfigError."""
    for key in fields:
        if key not in _FIELDS:
            raise ConfigError(f"schedule {name}: unknown field {key!r}; known are {', '.join(_FIELDS)}")
    values = {key: _checked(name, key, fields.get(key)) for key in _FIELDS}
    every: Every = values["every"]
    return Schedule(
        name=parse_name(name),
        identifier=identifier,
        calendar=Calendar(every, _times(name, every, values["at"]), _days(name, every, values["days"])),
        retention=_retention(name, every, values["keep"], values["keep_for_s"]),
        application=_application(values),
        is_default=values["default"],
        is_enabled=values["enabled"],
    )


def changed(schedule: Schedule, changes: Mapping[str, Any]) -> Schedule:
    """Return a schedule with other values for some fields. Raises ConfigError.

    A new value of `every` resets `at` and `days`. A new value of `keep` resets `keep_for_s`, and a new value of `keep_for_s`
    resets `keep`.
    """
    fields: Fields = dict(fields_of(schedule))
    if changes.get("every", fields["every"]) != fields["every"]:
        fields.update(at=None, days=None)
    if changes.keys() & {"keep", "keep_for_s"}:
        fields.update(keep=None, keep_for_s=None)
    return parse_schedule(schedule.name, schedule.identifier, {**fields, **changes})


def fields_of(schedule: Schedule) -> ScheduleFields:
    """Return the fields of a schedule. `parse_schedule` makes the same schedule from these fields."""
    calendar, application = schedule.calendar, schedule.application or Application()
    is_hourly = calendar.every is Every.HOURLY
    return {
        "every": str(calendar.every),
        "at": list(calendar.at) if is_hourly else [f"{at // HOUR_MINUTES:02}:{at % HOUR_MINUTES:02}" for at in calendar.at],
        "days": [DAYS[day] for day in calendar.days] if calendar.every is Every.WEEKLY else None,
        "keep": schedule.retention.count,
        "keep_for_s": schedule.retention.age_s,
        "before": application.before,
        "after": application.after,
        "timeout_s": application.timeout_s,
        "on_failure": str(application.on_failure),
        "default": schedule.is_default,
        "enabled": schedule.is_enabled,
    }


def _checked(name: str, key: str, value: object) -> Any:
    parse, default = _FIELDS[key]
    if value is None:
        if default is None and key == "every":
            raise ConfigError(f"schedule {name}: want `every`, one of {', '.join(Every)}")
        return default
    try:
        return parse(value)
    except ConfigError as error:
        raise ConfigError(f"schedule {name}: {key}: {error}") from error


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TIMES:
        raise ConfigError(f"want a list of 1 to {MAX_TIMES} values")
    return value


def _times(name: str, every: Every, values: list[Any] | None) -> tuple[int, ...]:
    if values is None:
        return (0,)
    try:
        return tuple(sorted({_minute(value) if every is Every.HOURLY else _time(value) for value in values}))
    except ConfigError as error:
        raise ConfigError(f"schedule {name}: at: {error}") from error


def _minute(value: object) -> int:
    found = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,2}", value) else value
    if type(found) is not int or not 0 <= found < HOUR_MINUTES:
        raise ConfigError(f"want minutes of an hour from 0 to {HOUR_MINUTES - 1}, not {str(value)[:40]!r}")
    return found


def _time(value: object) -> int:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ConfigError(f"want times from 00:00 to 23:59, not {str(value)[:40]!r}")
    minute = int(match[1]) * HOUR_MINUTES + int(match[2])
    assert minute < DAY_MINUTES
    return minute


def _days(name: str, every: Every, values: list[Any] | None) -> tuple[int, ...]:
    if values is None:
        return (0,)
    if every is not Every.WEEKLY:
        raise ConfigError(f"schedule {name}: only a weekly schedule has days")
    if any(value not in DAYS for value in values):
        raise ConfigError(f"schedule {name}: days: want {', '.join(DAYS)}")
    return tuple(sorted({DAYS.index(value) for value in values}))


def _retention(name: str, every: Every, count: int | None, age_s: int | None) -> Retention:
    if count is not None and age_s is not None:
        raise ConfigError(f"schedule {name}: want `keep` or `keep_for_s`, not both")
    return Retention(_KEEP[every] if count is None and age_s is None else count, age_s)


def _application(values: Mapping[str, Any]) -> Application | None:
    if not (values["before"] or values["after"]):
        return None
    return Application(values["before"], values["after"], values["timeout_s"], values["on_failure"])


def _keep(value: object) -> int:
    if type(value) is not int or not 0 < value <= MAX_KEEP:
        raise ConfigError(f"want a number from 1 to {MAX_KEEP}, not {str(value)[:40]!r}")
    return value


def parse_command(value: object) -> str:
    """Check a command that is run before or after a snapshot. Raises ConfigError."""
    if not isinstance(value, str) or not value.isprintable() or len(value) > MAX_COMMAND_CHARACTERS:
        raise ConfigError(f"want a command of at most {MAX_COMMAND_CHARACTERS} printable characters")
    return value


def parse_timeout(value: object) -> float:
    """Check the longest time for a command. Raises ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_TIMEOUT_S:
        raise ConfigError(f"want seconds, more than 0 and at most {MAX_TIMEOUT_S:g}, not {str(value)[:40]!r}")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"want true or false, not {str(value)[:40]!r}")
    return value


parse_every = partial(parse_choice, Every)
parse_on_failure = partial(parse_choice, OnFailure)

_FIELDS: dict[str, tuple[Callable[[object], Any], Any]] = {
    # field: (function that checks the value, default)
    "every": (parse_every, None),
    "at": (_list, None),
    "days": (_list, None),
    "keep": (_keep, None),
    "keep_for_s": (parse_duration, None),
    "before": (parse_command, ""),
    "after": (parse_command, ""),
    "timeout_s": (parse_timeout, DEFAULT_TIMEOUT_S),
    "on_failure": (parse_on_failure, OnFailure.CRASH_CONSISTENT),
    "default": (_flag, False),
    "enabled": (_flag, True),
}
