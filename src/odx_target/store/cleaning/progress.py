"""The progress of the cleaner over successive cycles. Without progress, the cleaner ends its work."""

from collections.abc import Iterable

from odx_target.store.cleaning.need import Need

MAX_CYCLES_WITHOUT_GAIN = 3
"""Number of successive cycles without gain after which the cleaner ends its work. One cycle without gain is normal: it may only
move blocks, so that the next cycle can free their old segments."""


class Progress:
    """The progress of one work of the cleaner."""

    def __init__(self, need: Need) -> None:
        self._need = need
        self.begin()

    def begin(self) -> None:
        """Forget the cycles of the former work."""
        self._most_gained = self._cycles_without_gain = 0
        self._placed: set[int] = set()

    def gains(self) -> bool:
        """False after several successive cycles that wrote as many blocks as they freed, because nearly all blocks are live."""
        gain = self._need.room_and_written()
        self._cycles_without_gain = 0 if gain > self._most_gained else self._cycles_without_gain + 1
        self._most_gained = max(gain, self._most_gained)
        return self._cycles_without_gain < MAX_CYCLES_WITHOUT_GAIN

    def has_new(self, sources: Iterable[int]) -> bool:
        """True if a placement moves blocks from a segment from which no placement of this work has moved blocks yet."""
        new = set(sources) - self._placed
        self._placed |= new
        return bool(new)
