"""Division of the file descriptors of a process that runs an array.

New connections must not use up the descriptors that reads and writes of hosts need. Therefore the number of sockets is limited,
further connections are refused, and segments get the remaining descriptors.

    open at the start   standard input, output and error, and other descriptors that the process has inherited
    upkeep              descriptors that one array needs in addition to those for its hosts (`UPKEEP`)
    portals             one listening socket each
    reads               one descriptor for each read from the disk
    sockets, segments   half of the remaining descriptors each, up to `MAX_SOCKETS` and `MAX_SEGMENTS`; segments also get
                        the descriptors that sockets do not need
"""

import errno
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]

UPKEEP: dict[str, int] = {
    "the event loop: its waiting, its two pairs of sockets to be woken through, and a spare": 6,
    "the hub: its wait for all sockets of hosts": 1,
    "the pool: its lock, the directory of its segments, its catalogue with journal and directory": 5,
    "the capacity tier: its lock and the directory of its segments": 2,
    "the control socket, 16 connections to it, and one that is refused as too many": 18,
    "trace and capture": 2,
    "for a moment: a configuration that is read again, a segment that another process has written": 2,
}

MIN_READS, MAX_READS = 4, 16
"""Minimum and maximum number of descriptors for reads. Each thread that reads uses at most one descriptor."""

MIN_SOCKETS, MAX_SOCKETS = 8, 1024
"""Minimum and maximum number of sockets of hosts.

The maximum is much larger than the number of sessions, because logins need sockets too.
"""

DEFAULT_SOCKETS = 160
"""Number of sockets of an array that shares its process with other work.

160 sockets are enough for all sessions, and fit into the usual limit of 1,024 descriptors.
"""

MIN_SEGMENTS, MAX_SEGMENTS = 8, 16_384
"""Minimum and maximum number of open segments.

The minimum is enough for the segment that is being filled, two prepared segments, and some segments that are not durable yet.
The maximum is enough to keep 1 TiB of segments open.
"""

LIMIT_IF_INFINITE = 1 << 20
"""Limit that is used if the hard limit is infinite. By default, Linux allows a process no more descriptors (fs.nr_open)."""

_OPEN_AT_START = 3


class Descriptors(NamedTuple):
    """Number of host sockets and number of segments that may be open at the same time."""

    sockets: int
    segments: int


def raise_limit() -> int:
    """Raise the soft limit of file descriptors to the hard limit, and return the new soft limit."""
    if resource is None:
        return LIMIT_IF_INFINITE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = LIMIT_IF_INFINITE if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def count_open() -> int:
    """Return the number of descriptors that the process has open."""
    with suppress(OSError):
        return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1  # without the descriptor of the directory itself
    return _OPEN_AT_START


def divide(limit: int, count_open_now: int, count_portals: int) -> Descriptors:
    """Divide the descriptors of a process. Raises OSError if an array needs more descriptors."""
    fixed = count_open_now + sum(UPKEEP.values()) + count_portals
    least = fixed + MIN_READS + MIN_SOCKETS + MIN_SEGMENTS
    if limit < least:
        raise OSError(errno.EMFILE, f"{limit} file descriptors are too few, at least {least} are needed (ulimit -n)")
    rest = limit - fixed
    rest -= min(max(rest // 8, MIN_READS), MAX_READS)
    sockets = min(max(rest // 2, MIN_SOCKETS), MAX_SOCKETS, rest - MIN_SEGMENTS)
    return Descriptors(sockets, min(rest - sockets, MAX_SEGMENTS))
