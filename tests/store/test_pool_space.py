"""The count of the data of a whole pool: with compressed extents, across many segments, and during relocations."""

from random import Random

import pytest
from tests.store.pools import Machine, blocks, write

from odx_target.store.api import BLOCK_BYTES, PoolSpace
from odx_target.store.open import PoolOptions
from odx_target.store.segments.places import COMPRESSED, extent_of, located
from odx_target.store.volumes import pool_space
from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, LZ4
from odx_target.store.volumes.pool_space import counted_at_rest

SIZE = 3000


def log_blocks(machine: Machine, name: str) -> set[tuple[int, int]]:
    """Return the blocks of the log (segment, block) that a volume needs."""
    volume = machine.pool.volumes[name]
    machine.environment.run(volume.load(0, volume.size_blocks))
    block_map = volume.block_map  # type: ignore[attr-defined]
    found = set()
    for at in range(block_map.size_blocks):
        place = block_map.place(at)
        if place:
            where = located(extent_of(place) if place >= COMPRESSED else place)
            found |= {(where.segment, where.block + index) for index in range(where.stored_blocks)}
    return found


def count(machine: Machine) -> PoolSpace:
    return machine.environment.run(machine.pool.count_space())


def assert_counted(machine: Machine) -> PoolSpace:
    space = count(machine)
    needed = {name: log_blocks(machine, name) for name in machine.pool.volumes}
    for name, mine in needed.items():
        others = set().union(*(theirs for other, theirs in needed.items() if other != name))
        assert space.volumes[name].unique_bytes == len(mine - others) * BLOCK_BYTES
    users = sum(1 for each in set().union(*needed.values()))
    assert space.unique_bytes + space.shared_bytes == users * BLOCK_BYTES
    return space


@pytest.mark.parametrize("segments_at_once", [1, 1024])
def test_compressed_and_plain_blocks(segments_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_space, "MAX_SEGMENTS_AT_ONCE", segments_at_once)
    draw = Random(1)
    machine = Machine(PoolOptions(segment_blocks=64, cleaning=False))
    pool = machine.pool
    packed = pool.create_volume("packed", SIZE, {COMPRESSION_ATTRIBUTE: LZ4})
    plain = pool.create_volume("plain", SIZE, {})
    for at in range(0, SIZE - 64, 64):
        write(machine, packed, at, [blocks(*range(at, at + 40))])
        write(machine, plain, at, [draw.randbytes(3 * BLOCK_BYTES)])
    pool.create_volume("clone", SIZE, {}, packed)
    write(machine, packed, 8, [draw.randbytes(5 * BLOCK_BYTES)])
    frozen = packed.freeze()
    plain.copy_from(frozen, 300, 1001, 50)
    frozen.release()
    space = assert_counted(machine)
    assert space.volumes["clone"].compressed_bytes > 0
    assert (
        space.volumes["clone"].mapped_bytes
        == sum(length for _, length, mapped in pool.volumes["clone"].extents(0) if mapped) * BLOCK_BYTES
    )
    assert space.frozen_bytes == 0
    machine.reopen()
    assert machine.pool.space is None
    again = count(machine)  # No leaf is in memory now.
    assert again.volumes == space.volumes
    assert (again.unique_bytes, again.shared_bytes, again.frozen_bytes) == (space.unique_bytes, space.shared_bytes, 0)


def test_an_empty_pool() -> None:
    machine = Machine(PoolOptions(segment_blocks=64))
    space = count(machine)
    assert (space.volumes, space.unique_bytes, space.shared_bytes, space.frozen_bytes) == ({}, 0, 0, 0)
    machine.pool.create_volume("a", SIZE, {})
    assert count(machine).volumes["a"].mapped_bytes == 0


def test_data_of_a_snapshot_alone() -> None:
    machine = Machine(PoolOptions(segment_blocks=64))
    volume = machine.pool.create_volume("a", SIZE, {})
    write(machine, volume, 0, [blocks(1, 2, 3)])
    volume.snapshot("s")
    volume.unmap(0, 2)
    space = count(machine)
    assert (space.frozen_bytes, space.shared_bytes, space.unique_bytes) == (2 * BLOCK_BYTES, BLOCK_BYTES, 0)


def test_a_count_that_a_relocation_disturbs_is_repeated() -> None:
    machine = Machine(PoolOptions(segment_blocks=64))
    contents = machine.pool.contents
    counts = 0

    async def disturbed() -> int:
        nonlocal counts
        counts += 1
        contents.relocations += counts < 2
        return counts

    result = machine.environment.run(counted_at_rest(contents, machine.environment, disturbed))
    assert (result, counts) == (2, 2)


def test_a_count_that_is_always_disturbed_ends() -> None:
    machine = Machine(PoolOptions(segment_blocks=64))
    contents = machine.pool.contents

    async def disturbed() -> int:
        contents.relocations += 1
        return contents.relocations

    assert machine.environment.run(counted_at_rest(contents, machine.environment, disturbed)) == pool_space.MAX_COUNTS


@pytest.mark.parametrize("seed", range(3))
def test_counts_while_the_cleaner_moves_shared_blocks(seed: int) -> None:
    """Overwrite a volume with a clone until the cleaner moves shared blocks, and count again and again meanwhile."""
    draw = Random(seed)
    machine = Machine(PoolOptions(segment_blocks=64, limit_bytes=2600 * BLOCK_BYTES))
    volume = machine.pool.create_volume("a", 600, {})
    for at in range(0, 600, 10):
        write(machine, volume, at, [blocks(*range(at, at + 10))])
    machine.pool.create_volume("clone", 600, {}, volume)
    for number in range(800):
        write(machine, volume, draw.randrange(59) * 5, [draw.randbytes(5 * BLOCK_BYTES)])
        machine.pool.commit()
        if number % 40 == 0:
            space = count(machine)
            # Half of the volume is never overwritten, so it is shared with the clone at all times.
            assert space.shared_bytes >= 300 * BLOCK_BYTES
            assert space.volumes["clone"].unique_bytes <= 300 * BLOCK_BYTES
            alone = machine.environment.run(machine.pool.space_of(machine.pool.volumes["clone"]))
            assert alone.unique_bytes + alone.shared_bytes == 600 * BLOCK_BYTES
    assert machine.pool.status().cleaning.moved_blocks > 0  # type: ignore[union-attr]
    assert machine.pool.contents.relocations > 0
    assert_counted(machine)
