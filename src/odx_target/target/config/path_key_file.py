"""Files with a path key, on one line."""

import os
import stat
from pathlib import Path

from odx_target.replica.link.errors import LinkError
from odx_target.replica.pairing.path_key import MAX_KEY_CHARACTERS, SAFE_KEY_CHARACTERS, check_path_key, is_weak
from odx_target.target.config.error import ConfigError


def read_path_key(file: Path) -> tuple[str, list[str]]:
    """Return the path key in a file, and warnings about the key and the file. Raises ConfigError."""
    try:
        with file.open() as stream:
            status = os.fstat(stream.fileno())
            content = stream.read(MAX_KEY_CHARACTERS + 2)
    except OSError as error:
        raise ConfigError(f"key file {file}: {error.strerror}") from error
    except ValueError:
        raise ConfigError(f"key file {file}: it is not text") from None
    key, warnings = checked_path_key(content, f"key file {file}")
    if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        warnings.append(f"other users can use the key file {file}; protect it with `chmod 600`")
    return key, warnings


def checked_path_key(content: str, source: str) -> tuple[str, list[str]]:
    """Return the path key in a text, and warnings about the key. Raises ConfigError that names the source, and not the key."""
    key = content.strip()
    try:
        check_path_key(key)
    except LinkError as error:
        raise ConfigError(f"{source}: {error}") from None
    return key, [f"a path key of less than {SAFE_KEY_CHARACTERS} characters might be guessed"] if is_weak(key) else []
