"""The path of the control socket, for the server and for its clients."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONTROL_NAME = "control"
"""File name of the control socket in the directory of a pool."""

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
