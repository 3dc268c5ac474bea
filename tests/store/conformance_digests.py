"""The contract of `store.api` for digests, as tests that run against each kind of pool; see `conformance`."""

from functools import partial
from itertools import pairwise
from random import Random

import pytest
from tests.naive_digests import LEAF_BLOCKS, NaiveTree
from tests.store.conformance import SIZE, Kept
from tests.store.pools import block, blocks, when_ready

from odx_target.store.api import Absent, DigestTree, FrozenMap, Pool, StoreError, Volume
from odx_target.store.digests.comparison import different_blocks


def digest_of(kept: Kept, tree: DigestTree) -> bytes:
    return kept.environment.run(tree.digest())


def differences_of(kept: Kept, ours: DigestTree, theirs: DigestTree, at: int = 0) -> list[tuple[int, int]]:
    async def found() -> list[tuple[int, int]]:
        return [run async for run in different_blocks(ours, theirs, at)]

    return kept.environment.run(found())


def test_a_digest_is_that_of_the_content(kept: Kept, volume: Volume) -> None:
    volume.write(3, [blocks(1, 2)])
    expected = NaiveTree(SIZE, {3: block(1), 4: block(2)})
    for tree in (volume.freeze(), volume.snapshot("s")):
        assert digest_of(kept, tree) == expected.root()
        for level in (1, 0):
            found = kept.environment.run(tree.digests_below(level, 0))
            assert (found.level, found.index, found.values, found.lost) == (level, 0, expected.below(level, 0), ())
        with pytest.raises(StoreError):
            kept.environment.run(tree.digests_below(2, 0))


def test_equal_content_has_equal_digests(kept: Kept, pool: Pool, volume: Volume) -> None:
    other = pool.create_volume("b", SIZE, {})
    volume.write(0, [blocks(1, 2, 3)])
    for at, value in ((2, 3), (0, 9), (1, 2), (5, 7), (0, 1)):
        other.write(at, [block(value)])
    assert digest_of(kept, volume.freeze()) != digest_of(kept, other.freeze())
    other.unmap(5, 1)
    assert digest_of(kept, volume.freeze()) == digest_of(kept, other.freeze())


def test_a_later_write_does_not_change_a_digest(kept: Kept, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2)])
    frozen, snapshot = volume.freeze(), volume.snapshot("s")
    volume.write(1, [block(3)])
    expected = NaiveTree(SIZE, {0: block(1), 1: block(2)}).root()
    assert digest_of(kept, frozen) == digest_of(kept, snapshot) == expected
    assert digest_of(kept, volume.freeze()) == NaiveTree(SIZE, {0: block(1), 1: block(3)}).root()


def test_a_released_map_or_a_deleted_snapshot_has_no_digest(kept: Kept, volume: Volume) -> None:
    frozen, snapshot = volume.freeze(), volume.snapshot("s")
    frozen.release()
    snapshot.delete()
    for tree in (frozen, snapshot):
        with pytest.raises(Absent):
            digest_of(kept, tree)


@pytest.mark.parametrize("seed", range(3))
def test_a_comparison_finds_the_different_blocks(kept: Kept, pool: Pool, seed: int) -> None:
    random = Random(seed)
    sizes = random.choice([(SIZE, SIZE), (3 * LEAF_BLOCKS, 3 * LEAF_BLOCKS), (SIZE, LEAF_BLOCKS**2 + 5)])
    trees: list[FrozenMap] = []
    contents: list[dict[int, int]] = []
    for name, size in zip("xy", sizes, strict=True):
        volume = pool.create_volume(name, size, {})
        values: dict[int, int] = {}
        for _ in range(12):
            at, count = random.randrange(size - 3), random.randint(1, 3)
            values |= {each: random.randint(1, 2) for each in range(at, at + count)}
            data = [blocks(*(values[each] for each in range(at, at + count)))]
            when_ready(kept.environment, partial(volume.write, at, data))
        trees.append(volume.freeze())
        contents.append(values)
    mine, theirs = contents
    expected = {at for at in {*mine, *theirs} if mine.get(at) != theirs.get(at)}
    for start in (0, SIZE // 2, max(expected)):
        runs = differences_of(kept, *trees, start)
        assert {at + index for at, count in runs for index in range(count)} == {at for at in expected if at >= start}
        assert all(first + count < following for (first, count), (following, _) in pairwise(runs))
    assert differences_of(kept, trees[0], trees[0]) == []
