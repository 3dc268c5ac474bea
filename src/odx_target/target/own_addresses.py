"""The addresses of this machine."""

import socket
from contextlib import suppress


def is_own_host(host: str) -> bool:
    """True if a numeric address belongs to this machine. A host name is never looked up, so the result for it is False."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError, ValueError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            address = socket.inet_ntop(family, socket.inet_pton(family, host))
            probe.bind((address, 0))  # the kernel refuses the addresses of other machines
            return True
    return False
