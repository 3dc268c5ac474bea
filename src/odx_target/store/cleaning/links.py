"""The agreement between the cleaner and links, which let a block of a volume refer to a place that is already in the log.

A marking finds the live blocks at one moment. A link may make a block live that had no map at that moment. Therefore the
cleaner frees and moves no segment to which a block was linked since the last marking began. While a segment is moved and after
it is retired, no block may be linked to it.
"""

from collections.abc import Collection, Iterable


class Links:
    """The segments to which blocks were linked since the last marking began, and the segments that take no links.

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
        """Note that a block was linked to a segment."""
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
