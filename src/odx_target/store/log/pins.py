"""Pins of segments and stored leaves. A pinned segment or leaf is not freed, because a read may still use it.

A read looks up the places of its blocks when it is called, and may read these places much later in a thread. If a host
overwrites the blocks meanwhile, no map refers to the places any more. Then only the pin of the read protects their segments.
"""

from collections.abc import Collection, Sequence
from weakref import WeakSet

from odx_target.store.map.leaf import Leaf
from odx_target.store.segments.places import segment_of


class Pin:
    """A pin of the segments that contain the runs (place, count_blocks). The pin lasts as long as this object.

    `leaves` are leaves whose entries must be loaded before the segments of their blocks are known. Pass the pin to the
    coroutine that reads. The pin then lasts until the coroutine has ended or was dropped, even if the coroutine was never
    started.
    """

    __slots__ = ("__weakref__", "leaves", "runs")

    def __init__(self, runs: Sequence[tuple[int, int]], leaves: Collection[Leaf] = ()) -> None:
        self.runs = runs
        self.leaves = leaves


MAX_FOLLOWED_SEGMENTS = 64
"""Largest number of segments that are not freed because a follower of the log needs them: 4 GiB. Without this limit, a follower
that does not read would make the pool grow without end."""


class Floor:
    """A pin of the segment `number` and all segments after it. Only the newest MAX_FOLLOWED_SEGMENTS segments of the log are
    pinned. The pin lasts as long as this object.
    """

    __slots__ = ("__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number


class Stay:
    """A pin of all segments except those in `retired`, and of the stored leaves in `leaves`. The pin lasts as long as this
    object.

    `retired` has the numbers of the segments that were already retired when this object was made. No map refers to their
    blocks any more.
    """

    __slots__ = ("__weakref__", "leaves", "retired")

    def __init__(self, retired: Collection[int], leaves: Collection[Leaf]) -> None:
        self.retired = frozenset(retired)
        self.leaves = leaves


class Pins:
    def __init__(self) -> None:
        self._pins: WeakSet[Pin] = WeakSet()
        self._floors: WeakSet[Floor] = WeakSet()
        self._stays: WeakSet[Stay] = WeakSet()

    def pin_all_but(self, retired: Collection[int], leaves: Collection[Leaf]) -> Stay:
        """Pin all segments except those in `retired`, and the stored leaves in `leaves`."""
        stay = Stay(retired, leaves)
        self._stays.add(stay)
        return stay

    def stays(self, number: int) -> bool:
        """True if a pin of the class `Stay` includes the segment `number`."""
        return any(number not in stay.retired for stay in self._stays)

    def stored_leaves(self) -> list[Leaf]:
        """The leaves that the catalogue must keep because a pin needs them."""
        return [*self.leaves(), *(leaf for stay in self._stays for leaf in stay.leaves)]

    def pin_from(self, number: int) -> Floor:
        """Pin the segment `number` and all segments after it."""
        floor = Floor(number)
        self._floors.add(floor)
        return floor

    def is_followed(self, number: int, newest: int) -> bool:
        """True if the segment `number` must stay because a follower of the log needs it. `newest` is the number of the newest
        segment.
        """
        return number > newest - MAX_FOLLOWED_SEGMENTS and any(floor.number <= number for floor in self._floors)

    def pin(self, runs: Sequence[tuple[int, int]], leaves: Collection[Leaf] = ()) -> Pin:
        """Pin the segments that contain the runs, and the leaves. A run at place 0 is a hole and pins no segment."""
        pin = Pin(runs, leaves)
        self._pins.add(pin)
        return pin

    def present(self) -> WeakSet[Pin]:
        """Return the pins of the reads that have not ended. The set becomes empty when these reads have ended."""
        return self._pins.copy()

    def segments(self) -> set[int]:
        """Return the numbers of the pinned segments. The segments of pinned leaves are not known and not in this set; see
        `leaves`.
        """
        return {segment_of(place) for pin in self._pins for place, _ in pin.runs if place}

    def leaves(self) -> list[Leaf]:
        """Return the pinned leaves. While leaves are pinned, no segment may be freed."""
        return [leaf for pin in self._pins for leaf in pin.leaves]
