"""A follower that replays the log into a second model has the contents of the pool, over cleaning, crashes and restarts."""

import errno
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from tests.sim.virtual_environment import VirtualEnvironment, VirtualTask
from tests.store.pools import Machine, block, write

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES, OutOfResources, StoreError
from odx_target.store.errors import LogFreed, LogUnreadable
from odx_target.store.log import follower as follower_module
from odx_target.store.log.followed import Followed
from odx_target.store.log.follower import PIECE_BLOCKS, Follower
from odx_target.store.log.records import Clone, Freeze, Unmap, VolumeCreated, Write
from odx_target.store.open import PoolOptions
from odx_target.store.segments.segment import Segment

SIZE = 300


class Replica:
    """A second model of one volume, which is built only from followed records."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self.frozen: dict[int, list[int]] = {}
        self.osn = 1

    def take(self, followed: Followed) -> None:
        assert followed.osn == self.osn
        self.osn += 1
        record = followed.record
        if isinstance(record, VolumeCreated):
            self.values = [0] * record.size_blocks
        elif isinstance(record, Write):
            assert followed.data is not None
            data = [followed.data[at : at + 8] for at in range(0, len(followed.data), BLOCK_BYTES)]
            self.values[record.block : record.block + record.count_blocks] = [int.from_bytes(each, "little") for each in data]
        elif isinstance(record, Unmap):
            self.values[record.block : record.block + record.count_blocks] = [0] * record.count_blocks
        elif isinstance(record, Freeze):
            self.frozen[record.frozen] = list(self.values)
        elif isinstance(record, Clone):
            source = self.frozen[record.frozen][record.source_block : record.source_block + record.count_blocks]
            self.values[record.block : record.block + record.count_blocks] = source


class FollowedMachine(Machine):
    """A machine with a replica of its volume."""

    def __init__(self, *, cleaning: bool = False) -> None:
        super().__init__(PoolOptions(segment_blocks=32, cleaning=cleaning, checkpoint_blocks=200))
        self.replica = Replica()
        self.truth = [0] * SIZE
        self.value = 0
        self.pool.create_volume("a", SIZE, {})
        self.follow()

    def follow(self) -> None:
        self.follower: Follower = self.pool.follow(self.replica.osn)
        self.task: VirtualTask = self.environment.spawn(replicate(self.follower, self.replica))

    def change(self, random: Random) -> None:
        volume = self.pool.volumes["a"]
        at, count = random.randrange(SIZE - 20), random.randint(1, 20)
        kind = random.choice(["write", "write", "write", "unmap", "copy"])
        self.environment.run(volume.load(0, SIZE))
        if kind == "write":
            values = list(range(self.value + 1, self.value + 1 + count))
            self.value += count
            write(self, volume, at, [b"".join(map(block, values))])
            self.truth[at : at + count] = values
        elif kind == "unmap":
            volume.unmap(at, count)
            self.truth[at : at + count] = [0] * count
        else:
            other = random.randrange(SIZE - 20)
            frozen = volume.freeze(durable=True)
            volume.copy_from(frozen, other, at, count)
            self.truth[at : at + count] = self.truth[other : other + count]
            frozen.release()
        self.pool.commit()
        self.environment.settle()

    def check(self) -> None:
        """Flush, and compare the replica with the truth."""
        self.flush()
        self.environment.settle()
        if self.task.done:
            self.task.value()
        assert self.replica.values == self.truth


async def replicate(follower: Follower, replica: Replica) -> None:
    async for followed in follower:
        replica.take(followed)


@pytest.mark.parametrize("cleaning", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_a_replica_equals_the_pool_at_each_flushed_point(seed: int, cleaning: bool) -> None:
    machine, random = FollowedMachine(cleaning=cleaning), Random(seed)
    for step in range(150):
        machine.change(random)
        if step % 10 == 9:
            machine.check()
        if step % 50 == 25:
            machine.follower.close()
            machine.environment.settle()
            assert machine.task.done
            machine.follow()
        if step % 50 == 40:
            machine.flush()
            if step == 90:
                machine.environment.settle()
                machine.close()
                assert machine.task.done
                machine.open()
            elif random.random() < 0.5:
                machine.lose_power()
            else:
                machine.kill()
            machine.follow()
    machine.check()


def test_nothing_is_followed_before_it_is_durable() -> None:
    machine = FollowedMachine()
    machine.pool.commit()
    machine.environment.settle()
    assert machine.replica.osn == 1
    machine.flush()
    machine.environment.settle()
    assert machine.replica.osn == 2


def test_an_early_follower_sees_records_as_soon_as_they_are_committed() -> None:
    machine = FollowedMachine()
    random, replica = Random(3), Replica()
    follower = machine.pool.follow(1, early=True)
    machine.environment.spawn(replicate(follower, replica))
    for _ in range(80):
        machine.change(random)
        assert replica.values == machine.truth
        assert replica.osn == machine.pool.log.next_osn
    assert machine.replica.osn < replica.osn
    follower.close()
    machine.change(random)
    assert machine.pool._flusher.on_written is None, "commits wake nobody any more"
    assert replica.osn < machine.pool.log.next_osn


def test_an_early_follower_does_not_wait_for_a_batch_that_cannot_be_written() -> None:
    machine = FollowedMachine()
    machine.pool.commit()
    follower = machine.pool.follow(machine.pool.log.next_osn, early=True)
    following = machine.environment.spawn(follower.__anext__())
    machine.disk.failing.add("write")
    machine.disk.error_number = errno.ENOSPC
    write(machine, machine.pool.volumes["a"], 0, [block(1)])
    with pytest.raises(StoreError):
        machine.pool.commit()
    machine.environment.settle()
    assert not following.done
    machine.disk.failing.clear()
    machine.pool.commit()
    machine.environment.settle()
    assert following.value().record == Write(1, 0, 1)


def test_the_last_record_of_a_commit_is_marked() -> None:
    machine = FollowedMachine()
    volume = machine.pool.volumes["a"]
    machine.pool.commit()
    follower = machine.pool.follow(machine.pool.log.next_osn, early=True)
    sizes = [1, 3, 60, 2]
    for count in sizes:
        for _ in range(count):
            write(machine, volume, 0, [block(1)])
        machine.pool.commit()
        machine.environment.settle()
    ends = [machine.environment.run(follower.__anext__()).ends_commit for _ in range(sum(sizes))]
    assert ends == [each == count for count in sizes for each in range(1, count + 1)]


def test_a_commit_returns_the_osn_up_to_which_a_flush_makes_records_followed() -> None:
    machine = FollowedMachine()
    osn = machine.pool.commit()
    assert machine.pool.commit() == osn
    machine.pool.volumes["a"].write(0, [block(1)])
    machine.pool.volumes["a"].write(1, [block(2)])
    assert machine.pool.commit() == osn + 2
    machine.flush()
    machine.environment.settle()
    assert machine.replica.osn == osn + 2


def test_a_follower_begins_at_any_record() -> None:
    machine = FollowedMachine()
    random = Random(1)
    for _ in range(60):
        machine.change(random)
    machine.check()
    for osn in range(1, machine.replica.osn + 1):
        follower = machine.pool.follow(osn)
        if osn < machine.replica.osn:
            assert machine.environment.run(follower.__anext__()).osn == osn
        follower.close()
    with pytest.raises(StoreError, match="cannot be followed from record"):
        machine.pool.follow(machine.pool.log.next_osn + 1)
    with pytest.raises(StoreError, match="cannot be followed from record"):
        machine.pool.follow(0)


def overwrite(machine: FollowedMachine, times: int) -> None:
    for _ in range(times):
        for at in range(0, 60, 20):
            write(machine, machine.pool.volumes["a"], at, [block(1) * 20])
            machine.pool.commit()
            machine.environment.settle()
    machine.flush()
    machine.environment.advance(1000)


def clean(machine: FollowedMachine) -> None:
    cleaner = machine.pool.cleaner
    cleaner._rest_until = float("-inf")
    cleaner._need._gained_nothing_at = None
    if not cleaner._is_at_work:
        cleaner._start()
    machine.environment.settle()
    machine.environment.advance(100)


def test_a_freed_record_is_named_and_a_needed_one_is_kept() -> None:
    machine = FollowedMachine(cleaning=True)
    slow = machine.pool.follow(1)
    overwrite(machine, 15)
    clean(machine)
    assert machine.replica.osn > 40
    assert 1 in machine.pool.supply.segments, "the slow follower needs it"
    assert machine.environment.run(slow.__anext__()).osn == 1
    slow.close()
    clean(machine)
    assert 1 not in machine.pool.supply.segments
    late = machine.pool.follow(1)
    with pytest.raises(LogFreed, match="record 1 has been freed"):
        machine.environment.run(late.__anext__())


def test_a_follower_keeps_only_some_segments() -> None:
    machine = FollowedMachine(cleaning=True)
    slow = machine.pool.follow(1)
    overwrite(machine, 45)
    clean(machine)
    assert 1 not in machine.pool.supply.segments
    with pytest.raises(LogFreed):
        machine.environment.run(slow.__anext__())


def test_a_slow_follower_takes_little_memory() -> None:
    machine = FollowedMachine()
    slow = machine.pool.follow(1)
    for at in range(0, 280, 20):
        for _ in range(5):
            write(machine, machine.pool.volumes["a"], at, [block(1) * 20])
            machine.pool.commit()
            machine.environment.settle()
    machine.flush()
    machine.environment.run(slow.__anext__())
    assert sum(len(each.data or b"") for each in slow._waiting) <= (PIECE_BLOCKS + 32) * BLOCK_BYTES


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, LogFreed),
        (errno.ENODATA, LogFreed),
        (errno.EBADMSG, LogFreed),
        (errno.EMFILE, OutOfResources),
        (errno.ENOMEM, OutOfResources),
        (errno.EINTR, OutOfResources),
        (errno.EIO, LogUnreadable),
        (errno.EACCES, LogUnreadable),
    ],
)
def test_only_a_missing_or_damaged_segment_counts_as_freed(number: int, expected: type[StoreError]) -> None:
    machine = FollowedMachine()
    write(machine, machine.pool.volumes["a"], 0, [block(1)])
    machine.pool.commit()
    machine.flush()
    machine.environment.settle()
    follower = machine.pool.follow(1)
    machine.disk.failing.add("read")
    machine.disk.error_number = number
    with pytest.raises(StoreError, match="the log cannot be read from record 1 on") as raised:
        machine.environment.run(follower.__anext__())
    assert type(raised.value) is expected
    machine.disk.failing.clear()
    assert machine.environment.run(follower.__anext__()).osn == 1


class SlowToList(dict[int, Segment]):
    """Segments that may be listed only in a thread. A copy may be made anywhere."""

    def __iter__(self) -> Iterator[int]:
        assert VirtualEnvironment.is_in_thread
        return super().__iter__()

    def copy(self) -> "SlowToList":
        return SlowToList(self.items())


def test_a_piece_is_listed_and_checked_in_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def checksums(data: Sequence[Buffer]) -> list[int]:
        assert VirtualEnvironment.is_in_thread
        checked.append(len(data[0]))
        return former(data)

    checked: list[int] = []
    former = follower_module.block_checksums
    machine = FollowedMachine()
    write(machine, machine.pool.volumes["a"], 0, [block(1) * 20])
    machine.pool.commit()
    machine.flush()
    machine.environment.settle()
    monkeypatch.setattr(follower_module, "block_checksums", checksums)
    machine.pool.supply.segments = SlowToList(machine.pool.supply.segments.items())
    follower = machine.pool.follow(1)
    for osn in (1, 2):
        assert machine.environment.run(follower.__anext__()).osn == osn
    assert sum(checked) == 20 * BLOCK_BYTES


def test_long_commits_are_decoded_by_the_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, replica = FollowedMachine(), Replica()
    find_next = follower_module._next
    decoded = set[tuple[bool, bool]]()
    """For the long batches that were decoded: True if in a thread, and True if they have headers of their own."""

    def noted(*arguments: Any, has_all_segments: bool) -> Any:
        view, batch = find_next(*arguments, has_all_segments=has_all_segments)
        if batch.header_blocks + len(batch.data_checksums) > follower_module.CACHED_BLOCKS:
            decoded.add((has_all_segments, bool(batch.header_blocks)))
        return view, batch

    monkeypatch.setattr(follower_module, "_next", noted)
    machine.environment.spawn(replicate(machine.pool.follow(1, early=True), replica))
    for count_blocks in (1, follower_module.CACHED_BLOCKS, follower_module.CACHED_BLOCKS + 1) * 8:
        write(machine, machine.pool.volumes["a"], 0, [block(1)] * count_blocks)
        machine.pool.commit()
        machine.environment.settle()
        assert replica.osn == machine.pool.log.next_osn
    assert decoded == {(True, True), (True, False)}


def test_small_commits_that_are_in_memory_are_read_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, replica, pieces = FollowedMachine(), Replica(), 0
    read_piece = follower_module._piece

    def counted(*arguments: Any) -> Any:
        nonlocal pieces
        pieces += 1
        return read_piece(*arguments)

    monkeypatch.setattr(follower_module, "_piece", counted)
    machine.environment.spawn(replicate(machine.pool.follow(1, early=True), replica))

    def commit(count_blocks: int) -> int:
        """Write blocks, and return the number of pieces that a thread has read."""
        before = pieces
        write(machine, machine.pool.volumes["a"], 0, [block(1)] * count_blocks)
        machine.pool.commit()
        machine.environment.settle()
        assert replica.osn == machine.pool.log.next_osn
        return pieces - before

    commit(1)
    assert commit(1) == 0
    assert commit(follower_module.CACHED_BLOCKS - 1) == 0
    assert commit(follower_module.CACHED_BLOCKS) == 1
    monkeypatch.setattr(type(next(iter(machine.pool.log._supply.segments.values()))), "read_now", lambda *_: None)
    assert commit(1) == 1
