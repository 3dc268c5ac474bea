"""Function that reads a TOML file. An invalid file causes an error message of one line.

The check of an invalid file needs little memory and time.
"""

import re
import stat
from pathlib import Path
from typing import Any

from odx_target.target.config.error import ConfigError

MAX_FILE_BYTES = 4 << 20
"""Maximum size of a configuration file. A file with 1,024 CHAP users and 16,384 LUNs is half as large."""
MAX_KEY_PARTS = 16
"""Maximum number of parts of a dotted key in the configuration file. Valid keys have at most two parts.

The time that `tomllib` needs grows with the square of this number.
"""

INTEGERS = range(-(1 << 63), 1 << 63)
"""The integers that every reader of TOML 1.0 accepts."""

# Quoted texts and comments. A text or comment never extends beyond its line.
_NO_KEY = re.compile(r"""("(?:[^"\\\n]|\\[^\n])*+"?|'[^'\n]*'?)|#[^\n]*""")


def read_table(path: Path) -> dict[str, Any]:
    """Return the table in a file. Raises ConfigError with a message that names the file."""
    try:
        return parse_table(_text(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _text(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ConfigError("want a regular file, which can be read again")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(error.strerror or str(error)) from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"more than {MAX_FILE_BYTES} bytes are not a configuration file")
    try:
        return content.decode("utf-8-sig")  # editors on Windows write a byte order mark at the beginning
    except UnicodeDecodeError as error:
        raise ConfigError(f"byte {error.start} is not UTF-8 text") from error


def parse_table(text: str) -> dict[str, Any]:
    """Return the table in the text of a file. Raises ConfigError."""
    _check_keys(text)
    import tomllib  # Most arrays have no configuration file.

    try:
        table = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is a ValueError, and int() raises ValueError for too many digits
        raise ConfigError(str(error)) from error
    except RecursionError as error:
        raise ConfigError("nested too deeply") from error
    _check_numbers(table)
    return table


def _check_numbers(table: dict[str, Any]) -> None:
    """Raise ConfigError if a number is no integer of TOML 1.0. `tomllib` accepts others, with which Python may fail later."""
    unchecked: list[tuple[str, Any]] = list(table.items())
    while unchecked:
        key, value = unchecked.pop()
        if isinstance(value, dict):
            unchecked += value.items()
        elif isinstance(value, list):
            unchecked += [(key, each) for each in value]
        elif isinstance(value, int) and value not in INTEGERS:
            raise ConfigError(f"{key}: an integer has at most 64 bits")


def _check_keys(text: str) -> None:
    """Raise ConfigError if a dotted key has more than MAX_KEY_PARTS parts."""
    for number, line in enumerate(_NO_KEY.sub(lambda match: "s" if match[1] else "", text).splitlines(), 1):
        if any(part.count(".") >= MAX_KEY_PARTS for part in line.split("=")):
            raise ConfigError(f"line {number}: a key has at most {MAX_KEY_PARTS} parts")
