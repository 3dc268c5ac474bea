"""The file of the control socket: its name, its mode, and the removal of a file that an ended process has left.

Only the owner of the file can connect to the socket.
"""

import errno
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CONTROL_NAME = "control"
"""File name of the control socket in the directory of a pool."""

CONTROL_MODE = 0o600

MAX_SOCKET_NAME_BYTES = 107
"""Maximum length of a socket's name. The name in sockaddr_un has 108 bytes, and the last byte must be zero."""


@contextmanager
def socket_name(path: Path) -> Iterator[str]:
    """Yield a name with which `bind` or `connect` can use the socket at `path`. The name is short even if the path is long.

    Raises OSError.
    """
    if len(os.fsencode(path)) <= MAX_SOCKET_NAME_BYTES:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def listen_at(path: Path, backlog: int) -> tuple[socket.socket, tuple[int, int]]:
    """Make a listening socket, for which at most `backlog` clients can wait. Return the socket, and the device number and inode
    number of its file. Raises OSError.
    """
    with socket_name(path) as name:
        _remove_stale_socket(name)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.bind(name)
            Path(name).chmod(CONTROL_MODE)  # before any client can connect
            listening.listen(backlog)
            found = Path(name).lstat()
        except BaseException:
            listening.close()
            raise
    return listening, (found.st_dev, found.st_ino)


def _remove_stale_socket(name: str) -> None:
    """Remove the socket of a process that has ended. Raises OSError if the file is not a socket."""
    try:
        mode = Path(name).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "a file that is not a socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(name)
        except ConnectionRefusedError:
            Path(name).unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another server answers there")


def remove_socket(path: Path, identity: tuple[int, int]) -> None:
    """Remove the file of a socket, unless another process has replaced it. Errors are ignored."""
    with suppress(OSError):
        found = path.lstat()
        if (found.st_dev, found.st_ino) == identity:
            path.unlink()
