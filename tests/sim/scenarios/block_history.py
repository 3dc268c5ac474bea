"""The values that a read of a block may return while several hosts write, and after losses of power.

A write that was not answered may have happened, but not after a later write that was answered. A loss of power may take writes
that were not flushed, but only if it takes the last copy.
"""

from dataclasses import dataclass, field

NEVER = 1 << 62


@dataclass(slots=True, eq=False)
class Change:
    """A write of one block. Times are numbers of events."""

    value: bytes
    start: int
    end: int = NEVER
    is_certain: bool = False
    is_durable: bool = False


@dataclass
class BlockHistory:
    """The changes of `count` blocks, which begin with the value `initial`."""

    count: int
    initial: bytes
    now: int = 0
    _blocks: list[list[Change]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._blocks = [[Change(self.initial, -1, -1, True, True)] for _ in range(self.count)]

    def tick(self) -> int:
        self.now += 1
        return self.now

    def begin(self, block: int, value: bytes) -> Change:
        change = Change(value, self.tick())
        self._blocks[block].append(change)
        return change

    def succeeded(self, change: Change) -> None:
        change.is_certain, change.end = True, self.tick()

    def seen(self, block: int, value: bytes) -> None:
        """Note that a read has found a value, so that no later read may find an older one."""
        for change in self._blocks[block]:
            if change.value == value and not change.is_certain:
                change.is_certain, change.end = True, min(change.end, self.tick())

    def unanswered(self, change: Change) -> None:
        """Note that a change may have happened, and does not happen later."""
        change.end = self.tick()

    def possible(self, block: int, since: int) -> set[bytes]:
        """Return the values that a read may find which began at `since` and ends now."""
        changes = self._blocks[block]
        latest = max(change.start for change in changes if change.is_certain and change.end < since)
        return {change.value for change in changes if change.end >= latest}

    def flushed(self, since: int) -> None:
        """Note that everything is durable which had succeeded when a flush began at `since`."""
        for changes in self._blocks:
            for change in changes:
                change.is_durable |= change.is_certain and change.end < since

    def lose(self) -> None:
        """Note that the last copy of what is not durable may be lost."""
        for changes in self._blocks:
            for change in changes:
                change.is_certain &= change.is_durable
