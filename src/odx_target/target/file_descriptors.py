"""The file descriptors of a serving process, and how they are divided.

A client that connects must never take the descriptor that a host's read or write needs. So sockets get a fixed share, and are
refused beyond it; segments get what is left.

    open at the start   standard input, output and error, and what the process was given
    upkeep              what one array needs beside its hosts (`UPKEEP`)
    portals             a listening socket each
    reads               of cold data, each through a descriptor of its own
    sockets, segments   half of the rest each, up to `MAX_SOCKETS` and `MAX_SEGMENTS`; what sockets do not need is for segments
"""

import errno
import resource
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

UPKEEP: dict[str, int] = {
    "the event loop: its waiting, its two pairs of sockets to be woken through, and a spare": 6,
    "the pool: its lock, the directory of its segments, its catalogue with journal and directory": 5,
    "the control socket, 16 connections to it, and one that is refused as too many": 18,
    "trace and capture": 2,
    "for a moment: a configuration that is read again, a segment that another process has written": 2,
}

MIN_READS, MAX_READS = 4, 16
"""At most as many as there are threads that read."""

MIN_SOCKETS, MAX_SOCKETS = 8, 1024
"""Far more than the sessions that an array allows; a login needs one for some milliseconds."""

DEFAULT_SOCKETS = 160
"""Of an array that does not have the process for itself: more than sessions, and all in the usual 1,024 descriptors."""

MIN_SEGMENTS, MAX_SEGMENTS = 8, 16_384
"""The one being filled, two ready, and some that are not durable yet; 1 TiB of segments read without opening any."""

LIMIT_IF_INFINITE = 1 << 20
"""The most that Linux allows a process unless configured otherwise (fs.nr_open)."""

_OPEN_AT_START = 3


class Descriptors(NamedTuple):
    """How many sockets of hosts, and how many segments, may be open at a time."""

    sockets: int
    segments: int


def raise_limit() -> int:
    """Raise the soft limit of descriptors to the hard one; returns what holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = LIMIT_IF_INFINITE if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def count_open() -> int:
    """How many descriptors the process has open now."""
    with suppress(OSError):
        return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1  # not the one that lists them
    return _OPEN_AT_START


def divide(limit: int, count_open_now: int, count_portals: int) -> Descriptors:
    """Divide the descriptors of a process. Raises OSError where they are too few for an array."""
    fixed = count_open_now + sum(UPKEEP.values()) + count_portals
    least = fixed + MIN_READS + MIN_SOCKETS + MIN_SEGMENTS
    if limit < least:
        raise OSError(errno.EMFILE, f"{limit} file descriptors are too few, at least {least} are needed (ulimit -n)")
    rest = limit - fixed
    rest -= min(max(rest // 8, MIN_READS), MAX_READS)
    sockets = min(max(rest // 2, MIN_SOCKETS), MAX_SOCKETS, rest - MIN_SEGMENTS)
    return Descriptors(sockets, min(rest - sockets, MAX_SEGMENTS))
