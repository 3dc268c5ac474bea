"""The contract of `store.api` for links, followers and durability, as tests that run against each kind of pool."""

from functools import partial
from random import Random

import pytest
from tests.sim.virtual_environment import VirtualTask
from tests.store.conformance import SIZE, Kept, read
from tests.store.followed_content import FollowedContent
from tests.store.pools import block, blocks, when_ready

from odx_target.store.api import (
    BLOCK_BYTES,
    Change,
    Following,
    PlaceGone,
    Pool,
    StoredBlocks,
    StoreError,
    Volume,
    Write,
)
from odx_target.turns import Steps


def stored(kept: Kept, volume: Volume, at: int = 0, count: int = SIZE) -> StoredBlocks:
    frozen = volume.freeze()
    try:
        return kept.environment.run(frozen.stored_blocks(at, count))
    finally:
        frozen.release()


def link(kept: Kept, volume: Volume, at: int, found: StoredBlocks, index: int) -> None:
    when_ready(kept.environment, partial(volume.link, at, found.places[index], found.checksums[index]))


# Links


def test_stored_blocks_have_places_and_checksums(kept: Kept, volume: Volume) -> None:
    volume.write(2, [blocks(1, 2, 1)])
    found, part = stored(kept, volume), stored(kept, volume, 3, 2)
    assert [bool(place) for place in found.places] == [at in (2, 3, 4) for at in range(SIZE)]
    assert found.checksums[2] == found.checksums[4] != found.checksums[3]
    assert found.checksums[0] == found.checksums[5] != 0
    assert list(part.places) == list(found.places[3:5])
    assert list(part.checksums) == list(found.checksums[3:5])
    assert list(found.lost) == []
    for range_ in ((-1, 2), (SIZE - 1, 2)):
        with pytest.raises(StoreError):
            stored(kept, volume, *range_)


def test_a_linked_block_shares_the_data(kept: Kept, pool: Pool, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2, 3)])
    found = stored(kept, volume)
    other = pool.create_volume("b", SIZE, {})
    other.write(7, [block(9)])
    heard: list[tuple[int, int]] = []
    other.on_change.append(lambda at, count: heard.append((at, count)))
    link(kept, other, 7, found, 1)
    link(kept, volume, 60, found, 2)
    pool.commit()
    assert heard == [(7, 1)]
    assert read(kept, other, 6, 3) == blocks(0, 2, 0)
    assert read(kept, volume, 60, 1) == block(3)
    assert list(stored(kept, other, 7, 1).places) == [found.places[1]]
    space = kept.environment.run(pool.space_of(other))
    assert (space.unique_bytes, space.shared_bytes) == (0, BLOCK_BYTES)
    space = kept.environment.run(pool.space_of(volume))
    assert (space.unique_bytes, space.shared_bytes) == (2 * BLOCK_BYTES, BLOCK_BYTES)
    volume.write(1, [block(5)])
    assert read(kept, other, 7, 1) == block(2)


def test_a_run_of_links_leaves_out_what_is_gone(kept: Kept, pool: Pool, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2, 3, 4)])
    found = stored(kept, volume, 0, 4)
    assert list(volume.places_now(0, 6)) == [*found.places, 0, 0]
    other = pool.create_volume("b", SIZE, {})
    other.write(7, [blocks(9, 9, 9, 9)])
    heard: list[tuple[int, int]] = []
    other.on_change.append(lambda at, count: heard.append((at, count)))
    places, checksums = [*found.places[:2], 0, found.places[3]], [*found.checksums[:2], 5, found.checksums[3]]
    run: list[int] = []
    when_ready(kept.environment, lambda: run.extend(other.link_run(7, places, checksums)))
    assert run == [0, 1, 3]
    assert heard == [(7, 4)]
    assert other.link_run(20, [0], [1]) == []
    with pytest.raises(StoreError):
        other.link_run(SIZE - 1, found.places[:2], found.checksums[:2])
    pool.commit()
    kept.reopen()
    assert read(kept, kept.pool.volumes["b"], 6, 6) == blocks(0, 1, 2, 9, 4, 0)


def test_a_link_changes_no_frozen_map(kept: Kept, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2)])
    frozen, snapshot = volume.freeze(), volume.snapshot("s")
    link(kept, volume, 0, stored(kept, volume), 1)
    assert read(kept, volume, 0, 2) == blocks(2, 2)
    assert read(kept, frozen, 0, 2) == read(kept, snapshot, 0, 2) == blocks(1, 2)


def test_a_link_to_other_data_is_refused(kept: Kept, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2)])
    found = stored(kept, volume)
    for place, checksum in ((found.places[0], found.checksums[1]), (0, found.checksums[5]), (1 << 60, 1), (-1, 0)):
        with pytest.raises(PlaceGone):
            when_ready(kept.environment, partial(volume.link, 5, place, checksum))
    for at in (-1, SIZE):
        with pytest.raises(StoreError):
            volume.link(at, found.places[0], found.checksums[0])
    assert read(kept, volume, 0, 6) == blocks(1, 2, 0, 0, 0, 0)


def test_links_are_there_after_a_restart(kept: Kept, volume: Volume) -> None:
    volume.write(0, [blocks(1, 2)])
    found = stored(kept, volume)
    for at in range(10, 20):
        link(kept, volume, at, found, at % 2)
    if kept.reopen():
        assert read(kept, kept.pool.volumes["a"], 10, 10) == blocks(*[1, 2] * 5)


# Durability


def test_commits_return_growing_numbers(kept: Kept, pool: Pool, volume: Volume) -> None:
    first = pool.commit()
    assert pool.commit() == first
    volume.write(0, [block(1)])
    volume.unmap(3, 1)
    assert pool.commit() == first + 2
    assert pool.durable_osn <= first + 2
    kept.environment.run(pool.durable(first + 2))
    assert pool.durable_osn == first + 2
    kept.environment.run(pool.durable(1))
    assert pool.durable_osn == first + 2
    volume.write(0, [block(1)])
    with pytest.raises(StoreError):
        kept.environment.run(pool.durable(first + 3))
    pool.commit()
    kept.environment.run(pool.flush())
    assert pool.durable_osn == first + 3


def test_simultaneous_waits_for_durability(kept: Kept, pool: Pool, volume: Volume) -> None:
    waits: list[VirtualTask] = []
    for value in range(1, 5):
        volume.write(0, [block(value)])
        waits.append(kept.environment.spawn(pool.durable(pool.commit())))
    kept.environment.settle()
    for wait in waits:
        wait.value()
    assert pool.durable_osn == pool.commit()


# Followers


async def follow(follower: Following, content: FollowedContent) -> None:
    async for followed in follower:
        content.take(followed)


@pytest.mark.parametrize("seed", range(3))
def test_a_follower_sees_all_changes(kept: Kept, pool: Pool, volume: Volume, seed: int) -> None:
    random = Random(seed)
    content = FollowedContent()
    follower = pool.follow(1)
    task = kept.environment.spawn(follow(follower, content))
    snapshot = volume.snapshot("first")
    for step in range(40):
        at, count = random.randrange(SIZE - 4), random.randint(1, 4)
        kind = random.choice(["write", "write", "unmap", "copy", "snapshot", "clone", "restore", "resize", "link"])
        if kind == "write":
            data = [blocks(*(random.randint(1, 99) for _ in range(count)))]
            when_ready(kept.environment, partial(volume.write, at, data))
        elif kind == "unmap":
            volume.unmap(at, count)
        elif kind == "copy":
            frozen = volume.freeze()
            volume.copy_from(frozen, random.randrange(SIZE - 4), at, count)
            frozen.release()
        elif kind == "snapshot":
            snapshot = volume.snapshot(f"s{step}")
        elif kind == "clone":
            pool.create_volume(f"v{step}", SIZE, {}, random.choice([snapshot, volume]))
        elif kind == "restore":
            volume.restore(snapshot)
        elif kind == "resize":
            volume.resize(SIZE // 2)
            volume.resize(SIZE)
        else:
            found = stored(kept, volume)
            mapped = [index for index, place in enumerate(found.places) if place]
            if mapped:
                link(kept, volume, at, found, random.choice(mapped))
        pool.commit()
        if step % 10 == 9:
            kept.environment.run(pool.flush())
            kept.environment.settle()
            assert not task.done, task.error
            assert content.volumes().keys() == pool.volumes.keys()
            for name, values in content.volumes().items():
                assert read(kept, pool.volumes[name]) == blocks(*values)
    follower.close()
    kept.environment.settle()
    task.value()
    assert follower.next_osn == pool.durable_osn


def test_a_follower_sees_only_durable_records(kept: Kept, pool: Pool, volume: Volume) -> None:
    kept.environment.run(pool.durable(pool.commit()))
    first = pool.durable_osn
    follower = pool.follow(first)
    volume.write(5, [blocks(1, 2)])
    committed = pool.commit()
    task = kept.environment.spawn(anext_of(follower))
    kept.environment.settle()
    assert task.done == (pool.durable_osn > first)
    kept.environment.run(pool.durable(committed))
    kept.environment.settle()
    followed = task.value()
    assert (followed.osn, followed.stream, bytes(followed.data)) == (first, 0, blocks(1, 2))
    assert isinstance(followed.record, Write)
    assert (followed.record.block, followed.record.count_blocks) == (5, 2)
    assert follower.next_osn == committed


async def anext_of(follower: Following) -> object:
    return await follower.__anext__()


@pytest.mark.parametrize("osn", [-1, 0, 100])
def test_records_that_do_not_exist_cannot_be_followed(pool: Pool, volume: Volume, osn: int) -> None:
    with pytest.raises(StoreError):
        pool.follow(osn)


# Differences


def test_differences_continue_after_a_restart(kept: Kept, volume: Volume) -> None:
    random = Random(3)
    for _ in range(20):
        volume.write(random.randrange(SIZE), [block(random.randint(1, 9))])
    volume.snapshot("older")
    for _ in range(10):
        volume.write(random.randrange(SIZE), [block(random.randint(10, 19))])
        volume.unmap(random.randrange(SIZE), 1)
    volume.snapshot("newer")

    def changes_from(at: int, steps: int | None) -> list[tuple[int, Change]]:
        snapshots = kept.pool.volumes["a"].snapshots
        budget = None if steps is None else Steps(steps)
        runs = kept.pool.differences(snapshots["older"], snapshots["newer"], at, budget)
        return [(first + index, change) for first, count, change in runs for index in range(count)]

    expected = changes_from(0, None)
    found: list[tuple[int, Change]] = []
    while len(found) < SIZE:
        found += when_loaded(kept, partial(changes_from, len(found), 1))
        kept.reopen()
    assert found == expected


def when_loaded(kept: Kept, compare: "partial[list[tuple[int, Change]]]") -> list[tuple[int, Change]]:
    """Compare, and load the maps first if necessary."""
    found: list[tuple[int, Change]] = []
    when_ready(kept.environment, lambda: found.extend(compare()))
    return found
