"""Tests of the contract of a pool, without crashes."""

from itertools import pairwise

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import Machine, block, blocks, read, write

from odx_target.store.api import BLOCK_BYTES, BlockSource, NameTaken, StoreError
from odx_target.store.log.records import MAX_ATTRIBUTES_BYTES, MAX_KEY_BYTES, MAX_NAME_BYTES, MAX_VALUE_BYTES
from odx_target.store.map.copy_on_write import MAX_SIZE_BLOCKS
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.open import LogPool, PoolOptions, open_memory_pool

SIZE = 3000


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.pool.create_volume("a", SIZE, {"lun": "0"})
    machine.pool.create_volume("b", SIZE, {})
    machine.pool.commit()
    return machine


@pytest.fixture
def pool(machine: Machine) -> LogPool:
    return machine.pool


def test_a_volume_gets_the_identity_of_a_volume_of_another_pool() -> None:
    machine, identity = Machine(), bytes(range(16))
    volume = machine.pool.create_volume("mine", SIZE, {}, identity=identity)
    assert (volume.identity, machine.pool.public_identity(volume)) == (identity, identity)
    with pytest.raises(NameTaken, match="the volume 'mine' has the identity of the new one already"):
        machine.pool.create_volume("other", SIZE, {}, identity=identity)
    with pytest.raises(ValueError, match="has 16 bytes, not 15"):
        machine.pool.create_volume("other", SIZE, {}, identity=identity[1:])
    machine.pool.commit()
    machine.flush()
    machine.lose_power()
    assert machine.pool.volumes["mine"].identity == identity
    machine.pool.delete_volume("mine")
    assert machine.pool.create_volume("other", SIZE, {}, identity=identity).identity == identity


def test_a_new_volume_reads_as_zeros(machine: Machine) -> None:
    assert read(machine, machine.pool.volumes["a"], 0, SIZE) == bytes(SIZE * BLOCK_BYTES)


def test_a_write_is_read_before_and_after_commit(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    write(machine, volume, 10, [blocks(1, 2, 3)])
    assert read(machine, volume, 9, 5) == blocks(0, 1, 2, 3, 0)
    write(machine, volume, 11, [block(9)])
    machine.pool.commit()
    assert read(machine, volume, 9, 5) == blocks(0, 1, 9, 3, 0)
    assert read(machine, volume, 11, 1) == block(9)


@pytest.mark.parametrize("cuts", [[], [1], [4096], [4095], [1, 2, 3], [100, 5000, 8192, 9000], [4096, 8192, 12288]])
def test_data_may_be_cut_anywhere(machine: Machine, cuts: list[int]) -> None:
    data = blocks(1, 2, 3, 4)
    ends = [0, *cuts, len(data)]
    pieces = [memoryview(data)[start:end] for start, end in pairwise(ends)]
    volume = machine.pool.volumes["a"]
    write(machine, volume, 5, pieces)
    machine.pool.commit()
    assert read(machine, volume, 5, 4) == data


@pytest.mark.parametrize("count", [1, 29, 30, 31, 32, 61, 500, SIZE])
def test_a_write_may_be_longer_than_a_segment(machine: Machine, count: int) -> None:
    volume = machine.pool.volumes["a"]
    data = blocks(*range(1, count + 1))
    write(machine, volume, SIZE - count, [data])
    machine.pool.commit()
    assert read(machine, volume, SIZE - count, count) == data


def test_many_writes_in_one_commit(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    for at in range(SIZE):
        write(machine, volume, at, [block(at + 1)])
    machine.pool.commit()
    assert read(machine, volume, 0, SIZE) == blocks(*range(1, SIZE + 1))


def test_unmapped_blocks_are_holes(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    write(machine, volume, 0, [blocks(*range(1, 101))])
    volume.unmap(10, 80)
    machine.pool.commit()
    assert read(machine, volume, 9, 3) == blocks(10, 0, 0)
    assert list(volume.extents(0)) == [(0, 10, True), (10, 80, False), (90, 10, True), (100, SIZE - 100, False)]
    assert list(volume.extents(50)) == [(50, 40, False), (90, 10, True), (100, SIZE - 100, False)]


def test_a_frozen_map_keeps_the_moment(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    write(machine, volume, 0, [blocks(1, 2, 3)])
    frozen = volume.freeze()
    write(machine, volume, 1, [block(9)])
    assert read(machine, frozen, 0, 4) == blocks(1, 2, 3, 0)
    assert read(machine, volume, 0, 4) == blocks(1, 9, 3, 0)
    assert frozen.size_blocks == SIZE
    assert machine.pool.frozen_maps[frozen.identifier] is frozen


def test_copies_share_the_data_of_the_moment(machine: Machine) -> None:
    source, destination = machine.pool.volumes["a"], machine.pool.volumes["b"]
    write(machine, source, 0, [blocks(1, 2, 3)])
    frozen = source.freeze()
    write(machine, source, 0, [blocks(7, 8, 9)])
    write(machine, destination, 100, [blocks(4, 4, 4, 4)])
    machine.pool.commit()
    used = machine.pool.log.written_blocks
    destination.copy_from(frozen, 1, 100, 3)
    destination.copy_from(frozen, 0, SIZE - 1, 1)
    source.copy_from(frozen, 0, 1, 2)
    frozen.release()
    machine.pool.commit()
    assert machine.pool.log.written_blocks - used == 1, "no data was copied"
    assert read(machine, destination, 99, 5) == blocks(0, 2, 3, 0, 4)
    assert read(machine, destination, SIZE - 1, 1) == block(1)
    assert read(machine, source, 0, 3) == blocks(7, 1, 2)


def test_a_read_that_waits_has_the_data_of_the_call(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    write(machine, volume, 0, [blocks(1, 2)])
    reading = volume.read(0, 2)
    write(machine, volume, 0, [blocks(8, 9)])
    machine.pool.commit()
    assert b"".join(machine.environment.run(reading)) == blocks(1, 2)


def test_a_released_frozen_map_is_gone(machine: Machine, pool: LogPool) -> None:
    frozen = pool.volumes["a"].freeze()
    frozen.release()
    frozen.release()
    assert frozen.identifier not in pool.frozen_maps
    with pytest.raises(StoreError, match="beyond the end"):
        frozen.read_now(0, 1)
    with pytest.raises(StoreError, match="released"):
        pool.volumes["b"].copy_from(frozen, 0, 0, 1)


def test_frozen_maps_of_another_pool_are_refused(pool: LogPool) -> None:
    other = Machine().pool
    other.create_volume("a", SIZE, {})
    with pytest.raises(StoreError, match="another pool"):
        pool.volumes["a"].copy_from(other.volumes["a"].freeze(), 0, 0, 1)


def test_identifiers_are_never_used_again(machine: Machine) -> None:
    seen = []
    for _ in range(3):
        volume = machine.pool.volumes["a"]
        seen += [volume.freeze().identifier, volume.freeze(durable=True).identifier]
        machine.close()
        machine.open()
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(("at", "count"), [(-1, 1), (0, SIZE + 1), (SIZE, 1), (SIZE - 1, 2), (1 << 60, 1), (0, -1)])
def test_ranges_beyond_the_end_are_refused(machine: Machine, at: int, count: int) -> None:
    volume = machine.pool.volumes["a"]
    frozen = volume.freeze()
    for source in (volume, frozen):
        with pytest.raises(StoreError, match="beyond the end"):
            source.read_now(at, count)
        with pytest.raises(StoreError, match="beyond the end"):
            source.read(at, count)
    with pytest.raises(StoreError, match="beyond the end"):
        volume.unmap(at, count)
    with pytest.raises(StoreError, match="beyond the end"):
        volume.copy_from(frozen, at, 0, count)
    with pytest.raises(StoreError, match="beyond the end"):
        volume.copy_from(frozen, 0, at, count)
    if count > 0:
        with pytest.raises(StoreError, match="beyond the end"):
            write(machine, volume, at, [bytes(count * BLOCK_BYTES)])


def test_empty_ranges_do_nothing(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    osn = machine.pool.log.next_osn
    write(machine, volume, 0, [])
    write(machine, volume, 0, [b""])
    volume.unmap(0, 0)
    assert volume.read_now(SIZE, 0) == []
    assert read(machine, volume, 0, 0) == b""
    assert machine.pool.log.next_osn == osn


@pytest.mark.parametrize("size_bytes", [1, 4095, 4097])
def test_a_write_of_parts_of_blocks_is_refused(pool: LogPool, size_bytes: int) -> None:
    with pytest.raises(StoreError, match="whole blocks"):
        pool.volumes["a"].write(0, [bytes(size_bytes)])


def test_changes_are_told_before_they_take_effect(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    frozen = volume.freeze()
    told: list[tuple[int, int, bytes]] = []
    volume.on_change.append(lambda at, count: told.append((at, count, read(machine, volume, 5, 1))))
    write(machine, volume, 5, [block(1)])
    volume.unmap(4, 3)
    volume.copy_from(frozen, 0, 2, 9)
    assert told == [(5, 1, block(0)), (4, 3, block(1)), (2, 9, block(0))]


def test_volumes_keep_what_they_were_made_with(machine: Machine) -> None:
    identities = {name: volume.identity for name, volume in machine.pool.volumes.items()}
    assert len(set(identities.values())) == 2
    machine.close()
    volumes = machine.open().volumes
    assert {name: volume.identity for name, volume in volumes.items()} == identities
    assert volumes["a"].attributes == {"lun": "0"}
    assert (volumes["a"].name, volumes["a"].size_blocks) == ("a", SIZE)


def test_names_are_unique(pool: LogPool) -> None:
    with pytest.raises(StoreError, match="already"):
        pool.create_volume("a", 1, {})


def test_volumes_can_be_deleted_and_made_again(machine: Machine, pool: LogPool) -> None:
    old = machine.pool.volumes["a"]
    old.write(0, [block(1)])
    frozen = old.freeze()
    pool.delete_volume("a")
    assert read(machine, frozen, 0, 1) == block(1)
    for use in (lambda: old.write(0, [block(1)]), lambda: old.read_now(0, 1), lambda: old.unmap(0, 1)):
        with pytest.raises(StoreError, match="beyond the end"):
            use()
    with pytest.raises(StoreError, match="deleted"):
        old.freeze()
    new = pool.create_volume("a", SIZE, {})
    assert new.identity != old.identity
    assert read(machine, new, 0, 1) == block(0)
    with pytest.raises(StoreError, match="no volume"):
        pool.delete_volume("c")


def test_volumes_can_be_resized(machine: Machine, pool: LogPool) -> None:
    volume = pool.create_volume("c", 10, {})
    write(machine, volume, 0, [blocks(*range(1, 11))])
    volume.resize(5000)
    write(machine, volume, 4999, [block(5)])
    volume.resize(3)
    volume.resize(6)
    machine.kill()
    assert machine.pool.volumes.get("c") is None, "nothing was committed"
    volume = machine.pool.create_volume("c", 10, {})
    write(machine, volume, 0, [blocks(*range(1, 11))])
    volume.resize(3)
    volume.resize(6)
    machine.pool.commit()
    machine.kill()
    assert read(machine, machine.pool.volumes["c"], 0, 6) == blocks(1, 2, 3, 0, 0, 0)


@pytest.mark.parametrize("size_blocks", [-1, 0, MAX_SIZE_BLOCKS + 1])
def test_impossible_sizes_are_refused(pool: LogPool, size_blocks: int) -> None:
    with pytest.raises(StoreError, match="not within"):
        pool.create_volume("c", size_blocks, {})


def test_the_largest_volume_can_be_made(machine: Machine) -> None:
    volume = machine.pool.create_volume("c", MAX_SIZE_BLOCKS, {})
    write(machine, volume, MAX_SIZE_BLOCKS - 1, [block(3)])
    assert read(machine, volume, MAX_SIZE_BLOCKS - 2, 2) == blocks(0, 3)


def test_remembered_values(machine: Machine, pool: LogPool) -> None:
    pool.remember("token/2", b"two")
    pool.remember("token/1", b"one")
    pool.remember("other", b"")
    pool.remember("token/2", b"zwei")
    pool.forget("absent")
    assert (pool.remembered("token/2"), pool.remembered("other"), pool.remembered("absent")) == (b"zwei", b"", None)
    assert pool.remembered_keys("token/") == ["token/1", "token/2"]
    pool.forget("token/1")
    pool.commit()
    again = machine.kill()
    assert again.remembered_keys("") == ["other", "token/2"]
    assert again.remembered("token/2") == b"zwei"


def test_limits_of_what_is_remembered(machine: Machine, pool: LogPool) -> None:
    pool.remember("k" * MAX_KEY_BYTES, bytes(MAX_VALUE_BYTES))
    pool.create_volume("n" * MAX_NAME_BYTES, 1, {"key": "v" * (MAX_ATTRIBUTES_BYTES - 7)})
    for refused in (
        lambda: pool.remember("k" * (MAX_KEY_BYTES + 1), b""),
        lambda: pool.remember("key", bytes(MAX_VALUE_BYTES + 1)),
        lambda: pool.create_volume("n" * (MAX_NAME_BYTES + 1), 1, {}),
        lambda: pool.create_volume("name", 1, {"key": "v" * (MAX_ATTRIBUTES_BYTES - 6)}),
    ):
        with pytest.raises(StoreError, match="over the limit"):
            refused()
    with pytest.raises(StoreError, match="Unicode"):
        pool.remember("\ud800", b"")
    pool.commit()
    again = machine.kill()
    assert again.remembered("k" * MAX_KEY_BYTES) == bytes(MAX_VALUE_BYTES)
    assert again.volumes["n" * MAX_NAME_BYTES].attributes == {"key": "v" * (MAX_ATTRIBUTES_BYTES - 7)}


def test_only_durable_frozen_maps_are_found_again(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    write(machine, volume, 0, [block(1)])
    kept, lost = volume.freeze(durable=True), volume.freeze()
    write(machine, volume, 0, [block(2)])
    for again in (machine.kill, machine.kill, machine.reopen, machine.reopen):
        machine.pool.commit()
        pool = again()
        assert set(pool.frozen_maps) == {kept.identifier}
        assert read(machine, pool.frozen_maps[kept.identifier], 0, 1) == block(1)
    assert lost.identifier not in machine.pool.frozen_maps


def test_a_commit_of_nothing_writes_nothing(machine: Machine) -> None:
    machine.pool.commit()
    operations = machine.disk.operations
    machine.pool.commit()
    assert machine.disk.operations == operations


def test_flushes_made_together_share_one_sync(machine: Machine) -> None:
    machine.flush()
    volume = machine.pool.volumes["a"]
    syncs = []
    real = machine.disk.sync
    machine.disk.sync = lambda folder, file: (syncs.append(file), real(folder, file))[1]  # type: ignore[method-assign]
    tasks = []
    for at in range(5):
        write(machine, volume, at, [block(at)])
        machine.pool.commit()
        tasks.append(machine.environment.spawn(machine.pool.flush()))
    machine.environment.settle()
    assert all(task.done for task in tasks)
    assert len(syncs) == 1
    machine.flush()
    assert len(syncs) == 1, "nothing was left to sync"


def test_a_flush_that_comes_late_waits_for_the_next_sync(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    write(machine, volume, 0, [block(1)])
    machine.pool.commit()
    first = machine.environment.spawn(machine.pool.flush())
    machine.environment._step(machine.environment._runnable.popleft())
    write(machine, volume, 1, [block(2)])
    machine.pool.commit()
    machine.flush()
    assert first.done
    machine.lose_power()
    assert read(machine, machine.pool.volumes["a"], 0, 2) == blocks(1, 2)


def test_closing_twice_does_nothing(machine: Machine) -> None:
    machine.close()
    operations = machine.disk.operations
    machine.close()
    assert machine.disk.operations == operations


def test_a_closed_pool_takes_no_writes(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    machine.close()
    with pytest.raises(StoreError, match="closed"):
        write(machine, volume, 0, [block(1)])


def test_a_clean_start_replays_nothing(machine: Machine) -> None:
    write(machine, machine.pool.volumes["a"], 0, [blocks(*range(100))])
    machine.close()
    assert machine.open().log.written_blocks == 0


def test_checkpoints_bound_what_is_replayed() -> None:
    machine = Machine(PoolOptions(segment_blocks=32, checkpoint_blocks=40))
    volume = machine.pool.create_volume("a", SIZE, {})
    for at in range(500):
        write(machine, volume, at, [block(at)])
        machine.pool.commit()
        machine.environment.settle()
    assert machine.kill().log.written_blocks <= 50
    assert read(machine, machine.pool.volumes["a"], 0, 500) == blocks(*range(500))


def test_a_log_that_is_long_already_is_checkpointed_at_the_start() -> None:
    machine = Machine(PoolOptions(segment_blocks=32, checkpoint_blocks=10_000))
    write(machine, machine.pool.create_volume("a", SIZE, {}), 0, [blocks(*range(100))])
    machine.pool.commit()
    assert machine.kill().log.written_blocks > 100
    machine.options = PoolOptions(segment_blocks=32, checkpoint_blocks=40)
    machine.kill()
    machine.environment.settle()
    assert machine.kill().log.written_blocks == 0


@pytest.mark.parametrize("segment_blocks", [31, 16385])
def test_impossible_segments_are_refused(segment_blocks: int) -> None:
    with pytest.raises(StoreError, match="32 to 16384"):
        Machine(PoolOptions(segment_blocks=segment_blocks))


async def use(pool: LogPool) -> None:
    volume = pool.create_volume("a", 100, {})
    volume.write(3, [block(5)])
    pool.commit()
    await pool.flush()
    assert b"".join(await volume.read(2, 3)) == blocks(0, 5, 0)
    await pool.close()


def test_a_pool_in_memory() -> None:
    environment = VirtualEnvironment()
    environment.run(use(environment.run(open_memory_pool(environment))))


def test_a_commit_lets_go_of_the_buffers(pool: LogPool) -> None:
    buffer = bytearray(blocks(1, 2))
    pool.volumes["a"].write(0, [memoryview(buffer)[:BLOCK_BYTES]])
    pool.volumes["a"].write(0, [memoryview(buffer)])
    pool.commit()
    buffer.extend(b"grows")  # Raises BufferError if the pool still holds a view of the buffer.


def test_a_copy_that_takes_long_is_done_in_pieces_that_tell_how_far_they_came() -> None:
    """If entries must be copied one by one, each call copies as many leaves as a turn of the loop allows."""
    machine = Machine(PoolOptions())
    source = machine.pool.create_volume("source", 1 << 30, {})
    target = machine.pool.create_volume("target", 1 << 30, {})
    far = (1 << 30) - 5000
    for at in [*range(0, 50 * LEAF_BLOCKS, 512), far]:
        source.write(at, [block(1 + at % 200)])
        machine.pool.commit()
    frozen = source.freeze()
    turns, done, pieces = machine.environment.turns, 0, []
    while done < frozen.size_blocks - 1:
        turns.left = turns.of_a_turn
        pieces.append(target.copy_from(frozen, done, done + 1, frozen.size_blocks - 1 - done))
        assert turns.left > -turns.of_a_turn
        done += pieces[-1]
    assert [bool(piece) for piece in pieces] == [True, True]
    assert merged_extents(target) == [(first + 1, count, mapped) for first, count, mapped in merged_extents(frozen)]
    assert target.copy_from(frozen, 0, LEAF_BLOCKS, (1 << 30) - LEAF_BLOCKS) == (1 << 30) - LEAF_BLOCKS


def merged_extents(volume: BlockSource) -> list[tuple[int, int, bool]]:
    """Return the extents of all blocks, with adjacent extents of the same kind merged."""
    return [extent for extent in volume.extents(0) if extent[2]]


def test_a_checkpoint_contains_no_write_that_is_not_durable() -> None:
    for seed in range(8):
        machine = Machine(seed=seed)
        volume = machine.pool.create_volume("a", SIZE, {})
        machine.pool.commit()
        machine.flush()
        saving = machine.environment.spawn(machine.pool.checkpoint())
        machine.environment.step()
        assert not saving.done
        volume.write(0, [block(1)])
        machine.environment.settle()
        assert saving.done
        machine.lose_power()
        assert read(machine, machine.pool.volumes["a"], 0, 1) in (blocks(0), blocks(1))
