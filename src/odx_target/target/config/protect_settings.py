"""The tables `[[protect]]` of a TOML file. docs/configuration.md lists their keys."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from odx_target.replica.snapshots.limits import MAX_GROUP_VOLUMES, MAX_KEEP, MAX_PROTECTIONS
from odx_target.replica.snapshots.protection import MANUAL, Trigger
from odx_target.target.config.error import ConfigError
from odx_target.target.config.path_settings import PATH_NAME
from odx_target.target.config.settings import ProtectTemplate
from odx_target.target.schedules.book import MAX_SCHEDULES_OF_A_VOLUME
from odx_target.target.schedules.calendar import Every

_KEYS = ("volume", "group", "volumes", "path", "trigger", "schedules", "snapshots", "keep-remote")


def protect_templates_of(value: Any) -> tuple[ProtectTemplate, ...]:
    """Return the protections in the tables of a file. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError("protect: want tables [[protect]] with volume and path")
    if len(value) > MAX_PROTECTIONS:
        raise ConfigError(f"{len(value)} protections are over the limit of {MAX_PROTECTIONS}")
    found = tuple(_template(row) for row in value)
    names = Counter(each.name for each in found)
    volumes = Counter(volume for each in found for volume in each.volumes)
    for kind, counts in (("protection", names), ("volume", volumes)):
        twice = next((name for name, count in counts.items() if count > 1), None)
        if twice is not None:
            raise ConfigError(f"protect: the {kind} {twice} is named twice")
    return found


def _template(row: Mapping[str, Any]) -> ProtectTemplate:
    for key in row:
        if key not in _KEYS:
            raise ConfigError(f"protect: unknown key {key!r}; known are {', '.join(_KEYS)}")
    is_group = "group" in row
    if is_group == ("volume" in row) or is_group != ("volumes" in row):
        raise ConfigError("protect: want volume, or group and volumes")
    name = _text(row, "group" if is_group else "volume")
    volumes = _texts(row, "volumes", MAX_GROUP_VOLUMES) if is_group else (name,)
    schedules = _texts(row, "schedules", MAX_SCHEDULES_OF_A_VOLUME) if "schedules" in row else None
    snapshots = _numbers(row, "snapshots", tuple(Every), 1)
    if schedules is not None and snapshots:
        raise ConfigError(f"protect {name}: want schedules or snapshots, not both")
    trigger = row.get("trigger", Trigger.EACH.value)
    if trigger not in list(Trigger):
        raise ConfigError(f"protect {name}: trigger: want {' or '.join(Trigger)}, not {str(trigger)[:40]!r}")
    keep_there = _numbers(row, "keep-remote", (*Every, MANUAL), 0)
    return ProtectTemplate(name, _text(row, "path"), volumes, is_group, Trigger(trigger), schedules, snapshots, keep_there)


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value or (key in ("path", "group") and not PATH_NAME.fullmatch(value)):
        raise ConfigError(f"protect: {key}: want a name, not {str(value)[:80]!r}")
    return value


def _texts(row: Mapping[str, Any], key: str, most: int) -> tuple[str, ...]:
    value = row.get(key)
    if not isinstance(value, list) or not 0 < len(value) <= most or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"protect: {key}: want a list of 1 to {most} names")
    return tuple(value)


def _numbers(row: Mapping[str, Any], key: str, known: tuple[str, ...], least: int) -> Mapping[str, int]:
    value = row.get(key, {})
    if not isinstance(value, dict) or not all(
        name in known and type(count) is int and least <= count <= MAX_KEEP for name, count in value.items()
    ):
        raise ConfigError(f"protect: {key}: want numbers from {least} to {MAX_KEEP} for {', '.join(known)}")
    return value
