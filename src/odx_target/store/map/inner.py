"""Inner nodes of a block map, which are the nodes above the leaves.

The children of a node have one of two forms. The form *dense* is an array of 1,024 entries. The form *few* is a dict of the
existing children. In both forms `children[slot]` returns the child, or None for a subtree of holes. When a node gets more than
`MAX_FEW` children, it becomes dense. When at most `FEW_AGAIN` children are left, the form is *few* again. A frozen node never
changes its form.

The dense form is an array of numpy, because Python's garbage collector visits every element of a new list. Many nodes are
copied after a freeze. If their children were in lists, the visits to all elements would take milliseconds.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypeAlias, Union, final

from odx_target.store.map.leaf import LEAF_BLOCKS, Epoch, Leaf
from odx_target.store.numpy_on_demand import np

FAN_OUT = LEAF_BLOCKS
"""Largest number of children of an inner node. Three levels of inner nodes are enough for 2**40 blocks, which is 4 PiB. A node
is copied in a few microseconds."""

MAX_FEW = 85
"""Largest number of children in the form *few*. A dict of 85 children needs a quarter of the memory of an array, and a dict of
86 needs half."""

FEW_AGAIN = 42
"""Number of children at which the form changes from dense to *few*. The number is half of MAX_FEW, so nodes rarely change their
form."""

Node: TypeAlias = Union["Inner", Leaf]

Dense: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.object_]]"
"""Array with a child or None for each of the FAN_OUT slots."""


@final
class Few(dict[int, Node]):
    """Children by slot. The value for a missing child is None."""

    __slots__ = ()

    def __missing__(self, _slot: int) -> None:
        return None


def children_in(slots: Sequence[int], nodes: Sequence[Node]) -> "Dense | Few":
    """Return children in the form that fits their number. `slots` has the slot of each node."""
    if len(slots) <= MAX_FEW:
        return Few(zip(slots, nodes, strict=True))
    children: Dense = np.full(FAN_OUT, None, dtype=np.object_)
    children[slots] = np.fromiter(nodes, dtype=np.object_, count=len(nodes))
    return children


class Inner:
    """A node with up to 1,024 children. `epoch` is the epoch of the map in which the node was made. `stored` is the number of
    the node in the catalogue, or 0 if the node is not stored.
    """

    __slots__ = ("children", "digest", "epoch", "stored", "walk")

    def __init__(self, children: "Dense | Few", epoch: Epoch) -> None:
        self.children = children
        self.epoch = epoch
        self.stored = 0
        self.walk: Epoch | None = None
        self.digest: bytes | None = None

    @classmethod
    def over(cls, children: Iterable[tuple[int, Node]], epoch: Epoch) -> "Inner":
        """Make a node from (slot, child) pairs."""
        node = cls(Few(children), epoch)
        if len(node.children) > MAX_FEW:
            node._make_dense()
        return node

    def copy(self, epoch: Epoch) -> "Inner":
        children = self.children
        return Inner(Few(children) if type(children) is Few else children.copy(), epoch)

    def put(self, slot: int, node: Node) -> None:
        """Put a child into a slot."""
        children = self.children
        children[slot] = node
        if type(children) is Few and len(children) > MAX_FEW:
            self._make_dense()

    def present(self, first: int = 0, end: int = FAN_OUT) -> list[tuple[int, Node]]:
        """List (slot, child) of the existing children from slot `first` to `end` - 1, in ascending order."""
        children = self.children
        if type(children) is not Few:
            return [(slot, node) for slot, node in enumerate(children[first:end].tolist(), first) if node is not None]
        if end - first == 1:
            return [(first, children[first])] if first in children else []
        return sorted((item for item in children.items() if first <= item[0] < end), key=_slot_of)

    def nodes(self) -> list[Node]:
        """List the existing children, in any order."""
        children = self.children
        if type(children) is not Few:
            return [node for node in children.tolist() if node is not None]
        return list(children.values())

    def following(self, slot: int) -> int:
        """Return the slot of the first existing child from `slot` on. Returns FAN_OUT if there is none."""
        children = self.children
        if type(children) is not Few:
            return next((at for at, node in enumerate(children[slot:].tolist(), slot) if node is not None), FAN_OUT)
        slots = sorted(children)
        at = bisect_left(slots, slot)
        return slots[at] if at < len(slots) else FAN_OUT

    def remove(self, first: int, end: int) -> list[Node]:
        """Remove the children from slot `first` to `end` - 1. Returns the removed children."""
        gone = self.present(first, end)
        children = self.children
        if type(children) is Few:
            for slot, _ in gone:
                del children[slot]
        else:
            children[first:end] = None
            if FAN_OUT - children.tolist().count(None) <= FEW_AGAIN:
                self.children = Few(self.present())
        return [node for _, node in gone]

    def share(self, first: int, source: "Inner", source_first: int, count: int) -> list[Node]:
        """Replace `count` children, from slot `first` on, by the children of `source` from slot `source_first` on. Returns the
        replaced children.
        """
        ours, theirs = self.children, source.children
        if type(ours) is not Few and type(theirs) is not Few:
            gone = [node for node in ours[first : first + count].tolist() if node is not None]
            ours[first : first + count] = theirs[source_first : source_first + count]
            return gone
        gone = self.remove(first, first + count)
        for slot, node in source.present(source_first, source_first + count):
            self.put(slot - source_first + first, node)
        return gone

    def _make_dense(self) -> None:
        children: Dense = np.full(FAN_OUT, None, dtype=np.object_)
        for slot, node in self.present():
            children[slot] = node
        self.children = children


def _slot_of(item: tuple[int, Node]) -> int:
    return item[0]
