"""Tests of header blocks that several small batches share: what is in the log after any cut, and what the block is spared."""

import errno
import json
from pathlib import Path
from random import Random

import pytest
from tests.sim.simulated_disk import Crash, SimulatedSegment, _put
from tests.store.pools import Directory, Machine, block, check_simulated_pool, read, write

from odx_target.store.api import BLOCK_BYTES, OutOfResources, PoolDamaged
from odx_target.store.errors import LogFreed
from odx_target.store.log import follower as follower_module
from odx_target.store.log.batch import MAGIC, Batch
from odx_target.store.log.checksum_index import SegmentView, walk
from odx_target.store.log.filling import MAX_HEADER_AGE_S
from odx_target.store.log.follower import Follower
from odx_target.store.log.records import Write
from odx_target.store.log.shared_headers import SLOT_BYTES
from odx_target.store.open import PoolOptions

SIZE = 400
LARGE = PoolOptions(segment_blocks=256, cleaning=False)


def new_machine(options: PoolOptions = LARGE, seed: int = 0) -> Machine:
    machine = Machine(options, seed)
    machine.pool.create_volume("a", SIZE, {})
    machine.pool.commit()
    machine.flush()
    machine.environment.settle()
    return machine


def put(machine: Machine, *values: int) -> None:
    """Write each value to the block with its number, in a commit of its own."""
    for value in values:
        write(machine, machine.pool.volumes["a"], value, [block(value)])
        machine.pool.commit()


def values(machine: Machine) -> list[int]:
    """The numbers of the blocks that have their values; asserts that all others are zero."""
    data = read(machine, machine.pool.volumes["a"], 0, SIZE)
    found = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), BLOCK_BYTES)]
    assert all(value in (0, number) for number, value in enumerate(found))
    return [value for value in found if value]


def batches(machine: Machine) -> list[Batch]:
    """The batches of all segments of the log."""
    machine.environment.settle()
    identity, sizes = machine.pool.identity, machine.pool.supply.size_blocks

    def walked() -> list[Batch]:
        views = [SegmentView(segment, sizes[number]) for number, segment in sorted(machine.pool.supply.segments.items())]
        return [batch for view in views for batch in walk(view, 0, identity)]

    return machine.environment.run(machine.environment.in_thread(walked))


def test_small_commits_share_a_header_block() -> None:
    machine = new_machine()
    before = machine.pool.log.header_blocks
    put(machine, *range(1, 101))
    assert machine.pool.log.header_blocks - before == 4  # the headers of 32 writes of one block fit into a block
    written = [batch for batch in batches(machine) if isinstance(batch.records[-1], Write)]
    assert [batch.header_blocks for batch in written] == [int(index % 32 == 0) for index in range(100)]
    assert values(machine) == list(range(1, 101))


@pytest.mark.parametrize("how", ["kill", "reopen", "flush and lose_power"])
def test_shared_batches_are_in_the_log(how: str) -> None:
    machine = new_machine()
    for start in (1, 41, 70, 71):
        put(machine, *range(start, start + 40))
        for step in how.split(" and "):
            getattr(machine, step)()
        assert values(machine) == list(range(1, start + 40))


def test_a_header_block_is_not_written_again_after_a_sync() -> None:
    machine = new_machine()
    for value in range(1, 11):
        put(machine, value)
        machine.flush()
    headers = [batch.header_blocks for batch in batches(machine) if isinstance(batch.records[-1], Write)]
    assert headers == [1] * 10


def test_a_batch_that_is_open_when_a_sync_begins_is_committed_before_it() -> None:
    machine = new_machine()
    put(machine, 1)
    write(machine, machine.pool.volumes["a"], 2, [block(2)])
    machine.flush()
    assert not machine.pool.log.filling.parts
    assert not next(iter(machine.disk.files.values())).added
    machine.lose_power()
    assert values(machine) == [1, 2]


@pytest.mark.parametrize(("age_s", "blocks"), [(MAX_HEADER_AGE_S, 1), (MAX_HEADER_AGE_S + 0.1, 2)])
def test_an_old_header_block_may_no_longer_be_in_memory(age_s: float, blocks: int) -> None:
    machine = new_machine()
    put(machine, 1)
    machine.environment.advance(age_s)
    put(machine, 2, 3)
    assert sum(batch.header_blocks for batch in batches(machine) if isinstance(batch.records[-1], Write)) == blocks


def test_a_file_system_in_memory_has_no_sectors_to_spare() -> None:
    machine = new_machine()
    machine.disk.syncs_at_once = True
    put(machine, 1)
    for value in range(2, 11):
        machine.flush()
        put(machine, value)
    assert sum(batch.header_blocks for batch in batches(machine) if isinstance(batch.records[-1], Write)) == 1


def test_large_commits_begin_a_header_block_of_their_own() -> None:
    machine = new_machine()
    volume = machine.pool.volumes["a"]
    for start in range(0, 200, 40):
        for at in range(40):
            write(machine, volume, start + at, [block(start + at)])
        machine.pool.commit()
    put(machine, *range(300, 310))
    assert values(machine) == [*range(1, 200), *range(300, 310)]
    assert not any(batch.continued for batch in batches(machine))
    machine.kill()
    assert values(machine) == [*range(1, 200), *range(300, 310)]


def test_a_commit_that_outgrows_a_shared_header_goes_on_in_another() -> None:
    machine = new_machine()
    put(machine, 1)
    volume = machine.pool.volumes["a"]
    for value in range(2, 200):
        write(machine, volume, value, [block(value)])
    machine.pool.commit()
    first = next(batch for batch in batches(machine) if batch.continued)
    assert first.header_blocks == 0
    machine.kill()
    assert values(machine) == list(range(1, 200))


@pytest.mark.parametrize("seed", range(60))
def test_a_cut_loses_only_what_was_not_flushed(seed: int) -> None:
    random = Random(seed)
    machine = new_machine(PoolOptions(segment_blocks=32, cleaning=bool(seed % 2)), seed)
    machine.disk._random.seed(seed)
    value = flushed = 0
    for _ in range(6):
        machine.disk.crash_after(random.randrange(60))
        committed = value
        try:
            for _ in range(random.randrange(1, 40)):
                put(machine, value + 1)
                value = committed = value + 1
                if random.random() < 0.1:
                    machine.flush()
                    flushed = value
        except (Crash, OutOfResources):
            assert machine.disk.is_off
            value += 1
        is_killed = random.random() < 0.4
        machine.kill() if is_killed else machine.lose_power()
        found = values(machine)
        assert found == list(range(1, len(found) + 1))
        assert (committed if is_killed else flushed) <= len(found) <= value
        value = flushed = len(found)
        machine.flush()
        assert check_after_close(machine)


def check_after_close(machine: Machine) -> bool:
    """True if the check of the closed pool finds nothing. Opens the pool again."""
    machine.close()
    report = check_simulated_pool(machine.disk)
    machine.open()
    return report.is_sound


def leave_incomplete(machine: Machine, value: int) -> None:
    """Leave a shared header on the disk, but not its data, and open the pool again."""
    put(machine, value)
    last = batches(machine)[-1]
    assert last.header_blocks == 0
    machine._abandon()
    file = machine.disk.files[last.segment]
    _put(file.content, last.block * BLOCK_BYTES, bytes(BLOCK_BYTES))
    file.make_durable()
    machine.open()


def test_the_log_goes_on_beside_an_incomplete_batch() -> None:
    machine = new_machine()
    put(machine, 1, 2)
    leave_incomplete(machine, 3)
    assert values(machine) == [1, 2]
    put(machine, 4, 5)
    machine.flush()
    put(machine, 6)  # its header states that the records of 4 and 5 are durable
    machine.flush()
    machine._abandon()
    machine.disk.power_loss()
    machine.open()
    assert values(machine) == [1, 2, 4, 5, 6]
    put(machine, 7)
    machine.kill()
    assert values(machine) == [1, 2, 4, 5, 6, 7]
    machine.close()
    assert check_simulated_pool(machine.disk).is_sound


async def collect(follower: Follower, found: list[int]) -> None:
    """Add the block of each followed write to `found`."""
    async for followed in follower:
        if isinstance(followed.record, Write):
            assert followed.data is not None
            found.append(followed.record.block)


def test_a_follower_leaves_an_incomplete_batch_out() -> None:
    machine = new_machine()
    put(machine, 1, 2)
    leave_incomplete(machine, 3)
    put(machine, 4, 5)
    machine.flush()
    follower, found = machine.pool.follow(1), list[int]()
    task = machine.environment.spawn(collect(follower, found))
    machine.environment.settle()
    follower.close()
    machine.environment.settle()
    assert task.done
    assert found == [1, 2, 4, 5]


def test_a_follower_that_reads_from_memory_leaves_an_incomplete_batch_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_now(segment: SimulatedSegment, block: int, count_blocks: int) -> bytearray | None:
        content = segment._file().content[block * BLOCK_BYTES : (block + count_blocks) * BLOCK_BYTES]
        return content if len(content) == count_blocks * BLOCK_BYTES else None

    monkeypatch.setattr(SimulatedSegment, "read_now", read_now)
    machine = new_machine()
    put(machine, 1, 2)
    leave_incomplete(machine, 3)
    machine.flush()
    follower, found = machine.pool.follow(1), list[int]()
    machine.environment.spawn(collect(follower, found))
    machine.environment.settle()
    assert found == [1, 2]
    put(machine, 4)  # It has the OSN of the incomplete batch, and is in another segment.
    machine.flush()
    machine.environment.settle()
    assert found == [1, 2, 4]
    follower.close()
    machine.environment.settle()


def test_a_follower_never_takes_an_incomplete_batch_for_the_records_of_a_freed_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "PIECE_BLOCKS", 1)  # Each batch is a piece.
    machine = new_machine()
    put(machine, 1, 2)
    leave_incomplete(machine, 3)
    put(machine, 4)
    freed = batches(machine)[-1].segment
    put(machine, *range(5, 350))
    machine.flush()
    assert batches(machine)[-1].segment > freed > min(machine.pool.supply.segments)
    del machine.pool.supply.segments[freed]
    follower, found = machine.pool.follow(1), list[int]()
    task = machine.environment.spawn(collect(follower, found))
    machine.environment.settle()
    with pytest.raises(LogFreed):
        task.value()
    assert found == [1, 2]


@pytest.mark.parametrize("is_last", [True, False])
def test_a_follower_reports_the_damaged_data_of_a_small_batch(*, is_last: bool) -> None:
    machine = new_machine()
    put(machine, 1, 2)
    damaged = batches(machine)[-1]
    assert damaged.header_blocks == 0
    if not is_last:
        put(machine, *range(3, 300))
        assert batches(machine)[-1].segment > damaged.segment
    machine.flush()
    file = machine.disk.files[damaged.segment]
    file.content[damaged.block * BLOCK_BYTES] ^= 1
    follower, found = machine.pool.follow(1), dict[int, bool]()

    async def note() -> None:
        async for followed in follower:
            if isinstance(followed.record, Write):
                found[followed.record.block] = followed.data is None

    task = machine.environment.spawn(note())
    machine.environment.settle()
    follower.close()
    machine.environment.settle()
    task.value()
    assert found == {value: value == 2 for value in range(1, 3 if is_last else 300)}


def test_headers_of_a_former_segment_are_not_followed() -> None:
    machine = new_machine(PoolOptions(segment_blocks=32, limit_bytes=40 * 32 * BLOCK_BYTES))
    for _ in range(12):
        put(machine, *range(1, 90))
        machine.environment.settle()
    assert machine.pool.supply.recycled > 4
    machine.kill()
    assert values(machine) == list(range(1, 90))


def test_a_pool_that_was_refused_room_adds_the_batch_later() -> None:
    machine = new_machine()
    put(machine, 1)
    machine.disk.failing.add("write")
    machine.disk.error_number = errno.ENOMEM
    write(machine, machine.pool.volumes["a"], 2, [block(2)])
    with pytest.raises(OutOfResources):
        machine.pool.commit()
    machine.flush()
    machine.disk.failing.clear()
    put(machine, 3)
    machine.kill()
    assert values(machine) == [1, 2, 3]


@pytest.mark.parametrize("part", ["magic", "epoch", "osn", "records", "checksum"])
def test_a_damaged_shared_header_of_durable_records_is_reported(part: str) -> None:
    offset = {"magic": 0, "epoch": 32, "osn": 48, "records": 90, "checksum": 80}[part]
    machine = new_machine()
    put(machine, 1, 2, 3)
    victim = batches(machine)[-1]
    put(machine, 4)
    machine.flush()
    put(machine, 5)
    machine.flush()
    machine._abandon()
    machine.disk.files[victim.segment].content[victim.header_offset + offset] ^= 1
    machine.disk.files[victim.segment].make_durable()
    with pytest.raises(PoolDamaged, match="the log is damaged at block"):
        check_simulated_pool(machine.disk)


def test_headers_are_found_although_the_first_one_is_damaged() -> None:
    machine = new_machine()
    put(machine, *range(1, 20))
    last = batches(machine)[-1]
    machine.environment.settle()
    first = last.header_offset // BLOCK_BYTES
    content = machine.disk.files[last.segment].content
    content[first * BLOCK_BYTES + 50] ^= 1
    view = SegmentView(machine.pool.supply.segments[last.segment], 256)

    def offsets() -> list[int]:
        return list(view.headers(first * BLOCK_BYTES, first + 1, machine.pool.identity))

    found = machine.environment.run(machine.environment.in_thread(offsets))
    assert len(found) == 19
    assert all(offset % SLOT_BYTES == 0 and content[offset : offset + 8] == MAGIC for offset in found)


def test_a_pool_of_format_2_is_opened_and_gets_the_new_format(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "pool")
    head = tmp_path / "pool" / "pool.json"
    directory.pool.create_volume("a", SIZE, {})
    directory.pool.commit()
    directory.close()
    head.write_text(json.dumps(json.loads(head.read_text()) | {"format": 2}))
    directory.open()
    assert json.loads(head.read_text())["format"] == 3
    for value in (1, 2, 3):
        write(directory, directory.pool.volumes["a"], value, [block(value)])
        directory.pool.commit()
    assert directory.pool.log.header_blocks == 1
    directory.kill()
    directory.open()
    assert read(directory, directory.pool.volumes["a"], 1, 3) == block(1) + block(2) + block(3)
    directory.close()


def test_without_room_for_the_new_head_the_log_keeps_the_former_format() -> None:
    machine = new_machine()
    machine.close()
    document = machine.disk.head.document
    assert document is not None
    machine.disk.head.document = document.replace(b'"format": 3', b'"format": 2')
    machine.disk.failing.add("head")
    machine.disk.error_number = errno.ENOSPC
    machine.open()
    machine.disk.failing.clear()
    put(machine, *range(1, 11))
    machine.kill()
    assert b'"format": 3' in (machine.disk.head.document or b"")
    assert values(machine) == list(range(1, 11))
    written = [batch for batch in batches(machine) if isinstance(batch.records[-1], Write)]
    assert [batch.header_blocks for batch in written] == [1] * 10
