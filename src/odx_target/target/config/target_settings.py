"""The portals and the further targets of an array, from the values of a configuration file."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from odx_target.iscsi.limits import COMMAND_WINDOW, MAX_CONNECTIONS
from odx_target.scsi.asymmetric_access.port_groups import MAX_GROUP_NUMBER
from odx_target.target.config.access_settings import access_rules_of
from odx_target.target.config.chap import chap_users_of, target_chap_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_iqn, parse_portal
from odx_target.target.config.settings import Portal, TargetConfig

MAX_TARGETS = 256
"""Maximum number of `[[target]]` tables. An array with its default memory serves 64 sessions."""
PORTS_OF_A_TAG = 1024
"""Number of relative target ports for each portal group tag, which is more than the largest number of targets. So the numbers
stay the same if portal groups are added.
"""


def portals_of(value: Any) -> tuple[Portal, ...]:
    """Return the portals for a text, or for a list of texts. Raises ConfigError."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise ConfigError('portal: want "HOST:PORT" or a list of them')
    return tuple(parse_portal(text) for text in texts)


def max_sessions_of(value: Any) -> int:
    """Return the maximum number of sessions of a target. Raises ConfigError."""
    if type(value) is not int or not 0 < value <= MAX_CONNECTIONS:
        raise ConfigError(f"max-sessions: want a number from 1 to {MAX_CONNECTIONS}, not {str(value)[:40]}")
    return value


def port_group_number_of(value: Any) -> int:
    """Return the number of a target port group. Raises ConfigError."""
    if type(value) is not int or not 0 < value <= MAX_GROUP_NUMBER:
        raise ConfigError(f"port-group: want a number from 1 to {MAX_GROUP_NUMBER}, not {str(value)[:40]}")
    return value


def max_commands_of(value: Any) -> int:
    """Return the maximum number of commands of a session. Raises ConfigError."""
    if type(value) is not int or not 0 < value <= COMMAND_WINDOW:
        raise ConfigError(f"max-commands: want a number from 1 to {COMMAND_WINDOW}, not {str(value)[:40]}")
    return value


def memory_share_of(value: Any) -> int:
    """Return a percentage of the common memory for data. Raises ConfigError."""
    if type(value) is not int or not 0 < value <= 100:
        raise ConfigError(f"memory-share: want a percentage from 1 to 100, not {str(value)[:40]}")
    return value


def relative_target_port_of(value: Any) -> int:
    """Return the relative target port of a target. Raises ConfigError."""
    if type(value) is not int or not 0 < value <= PORTS_OF_A_TAG:
        raise ConfigError(f"relative-target-port: want a number from 1 to {PORTS_OF_A_TAG}, not {str(value)[:40]}")
    return value


def target_configs_of(value: Any, base: Path) -> tuple[TargetConfig, ...]:
    """Return the targets in the `[[target]]` tables of a file in directory `base`. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError(f"target: want tables [[target]] with {', '.join(_KEYS)}")
    if len(value) > MAX_TARGETS:
        raise ConfigError(f"target: {len(value)} tables are over the limit of {MAX_TARGETS}")
    return tuple(_target(row, base) for row in value)


def _target(row: Mapping[str, Any], base: Path) -> TargetConfig:
    if unknown := sorted(row.keys() - _KEYS.keys()):
        raise ConfigError(f"target: unknown key {unknown[0]!r}; known are {', '.join(_KEYS)}")
    if "iqn" not in row:
        raise ConfigError("target: iqn is missing")
    fields: dict[str, Any] = {}
    for key, given in row.items():
        name, parse = _KEYS[key]
        fields[name] = parse(given, base)
    return TargetConfig(**fields)


def _iqn(value: Any, _base: Path) -> str:
    if not isinstance(value, str):
        raise ConfigError("target: iqn: want a text in quotes")
    return parse_iqn(value)


_KEYS: dict[str, tuple[str, Callable[[Any, Path], object]]] = {
    "iqn": ("iqn", _iqn),
    "portal": ("portals", lambda value, _base: portals_of(value)),
    "access": ("access", lambda value, _base: access_rules_of(value)),
    "chap": ("chap_users", chap_users_of),
    "target-chap": ("target_chap", target_chap_of),
    "max-sessions": ("max_sessions", lambda value, _base: max_sessions_of(value)),
    "max-commands": ("max_commands", lambda value, _base: max_commands_of(value)),
    "memory-share": ("memory_share", lambda value, _base: memory_share_of(value)),
    "port-group": ("port_group", lambda value, _base: port_group_number_of(value)),
    "relative-target-port": ("relative_target_port", lambda value, _base: relative_target_port_of(value)),
}
"""Table that maps each key of a `[[target]]` table to a field of TargetConfig and a function that reads the value."""
