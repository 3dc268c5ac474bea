"""Counters of the commands of a logical unit or of a nexus, with histograms of their latencies.

Each bucket of a histogram has an upper bound that is 19 % above that of the bucket before. So a percentile that is computed
from the buckets is at most 19 % above the true value, for latencies from a microsecond to a minute.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from enum import IntEnum

BUCKETS_OF_A_DOUBLING = 4
MIN_LATENCY_S = 1e-6
"""Upper bound of the first bucket of a histogram. No command is faster."""

DOUBLINGS = 26
COUNT_OF_BUCKETS = BUCKETS_OF_A_DOUBLING * DOUBLINGS + 1
"""Number of buckets of a histogram. All latencies above 56 seconds are counted in the last bucket."""

BOUNDS_S = tuple(MIN_LATENCY_S * 2 ** (index / BUCKETS_OF_A_DOUBLING) for index in range(COUNT_OF_BUCKETS))
"""Upper bound of each bucket, in seconds."""


class CommandKind(IntEnum):
    """The kinds of commands that are counted separately."""

    READ = 0
    """READ of any length."""
    WRITE = 1
    """WRITE and WRITE AND VERIFY of any length, and WRITE ATOMIC."""
    OTHER = 2


_READS = (0x08, 0x28, 0x88, 0xA8)
_WRITES = (0x0A, 0x2A, 0x8A, 0xAA, 0x2E, 0x8E, 0xAE, 0x9C)

KIND_OF_OPERATION_CODE = bytes(
    CommandKind.READ if code in _READS else CommandKind.WRITE if code in _WRITES else CommandKind.OTHER for code in range(256)
)


class KindTraffic:
    """Counters of one kind of command. `buckets` is empty until a latency is added. The native module adds to these attributes
    itself (`native/passes/batch_tally.c`).
    """

    __slots__ = ("buckets", "commands", "latency_sum_s", "size_bytes")
    bounds_s = array("d", BOUNDS_S)

    def __init__(self) -> None:
        self.commands = 0
        self.size_bytes = 0
        self.latency_sum_s = 0.0
        self.buckets = array("Q")

    def add(self, commands: int, size_bytes: int, latency_s: float) -> None:
        """Count `commands` commands that ended at the same time. `size_bytes` is their total size, and `latency_s` is the
        latency of each of them.
        """
        self.commands += commands
        self.size_bytes += size_bytes
        self.latency_sum_s += commands * latency_s
        if not self.buckets:
            self.buckets = array("Q", bytes(8 * COUNT_OF_BUCKETS))
        self.buckets[bucket_of(latency_s)] += commands

    def add_all(self, other: "KindTraffic") -> None:
        """Add the counters of another object."""
        self.commands += other.commands
        self.size_bytes += other.size_bytes
        self.latency_sum_s += other.latency_sum_s
        if other.buckets:
            mine = self.buckets or bytes(COUNT_OF_BUCKETS)
            self.buckets = array("Q", map(sum, zip(mine, other.buckets, strict=True)))

    def percentile_s(self, share: float) -> float | None:
        """Return an upper bound for at least this share of the latencies. Returns None if no latency was added."""
        return percentile_s(self.buckets, share)


class Traffic:
    """Counters of the commands of one logical unit, one nexus or one array, by kind."""

    __slots__ = ("kinds",)

    def __init__(self) -> None:
        self.kinds = tuple(KindTraffic() for _ in CommandKind)

    def add_all(self, other: "Traffic") -> None:
        """Add the counters of another object."""
        for mine, theirs in zip(self.kinds, other.kinds, strict=True):
            if theirs.commands:
                mine.add_all(theirs)

    def by_name(self) -> Iterator[tuple[str, KindTraffic]]:
        """Yield the name of each kind in lower case, and its counters."""
        for kind in CommandKind:
            yield kind.name.lower(), self.kinds[kind]


def bucket_of(latency_s: float) -> int:
    """Return the index of the first bucket whose upper bound is not below this latency. If there is no such bucket, return the
    index of the last bucket.
    """
    return bisect_left(BOUNDS_S, latency_s, 0, COUNT_OF_BUCKETS - 1)


def percentile_s(buckets: Sequence[int], share: float) -> float | None:
    """Return a bound that at least the given share of all latencies does not exceed. The bound is the upper bound of a bucket.
    Returns None if all buckets are empty.
    """
    wanted = sum(buckets) * share
    reached = 0
    for bound_s, count in zip(BOUNDS_S, buckets, strict=False):
        reached += count
        if reached and reached >= wanted:
            return bound_s
    return None
