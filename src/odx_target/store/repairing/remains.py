"""The remains of a catalogue: the part of its last checkpoint that can still be read.

A node that cannot be read is replaced by a subtree of lost blocks. Each leaf is read once, to find damage. Only its number
stays in memory, so the maps may be larger than the memory. Inner nodes get no number, so that another catalogue can save them.
"""

from dataclasses import dataclass, field
from functools import partial

from odx_target.store.catalogue.interface import Checkpoint
from odx_target.store.catalogue.kept_trees import MAX_LEVELS
from odx_target.store.catalogue.node_codec import decode_inner, decode_leaf, node_name, unsealed
from odx_target.store.catalogue.transactional import TransactionalCatalogue
from odx_target.store.errors import CatalogueDamaged, PoolDamaged
from odx_target.store.map.copy_on_write import MAX_SIZE_BLOCKS, BlockMap
from odx_target.store.map.frozen_root import FrozenRoot
from odx_target.store.map.inner import Inner, Node
from odx_target.store.map.leaf import ABSENT, LEAF_BITS, Epoch, Leaf
from odx_target.store.map.lost_blocks import lost_root
from odx_target.store.opening.replay_leaves import ReplayLeaves


@dataclass(slots=True)
class Remains:
    """The part of a checkpoint that can still be read from a damaged catalogue, and descriptions of the damage."""

    checkpoint: Checkpoint
    complaints: list[str] = field(default_factory=list)


def remains_of(catalogue: TransactionalCatalogue) -> Remains | None:
    """Read the part of the checkpoint that can be read. Returns None if nothing can be read or the catalogue has no
    checkpoint.
    """
    complaints: list[str] = []
    trees = _TreesLeft(catalogue)
    try:
        checkpoint = catalogue.load_remains(trees.root, complaints)
    except PoolDamaged:
        return None
    if checkpoint is None:
        return None
    if trees.lost_nodes:
        complaints.append(f"{trees.lost_nodes} nodes of the maps in the catalogue are damaged or missing")
    return Remains(checkpoint, complaints)


class _TreesLeft:
    """Reads trees from a catalogue that may be damaged. `lost_nodes` is the number of nodes that could not be read."""

    def __init__(self, catalogue: TransactionalCatalogue) -> None:
        self.lost_nodes = 0
        self._fetch = catalogue.stored_node
        self._leaves = ReplayLeaves(catalogue)
        self._nodes: dict[tuple[int, int], Node | None] = {}
        self._epoch = Epoch()

    def root(self, number: int, levels: int, size_blocks: int) -> FrozenRoot:
        """Read the tree whose root has the number `number`. If `number` is 0, the tree is empty. Raises PoolDamaged if
        `size_blocks` is not a possible size.
        """
        if not 0 <= size_blocks <= MAX_SIZE_BLOCKS:
            raise PoolDamaged("the catalogue contains a map of an impossible size")
        if not (1 <= levels <= MAX_LEVELS and size_blocks <= 1 << LEAF_BITS * (levels + 1)):
            self.lost_nodes += 1
            return lost_root(size_blocks)
        if not number:
            return FrozenRoot(None, levels, size_blocks)
        node = self._node(number, levels, number + 1)
        if node is None:
            return lost_root(size_blocks)
        assert isinstance(node, Inner)
        if not self.lost_nodes:
            return FrozenRoot(node, levels, size_blocks)
        live = BlockMap.thawed(FrozenRoot(node, levels, 1 << LEAF_BITS * (levels + 1)))
        # A lost subtree may extend beyond the size of the map.
        self._leaves.with_leaves(partial(live.resize, size_blocks))
        self._leaves.drop()
        return live.freeze()

    def _node(self, number: int, level: int, limit: int) -> Node | None:
        """Read a node. Returns None if the node is lost. Its number must be below `limit`, the number of its parent, so that
        damage cannot make a cycle.
        """
        if number >= limit:
            self.lost_nodes += 1
            return None
        key = number, level
        if key not in self._nodes:
            try:
                self._nodes[key] = self._built(number, level)
            except PoolDamaged:
                self.lost_nodes += 1
                self._nodes[key] = None
        return self._nodes[key]

    def _built(self, number: int, level: int) -> Node:
        try:
            stored = self._fetch(number)
        except CatalogueDamaged:
            stored = None
        body = unsealed(node_name(number), stored)
        if not level:
            decode_leaf(body)  # Raises PoolDamaged if the leaf is damaged.
            return Leaf(ABSENT, self._epoch, number)
        children = []
        for slot, child in enumerate(decode_inner(body).tolist()):
            if child:
                children.append((slot, self._node(child, level - 1, number) or _lost_subtree(level - 1)))
        return Inner.over(children, self._epoch)


def _lost_subtree(level: int) -> Node:
    """Make a full subtree of lost blocks. The level of a leaf is 0."""
    if level:
        root = lost_root(1 << LEAF_BITS * (level + 1)).root
        assert root is not None
        return root
    root = lost_root(1 << LEAF_BITS).root
    assert root is not None
    leaf: Node = root.children[0]
    return leaf
