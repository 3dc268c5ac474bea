"""Files that contain a secret. Only their owner can read them.

Each write replaces the whole file, or leaves the old file unchanged.
"""

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read. An existing file is replaced.

    If the path is a pipe or a device, the data is written to it. Raises OSError if the file cannot be written. A symbolic link
    is refused too, because another user may have chosen its target.
    """
    try:
        if path.exists() and not stat.S_ISREG(path.stat().st_mode):
            path.write_bytes(data)
        elif path.is_symlink():
            raise OSError(errno.ELOOP, "this is a symbolic link; name the file itself")
        else:
            _replace(path, data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _replace(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".odx-target-", dir=path.parent)  # its mode is 0600
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
