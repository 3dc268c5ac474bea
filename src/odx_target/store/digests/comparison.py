"""The comparison of the trees of digests of two maps. One of the maps may be in another array."""

from collections.abc import AsyncIterator
from typing import TypeAlias

from odx_target.store.digests.definition import (
    CHECKSUM_BYTES,
    DIGEST_BYTES,
    HOLES_OF_A_LEAF,
    hole_digest,
    inner_digest,
    node_count,
    root_level,
)
from odx_target.store.digests.interface import Digests, DigestTree
from odx_target.store.map.inner import FAN_OUT
from odx_target.store.map.levels import shift_of
from odx_target.store.numpy_on_demand import np

_Run: TypeAlias = tuple[int, int]


async def different_blocks(ours: DigestTree, theirs: DigestTree, block: int = 0) -> AsyncIterator[_Run]:
    """Yield the runs (block, count_blocks), from `block` on, in which two trees of digests differ.

    The blocks after the end of the smaller map count as holes. A block that is lost in only one of the maps counts as
    different. Equal subtrees are skipped. The caller may stop, and continue later from the end of the last run, even after a
    restart. Raises the exceptions of `DigestTree.digests_below`.
    """
    end = max(ours.size_blocks, theirs.size_blocks)
    level = root_level(end)
    mine, other = _Lifted(ours), _Lifted(theirs)
    start = stop = block
    async for first, count in _below(mine, other, level, 0, block):
        if first == stop:
            stop += count
            continue
        if stop > start:
            yield start, stop - start
        start, stop = first, first + count
    if stop > start:
        yield start, stop - start


async def _below(ours: "_Lifted", theirs: "_Lifted", level: int, index: int, block: int) -> AsyncIterator[_Run]:
    """Yield the runs of different blocks below a node, from `block` on. One run may be yielded in several adjacent parts."""
    mine, other = await ours.below(level, index), await theirs.below(level, index)
    width = DIGEST_BYTES if level else CHECKSUM_BYTES
    different = _rows(mine.values, width) != _rows(other.values, width)
    different[list({*mine.lost} ^ {*other.lost})] = True
    for slot in np.flatnonzero(different).tolist():
        child = index * FAN_OUT + slot
        if not level:
            if child >= block:
                yield child, 1
        elif (child + 1) << shift_of(level - 1) > block:
            async for run in _below(ours, theirs, level - 1, child, block):
                yield run


def _rows(values: bytes, width: int) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
    return np.frombuffer(values, dtype=np.dtype((np.void, width)))


class _Lifted:
    """A tree of digests with additional levels above its root, and with holes after its end. So it can be compared with a
    larger tree.
    """

    def __init__(self, tree: DigestTree) -> None:
        self._tree = tree
        self._root_level = root_level(tree.size_blocks)

    async def below(self, level: int, index: int) -> Digests:
        if index >= node_count(level, self._tree.size_blocks):
            return Digests(level, index, hole_digest(level - 1) * FAN_OUT if level else HOLES_OF_A_LEAF, ())
        if level > self._root_level:
            first = await self._digest(level - 1)
            return Digests(level, index, first + hole_digest(level - 1) * (FAN_OUT - 1), ())
        return await self._tree.digests_below(level, index)

    async def _digest(self, level: int) -> bytes:
        """Return the digest of the first node of a level. The level must be at least that of the root of the tree."""
        if level == self._root_level:
            return await self._tree.digest()
        return inner_digest((await self.below(level, 0)).values)
