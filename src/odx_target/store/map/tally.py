"""The tally of the changed leaves of all maps of a pool."""

from odx_target.store.map.late_leaves import LateLeaves
from odx_target.store.map.leaf import Leaf

NEVER = 1 << 62
"""A number of leaves that is never reached."""


class Tally:
    """`made` is the number of leaves that maps have made or copied and that no saved checkpoint contains. A leaf may be counted
    twice.

    When `made` has reached `due`, call `LeafLoader.check_changes` before each change of a map. `late` collects leaves during a
    walk that replaces places.
    """

    __slots__ = ("due", "late", "made")

    def __init__(self) -> None:
        self.made = 0
        self.due = NEVER
        self.late: LateLeaves | None = None

    def note(self, leaf: Leaf, source: Leaf | None = None) -> None:
        """Count a leaf that a map has made, or has copied from `source`."""
        self.made += 1
        if self.late is not None:
            self.late.note(leaf, source)

    def note_filled(self, leaf: Leaf) -> None:
        """Note that a leaf has got entries of another leaf."""
        if self.late is not None:
            self.late.note_filled(leaf)
