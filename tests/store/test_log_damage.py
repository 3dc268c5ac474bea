"""Tests that changed bits on the disk never cause wrong data or the silent loss of flushed data."""

import errno
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.settings import searching
from tests.store.pools import Machine, block, blocks, read, write

from odx_target.store.api import BLOCK_BYTES, BlockSource, DamagedBlock, PoolDamaged, Unreadable

SIZE = 400


def flip(machine: Machine, segment: int, at: int, byte: int = 100) -> None:
    for content in (machine.disk.files[segment].content, machine.disk.files[segment].durable):
        content[at * BLOCK_BYTES + byte] ^= 4


def find(machine: Machine, content: bytes) -> tuple[int, int]:
    """Find a block with this content; returns (segment, block)."""
    for number, file in machine.disk.files.items():
        for at in range(file.size_blocks):
            if file.content[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES] == content:
                return number, at
    raise AssertionError("not there")


def read_one_way(machine: Machine, source: BlockSource, at: int, count: int, wait: bool) -> None:
    if wait or source.read_now(at, count) is None:
        machine.environment.run(source.read(at, count))


@pytest.fixture
def machine() -> Machine:
    """A machine with some flushed segments of single writes; the only checkpoint was saved before the writes."""
    machine = Machine()
    volume = machine.pool.create_volume("a", SIZE, {})
    machine.checkpoint()
    for at in range(100):
        write(machine, volume, at, [block(at + 1)])
        machine.pool.commit()
        if at % 10 == 9:
            machine.flush()
    machine.environment.settle()
    return machine


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_damaged_block_is_never_returned(machine: Machine, count: int) -> None:
    machine.reopen()
    flip(machine, *find(machine, block(51)))
    volume = machine.pool.volumes["a"]
    frozen = volume.freeze()
    for source in (volume, frozen):
        for at in (51 - count, 50):
            for wait in (False, True):
                with pytest.raises(DamagedBlock) as caught:
                    read_one_way(machine, source, at, count, wait)
                assert caught.value.block == 50
    assert read(machine, volume, 0, 50) == blocks(*range(1, 51))
    assert read(machine, volume, 51, 20) == blocks(*range(52, 72))


def test_a_damaged_block_is_counted_in_what_was_read(machine: Machine) -> None:
    copy = machine.pool.create_volume("b", SIZE, {})
    copy.copy_from(machine.pool.volumes["a"].freeze(), 40, 200, 20)
    machine.reopen()
    flip(machine, *find(machine, block(51)))
    with pytest.raises(DamagedBlock) as caught:
        machine.environment.run(machine.pool.volumes["b"].read(195, 30))
    assert caught.value.block == 210


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, Unreadable), (errno.ENODATA, DamagedBlock)])
def test_blocks_that_cannot_be_read_are_damaged_only_if_the_disk_says_so(
    machine: Machine, number: int, kind: type[DamagedBlock | Unreadable]
) -> None:
    machine.reopen()
    machine.disk.failing.add("read")
    machine.disk.error_number = number
    with pytest.raises(kind) as caught:
        machine.environment.run(machine.pool.volumes["a"].read(30, 1))
    assert caught.value.block == 30


def test_flushed_data_damaged_before_recovery_is_lost_alone(machine: Machine) -> None:
    flip(machine, *find(machine, block(51)))
    machine.kill()
    volume = machine.pool.volumes["a"]
    assert read(machine, volume, 51, 49) == blocks(*range(52, 101)), "nothing behind it was dropped"
    with pytest.raises(DamagedBlock):
        machine.environment.run(volume.read(50, 1))


def test_a_damaged_header_in_the_middle_of_the_log_is_refused(machine: Machine) -> None:
    segment, at = find(machine, block(51))
    flip(machine, segment, at - 1)
    with pytest.raises(PoolDamaged, match=f"damaged at block {at - 1} of segment {segment} "):
        machine.kill()


def test_a_segment_that_is_missing_in_the_middle_of_the_log_is_refused(machine: Machine) -> None:
    segment, _ = find(machine, block(51))
    del machine.disk.files[segment]
    with pytest.raises(PoolDamaged, match="the log after this block is missing"):
        machine.kill()


def test_a_catalogue_that_is_missing_is_made_again_from_the_log(machine: Machine) -> None:
    machine.disk.catalogue_content.head = None
    machine.kill()
    assert read(machine, machine.pool.volumes["a"], 0, 100) == blocks(*range(1, 101))


def test_a_catalogue_and_the_start_of_the_log_are_not_both_missing(machine: Machine) -> None:
    machine.disk.catalogue_content.head = None
    del machine.disk.files[1]
    with pytest.raises(PoolDamaged, match="the log after this block is missing"):
        machine.kill()


def test_a_missing_segment_is_named(machine: Machine) -> None:
    machine.close()
    del machine.disk.files[2]
    with pytest.raises(PoolDamaged, match="segment 2 of the simulated disk is missing"):
        machine.open()


def test_a_cut_off_segment_is_named(machine: Machine) -> None:
    machine.close()
    del machine.disk.files[2].content[-BLOCK_BYTES:]
    with pytest.raises(PoolDamaged, match=r"segment 2 of the simulated disk is cut off: 31 of 32 blocks"):
        machine.open()


def test_a_damaged_footer_is_done_without(machine: Machine) -> None:
    machine.close()
    for file in machine.disk.files.values():
        file.content[-1] ^= 1
    machine.open()
    assert read(machine, machine.pool.volumes["a"], 0, 100) == blocks(*range(1, 101))


def test_a_damaged_table_in_a_footer_is_done_without(machine: Machine) -> None:
    machine.close()
    for file in machine.disk.files.values():
        file.content[-BLOCK_BYTES] ^= 1
    machine.open()
    assert read(machine, machine.pool.volumes["a"], 0, 100) == blocks(*range(1, 101))


def test_without_footer_and_header_the_blocks_behind_are_damaged(machine: Machine) -> None:
    machine.close()
    segment, at = find(machine, block(51))
    machine.disk.files[segment].content[-1] ^= 1
    flip(machine, segment, at - 1)
    machine.open()
    assert read(machine, machine.pool.volumes["a"], 49, 1) == block(50)
    with pytest.raises(DamagedBlock):
        machine.environment.run(machine.pool.volumes["a"].read(50, 1))


def test_a_catalogue_of_another_pool_is_refused(machine: Machine) -> None:
    machine.close()
    other = Machine(seed=1000)
    other.close()
    machine.disk.catalogue_content = other.disk.catalogue_content
    with pytest.raises(PoolDamaged, match="another pool"):
        machine.open()


@given(st.integers(0, 1 << 30), st.booleans())
@searching(150)
def test_no_flipped_bit_makes_wrong_data(seed: int, is_closed: bool) -> None:
    """After any bit of the log has changed, the pool is refused, or each block is either right or reported as damaged."""
    machine = Machine()
    volume = machine.pool.create_volume("a", 40, {})
    machine.checkpoint()
    for at in range(40):
        write(machine, volume, at, [block(at + 1)])
        machine.pool.commit()
    machine.flush()
    write(machine, volume, 0, [block(1)])  # Its header states that all earlier batches are durable.
    machine.pool.commit()
    if is_closed:
        machine.close()
    random = Random(seed)
    number = random.choice(sorted(machine.disk.files))
    flip(machine, number, random.randrange(machine.disk.files[number].size_blocks), random.randrange(BLOCK_BYTES))
    try:
        machine.open() if is_closed else machine.kill()
    except PoolDamaged:
        return
    for at in range(40):
        with suppress(DamagedBlock):
            assert read(machine, machine.pool.volumes["a"], at, 1) == block(at + 1)
