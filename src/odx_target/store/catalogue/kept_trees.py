"""Writing of trees to a catalogue, reading of trees from a catalogue, and the numbers of the stored nodes that are still
needed.

Nodes are numbered in the order in which they are written. Children are written before their parents. So the number of a child
is always lower than the number of its parent, and a stored tree cannot contain a cycle.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from odx_target.store.catalogue.node_codec import (
    decode_inner,
    decode_leaf,
    encode_inner,
    encode_leaf,
    node_name,
    sealed,
    unsealed,
)
from odx_target.store.errors import PoolDamaged
from odx_target.store.map.frozen_root import FrozenRoot, MapReader
from odx_target.store.map.inner import Dense, Few, Inner, Node, children_in
from odx_target.store.map.leaf import ABSENT, LEAF_BITS, Epoch, Leaf
from odx_target.store.numpy_on_demand import np
from odx_target.store.segments.places import Places

MAX_LEVELS = 5
"""Largest accepted number of levels in a stored tree. No map has more levels, so a larger number means that the catalogue is
damaged."""


MAX_RECENT = 64
"""Number of recently read inner nodes with which a further node may share its children. If a large volume consists of copies of
the same data, many of its inner nodes have equal bodies."""

_NODES_AT_ONCE = 64
"""Number of nodes that are freed at once. Other threads may run after each such group of nodes."""


class TreeWriter:
    """Gives a number to each node that has not been stored yet, and encodes the node. `next_number` is the next free number."""

    def __init__(self, next_number: int) -> None:
        self.next_number = next_number
        self._numbered: list[Node] = []

    @property
    def written(self) -> int:
        """Number of nodes to which this writer has given a number."""
        return len(self._numbered)

    def bodies(self, roots: Iterable[FrozenRoot]) -> Iterator[tuple[int, bytes]]:
        """Yield (number, sealed body) for each node that must be stored. Children are yielded before their parents."""
        for root in roots:
            if root.root is not None:
                for node in _unkept(root.root):
                    body = encode_leaf(node) if isinstance(node, Leaf) else encode_inner(node)
                    number = node.stored = self.next_number
                    self.next_number += 1
                    self._numbered.append(node)
                    yield number, sealed(node_name(number), body)

    def undo(self) -> None:
        """Remove all numbers that this writer has given to nodes. Called when the save has failed."""
        for node in self._numbered:
            node.stored = 0

    def leaves(self) -> list[Leaf]:
        """List the leaves to which this writer has given a number."""
        return [node for node in self._numbered if isinstance(node, Leaf)]

    def let_go(self) -> None:
        """Drop the references of this writer to nodes, a few at a time. Python then frees those nodes that maps have replaced
        during the save.
        """
        while self._numbered:
            del self._numbered[-_NODES_AT_ONCE:]


def rewritten_bodies(leaves: Iterable[Leaf]) -> Iterator[tuple[int, bytes]]:
    """Encode stored leaves again, because their places have changed. Yields (number, sealed body) for each leaf."""
    for leaf in leaves:
        yield leaf.stored, sealed(node_name(leaf.stored), encode_leaf(leaf))


class _Decoded(NamedTuple):
    """An inner node that was read: the numbers of its children by slot (0: no child), and its children."""

    numbers: Places
    children: "Dense | Few"


class TreeReader:
    """Builds trees from stored bodies. A node that several trees share is built once.

    If `with_entries` is False, only inner nodes are read, and the leaves get no entries.
    """

    def __init__(self, fetch: Callable[[int], bytes | None], *, with_entries: bool = True) -> None:
        self._fetch = fetch
        self._with_entries = with_entries
        self._nodes: dict[int, Node] = {}
        self._recent: dict[tuple[bytes, int], _Decoded] = {}
        self._epoch = Epoch()

    def root(self, number: int, levels: int, size_blocks: int) -> FrozenRoot:
        """Build the tree whose root is stored under `number`. If `number` is 0, the tree is empty. Raises PoolDamaged."""
        if not (1 <= levels <= MAX_LEVELS and 0 <= size_blocks <= 1 << LEAF_BITS * (levels + 1)):
            raise PoolDamaged("the catalogue contains a map of an impossible size")
        return FrozenRoot(self._inner(number, levels) if number else None, levels, size_blocks)

    def _inner(self, number: int, level: int) -> Inner:
        node = self._nodes.get(number)
        if node is None:
            node = self._nodes[number] = Inner(self._children(number, level), self._epoch)
            node.stored = number
        if not isinstance(node, Inner):
            raise PoolDamaged("the catalogue contains a leaf at the place of an inner node")
        return node

    def _children(self, number: int, level: int) -> "Dense | Few":
        """Return the children of a stored inner node.

        Nodes with equal bodies share one object. This is safe because a map never changes a node that it has not made.
        """
        body = self._body(number)
        recent = self._recent.get((body, level))
        numbers = decode_inner(body) if recent is None else recent.numbers
        if numbers.max() >= number:
            raise PoolDamaged("the catalogue contains a node that is its own descendant")
        if recent is not None:
            return recent.children
        slots = np.flatnonzero(numbers)
        found = numbers[slots].tolist()
        nodes = self._leaves(found) if level == 1 else [self._inner(each, level - 1) for each in found]
        children = children_in(slots.tolist(), nodes)
        self._recent[body, level] = _Decoded(numbers, children)
        if len(self._recent) > MAX_RECENT:
            del self._recent[next(iter(self._recent))]
        return children

    def _leaves(self, numbers: Sequence[int]) -> list[Node]:
        nodes = self._nodes
        for number in numbers:
            if number not in nodes:
                entries = decode_leaf(self._body(number)) if self._with_entries else ABSENT
                nodes[number] = Leaf(entries, self._epoch, number)
        found = [nodes[number] for number in numbers]
        if not all(type(node) is Leaf for node in found):
            raise PoolDamaged("the catalogue contains an inner node at the place of a leaf")
        return found

    def _body(self, number: int) -> bytes:
        return unsealed(node_name(number), self._fetch(number))


class NumberSet:
    """A set of node numbers, stored in pages that have one flag for each number.

    To yield ranges in ascending order, `gaps` has to sort only the pages. To sort a million numbers would take too long.
    """

    _PAGE = 4096

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, number: int) -> bool:
        """Add a number. Returns False if the set contains it already."""
        page = self._pages.get(number // self._PAGE)
        if page is None:
            page = self._pages[number // self._PAGE] = bytearray(self._PAGE)
        if page[number % self._PAGE]:
            return False
        page[number % self._PAGE] = 1
        self._count += 1
        return True

    def gaps(self, end: int) -> Iterator[tuple[int, int]]:
        """Yield the ranges (first, last) of numbers from 1 to `end` - 1 that are not in the set."""
        first = 1
        for number in self._in_order():
            if number > first:
                yield first, number - 1
            first = number + 1
        if first < end:
            yield first, end - 1

    def _in_order(self) -> Iterator[int]:
        for at in sorted(self._pages):
            page = self._pages[at]
            found = page.find(1)
            while found >= 0:
                yield at * self._PAGE + found
                found = page.find(1, found + 1)


def kept_numbers(
    roots: Iterable[FrozenRoot], held_roots: Iterable[FrozenRoot] = (), held_leaves: Iterable[Leaf] = ()
) -> NumberSet:
    """Collect the numbers of all nodes below `roots`, of all stored nodes below `held_roots`, and of all stored leaves in
    `held_leaves`.

    Each of the `roots` must be stored. Inner nodes are read, but leaves are not.
    """
    numbers = NumberSet()
    for root in (*roots, *held_roots):
        if root.root is not None:
            _mark(root.root, numbers)
    for leaf in held_leaves:
        if leaf.stored:
            numbers.add(leaf.stored)
    return numbers


def stored_leaves(roots: Iterable[MapReader]) -> Iterator[int]:
    """Yield the number of each stored leaf below `roots` once. Leaves without a number are skipped."""
    kept = list(roots)  # No node is freed meanwhile, so each `id()` stays that of one node.
    waiting = [root.root for root in kept if root.root is not None]
    seen: set[int] = set()
    numbers = NumberSet()
    while waiting:
        inner = waiting.pop()
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        for _, child in inner.present():
            if isinstance(child, Inner):
                waiting.append(child)
            elif child.stored and numbers.add(child.stored):
                yield child.stored


def _unkept(inner: Inner) -> Iterator[Node]:
    if inner.stored:
        return
    for _, child in inner.present():
        if not child.stored:
            if isinstance(child, Leaf):
                yield child
            else:
                yield from _unkept(child)
    yield inner


def _mark(node: Node, numbers: NumberSet) -> None:
    # A held tree may have nodes without a number, because maps replaced these nodes before a checkpoint contained them.
    if (not node.stored or numbers.add(node.stored)) and isinstance(node, Inner):
        for _, child in node.present():
            _mark(child, numbers)
