"""TCP congestion control of connections within this machine.

BBR sends data at the bandwidth that it has measured, so it starts a timer for most pieces of data. Within a machine there is no
bandwidth to measure, and the timers take processor time. Reno sends at once as long as nothing is lost.
"""

import socket
from contextlib import suppress

from odx_target.target.loopback import is_loopback

PACED = b"bbr"
UNPACED = b"reno"
"""A kernel always has Reno, and every process may use it."""

_NAME_BYTES = 16


def avoid_pacing(connected: socket.socket) -> None:
    """Use Reno instead of BBR if the peer is on this machine. Does nothing if the kernel does not permit or know it."""
    if not hasattr(socket, "TCP_CONGESTION"):
        return
    with suppress(OSError):
        congestion_control = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _NAME_BYTES)
        if congestion_control.rstrip(b"\0") == PACED and is_loopback(connected.getpeername()[0]):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, UNPACED)
