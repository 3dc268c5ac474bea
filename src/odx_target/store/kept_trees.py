"""Writing trees to a catalogue node by node, reading them back, and finding what nothing reaches any more.

Nodes are numbered in the order they are written, children before their parents: a child's number is always lower, so what is
read back cannot be a circle.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from odx_target.store.api import PoolDamaged
from odx_target.store.frozen_root import FrozenRoot, Inner, Node
from odx_target.store.leaf import LEAF_BITS, Epoch, Leaf
from odx_target.store.node_codec import decode_inner, decode_leaf, encode_inner, encode_leaf, node_name, sealed, unsealed

LEVELS_MAX = 5
"""More than the largest map needs; what a damaged catalogue may not exceed."""


class TreeWriter:
    """Numbers and encodes the nodes that are not kept yet; `next_number` is the first number free."""

    def __init__(self, next_number: int) -> None:
        self.next_number = next_number
        self._numbered: list[Node] = []

    @property
    def written(self) -> int:
        return len(self._numbered)

    def bodies(self, roots: Iterable[FrozenRoot]) -> Iterator[tuple[int, bytes]]:
        """(number, sealed body) of each node to be kept, children first."""
        for root in roots:
            if root.root is not None:
                for node in _unkept(root.root):
                    body = encode_leaf(node) if isinstance(node, Leaf) else encode_inner(node)
                    number = node.stored = self.next_number
                    self.next_number += 1
                    self._numbered.append(node)
                    yield number, sealed(node_name(number), body)

    def undo(self) -> None:
        """Nothing was kept after all."""
        for node in self._numbered:
            node.stored = 0


class TreeReader:
    """Builds trees from bodies; what two roots share is built once."""

    def __init__(self, fetch: Callable[[int], bytes | None]) -> None:
        self._fetch = fetch
        self._nodes: dict[int, Node] = {}
        self._epoch = Epoch()

    def root(self, number: int, levels: int, size_blocks: int) -> FrozenRoot:
        """Raises PoolDamaged."""
        if not (1 <= levels <= LEVELS_MAX and 0 <= size_blocks <= 1 << LEAF_BITS * (levels + 1)):
            raise PoolDamaged("the catalogue holds a map of an impossible size")
        return FrozenRoot(self._inner(number, levels) if number else None, levels, size_blocks)

    def _inner(self, number: int, level: int) -> Inner:
        node = self._nodes.get(number)
        if node is None:
            numbers = decode_inner(self._body(number))
            if max(numbers) >= number:
                raise PoolDamaged("the catalogue holds a node that is its own descendant")
            children = [self._child(child, level - 1) if child else None for child in numbers]
            node = self._kept(Inner(children, self._epoch), number)
        if not isinstance(node, Inner):
            raise PoolDamaged("the catalogue holds a leaf where a node should be")
        return node

    def _child(self, number: int, level: int) -> Node:
        if level:
            return self._inner(number, level)
        node = self._nodes.get(number)
        if node is None:
            node = self._kept(Leaf(decode_leaf(self._body(number)), self._epoch), number)
        if not isinstance(node, Leaf):
            raise PoolDamaged("the catalogue holds a node where a leaf should be")
        return node

    def _body(self, number: int) -> bytes:
        return unsealed(node_name(number), self._fetch(number))

    def _kept(self, node: Node, number: int) -> Node:
        node.stored = number
        self._nodes[number] = node
        return node


def kept_numbers(roots: Iterable[FrozenRoot]) -> list[int]:
    """The numbers of all nodes that kept roots reach, in order; looks at inner nodes only."""
    numbers: set[int] = set()
    for root in roots:
        if root.root is not None and root.root.stored not in numbers:
            _mark(root.root, numbers)
    return sorted(numbers)


def gaps(numbers: list[int], end: int) -> Iterator[tuple[int, int]]:
    """The ranges (first, last) from 1 to before `end` that a sorted list leaves out."""
    for before, after in pairwise([0, *numbers, end]):
        if after > before + 1:
            yield before + 1, after - 1


def _unkept(inner: Inner) -> Iterator[Node]:
    if inner.stored:
        return
    for child in inner.children:
        if child is not None and not child.stored:
            if isinstance(child, Leaf):
                yield child
            else:
                yield from _unkept(child)
    yield inner


def _mark(inner: Inner, numbers: set[int]) -> None:
    numbers.add(inner.stored)
    for child in inner.children:
        if child is not None and child.stored not in numbers:
            if isinstance(child, Leaf):
                numbers.add(child.stored)
            else:
                _mark(child, numbers)
