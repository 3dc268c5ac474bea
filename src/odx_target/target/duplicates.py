"""Detection of two arrays on one machine that serve copies of the same pool.

Hosts take LUNs with equal NAA identifiers for paths to the same disk. If they use the original and the copy of a pool at the
same time, they mix the data of both. Each array binds an abstract socket, and the name of the socket contains the
`names_identity` of the pool. The system removes the socket when the process ends. Arrays on other machines, or in other network
namespaces, are not detected.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

_PREFIX = "\0odx-target/names/"


@contextmanager
def announced(names_identity: bytes) -> Iterator[bool]:
    """Announce an array on this machine while the body runs. Yield False if another array on this machine has announced the
    same `names_identity`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as announcement:
        try:
            announcement.bind(_PREFIX + names_identity.hex())
        except OSError:
            yield False
        else:
            yield True
