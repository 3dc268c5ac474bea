"""The tables `[[schedule]]` of a TOML file. docs/configuration.md lists their keys."""

from collections.abc import Mapping
from typing import Any

from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import ScheduleTemplate
from odx_target.target.schedules.book import MAX_SCHEDULES
from odx_target.target.schedules.fields import parse_duration, parse_name, parse_schedule

_KEYS = {
    # key in the file: field of a schedule
    "every": "every",
    "at": "at",
    "days": "days",
    "keep": "keep",
    "keep-for": "keep_for_s",
    "before": "before",
    "after": "after",
    "timeout": "timeout_s",
    "on-failure": "on_failure",
    "default": "default",
    "enabled": "enabled",
}


def schedule_templates_of(value: Any) -> tuple[ScheduleTemplate, ...]:
    """Return the schedules in the tables of a file. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError("schedule: want tables [[schedule]] with name and every")
    if len(value) > MAX_SCHEDULES:
        raise ConfigError(f"{len(value)} schedules are over the limit of {MAX_SCHEDULES}")
    templates = tuple(_template(row) for row in value)
    names = [each.name for each in templates]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"schedule {name} is named twice")
    return templates


def _template(row: Mapping[str, Any]) -> ScheduleTemplate:
    name = parse_name(row.get("name"))
    for key in row:
        if key not in _KEYS and key not in ("name", "volumes"):
            raise ConfigError(f"schedule {name}: unknown key {key!r}; known are name, volumes, {', '.join(_KEYS)}")
    fields = {field: row[key] for key, field in _KEYS.items() if key in row}
    if "keep_for_s" in fields:
        fields["keep_for_s"] = parse_duration(fields["keep_for_s"])
    volumes = row.get("volumes", [])
    if not isinstance(volumes, list) or not all(isinstance(each, str) for each in volumes):
        raise ConfigError(f"schedule {name}: volumes: want a list of names")
    parse_schedule(name, "", fields)
    return ScheduleTemplate(name, fields, tuple(volumes))
