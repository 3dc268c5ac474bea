"""A scrub finds all damage on the disk, names the blocks that are lost, and keeps its rate."""

import errno

import pytest
from tests.store.pools import Machine, block, blocks, read, when_ready, write
from tests.store.test_log_damage import find, flip

from odx_target.store.api import BLOCK_BYTES, ScrubProgress, StoreError, Trouble, TroubleKind
from odx_target.store.checking.owners import OwnerSearch
from odx_target.store.checking.scrub import MAX_COMPLAINTS, Scrubber
from odx_target.store.segments.segment import Segment
from odx_target.store.troubles import MAX_DAMAGED_PLACES
from odx_target.turns import STEPS_OF_A_TURN, Steps

SIZE = 400
FAST = 1 << 40


@pytest.fixture
def machine() -> Machine:
    """A machine with some sealed segments of single writes."""
    machine = Machine()
    volume = machine.pool.create_volume("a", SIZE, {})
    for at in range(100):
        write(machine, volume, at, [block(at + 1)])
        machine.pool.commit()
    machine.environment.settle()
    machine.reopen()
    return machine


def scrub(machine: Machine, rate_bytes: int = FAST) -> ScrubProgress:
    progress = machine.pool.scrubber.start(rate_bytes)
    machine.environment.run(finish(machine.pool.scrubber))
    assert not progress.is_running
    return progress


async def finish(scrubber: Scrubber) -> None:
    assert scrubber._scrub is not None
    await scrubber._scrub.ended.wait()


def damaged(machine: Machine) -> set[tuple[str | None, int | None, int]]:
    return {(each.volume, each.frozen_map, each.block) for each in machine.pool.status().damaged}


def test_a_sound_pool_has_no_damage(machine: Machine) -> None:
    progress = scrub(machine)
    assert progress.is_complete
    assert progress.checked_blocks == progress.total_blocks > 100
    assert (progress.damaged_blocks, progress.complaints, progress.remaining_s) == (0, [], 0)
    assert damaged(machine) == set()


@pytest.mark.parametrize("byte", [0, 100, BLOCK_BYTES - 1])
def test_damaged_blocks_are_named_with_their_owners(machine: Machine, byte: int) -> None:
    volume = machine.pool.volumes["a"]
    frozen = volume.freeze()
    for at in (50, 51, 77):
        flip(machine, *find(machine, block(at + 1)), byte)
    when_ready(machine.environment, lambda: volume.unmap(77, 1))
    troubles: list[Trouble] = []
    machine.pool.on_trouble.append(troubles.append)
    progress = scrub(machine)
    assert progress.is_complete
    assert (progress.damaged_blocks, progress.unused_damaged_blocks) == (3, 0)
    owned = {("a", None, 50), ("a", None, 51)} | {(None, frozen.identifier, at) for at in (50, 51, 77)}
    assert damaged(machine) == owned
    assert {each.kind for each in troubles} == {TroubleKind.DAMAGED_BLOCK}
    assert len(troubles) == len(owned)


def test_damage_of_blocks_without_an_owner_is_counted(machine: Machine) -> None:
    flip(machine, *find(machine, block(51)))
    write(machine, machine.pool.volumes["a"], 50, [block(1000)])
    machine.pool.commit()
    progress = scrub(machine)
    assert (progress.damaged_blocks, progress.unused_damaged_blocks) == (1, 1)
    assert damaged(machine) == set()


@pytest.mark.parametrize(("offset", "batch"), [(0, 0), (3 * 128, 4)])
def test_a_damaged_header_costs_no_data_and_hides_no_damage_after_it(machine: Machine, offset: int, batch: int) -> None:
    number, _ = find(machine, block(51))
    flip(machine, number, 0, offset)  # The first block of the segment has the headers of all its batches.
    later = next(value for value in range(52, 60) if find(machine, block(value))[0] == number)
    flip(machine, *find(machine, block(later)))
    progress = scrub(machine)
    assert progress.complaints == [f"segment {number}: the header of the batch at block {batch} is damaged"]
    assert damaged(machine) == {("a", None, later - 1)}
    assert read(machine, machine.pool.volumes["a"], 50, 1) == blocks(51)


def test_a_damaged_footer_costs_no_data(machine: Machine) -> None:
    number, _ = find(machine, block(51))
    last = machine.disk.files[number].size_blocks - 1
    flip(machine, number, last, BLOCK_BYTES - 10)
    progress = scrub(machine)
    assert progress.complaints == [f"segment {number}: its footer is damaged"]
    assert progress.damaged_blocks == 0


def test_every_flipped_bit_of_a_segment_is_found(machine: Machine) -> None:
    number, _ = find(machine, block(51))
    for at in range(machine.disk.files[number].size_blocks - 1):
        flip(machine, number, at, 3)
        progress = scrub(machine)
        assert progress.damaged_blocks or progress.complaints, at
        flip(machine, number, at, 3)


def test_complaints_are_limited(machine: Machine) -> None:
    for number in list(machine.disk.files):
        flip(machine, number, 0)
    found = scrub(machine)
    assert 1 < len(found.complaints) <= MAX_COMPLAINTS


def test_a_scrub_keeps_its_rate(machine: Machine) -> None:
    began_s = machine.environment.monotonic()
    progress = scrub(machine, rate_bytes=10 * BLOCK_BYTES)
    took_s = machine.environment.monotonic() - began_s
    assert took_s == pytest.approx(progress.checked_blocks / 10, abs=4)


def test_writes_go_on_during_a_scrub(machine: Machine) -> None:
    progress = machine.pool.scrubber.start(10 * BLOCK_BYTES)
    volume = machine.pool.volumes["a"]
    for at in range(100, 200):
        write(machine, volume, at, [block(at + 1)])
        machine.pool.commit()
    machine.environment.run(finish(machine.pool.scrubber))
    assert (progress.is_complete, progress.damaged_blocks, progress.complaints) == (True, 0, [])


def test_a_scrub_checks_the_segment_that_is_being_filled(machine: Machine) -> None:
    write(machine, machine.pool.volumes["a"], 200, [block(1000)])
    machine.pool.commit()
    flip(machine, *find(machine, block(1000)))
    progress = scrub(machine)
    assert (progress.damaged_blocks, progress.complaints) == (1, [])
    assert damaged(machine) == {("a", None, 200)}


def test_a_lack_of_descriptors_is_no_damage(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = next(iter(machine.pool.supply.segments.values()))
    read_segment = type(segment).read
    lacking = [errno.EMFILE, errno.ENOMEM]

    def read_later(self: Segment, at: int, count_blocks: int) -> bytearray:
        if lacking and count_blocks > 1:
            raise OSError(lacking.pop(), "not now")
        return read_segment(self, at, count_blocks)

    monkeypatch.setattr(type(segment), "read", read_later)
    progress = scrub(machine)
    assert lacking == []
    assert (progress.is_complete, progress.damaged_blocks, progress.complaints) == (True, 0, [])
    assert progress.checked_blocks == progress.total_blocks
    assert {each.kind for each in machine.pool.status().met} == {TroubleKind.SCARCE}


def test_a_damaged_block_of_thousands_of_maps_is_reported_in_turns(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    frozen = [volume.freeze() for _ in range(2 * STEPS_OF_A_TURN)]
    flip(machine, *find(machine, block(51)))
    turns = machine.environment.turns
    before = turns.taken
    scrub(machine)
    owners = {(each.volume, each.frozen_map) for each in machine.pool.status().damaged}
    assert len(owners) == MAX_DAMAGED_PLACES
    assert ("a", None) in owners
    assert {number for _, number in owners} <= {None, *(each.identifier for each in frozen)}
    assert machine.pool.status().damaged_beyond == len(frozen) + 1 - MAX_DAMAGED_PLACES
    assert turns.taken - before >= 2


def test_a_sound_subtree_is_searched_once(machine: Machine) -> None:
    volume = machine.pool.volumes["a"]
    volume.resize(1 << 21)
    for at in range(0, 1 << 21, 1 << 14):
        write(machine, volume, at, [block(1_000_000 + at)])
    roots = [machine.pool.contents.frozen_maps[volume.freeze().identifier].root for _ in range(100)]
    place = roots[0].place(1 << 14)
    steps = Steps(1 << 40)
    search = OwnerSearch([place], steps)
    assert list(search.owned(roots[0])) == [1 << 14]
    first = (1 << 40) - steps.left
    for root in roots[1:]:
        assert list(search.owned(root)) == [1 << 14]
    assert (1 << 40) - steps.left - first < 50 * first


def test_one_scrub_at_a_time(machine: Machine) -> None:
    machine.pool.scrubber.start(1)
    with pytest.raises(StoreError, match="a scrub of this pool is running"):
        machine.pool.scrubber.start(1)
    machine.environment.run(machine.pool.scrubber.stop())
    assert machine.pool.scrubber.progress is not None
    assert not machine.pool.scrubber.progress.is_complete
    assert scrub(machine).is_complete


def test_a_pool_that_closes_ends_its_scrub(machine: Machine) -> None:
    progress = machine.pool.scrubber.start(1)
    machine.close()
    assert (progress.is_running, progress.is_complete) == (False, False)
    machine.environment.run(machine.pool.scrubber.stop())


def test_a_segment_that_cannot_be_read_is_reported(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    number, _ = find(machine, block(51))
    segment = machine.pool.supply.segments[number]
    read_segment = type(segment).read

    def fail(self: Segment, at: int, count_blocks: int) -> bytearray:
        if self.number == number:
            raise OSError(5, "Input/output error")
        return read_segment(self, at, count_blocks)

    monkeypatch.setattr(type(segment), "read", fail)
    progress = scrub(machine)
    assert progress.complaints == [f"segment {number}: it cannot be read: [Errno 5] Input/output error"]
    assert progress.is_complete


@pytest.fixture
def unloaded(machine: Machine) -> Machine:
    """A machine with a damaged block of a volume, whose map is only in the catalogue."""
    flip(machine, *find(machine, block(51)))
    machine.reopen()
    machine.disk.failing.add("load")
    return machine


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM])
def test_a_map_that_cannot_be_read_now_is_read_again(unloaded: Machine, number: int) -> None:
    unloaded.disk.error_number = number
    progress = unloaded.pool.scrubber.start(FAST)
    unloaded.environment.advance(10)
    assert progress.is_running
    assert {each.kind for each in unloaded.pool.status().met} == {TroubleKind.SCARCE}
    unloaded.disk.failing.clear()
    unloaded.environment.run(finish(unloaded.pool.scrubber))
    assert (progress.is_complete, progress.damaged_blocks, progress.unused_damaged_blocks) == (True, 1, 0)
    assert progress.complaints == []
    assert damaged(unloaded) == {("a", None, 50)}


def test_a_scrub_that_waits_for_a_map_can_be_stopped(unloaded: Machine) -> None:
    unloaded.disk.error_number = errno.EMFILE
    progress = unloaded.pool.scrubber.start(FAST)
    unloaded.environment.advance(10)
    unloaded.environment.run(unloaded.pool.scrubber.stop())
    assert (progress.is_complete, progress.unused_damaged_blocks) == (False, 0)


def test_damaged_blocks_are_not_unused_if_a_map_cannot_be_read(unloaded: Machine) -> None:
    number, _ = find(unloaded, block(52))
    progress = scrub(unloaded)
    assert (progress.is_complete, progress.damaged_blocks, progress.unused_damaged_blocks) == (True, 1, 0)
    (complaint,) = progress.complaints
    assert complaint.startswith(
        f"segment {number}: not all owners of its damaged blocks are known: reading the catalogue failed"
    )
    assert damaged(unloaded) == set()
