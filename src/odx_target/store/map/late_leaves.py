"""Late leaves: the leaves that maps make during a walk, and that the walk must visit too.

A walk visits the leaves of a frozen state, and marks each visited leaf with its stamp (`Leaf.walk`). Meanwhile, maps make new
leaves. The copy of a visited leaf has the entries that the walk has left, so it counts as visited. All other leaves that are
made during the walk are late. A visited leaf is late again if it gets entries of another leaf. New data needs no visit.
"""

from collections import deque

from odx_target.store.map.leaf import Epoch, Leaf

MAX_LATE_LEAVES = 1 << 18
"""Maximum number of leaves that are kept. So many leaves cover 1 TiB of a volume. If there are more, the walk is repeated."""


class LateLeaves:
    """The late leaves of the walk that `stamp` identifies (see `walk`). Maps note leaves (`Tally`), and the walk takes them."""

    def __init__(self, stamp: Epoch) -> None:
        self._stamp = stamp
        self._leaves: deque[Leaf] = deque()
        self.are_complete = True
        """False if some late leaves were not kept."""

    def note(self, leaf: Leaf, source: Leaf | None) -> None:
        """Keep a leaf that a map has made, unless it is the copy of a visited leaf, `source`."""
        if source is not None and source.walk is self._stamp:
            leaf.walk = self._stamp
        else:
            self._keep(leaf)

    def note_filled(self, leaf: Leaf) -> None:
        """Keep a leaf that has got entries of another leaf. A leaf without a mark is kept already, or will be frozen
        and visited. The mark may be the one of another walk that runs beside this one.
        """
        if leaf.walk is not None:
            leaf.walk = None
            self._keep(leaf)

    def postpone(self, leaf: Leaf) -> None:
        """Note that a leaf must be read before the walk visits it. Until then, its copies are late."""
        leaf.walk = None

    def mark(self, leaf: Leaf) -> None:
        """Mark a leaf that was postponed as visited."""
        leaf.walk = self._stamp

    def take(self) -> Leaf | None:
        """Remove a leaf, and mark it as visited. Returns None if there is no late leaf now."""
        while self._leaves:
            leaf = self._leaves.popleft()
            if leaf.walk is not self._stamp:
                leaf.walk = self._stamp
                return leaf
        return None

    def _keep(self, leaf: Leaf) -> None:
        if len(self._leaves) < MAX_LATE_LEAVES:
            self._leaves.append(leaf)
        else:
            self.are_complete = False
