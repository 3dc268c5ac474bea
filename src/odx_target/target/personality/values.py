"""The values of settings in personality files: functions that check and convert them. All raise ConfigError."""

from collections.abc import Callable, Mapping
from typing import Any

from odx_target.copymgr.tokens.rod_types import ACCESS_UPON_REFERENCE_TYPES, POINT_IN_TIME_TYPES, RodTypes
from odx_target.scsi.command_table import CommandCode
from odx_target.scsi.sense import Condition
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import LOGICAL_BLOCK_SIZES, size_of
from odx_target.target.faults import values
from odx_target.target.faults.names import COMMANDS, SENSE

UNLIMITED_BYTES = 1 << 62
"""Value of the word `unlimited`: VPD page B0h then reports the greatest value of the field."""

ALL_COMMANDS: frozenset[CommandCode] = frozenset(code for codes in COMMANDS.values() for code in codes)

ROD_TYPES: Mapping[str, RodTypes] = {
    "point in time": POINT_IN_TIME_TYPES,
    "access upon reference": ACCESS_UPON_REFERENCE_TYPES,
}


def _shown(value: Any) -> str:
    return repr(str(value)[:40])


def characters(count: int) -> Callable[[Any], bytes]:
    """Return the function that reads a text of printable ASCII characters, and pads it with spaces to its length."""

    def parse(value: Any) -> bytes:
        if not isinstance(value, str) or len(value) > count or not value.isascii() or not value.isprintable():
            raise ConfigError(f"want a text of at most {count} printable ASCII characters, not {_shown(value)}")
        return value.encode("ascii").ljust(count)

    return parse


def flag(value: Any) -> bool:
    """Check that a value is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"want true or false, not {_shown(value)}")
    return value


def number(least: int, most: int) -> Callable[[Any], int]:
    """Return the function that reads a number."""

    def parse(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ConfigError(f"want a number from {least} to {most}, not {_shown(value)}")
        return value

    return parse


def size(most: int, *, may_be_unlimited: bool = False) -> Callable[[Any], int]:
    """Return the function that reads a size. `most` is the limit of this array itself, which must be able to do the work."""

    def parse(value: Any) -> int:
        if may_be_unlimited and value == "unlimited":
            return UNLIMITED_BYTES
        found = size_of("size", value)
        if found > most:
            raise ConfigError(f"want at most {most} bytes, the limit of this array, not {_shown(value)}")
        return found

    return parse


def block_length(value: Any) -> int:
    """Check the length of a logical block."""
    if type(value) is not int or value not in LOGICAL_BLOCK_SIZES:
        raise ConfigError(f"want {' or '.join(map(str, LOGICAL_BLOCK_SIZES))}, not {_shown(value)}")
    return value


def rod_types(value: Any) -> RodTypes:
    """Return the ROD types of tokens with a meaning in `ROD_TYPES`."""
    if not isinstance(value, str) or value not in ROD_TYPES:
        raise ConfigError(f"want {' or '.join(ROD_TYPES)}, not {_shown(value)}")
    return ROD_TYPES[value]


def pages(value: Any) -> frozenset[int]:
    """Return the codes of VPD pages in a list such as ["8Fh"]."""
    if not isinstance(value, list):
        raise ConfigError(f'want a list such as ["8Fh"], not {_shown(value)}')
    found = set()
    for each in value:
        code = str(each).removesuffix("h")
        if len(code) != 2 or not set(code) <= set("0123456789ABCDEFabcdef") or not int(code, 16):
            raise ConfigError(f"want codes of VPD pages such as 8Fh, but not 00h, instead of {_shown(each)}")
        found.add(int(code, 16))
    return frozenset(found)


def all_but(value: Any) -> frozenset[CommandCode]:
    """Return the codes of all commands that are not in a list."""
    return ALL_COMMANDS - values.commands(value)


def condition(value: Any) -> Condition:
    """Return the sense data with a name, or with KEY/ASC/ASCQ as hexadecimal numbers."""
    found = values.sense(value)
    same = (each for each in SENSE.values() if (each.key, each.asc, each.ascq) == (found.key, found.asc, found.ascq))
    return next(same, found)
