"""A walk over many trees that share nodes. A walk visits each node once."""

from collections.abc import Iterable, Iterator

from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.inner import Inner, Node
from odx_target.store.map.leaf import Epoch, Leaf


def unvisited(roots: Iterable[MapReader], walk: Epoch) -> Iterator[Node]:
    """Yield the nodes below the roots that this walk has not visited yet. A node is yielded before its children.

    `walk` identifies one walk and is stored in each visited node. Several calls with the same `walk` together visit each node
    once. The trees must not change during a walk.
    """
    for root in roots:
        if root.root is not None and root.root.walk is not walk:
            yield from _below(root.root, walk)


def _below(inner: Inner, walk: Epoch) -> Iterator[Node]:
    inner.walk = walk
    yield inner
    for child in inner.nodes():
        if child.walk is walk:
            continue
        if isinstance(child, Leaf):
            child.walk = walk
            yield child
        else:
            yield from _below(child, walk)
