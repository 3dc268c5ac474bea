"""The arguments of management operations, and the functions that check and convert values from JSON or a command line."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from odx_target.copymgr.stepping_aside import MAX_STEP_ASIDE_S
from odx_target.store.api import COMPRESSIONS
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_choice, parse_lun, parse_size
from odx_target.target.config.settings import LunConfig
from odx_target.target.printable import printable
from odx_target.target.schedules.fields import parse_duration

_IDENTIFIER = re.compile(r"[0-9A-Fa-f]{1,16}")

_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]{1,8}|[0-9]{1,10}")

_REQUIRED = object()

Value = TypeVar("Value")


class ManagementError(Exception):
    """An operation was refused. The message is one line, in which unprintable characters are escaped. `is_usage` is True if the
    request itself was invalid.
    """

    def __init__(self, message: str, *, is_usage: bool = False) -> None:
        super().__init__(printable(message))
        self.is_usage = is_usage


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of an operation. `parse` checks and converts the value of the argument.

    `parse` raises ConfigError if the value is invalid.
    """

    name: str
    description: str
    parse: Callable[[object], Any]
    default: object = _REQUIRED

    @property
    def is_required(self) -> bool:
        return self.default is _REQUIRED


def text(value: object) -> str:
    """Check that a value is a text. Raises ConfigError."""
    if not isinstance(value, str):
        raise ConfigError(f"name: want a text, not {value!r}")
    return value


def size(value: object) -> int:
    """Convert a number of bytes, or a text such as "1G", to bytes. Raises ConfigError."""
    if type(value) is int and value >= 0:
        return value
    if not isinstance(value, str):
        raise ConfigError(f'size: want a number of bytes or a text such as "1G", not {value!r}')
    return parse_size(value)


def rate(value: object) -> int:
    """Convert a rate, such as 67108864 or "64M", to bytes per second. The rate must not be 0. Raises ConfigError."""
    bytes_per_s = size(value)
    if not bytes_per_s:
        raise ConfigError("rate: want at least one byte per second")
    return bytes_per_s


def step_aside_s(value: object) -> int | None:
    """Convert a duration, such as 600 or "10m", to seconds. Convert "off" to None. Raises ConfigError."""
    if value is None or value == "off":
        return None
    duration_s = parse_duration(value)
    if duration_s > MAX_STEP_ASIDE_S:
        raise ConfigError(f"{duration_s} seconds are longer than a day; want at most {MAX_STEP_ASIDE_S}, or off")
    return duration_s


def compression(value: object) -> str:
    """Check the name of a compression of volumes. Raises ConfigError."""
    return parse_choice(COMPRESSIONS, value, "compression: ")


def names(value: object) -> Sequence[str]:
    """Check that a value is a list of names. Raises ConfigError."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"want a list of names, not {str(value)[:80]!r}")
    return value


def optional(parse: Callable[[object], Value]) -> Callable[[object], Value | None]:
    """Return a function that checks a value with `parse`, and accepts None too."""
    return lambda value: None if value is None else parse(value)


def flag(value: object) -> bool:
    """Check that a value is true or false. Raises ConfigError."""
    if not isinstance(value, bool):
        raise ConfigError(f"want true or false, not {value!r}")
    return value


def lun(value: object) -> LunConfig:
    """Convert a text of the form that `parse_lun` describes to the configuration of a LUN. Raises ConfigError."""
    if not isinstance(value, str):
        raise ConfigError(f'lun: want a text such as "a=1G", not {value!r}')
    return parse_lun(value)


def token_identifier(value: object) -> int:
    """Convert a hexadecimal text to a token identifier. Raises ConfigError."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise ConfigError(f"identifier of a token: want up to 16 hexadecimal digits, not {value!r}")
    return int(value, 16)


def list_identifier(value: object) -> int:
    """Convert a decimal number, or a hexadecimal number with 0x, to a list identifier of 32 bits. Raises ConfigError."""
    found = value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        found = int(value, 16 if value[:2].lower() == "0x" else 10)
    if type(found) is not int or not 0 <= found < 1 << 32:
        raise ConfigError(f"list identifier: want a number of 32 bits, such as 17 or 0x11, not {value!r}")
    return found
