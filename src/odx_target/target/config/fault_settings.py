"""The tables `[[fault]]` of a TOML file. docs/faults.md lists their keys."""

from collections.abc import Mapping
from typing import Any

from odx_target.target.config.error import ConfigError
from odx_target.target.faults.rules import MAX_RULES, check_rule

MAX_SEED = 1 << 63
"""Seeds are smaller: TOML has no larger numbers."""


def fault_rules_of(value: Any) -> tuple[Mapping[str, object], ...]:
    """Return the rules in the tables of a file. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError("fault: want tables [[fault]] with the words of a rule")
    if len(value) > MAX_RULES:
        raise ConfigError(f"{len(value)} faults are over the limit of {MAX_RULES}")
    names = [check_rule(row) for row in value]
    for name in names:
        if name is not None and names.count(name) > 1:
            raise ConfigError(f"fault {name} is named twice")
    return tuple(value)


def fault_seed_of(value: Any) -> int:
    """Return the seed of the rules. Raises ConfigError."""
    if type(value) is not int or not 0 <= value < MAX_SEED:
        raise ConfigError(f"fault-seed: want a number from 0, not {value!r}")
    return value
