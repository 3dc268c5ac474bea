"""Files that hold a secret: only their owner can read them, and they are there whole or not at all."""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, in place of one that is there; a pipe or a device is simply written to.

    Raises OSError, for a symbolic link to a file too: it may be one that another user has chosen.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            path.write_bytes(data)
            return
    except FileNotFoundError:
        pass
    if path.is_symlink():
        raise OSError(errno.ELOOP, "this is a symbolic link; name the file itself", str(path))
    try:
        _replace(path, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".odx-target-", dir=path.parent)  # 0600
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
