"""Reading a TOML file: whatever is named by mistake is one clear line, and costs neither memory nor time."""

import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from odx_target.target.config.error import ConfigError

MAX_FILE_BYTES = 1 << 20
"""Four times what 1,024 CHAP users and 256 LUNs take."""
MAX_KEY_PARTS = 16
"""Of a dotted key; ours have two at most. `tomllib` takes time that grows with the square of their number."""

# Quoted text and comments, each up to the end of its line at most.
_NO_KEY = re.compile(r"""("(?:[^"\\\n]|\\[^\n])*+"?|'[^'\n]*'?)|#[^\n]*""")


def read_table(path: Path) -> dict[str, Any]:
    """The table that a file holds. Raises ConfigError, which names the file."""
    try:
        return _parsed(_text(path))
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
        raise ConfigError(f"more than {MAX_FILE_BYTES} bytes are no configuration")
    try:
        return content.decode("utf-8-sig")  # editors of Windows begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(f"byte {error.start} is not UTF-8 text") from error


def _parsed(text: str) -> dict[str, Any]:
    _check_keys(text)
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and int() of too many digits
        raise ConfigError(str(error)) from error
    except RecursionError as error:
        raise ConfigError("nested too deeply") from error


def _check_keys(text: str) -> None:
    """Raises ConfigError for a dotted key that the parser is better not given."""
    for number, line in enumerate(_NO_KEY.sub(lambda match: "s" if match[1] else "", text).splitlines(), 1):
        if any(part.count(".") >= MAX_KEY_PARTS for part in line.split("=")):
            raise ConfigError(f"line {number}: a key has at most {MAX_KEY_PARTS} parts")
