"""Digests of frozen maps equal those of a naive computation, depend on the content alone, and are kept on the nodes."""

import errno
from random import Random
from typing import NoReturn

import numpy as np
import pytest
from tests.naive_digests import NaiveTree
from tests.sim.virtual_environment import VirtualTask
from tests.store.cleaning.cleaned_pools import Modelled, machine_with
from tests.store.pool_model import RANDOM, block_of
from tests.store.pools import Machine, when_ready, write

from odx_target.store.api import BLOCK_BYTES, Absent, DamagedBlock, DigestTree, OutOfResources, StoreError, Unreadable, Volume
from odx_target.store.digests import digester, gathering, segment_numbers, table_rows
from odx_target.store.map.leaf import LEAF_BLOCKS
from odx_target.store.map.lost_blocks import with_lost
from odx_target.store.open import PoolOptions
from odx_target.store.segments.places import located
from odx_target.store.segments.segment import PLACE_BITS, Segment
from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, LZ4, OFF, ZSTANDARD

SIZE = 5 * LEAF_BLOCKS + 100
OPTIONS = PoolOptions(segment_blocks=512, cleaning=False)


def digest_of(machine: Machine, tree: DigestTree) -> bytes:
    return machine.environment.run(tree.digest())


class Written:
    """A volume and the values of its blocks."""

    def __init__(self, seed: int, compression: str = OFF, options: PoolOptions = OPTIONS, size_blocks: int = SIZE) -> None:
        self.random = Random(seed)
        self.machine = Machine(options, seed)
        self.volume = self.machine.pool.create_volume("a", size_blocks, {COMPRESSION_ATTRIBUTE: compression})
        self.values: dict[int, int] = {}

    def put(self, at: int, values: list[int]) -> None:
        write(self.machine, self.volume, at, [b"".join(map(block_of, values))])
        self.values |= dict(enumerate(values, at))

    def change(self) -> None:
        at = self.random.randrange(self.volume.size_blocks - 40)
        count = self.random.choice([1, 1, 3, 16, 40])
        if self.random.random() < 0.2:
            when_ready(self.machine.environment, lambda: self.volume.unmap(at, count))
            for block in range(at, at + count):
                self.values.pop(block, None)
        else:
            kind = self.random.choice([0, RANDOM])
            self.put(at, [self.random.randrange(1 << 30) + kind for _ in range(count)])
        if self.random.random() < 0.5:
            self.machine.pool.commit()

    def naive(self) -> NaiveTree:
        return NaiveTree(self.volume.size_blocks, {block: block_of(value) for block, value in self.values.items()})


@pytest.mark.parametrize("compression", [OFF, LZ4, ZSTANDARD])
@pytest.mark.parametrize("seed", range(3))
def test_each_digest_is_that_of_the_definition(seed: int, compression: str) -> None:
    written = Written(seed, compression)
    for _ in range(4):
        for _ in range(30):
            written.change()
        frozen, naive = written.volume.freeze(), written.naive()
        assert digest_of(written.machine, frozen) == naive.root()
        for level, index in [(1, 0), *((0, index) for index in range(6))]:
            found = written.machine.environment.run(frozen.digests_below(level, index))
            assert (found.level, found.index, found.lost) == (level, index, ())
            assert found.values == naive.below(level, index)


@pytest.mark.parametrize("level", [1, 2])
def test_a_map_of_holes(level: int) -> None:
    written = Written(0, size_blocks=LEAF_BLOCKS ** (level + 1))
    assert digest_of(written.machine, written.volume.freeze()) == written.naive().root()
    written.put(7, [0])  # Zeros that were written are the same content as a hole.
    assert digest_of(written.machine, written.volume.freeze()) == written.naive().root()


def test_the_depth_and_the_way_of_the_content_do_not_matter() -> None:
    plain, other = Written(1, size_blocks=3 * LEAF_BLOCKS), Written(2, LZ4, size_blocks=LEAF_BLOCKS**2 + 1)
    values = [value + 1 for value in range(300)]
    plain.put(50, values)
    other.put(2 * LEAF_BLOCKS**2 // 2, [9])
    for at, value in reversed(list(enumerate(values, 50))):
        other.put(at, [value])
    other.volume.resize(3 * LEAF_BLOCKS)
    assert other.volume.block_map.levels > plain.volume.block_map.levels
    found = digest_of(other.machine, other.volume.freeze())
    assert found == digest_of(plain.machine, plain.volume.freeze()) == plain.naive().root()
    plain.put(0, [5])
    assert digest_of(plain.machine, plain.volume.freeze()) != found


def test_a_large_map_with_few_blocks() -> None:
    written = Written(3, size_blocks=LEAF_BLOCKS**3 - 5)
    for at in (0, LEAF_BLOCKS**2 - 1, LEAF_BLOCKS**2, LEAF_BLOCKS**3 - 6):
        written.put(at, [at + 1])
    frozen, naive = written.volume.freeze(), written.naive()
    assert digest_of(written.machine, frozen) == naive.root()
    run = written.machine.environment.run
    for level, index in [(2, 0), (1, 1), (1, 5), (0, LEAF_BLOCKS - 1), (0, 3), (0, LEAF_BLOCKS**2 - 1)]:
        assert run(frozen.digests_below(level, index)).values == naive.below(level, index)


@pytest.mark.parametrize(("level", "index"), [(2, 0), (-1, 0), (1, 1), (1, -1), (0, 6), (0, -1)])
def test_nodes_that_do_not_exist(level: int, index: int) -> None:
    written = Written(0)
    with pytest.raises(StoreError):
        written.machine.environment.run(written.volume.freeze().digests_below(level, index))


def test_a_released_map_has_no_digest() -> None:
    written = Written(0)
    frozen, snapshot = written.volume.freeze(), written.volume.snapshot("s")
    frozen.release()
    snapshot.delete()
    for tree in (frozen, snapshot):
        for call in (tree.digest, lambda tree=tree: tree.digests_below(1, 0)):
            with pytest.raises(Absent):
                written.machine.environment.run(call())


def test_a_map_that_is_released_meanwhile_has_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """No map protects the data any more, so the cleaner may free it, and the checkpoint may drop the leaves."""
    monkeypatch.setattr(digester, "LEAVES_OF_A_GROUP", 1)
    written = Written(0, options=PoolOptions(segment_blocks=512, cleaning=False, map_memory_bytes=1))
    for at in range(0, 5 * LEAF_BLOCKS, LEAF_BLOCKS):
        written.put(at, [at + 1])
    frozen = written.volume.freeze()
    written.machine.checkpoint()
    written.machine.environment.settle()
    task: VirtualTask = written.machine.environment.spawn(frozen.digest())
    for _ in range(4):
        written.machine.environment.step()
    assert not task.done
    written.volume.unmap(0, SIZE)
    frozen.release()
    troubles: list[object] = []
    written.machine.pool.on_trouble.append(troubles.append)
    written.machine.checkpoint()
    written.machine.environment.settle()
    with pytest.raises(Absent):
        task.value()
    assert troubles == []


def test_a_leaf_with_lost_blocks_is_like_no_other() -> None:
    written = Written(0)
    written.put(0, list(range(1, 50)))
    frozen = written.volume.freeze()
    lost = [*range(3, 7), LEAF_BLOCKS - 1, LEAF_BLOCKS]
    frozen._map = with_lost(frozen._map, [(3, 4), (LEAF_BLOCKS - 1, 2)])  # type: ignore[attr-defined]
    content = {block: block_of(value) for block, value in written.values.items() if block not in lost}
    naive = NaiveTree(SIZE, content, lost)
    run = written.machine.environment.run
    assert digest_of(written.machine, frozen) == naive.root()
    assert run(frozen.digests_below(0, 0)).lost == naive.lost_in(0) == (3, 4, 5, 6, LEAF_BLOCKS - 1)
    assert run(frozen.digests_below(0, 0)).values == naive.below(0, 0)
    assert run(frozen.digests_below(0, 1)).lost == (0,)


def test_blocks_of_a_missing_segment_are_lost() -> None:
    written = Written(0)
    written.put(0, [1, 2, 3])
    written.machine.pool.commit()
    frozen = written.volume.freeze()
    for number in list(written.machine.pool.supply.segments):
        del written.machine.pool.supply.segments[number]
    assert digest_of(written.machine, frozen) == NaiveTree(SIZE, {}, [0, 1, 2]).root()


def test_a_damaged_extent_is_lost_and_plain_damage_keeps_its_checksums() -> None:
    for compression, lost in ((OFF, ()), (LZ4, range(16))):
        written = Written(0, compression)
        written.put(0, list(range(1, 17)))
        written.machine.pool.commit()
        segment, at, *_ = located(written.volume.block_map.place(0))
        written.machine.disk.files[segment].content[at * BLOCK_BYTES + 100] ^= 4
        content = {block: block_of(value) for block, value in written.values.items() if block not in lost}
        assert digest_of(written.machine, written.volume.freeze()) == NaiveTree(SIZE, content, lost).root()


# Kept digests


class Counted:
    """Counts the leaves whose digests are computed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.leaves = 0
        real = digester.digests_of_leaves

        def counted(gatherer, leaves, view):  # type: ignore[no-untyped-def]
            self.leaves += len(leaves)
            return real(gatherer, leaves, view)

        monkeypatch.setattr(digester, "digests_of_leaves", counted)

    def since(self) -> int:
        count, self.leaves = self.leaves, 0
        return count


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def test_a_later_snapshot_costs_only_what_has_changed(counted: Counted) -> None:
    written = Written(0)
    for at in range(0, 5 * LEAF_BLOCKS, LEAF_BLOCKS):
        written.put(at, [at + 1])
    digest_of(written.machine, written.volume.freeze())
    assert counted.since() == 5
    written.put(2 * LEAF_BLOCKS, [77])
    again = written.volume.freeze()
    assert digest_of(written.machine, again) == written.naive().root()
    assert counted.since() == 1
    assert digest_of(written.machine, written.volume.snapshot("s")) == written.naive().root()
    clone = written.machine.pool.create_volume("b", SIZE, {}, again)
    assert digest_of(written.machine, clone.freeze()) == written.naive().root()
    assert counted.since() == 0


def test_a_shared_leaf_is_computed_once(counted: Counted) -> None:
    written = Written(0, size_blocks=LEAF_BLOCKS**2)
    written.put(0, list(range(1, 65)))
    frozen = written.volume.freeze()
    for leaf in range(1, 50):
        written.volume.copy_from(frozen, 0, leaf * LEAF_BLOCKS, LEAF_BLOCKS)
        written.values |= {leaf * LEAF_BLOCKS + at: at + 1 for at in range(64)}
    assert digest_of(written.machine, written.volume.freeze()) == written.naive().root()
    assert counted.since() == 1


def test_a_cancelled_digest_continues(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digester, "LEAVES_OF_A_GROUP", 2)
    written = Written(0)
    for at in range(0, 5 * LEAF_BLOCKS, LEAF_BLOCKS):
        written.put(at, [at + 1])
    frozen = written.volume.freeze()
    task = written.machine.environment.spawn(frozen.digest())
    while counted.leaves < 4:
        written.machine.environment.step()
    written.machine.environment.cancel([task])
    written.machine.environment.settle()
    assert task.done
    done = counted.since()
    assert done < 6
    assert digest_of(written.machine, frozen) == written.naive().root()
    assert counted.since() <= 5 - done + 2


def test_digests_outlive_dropped_entries_and_are_computed_again_after_a_restart(counted: Counted) -> None:
    written = Written(0, options=PoolOptions(segment_blocks=512, cleaning=False, map_memory_bytes=1))
    for at in range(0, 5 * LEAF_BLOCKS, LEAF_BLOCKS):
        written.put(at, [at + 1])
    frozen = written.volume.freeze(durable=True)
    written.machine.checkpoint()
    written.machine.environment.settle()
    leaves = [leaf for _, leaf in frozen._map.leaves()]  # type: ignore[attr-defined]
    assert not any(leaf.entries for leaf in leaves)
    expected = written.naive().root()
    assert digest_of(written.machine, frozen) == expected
    assert counted.since() == 5
    assert not any(leaf.entries for leaf in leaves)
    assert digest_of(written.machine, frozen) == expected
    assert counted.since() == 0
    written.machine.reopen()
    assert digest_of(written.machine, written.machine.pool.frozen_maps[frozen.identifier]) == expected
    assert counted.since() == 5


def test_two_callers_at_once(counted: Counted) -> None:
    written = Written(0, ZSTANDARD)
    for _ in range(60):
        written.change()
    frozen, other = written.volume.freeze(), written.volume.snapshot("s")
    tasks = [written.machine.environment.spawn(tree.digest()) for tree in (frozen, other, frozen)]
    written.machine.environment.settle()
    assert {task.value() for task in tasks} == {written.naive().root()}


def few_rows(monkeypatch: pytest.MonkeyPatch, max_rows: int) -> None:
    for module in (gathering, table_rows):
        monkeypatch.setattr(module, "MAX_ROWS", max_rows)
    for module in (gathering, segment_numbers):
        monkeypatch.setattr(module, "PIECE_LEAVES", 1)


@pytest.mark.parametrize("max_rows", [3, 12, 1024])
def test_more_segments_than_rows(max_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    few_rows(monkeypatch, max_rows)
    written = Written(5, options=PoolOptions(segment_blocks=32, cleaning=False))
    for _ in range(5):
        for _ in range(20):
            written.change()
        assert digest_of(written.machine, written.volume.freeze()) == written.naive().root()
    assert len(written.machine.pool.supply.segments) > 10


def test_tables_that_grow_during_a_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The segment that is being filled gets further blocks between two groups of leaves."""
    monkeypatch.setattr(digester, "LEAVES_OF_A_GROUP", 1)
    written = Written(6)
    for at in range(0, 5 * LEAF_BLOCKS, LEAF_BLOCKS):
        written.put(at, [at + 1])
    first = written.volume.freeze()
    task = written.machine.environment.spawn(first.digest())
    expected = written.naive().root()
    later: list[tuple[VirtualTask, bytes]] = []
    while not task.done and len(later) < 8:
        written.machine.environment.step()
        written.put(written.random.randrange(SIZE), [written.random.randrange(1 << 30)])
        later.append((written.machine.environment.spawn(written.volume.freeze().digest()), written.naive().root()))
    written.machine.environment.settle()
    assert task.value() == expected
    assert [each.value() for each, _ in later] == [root for _, root in later]


# Faults


@pytest.mark.parametrize(
    ("number", "error"), [(errno.EIO, Unreadable), (errno.ENOMEM, OutOfResources), (errno.ENODATA, DamagedBlock)]
)
def test_tables_that_cannot_be_read(number: int, error: type[StoreError], monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(0)
    written.put(0, [1])
    frozen = written.volume.freeze(durable=True)
    machine = written.machine
    machine.reopen()
    frozen = machine.pool.frozen_maps[frozen.identifier]
    segment = type(next(iter(machine.pool.supply.segments.values())))

    def fail(self: Segment, block: int, count_blocks: int) -> bytearray:
        raise OSError(number, "a fault of the disk")

    with monkeypatch.context() as patch:
        patch.setattr(segment, "read", fail)
        with pytest.raises(error):
            digest_of(machine, frozen)
    assert digest_of(machine, frozen) == written.naive().root()


def test_tables_that_cannot_be_read_are_read_again_by_the_next_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two callers share the copies of the tables. The failure of one caller must not leave an empty copy to the other."""
    written = Written(0)
    written.put(0, [1, 2, 3])
    frozen = written.volume.freeze(durable=True)
    machine = written.machine
    machine.reopen()
    frozen = machine.pool.frozen_maps[frozen.identifier]
    segment = type(next(iter(machine.pool.supply.segments.values())))
    real, calls = segment.read, []

    def fail_once(self: Segment, block: int, count_blocks: int) -> bytearray:
        calls.append(block)
        if len(calls) == 1:
            raise OSError(errno.EIO, "a fault of the disk")
        return real(self, block, count_blocks)

    monkeypatch.setattr(segment, "read", fail_once)
    tasks = [machine.environment.spawn(frozen.digest()) for _ in range(2)]
    machine.environment.settle()
    with pytest.raises(Unreadable):
        tasks[0].value()
    assert tasks[1].value() == written.naive().root()


def test_after_a_lack_of_memory_no_segment_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(0)
    written.put(0, list(range(1, 40)))
    written.machine.pool.commit()
    pool, environment = written.machine.pool, written.machine.environment
    view = pool._ledger.digester._view()
    rows = table_rows.TableRows(pool.reader._index)
    rows.begin(view, segment_numbers.SegmentNumbers(view.segments))
    numbers = list(view.segments)

    def lack(*_arguments: object, **_options: object) -> NoReturn:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(table_rows.np, "empty", lack)
        with pytest.raises(MemoryError):
            environment.run(environment.in_thread(rows.load, numbers))
    assert not rows._are_present(numbers[0], numbers[0])
    environment.run(environment.in_thread(rows.load, numbers))
    assert rows._are_present(numbers[0], numbers[0])


@pytest.mark.parametrize("numbers", [[1], [2, 3], [5, 2]])
def test_the_tables_of_two_adjacent_segments_are_loaded_at_once(numbers: list[int]) -> None:
    """No other table is loaded, because a segment that is not needed may be unreadable."""
    written = Written(0, options=PoolOptions(segment_blocks=32, cleaning=False))
    for start in range(1, 201, 20):
        written.put(start, list(range(start, start + 20)))
        written.machine.pool.commit()
    pool, environment = written.machine.pool, written.machine.environment
    view = pool._ledger.digester._view()
    rows = table_rows.TableRows(pool.reader._index)
    rows.begin(view, segment_numbers.SegmentNumbers(view.segments))
    first, last = min(numbers), max(numbers)
    places = np.array([0, *(number << PLACE_BITS for number in numbers)], dtype=np.int64)
    is_near = last - first < 2
    assert environment.run(environment.in_thread(rows.provide, places)) is is_near
    assert [number for number in view.segments if rows._are_present(number, number)] == (sorted(numbers) if is_near else [])


@pytest.mark.parametrize("number", [0, 999])
def test_the_table_of_a_segment_that_does_not_exist_is_not_loaded(number: int) -> None:
    written = Written(0)
    written.put(0, list(range(1, 200)))
    written.machine.pool.commit()
    view = written.machine.pool._ledger.digester._view()
    rows = table_rows.TableRows(written.machine.pool.reader._index)
    rows.begin(view, segment_numbers.SegmentNumbers(view.segments))
    assert not rows.provide(np.array([(number << PLACE_BITS) + 1], dtype=np.int64))


def test_a_batch_that_could_not_be_written() -> None:
    written = Written(0, LZ4)
    written.put(0, list(range(1, 40)))
    disk = written.machine.disk
    disk.failing.add("write")
    disk.error_number = errno.ENOMEM
    assert digest_of(written.machine, written.volume.freeze()) == written.naive().root()
    disk.failing.clear()
    assert digest_of(written.machine, written.volume.freeze()) == written.naive().root()


# The cleaner


@pytest.mark.parametrize(("seed", "max_rows"), [(0, 1024), (1, 1024), (2, 20), (3, 4)])
def test_the_cleaner_changes_no_digest(seed: int, max_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks move while digests are computed, and segments are freed. Kept digests and new digests are right."""
    few_rows(monkeypatch, max_rows)
    machine = machine_with(limit_segments=None, map_memory_bytes=1)
    random = Random(seed)
    model = Modelled(machine, 2000)
    model.fill()
    snapshot = model.volume.snapshot("s")
    first = NaiveTree(2000, {at: block_of(value) for at, value in enumerate(model.values) if value})
    assert digest_of(machine, snapshot) == first.root()
    for _ in range(8):
        model.write_at_random(random, 400)
        frozen, values = model.volume.freeze(), list(model.values)
        task = machine.environment.spawn(frozen.digest())
        model.write_at_random(random, 200)
        machine.environment.settle()
        assert task.value() == NaiveTree(2000, {at: block_of(value) for at, value in enumerate(values) if value}).root()
        frozen.release()
    assert machine.pool.cleaner.mover.moved_blocks
    assert machine.pool.supply.freed
    assert digest_of(machine, snapshot) == first.root()
    forget(snapshot)
    assert digest_of(machine, snapshot) == first.root()


def forget(source: object) -> None:
    """Remove the kept digests of a map."""
    waiting = [source._map.root]  # type: ignore[attr-defined]
    while waiting:
        node = waiting.pop()
        node.digest = None
        waiting += node.nodes() if hasattr(node, "nodes") else []


def test_a_volume_keeps_no_digest() -> None:
    """Only frozen nodes have digests: a volume can change its own nodes."""
    assert not hasattr(Volume, "digest")
