"""The access rules of an array: the initiators that may log in, and the LUNs that each of them can use."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any

from odx_target.iscsi.names import MAX_NAME_BYTES, check_name, prepare_name
from odx_target.target.config.error import ConfigError

MAX_ACCESS_RULES = 1024
"""Maximum number of access rules of a target. An array serves far fewer hosts.

The limit avoids a long search at each login.
"""
MAX_RULE_INITIATORS = 1024
"""Maximum number of names and patterns in all access rules of a target. The reason is the same."""
MAX_MAPPED_LUNS = 1 << 14
"""Maximum number of LUNs in an access rule: the flat space addressing method has LUNs of 14 bits (SAM-5 4.7.7.3)."""
GLOB_CHARACTERS = "*?["

_RULE_KEYS = ("initiator", "luns")
_LUN_KEYS = ("lun", "volume", "read-only")


@dataclass(frozen=True, slots=True)
class MappedLun:
    """A LUN of an access rule: the initiators of the rule address the volume by this LUN.

    If `read_only` is True, they cannot write to it.
    """

    lun: int
    volume: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class AccessRule:
    """The LUNs of the initiators whose names match one of `initiators`, which are names or glob patterns.

    If `luns` is None, these initiators can use all LUNs of the pool, by the numbers that the pool has for them.
    """

    initiators: tuple[str, ...]
    luns: tuple[MappedLun, ...] | None = None
    patterns: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)
    """The compiled patterns. To compile a pattern takes longer than to match hundreds of names."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", tuple(compiled(each) for each in self.initiators if is_glob(each)))


def is_glob(initiator: str) -> bool:
    """True if a text of an access rule is a glob pattern, and not a name."""
    return any(character in initiator for character in GLOB_CHARACTERS)


def find_rule(rules: Sequence[AccessRule], initiator_name: str) -> int | None:
    """Return the position of the access rule for an initiator, or None if the initiator has no access.

    A rule that contains the name itself has precedence over patterns. Apart from that, the first rule that matches is used.
    """
    name = prepare_name(initiator_name)
    matching = (number for number, rule in enumerate(rules) if name in rule.initiators)
    found = next(matching, None)
    if found is None:
        matching = (number for number, rule in enumerate(rules) if any(each.match(name) for each in rule.patterns))
        found = next(matching, None)
    return found


def compiled(pattern: str) -> re.Pattern[str]:
    """Return the regular expression for a glob pattern. It matches whole names."""
    return re.compile(translate(pattern))


def access_rules_of(value: Any) -> tuple[AccessRule, ...]:
    """Return the rules in the `[[access]]` tables of a configuration file. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError("access: want tables [[access]] with initiator and optionally luns")
    if len(value) > MAX_ACCESS_RULES:
        raise ConfigError(f"access: {len(value)} tables are over the limit of {MAX_ACCESS_RULES}")
    rows = [(_initiators(row), row) for row in value]
    names = [name for initiators, _ in rows for name in initiators]
    if len(names) > MAX_RULE_INITIATORS:
        raise ConfigError(f"access: {len(names)} names and patterns are over the limit of {MAX_RULE_INITIATORS}")
    name, times = max(Counter(names).items(), key=lambda item: item[1], default=("", 0))
    if times > 1:
        raise ConfigError(f"access: initiator {name!r} is named twice")
    return tuple(AccessRule(initiators, _mapped_luns(row["luns"]) if "luns" in row else None) for initiators, row in rows)


def _initiators(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Check the keys of a rule, and return its names and patterns."""
    _check_keys("access", row, _RULE_KEYS, ("initiator",))
    given = row["initiator"]
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise ConfigError("access: initiator: want a name or pattern in quotes, or a list of them")
    return tuple(initiator_of(text) for text in texts)


def initiator_of(text: object) -> str:
    """Return the prepared form of a name or pattern. Raises ConfigError."""
    if not isinstance(text, str):
        raise ConfigError(f"access: initiator: want a name or pattern in quotes, not {str(text)[:80]!r}")
    name = prepare_name(text)
    try:
        if not is_glob(name):
            check_name(name)
        elif len(name.encode()) > MAX_NAME_BYTES or not name.isprintable():
            raise ValueError(f"want a pattern on one line, at most {MAX_NAME_BYTES} bytes")
    except ValueError as error:
        raise ConfigError(f"access: initiator {text[:80]!r}: {error}") from None
    return name


def _mapped_luns(value: object) -> tuple[MappedLun, ...]:
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ConfigError('access: luns: want a list such as [{ lun = 0, volume = "first", read-only = true }]')
    luns = tuple(_mapped_lun(row) for row in value)
    for key, values in (("lun", Counter(each.lun for each in luns)), ("volume", Counter(each.volume for each in luns))):
        twice = next((value for value, times in values.items() if times > 1), None)
        if twice is not None:
            raise ConfigError(f"access: luns: {key} {twice!r} is named twice for one initiator")
    return luns


def _mapped_lun(row: Mapping[str, Any]) -> MappedLun:
    _check_keys("access: luns", row, _LUN_KEYS, ("lun", "volume"))
    lun, volume, read_only = row["lun"], row["volume"], row.get("read-only", False)
    if type(lun) is not int or not 0 <= lun < MAX_MAPPED_LUNS:
        raise ConfigError(f"access: luns: want a LUN from 0 to {MAX_MAPPED_LUNS - 1}, not {str(lun)[:40]!r}")
    if not isinstance(volume, str):
        raise ConfigError(f"access: LUN {lun}: want the name of a volume in quotes, not {str(volume)[:80]!r}")
    if not isinstance(read_only, bool):
        raise ConfigError(f"access: LUN {lun}: read-only: want true or false, not {str(read_only)[:40]!r}")
    return MappedLun(lun, volume, read_only)


def _check_keys(table: str, row: Mapping[str, Any], known: Sequence[str], required: Sequence[str]) -> None:
    if unknown := sorted(row.keys() - set(known)):
        raise ConfigError(f"{table}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    if missing := [key for key in required if key not in row]:
        raise ConfigError(f"{table}: {missing[0]} is missing")
