"""The portal groups and the target port groups of an array, from the values of a configuration file."""

from collections.abc import Callable, Mapping
from typing import Any

from odx_target.scsi.asymmetric_access.access_state import STATES_BY_WORDS, AccessState
from odx_target.scsi.asymmetric_access.port_groups import (
    MAX_GROUP_NUMBER,
    MAX_IMPLICIT_TRANSITION_TIME_S,
    AccessModes,
)
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_choice
from odx_target.target.config.settings import PortalGroupConfig, PortGroupConfig
from odx_target.target.config.target_settings import port_group_number_of, portals_of

MAX_PORTAL_GROUP_TAG = 60
"""Maximum portal group tag. So the relative target ports of all portal groups of all targets fit into 16 bits."""
MAX_PORT_GROUPS = 256
"""Maximum number of target port groups. An array serves far fewer ports to its 64 sessions."""
MAX_TRANSITION_TIME_S = MAX_IMPLICIT_TRANSITION_TIME_S - 1
"""Maximum time of a change of a state: hosts read a time that is one second longer from one byte."""

_MODES = {mode.name.lower(): mode for mode in AccessModes.__members__.values() if mode.name is not None}


def access_modes_of(value: object) -> AccessModes:
    """Return the modes for a text: none, implicit, explicit or both. Raises ConfigError."""
    return _MODES[parse_choice(_MODES, value, "asymmetric-access: ")]


def words_of(modes: AccessModes) -> str:
    """Return the text for modes that `access_modes_of` accepts."""
    return next(words for words, each in _MODES.items() if each is modes)


def access_state_of(value: object, prefix: str = "state: ") -> AccessState:
    """Return the state for a text such as `standby`. Raises ConfigError. The message begins with `prefix`."""
    return STATES_BY_WORDS[parse_choice(STATES_BY_WORDS, value, prefix)]


def transition_time_of(value: object) -> int:
    """Return the time of a change of a state in seconds. Raises ConfigError."""
    return _number("transition-time", value, 0, MAX_TRANSITION_TIME_S)


def portal_groups_of(value: Any) -> tuple[PortalGroupConfig, ...]:
    """Return the portal groups in the `[[portal-group]]` tables of a file. Raises ConfigError."""
    return tuple(PortalGroupConfig(**row) for row in _rows("portal-group", value, _PORTAL_GROUP_KEYS, ("tag", "portal")))


def port_groups_of(value: Any) -> tuple[PortGroupConfig, ...]:
    """Return the target port groups in the `[[target-port-group]]` tables of a file. Raises ConfigError."""
    if isinstance(value, list) and len(value) > MAX_PORT_GROUPS:
        raise ConfigError(f"target-port-group: {len(value)} tables are over the limit of {MAX_PORT_GROUPS}")
    return tuple(PortGroupConfig(**row) for row in _rows("target-port-group", value, _PORT_GROUP_KEYS, ("number",)))


def _rows(table: str, value: Any, keys: "Keys", required: tuple[str, ...]) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError(f"{table}: want tables [[{table}]] with {', '.join(keys)}")
    return [_row(table, row, keys, required) for row in value]


def _row(table: str, row: Mapping[str, Any], keys: "Keys", required: tuple[str, ...]) -> dict[str, Any]:
    if unknown := sorted(row.keys() - keys.keys()):
        raise ConfigError(f"{table}: unknown key {unknown[0]!r}; known are {', '.join(keys)}")
    if missing := [key for key in required if key not in row]:
        raise ConfigError(f"{table}: {missing[0]} is missing")
    return {keys[key][0]: keys[key][1](given) for key, given in row.items()}


def _number(key: str, value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(f"{key}: want a number from {least} to {most}, not {str(value)[:40]}")
    return value


def _preferred(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("target-port-group: preferred: want true or false")
    return value


Keys = Mapping[str, tuple[str, Callable[[Any], object]]]
"""Table that maps each key to a field of the settings and a function that reads the value."""

_PORTAL_GROUP_KEYS: Keys = {
    "tag": ("tag", lambda value: _number("portal-group: tag", value, 1, MAX_PORTAL_GROUP_TAG)),
    "portal": ("portals", portals_of),
    "port-group": ("port_group", port_group_number_of),
}
_PORT_GROUP_KEYS: Keys = {
    "number": ("number", lambda value: _number("target-port-group: number", value, 1, MAX_GROUP_NUMBER)),
    "state": ("state", lambda value: access_state_of(value, "target-port-group: state: ")),
    "preferred": ("preferred", _preferred),
}
