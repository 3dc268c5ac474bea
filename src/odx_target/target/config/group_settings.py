"""The tables `[[group]]` of a TOML file. docs/configuration.md lists their keys."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES, MAX_GROUPS, MAX_OUT_OF_SYNC_S, MIN_OUT_OF_SYNC_S, OUT_OF_SYNC_S
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import MAX_LUNS
from odx_target.target.config.path_settings import PATH_NAME
from odx_target.target.config.settings import GroupTemplate

_KEYS = ("name", "volumes", "path", "witness", "luns", "out-of-sync-after")


def group_templates_of(value: Any) -> tuple[GroupTemplate, ...]:
    """Return the groups in the tables of a file. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError("group: want tables [[group]] with name, volumes, path and witness")
    if len(value) > MAX_GROUPS:
        raise ConfigError(f"{len(value)} groups are over the limit of {MAX_GROUPS}")
    found = tuple(_template(row) for row in value)
    names = Counter(each.name for each in found)
    volumes = Counter(volume for each in found for volume in each.volumes)
    for kind, counts in (("group", names), ("volume", volumes)):
        twice = next((name for name, count in counts.items() if count > 1), None)
        if twice is not None:
            raise ConfigError(f"group: the {kind} {twice} is named twice")
    return found


def parse_out_of_sync(value: object) -> float:
    """Check the time after which the other member of a group is out of sync, in seconds. Raises ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not MIN_OUT_OF_SYNC_S <= value <= MAX_OUT_OF_SYNC_S:
        raise ConfigError(
            f"out-of-sync-after: want {MIN_OUT_OF_SYNC_S:g} to {MAX_OUT_OF_SYNC_S:g} seconds, not {str(value)[:40]!r}"
        )
    return float(value)


def _template(row: Mapping[str, Any]) -> GroupTemplate:
    for key in row:
        if key not in _KEYS:
            raise ConfigError(f"group: unknown key {key!r}; known are {', '.join(_KEYS)}")
    name = _name(row, "name")
    volumes = row.get("volumes")
    if not isinstance(volumes, list) or not 0 < len(volumes) <= MAX_GROUP_VOLUMES or not all(map(_is_text, volumes)):
        raise ConfigError(f"group {name}: volumes: want a list of 1 to {MAX_GROUP_VOLUMES} names")
    luns = row.get("luns", {})
    if not isinstance(luns, dict) or not all(
        each in volumes and type(number) is int and 0 <= number < MAX_LUNS for each, number in luns.items()
    ):
        raise ConfigError(f"group {name}: luns: want a LUN number for each of some volumes of the group")
    try:
        out_of_sync_s = parse_out_of_sync(row.get("out-of-sync-after", OUT_OF_SYNC_S))
    except ConfigError as error:
        raise ConfigError(f"group {name}: {error}") from error
    return GroupTemplate(name, tuple(volumes), _name(row, "path"), _name(row, "witness"), luns, out_of_sync_s)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _name(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not PATH_NAME.fullmatch(value):
        raise ConfigError(f"group: {key}: want a name, not {str(value)[:80]!r}")
    return value
