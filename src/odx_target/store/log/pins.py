"""Pins: the reads that have not ended yet, and therefore the segments that must not be freed.

A read looks up its places when it is called, and may read them much later in a thread. If a host overwrites the blocks
meanwhile, no map refers to these places any more. The pin of the read still does.
"""

from collections.abc import Sequence
from weakref import WeakSet

from odx_target.store.segments.segment import PLACE_BITS


class Pin:
    """Pins the segments of runs (place, count_blocks) for as long as anything refers to this object.

    A coroutine refers to its arguments until it ends, and also if it is never started.
    """

    __slots__ = ("__weakref__", "runs")

    def __init__(self, runs: Sequence[tuple[int, int]]) -> None:
        self.runs = runs


class Pins:
    def __init__(self) -> None:
        self._pins: WeakSet[Pin] = WeakSet()

    def pin(self, runs: Sequence[tuple[int, int]]) -> Pin:
        """Pin the segments of runs; place 0 is a hole."""
        pin = Pin(runs)
        self._pins.add(pin)
        return pin

    def segments(self) -> set[int]:
        """Numbers of the pinned segments."""
        return {place >> PLACE_BITS for pin in self._pins for place, _ in pin.runs if place}
