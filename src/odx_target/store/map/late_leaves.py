"""Leaves that maps make during a walk, and that the walk would not visit: the copies of leaves that it had not visited yet."""

from collections import deque

from odx_target.store.map.leaf import Epoch, Leaf

MAX_LATE_LEAVES = 1 << 18
"""Maximum number of leaves that are kept. So many leaves cover 1 TiB of a volume. If there are more, the walk is repeated."""


class LateLeaves:
    """Collects the late leaves of the walk that `stamp` identifies (see `walk`). A copy of a visited leaf is not late, because
    it has the entries of the visited leaf.
    """

    def __init__(self, stamp: Epoch) -> None:
        self._stamp = stamp
        self._leaves: deque[Leaf] = deque()
        self.are_complete = True
        """False if some late leaves were not kept."""

    def note(self, leaf: Leaf) -> None:
        """Keep a leaf that a map has just made or filled from another leaf, if the walk has not visited it."""
        if leaf.walk is self._stamp:
            return
        if len(self._leaves) < MAX_LATE_LEAVES:
            self._leaves.append(leaf)
        else:
            self.are_complete = False

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
