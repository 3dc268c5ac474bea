"""Maps with lost blocks. A repair of a pool makes such a map if it cannot save the data of some blocks.

A read of a lost block fails, because its place is that of no segment (`segments.lost_place`). After a write to the block, the
block has data again. All subtrees of one height whose blocks are all lost are the same node. So a map of any size whose blocks
are all lost has only a few nodes.
"""

from collections.abc import Callable, Iterable
from functools import partial

from odx_target.store.map.copy_on_write import BlockMap
from odx_target.store.map.frozen_root import FrozenRoot, levels_for
from odx_target.store.map.inner import FAN_OUT, Inner, Node
from odx_target.store.map.leaf import LEAF_BITS, LEAF_BLOCKS, Epoch, Leaf, one_run
from odx_target.store.map.tally import Tally
from odx_target.store.segments.lost_place import LOST_PLACE


def lost_root(size_blocks: int) -> FrozenRoot:
    """Make a frozen map whose blocks are all lost."""
    levels = levels_for(size_blocks)
    epoch = Epoch()
    full: Node = Leaf(one_run(LOST_PLACE), epoch)
    rest_blocks = size_blocks % LEAF_BLOCKS
    part: Node | None = _part_of_leaf(rest_blocks) if rest_blocks else None
    for level in range(1, levels + 1):
        slots = size_blocks >> LEAF_BITS * level & FAN_OUT - 1
        children = [(slot, full) for slot in range(slots)]
        if part is not None:
            children.append((slots, part))
        if level == levels and size_blocks >> LEAF_BITS * (level + 1):
            children = [(slot, full) for slot in range(FAN_OUT)]
        part = Inner.over(children, epoch) if children else None
        full = Inner.over([(slot, full) for slot in range(FAN_OUT)], epoch) if level < levels else full
    assert part is None or isinstance(part, Inner)
    return FrozenRoot(part, levels, size_blocks)


def _call(change: Callable[[], None]) -> None:
    change()


def with_lost(
    root: FrozenRoot,
    ranges: Iterable[tuple[int, int]],
    call: Callable[[Callable[[], None]], None] = _call,
    tally: Tally | None = None,
) -> FrozenRoot:
    """Return a copy of a map in which the blocks of the ranges (block, count_blocks) are lost.

    Each change of the copy is made by `call`, which may load leaves and repeat the change (see `ReplayLeaves.with_leaves`).
    `tally` counts the leaves that are made.
    """
    live = BlockMap.thawed(root, tally=tally)
    lost = lost_root(root.size_blocks)
    for block, count_blocks in ranges:
        call(partial(live.copy_range, lost, block, block, count_blocks))
    return live.freeze()


def _part_of_leaf(count_blocks: int) -> Leaf:
    leaf = Leaf(one_run(LOST_PLACE), Epoch())
    leaf.clear(count_blocks, LEAF_BLOCKS - count_blocks)
    return leaf
