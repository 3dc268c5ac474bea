"""The digests of the nodes of frozen maps. Each digest is computed once and then kept on its node.

A node of a frozen map never changes, so its digest never changes either. The cleaner gives moved blocks new places in the same
leaf, and the leaf keeps its digest, because the content is the same. A leaf also keeps its digest when it drops its entries.
Maps share nodes, so a snapshot that was taken after a few changes needs only the digests of the changed nodes. Digests are not
stored in the catalogue, and are computed again after a restart.

The event loop visits the nodes that have no digest yet, in turns (see `turns`). A thread finds the checksums of up to
LEAVES_OF_A_GROUP leaves at once. If the caller is cancelled, the digests that have been computed stay on their nodes, so a
later call need not compute them again.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias, TypeVar

from odx_target.environment import Environment, Event
from odx_target.store.catalogue.leaf_loader import LeafLoader, Place
from odx_target.store.digests.definition import hole_digest, inner_digest, root_level
from odx_target.store.digests.gathering import Gatherer
from odx_target.store.digests.leaf_groups import HOLES, LeafResult, checksums_of_leaves, digests_of_leaves
from odx_target.store.digests.table_rows import LogView
from odx_target.store.error_kinds import of_read
from odx_target.store.errors import StoreError
from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.pins import Stay
from odx_target.store.log.reader import Reader
from odx_target.store.log.writer import Log
from odx_target.store.map.discards import Discards
from odx_target.store.map.frozen_root import MapReader
from odx_target.store.map.inner import FAN_OUT, Few, Inner, Node
from odx_target.store.map.leaf import INDEX_MASK, LEAF_BITS, Entries, Leaf
from odx_target.store.map.levels import shift_of
from odx_target.store.segments.supply import SegmentSupply

LEAVES_OF_A_GROUP = 1024
"""Largest number of leaves whose digests one call in a thread computes: 4 GiB of blocks. The call needs up to 32 MiB of memory.
Groups are large, because a group whose blocks are in many segments needs many checksum tables, whatever its size."""

CHILDREN_OF_A_STEP = 32
LEAVES_OF_A_STEP = 8
STEPS_OF_AN_INNER_NODE = 40
"""Number of steps (see `turns`) that it takes to join and hash the digests of all children of an inner node."""


class Source(NamedTuple):
    """A frozen map whose digests are computed. `place` is the name or number of the map for reports of errors. `check` raises
    Absent if the map was released.
    """

    map: MapReader
    place: Place
    check: Callable[[], None]


class _Group(NamedTuple):
    """Nodes whose digests are computed together. `leaves` has the first block of each leaf. The digests of the inner nodes are
    computed after those of the leaves.
    """

    leaves: dict[Leaf, int]
    inners: list[tuple[Inner, int]]


_Result = TypeVar("_Result")

_Compute: TypeAlias = Callable[[Gatherer, Sequence[Entries], LogView], list[_Result]]
"""Function that runs in a thread, and computes a result for each leaf."""


class Digester:
    """Computes the digests of the frozen maps of one pool. Only one of its calls runs in a thread at a time."""

    def __init__(
        self,
        log: Log,
        supply: SegmentSupply,
        reader: Reader,
        index: ChecksumIndex,
        leaves: LeafLoader,
        discards: Discards,
        environment: Environment,
    ) -> None:
        self._log = log
        self._supply = supply
        self._reader = reader
        self._index = index
        self._leaves = leaves
        self._discards = discards
        self._environment = environment
        self._turns = environment.turns
        self.check_entries: Callable[[Sequence[Entries]], None] = _accept
        """Called with the entries of leaves before their digests are computed. It may raise a StoreError."""
        self._gatherer: Gatherer | None = None
        self._users = 0
        self._gathering: Event | None = None

    async def digest(self, source: Source) -> bytes:
        """Return the digest of a frozen map.

        Raises Absent if the map is released before the end. Raises DamagedBlock, Unreadable or OutOfResources if a part of the
        map or of the log cannot be read.
        """
        level = root_level(source.map.size_blocks)
        await self._complete(source, level, 0)
        return _digest_of(_node_at(source.map, level, 0), level)

    async def children(self, source: Source, level: int, index: int) -> bytes:
        """Return the digests of all children of an inner node, one after the other. Raises the same exceptions as `digest`."""
        await self._complete(source, level, index)
        return _joined(_node_at(source.map, level, index), level)

    async def checksums(self, source: Source, block: int) -> LeafResult:
        """Return the places and the checksums of the blocks in the leaf that contains `block`. If there is no such leaf, all
        its blocks are holes.

        Raises the same exceptions as `digest`.
        """
        leaf = source.map.leaf(block)
        if leaf is None:
            return HOLES
        self._enter()
        try:
            (found,) = await self._in_thread({leaf: block}, source, checksums_of_leaves)
            return found
        finally:
            self._leave(source.map)

    async def _complete(self, source: Source, level: int, index: int) -> None:
        """Compute the missing digests of all nodes of a subtree."""
        top = _node_at(source.map, level, index)
        if top is None or top.digest is not None:
            return
        assert isinstance(top, Inner)
        self._enter()
        try:
            group = _Group({}, [])
            for node, block, node_level in _undigested(top, level, index << shift_of(level)):
                if isinstance(node, Leaf):
                    group.leaves[node] = block
                    steps = int(len(group.leaves) % LEAVES_OF_A_STEP == 0)
                else:
                    group.inners.append((node, node_level))
                    steps = 1 + len(node.children) // CHILDREN_OF_A_STEP
                self._turns.take(steps)
                await self._turns.next_if_spent()
                if len(group.leaves) == LEAVES_OF_A_GROUP:
                    await self._finish(group, source)
            await self._finish(group, source)
        finally:
            self._leave(source.map)

    async def _finish(self, group: _Group, source: Source) -> None:
        """Compute the digests of the nodes of a group, and empty the group."""
        if group.leaves:
            digests = await self._in_thread(group.leaves, source, digests_of_leaves)
            for leaf, digest in zip(group.leaves, digests, strict=True):
                leaf.digest = digest
            self._turns.take(len(digests) // LEAVES_OF_A_STEP)
            group.leaves.clear()
        for inner, level in group.inners:
            await self._turns.next_if_spent()
            inner.digest = inner_digest(_joined(inner, level))
            self._turns.take(STEPS_OF_AN_INNER_NODE)
        group.inners.clear()

    async def _in_thread(self, leaves: dict[Leaf, int], source: Source, compute: _Compute[_Result]) -> list[_Result]:
        """Compute a result for each leaf in a thread. Until the thread ends, no segment to which the leaves refer is freed.

        The places of a released map may be in retired segments, so the map must not have been released before.
        """
        while self._gathering is not None:
            await self._gathering.wait()
        ended = self._gathering = self._environment.event()
        stay: Stay | None = None
        try:
            source.check()
            stay = self._reader.pins.pin_all_but(self._supply.retired, tuple(leaves))
            entries = await self._entries(leaves, source.place)
            view = self._view()
            work = partial(compute, self._gatherer or Gatherer(self._index), entries, view)
            return await self._environment.in_thread(work)
        except OSError as error:
            raise of_read(next(iter(leaves.values())), error) from error
        finally:
            del stay  # An exception may keep the frame of this call for a long time.
            self._gathering = None
            ended.set()

    async def _entries(self, leaves: dict[Leaf, int], place: Place) -> Sequence[Entries]:
        memory = self._leaves.memory
        present = [memory.entries_of(leaf) for leaf in leaves]
        self._turns.take(len(present) // LEAVES_OF_A_STEP)
        if all(present):
            ready = [entries for entries in present if entries]
            self.check_entries(ready)
            return ready
        found = await self._leaves.read(list(leaves))
        result: list[Entries] = []
        for leaf, block in leaves.items():
            entries = memory.entries_of(leaf) or found[leaf]
            if isinstance(entries, StoreError):
                raise self._leaves.explained(entries, block, place)
            result.append(entries)
        self.check_entries(result)
        return result

    def _view(self) -> LogView:
        self._reader.settle_all()
        supply, index = self._supply, self._index
        unwritten = dict(self._log.unwritten.blocks)
        return LogView(supply.segments.copy(), supply.size_blocks.copy(), index.tables.copy(), index.pinned, unwritten)

    def _enter(self) -> None:
        """Keep the gatherer, which has copies of checksum tables, as long as digests are being computed."""
        self._users += 1
        if self._gatherer is None:
            self._gatherer = Gatherer(self._index)

    def _leave(self, frozen: MapReader) -> None:
        self._users -= 1
        if not self._users:
            self._gatherer = None
        if frozen.root is not None:
            self._discards.add([frozen.root])  # The map may have been released, and this may be the last reference to it.


def _accept(_leaves: Sequence[Entries]) -> None:
    pass


def _undigested(top: Inner, level: int, block: int) -> Iterator[tuple[Node, int, int]]:
    """Yield (node, first block, level) for each node that has no digest. Children are yielded before their parents."""
    seen: set[int] = set()
    waiting: list[tuple[Node, int, int, bool]] = [(top, block, level, False)]
    while waiting:
        node, first, at, is_entered = waiting.pop()
        if node.digest is not None:
            continue  # Another caller has computed the digest meanwhile.
        if isinstance(node, Leaf) or is_entered:
            yield node, first, at
        elif id(node) not in seen:
            seen.add(id(node))
            shift = shift_of(at - 1)
            waiting.append((node, first, at, True))
            waiting += [
                (child, first + (slot << shift), at - 1, False)
                for slot, child in reversed(node.present())
                if child.digest is None
            ]


def _node_at(frozen: MapReader, level: int, index: int) -> Node | None:
    """Return the node `index` of a level of the tree of digests. Returns None if there is no such node, because all its blocks
    are holes.
    """
    node: Node | None = frozen.root
    block = index << shift_of(level)
    for above in range(frozen.levels, level, -1):
        if node is None:
            return None
        assert isinstance(node, Inner)
        node = node.children[block >> LEAF_BITS * above & INDEX_MASK]
    return node


def _digest_of(node: Node | None, level: int) -> bytes:
    if node is None:
        return hole_digest(level)
    assert node.digest is not None
    return node.digest


def _joined(node: Node | None, level: int) -> bytes:
    """Return the digests of all children of an inner node, one after the other. The children must have digests already."""
    hole = hole_digest(level - 1)
    if node is None:
        return hole * FAN_OUT
    assert isinstance(node, Inner)
    children = node.children
    slots = [children[slot] for slot in range(FAN_OUT)] if isinstance(children, Few) else children.tolist()
    return b"".join([hole if child is None else _digest_of(child, level - 1) for child in slots])
