"""The troubles of a pool: faults that need the attention of an operator. A fault is reported at once to the functions in
`on_trouble`, and kept for status requests.
"""

from collections.abc import Callable

from odx_target.environment import Environment
from odx_target.store.errors import DamagedBlock, PoolFull, StoreError, Unreadable
from odx_target.store.status import DamagedPlace, PoolStatus, Trouble, TroubleCount, TroubleKind

MAX_DAMAGED_PLACES = 1000
"""Largest number of damaged blocks that a pool lists. An operator would not read a longer list."""


class Troubles:
    """The troubles of one pool: faults that need the attention of an operator.

    For each fault, the functions in `on_trouble` are called. There may be many calls in a short time. `checkpoint_error` is the
    reason why the last attempt to save a checkpoint failed, or None if it did not fail.
    """

    def __init__(self, environment: Environment) -> None:
        self.on_trouble: list[Callable[[Trouble], None]] = []
        self._environment = environment
        self.checkpoint_error: str | None = None
        self._checkpoint_at_s = environment.monotonic()
        self._no_room: str | None = None
        self._is_full = False
        self._no_room_since_s = 0.0
        self._damaged: dict[tuple[str | None, int | None, int], int] = {}
        self._damaged_beyond = 0
        self._met: dict[TroubleKind, tuple[int, str, float]] = {}

    def failed(self, reason: str) -> None:
        """Report that the pool accepts no more writes."""
        self._report(Trouble(TroubleKind.FAILED, reason))

    def checkpoint_failed(self, error: StoreError) -> None:
        self.checkpoint_error = str(error)
        self._report(Trouble(TroubleKind.CHECKPOINT_FAILED, str(error)))

    def checkpoint_saved(self) -> None:
        self.checkpoint_error = None
        self._checkpoint_at_s = self._environment.monotonic()

    def refused(self, error: StoreError) -> None:
        """Report that a change was refused because the pool is full or no segment could be made."""
        self._lacks_room(error)
        self._report(Trouble(TroubleKind.FULL if self._is_full else TroubleKind.NO_SEGMENT, str(error)))

    def stalled(self, error: StoreError) -> None:
        """Report that the log cannot be written now. No change is acknowledged until `has_room` is called."""
        self._lacks_room(error)
        self._report(Trouble(TroubleKind.STALLED, str(error)))

    def not_sealed(self, error: Exception) -> None:
        """Report that a full segment could not be sealed. The pool will try again later."""
        self._report(Trouble(TroubleKind.NOT_SEALED, str(error)))

    def not_cleaned(self, error: Exception) -> None:
        """Report that a segment could not be moved or freed. The pool will try again."""
        self._report(Trouble(TroubleKind.NOT_CLEANED, str(error)))

    def not_placed(self, error: Exception) -> None:
        """Report that data cannot be moved to the capacity tier now. The pool will try again."""
        self._report(Trouble(TroubleKind.NOT_PLACED, str(error)))

    def has_room(self) -> None:
        """Report that the pool has room again and the log can be written."""
        self._no_room = None
        self._is_full = False

    def scarce(self, error: StoreError) -> None:
        """Report that a read or a flush has failed because there is no free descriptor, memory or thread."""
        self._report(Trouble(TroubleKind.SCARCE, str(error)))

    def block_lost(self, volume: str | None, frozen_map: int | None, error: DamagedBlock | Unreadable) -> None:
        """Report that a block of a volume or of a frozen map could not be read."""
        place = (volume, frozen_map, error.block)
        if not isinstance(error, DamagedBlock):
            self._report(Trouble(TroubleKind.UNREADABLE_BLOCK, str(error), *place))
            return
        if place in self._damaged or len(self._damaged) < MAX_DAMAGED_PLACES:
            self._damaged[place] = self._damaged.get(place, 0) + 1
        else:
            self._damaged_beyond += 1
        self._report(Trouble(TroubleKind.DAMAGED_BLOCK, str(error), *place))

    def status(self, failure: str | None) -> PoolStatus:
        now_s = self._environment.monotonic()
        return PoolStatus(
            failure=failure,
            no_room=self._no_room,
            is_full=self._is_full,
            no_room_for_s=None if self._no_room is None else now_s - self._no_room_since_s,
            checkpoint_error=self.checkpoint_error,
            checkpoint_age_s=now_s - self._checkpoint_at_s,
            damaged=tuple(DamagedPlace(*place, count) for place, count in self._damaged.items()),
            damaged_beyond=self._damaged_beyond,
            met=tuple(TroubleCount(kind, count, said, now_s - at_s) for kind, (count, said, at_s) in self._met.items()),
        )

    def _lacks_room(self, error: StoreError) -> None:
        if self._no_room is None:
            self._no_room_since_s = self._environment.monotonic()
        self._no_room = str(error)
        self._is_full = isinstance(error, PoolFull)

    def _report(self, trouble: Trouble) -> None:
        count, _, _ = self._met.get(trouble.kind, (0, "", 0.0))
        self._met[trouble.kind] = count + 1, trouble.reason, self._environment.monotonic()
        for listener in self.on_trouble:
            listener(trouble)
