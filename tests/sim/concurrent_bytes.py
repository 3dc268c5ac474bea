"""The possible contents of blocks that several hosts write at once: for each cell, the changes that a read may still see.

Time is a count of events. Each operation has a start and an end; if two operations overlap, either may have happened first. A
read may see a change that began before the read ended. There is one exception: the read cannot see a change that another change
has certainly overwritten. The other change must have begun after the end of the first, and ended before the start of the read.
"""

from dataclasses import dataclass, field

NEVER = 1 << 62
PRUNE_AT = 24


@dataclass(slots=True, eq=False)
class Change:
    """The change of some cells by one operation; `values` are the values that each cell may get."""

    cells: range
    values: list[frozenset[bytes]]
    start: int
    end: int = NEVER
    is_certain: bool = False
    ends_by: int = NEVER
    """Time by which a change without a response has happened, or never will, according to task management."""


@dataclass(slots=True)
class ConcurrentBytes:
    """Cells whose first value is `initial`."""

    count_cells: int
    initial: bytes
    now: int = 0
    active: set[Change] = field(default_factory=set)
    _cells: list[list[Change]] = field(default_factory=list)
    _reads: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        first = Change(range(self.count_cells), [frozenset({self.initial})] * self.count_cells, -1, -1, True)
        self._cells = [[first] for _ in range(self.count_cells)]

    def tick(self) -> int:
        self.now += 1
        return self.now

    def begin(self, first: int, values: list[frozenset[bytes]]) -> Change:
        change = Change(range(first, first + len(values)), values, self.tick())
        self.active.add(change)
        for cell in change.cells:
            self._cells[cell].append(change)
        return change

    def succeeded(self, change: Change) -> None:
        change.is_certain = True
        self._end(change, self.tick())

    def refused(self, change: Change) -> None:
        """Note that a change has certainly not happened."""
        self._end(change, self.tick())
        for cell in change.cells:
            self._cells[cell].remove(change)

    def unanswered(self, change: Change) -> None:
        """Note that a change may have happened, but cannot happen any more."""
        self._end(change, min(self.tick(), change.ends_by))

    def begin_read(self) -> tuple[int, int]:
        read = self.tick(), len(self._reads)
        self._reads.add(read)
        return read

    def seen(self, read: tuple[int, int], first: int, count: int) -> list[frozenset[bytes]]:
        """Return the values that a read, which began at `read[0]` and ends now, may have found in each cell."""
        self._reads.discard(read)
        self.tick()
        return [self._visible(self._cells[cell], cell, read[0]) for cell in range(first, first + count)]

    def _visible(self, changes: list[Change], cell: int, since: int) -> frozenset[bytes]:
        values: frozenset[bytes] = frozenset()
        for change in self._not_superseded(changes, since):
            values |= change.values[cell - change.cells.start]
        return values

    def _not_superseded(self, changes: list[Change], since: int) -> list[Change]:
        latest = max((each.start for each in changes if each.is_certain and each.end < since), default=-1)
        return [each for each in changes if each.end >= latest]

    def _end(self, change: Change, when: int) -> None:
        change.end = when
        self.active.discard(change)
        oldest = min((start for start, _ in self._reads), default=self.now)
        for cell in change.cells:
            if len(self._cells[cell]) > PRUNE_AT:
                self._cells[cell] = self._not_superseded(self._cells[cell], oldest)
