"""The rules by which the cleaner protects linked data. A *link* makes a block of a volume refer to a place that is already in
the log.

A marking finds the live blocks at one moment. A link may later make a block live to which no map referred at that moment.
Therefore the cleaner neither frees nor moves a segment if a block was linked to this segment since the last marking began. No
block may be linked to a segment that is being moved or is retired.
"""

from collections.abc import Collection, Iterable


class Links:
    """The segments to which blocks were linked since the last marking began, and the segments to which no block may be linked.

    `retired` has the numbers of the retired segments.
    """

    def __init__(self, retired: Collection[int]) -> None:
        self._retired = retired
        self._linked: set[int] = set()
        self._moving: frozenset[int] = frozenset()

    def is_dying(self, number: int) -> bool:
        """True if no block may be linked to the segment."""
        return number in self._retired or number in self._moving

    def note(self, number: int) -> None:
        """Remember that a block was linked to a segment."""
        self._linked.add(number)

    def marking_begins(self) -> None:
        self._linked.clear()

    def without_linked(self, numbers: Iterable[int]) -> list[int]:
        """Return the segments to which no block was linked since the last marking began."""
        return [number for number in numbers if number not in self._linked]

    def moving_begins(self, numbers: Iterable[int]) -> None:
        """Refuse links to these segments until `moving_ends`."""
        self._moving = frozenset(numbers)

    def moving_ends(self) -> None:
        self._moving = frozenset()
