"""The command sequences of Windows, with its exact bytes."""

import pytest

from odx_target.copymgr.limits import CopyLimits
from tests.copymgr.array import CopyArray, code_of, data_of, out_cdb, pattern
from tests.copymgr.golden import golden

FIRST_LBA = {512: (0x100000, 0x900000), 4096: (0x20000, 0x120000)}


def windows(name: str) -> bytes:
    return golden("windows", name)


@pytest.mark.parametrize(("size", "source", "destination"), [(512, 0, 1), (4096, 2, 3), (512, 0, 0)])
def test_the_first_round_of_a_copy(size: int, source: int, destination: int) -> None:
    array = CopyArray(size_store_blocks=0x200000)
    source_lba, destination_lba = FIRST_LBA[size]
    blocks = (256 << 20) // size
    for place in (0, blocks - 64):
        array.write(source, source_lba + place, pattern(1, source_lba + place, 64, size))
    assert code_of(array.command(source, windows("populate_cdb"), windows(f"populate_{size}"))) == "good"
    answer = data_of(array.command(source, windows("information_cdb")))
    head = windows(f"information_{size}")
    assert answer[:6] + answer[12:38] == head[:6] + head[12:]
    assert len(answer) == 550
    array.write(source, source_lba, pattern(2, source_lba, 64, size))
    parameters = windows("write_head") + answer[38:] + windows(f"write_tail_{size}")
    assert code_of(array.command(destination, windows("write_cdb"), parameters)) == "good"
    for place in (0, blocks - 64):
        assert array.read(destination, destination_lba + place, 64) == pattern(1, source_lba + place, 64, size)
    assert array.manager.copies.counters.moved_bytes == 0


def test_a_fragmented_file() -> None:
    array = CopyArray(size_store_blocks=0x200000)
    sources = ((0x100000, 0x8000), (0x400000, 0x20000), (0x600000, 0x58000))
    position = 0
    for lba, count in sources:
        for place in (lba, lba + count - 8):
            array.write(0, place, pattern(1, position + place - lba, 8, 512))
        position += count
    assert code_of(array.command(0, windows("fragments_populate_cdb"), windows("fragments_populate"))) == "good"
    token = data_of(array.command(0, windows("information_cdb")))[38:]
    parameters = windows("fragments_write_head") + token + windows("fragments_write_tail")
    assert code_of(array.command(1, windows("fragments_write_cdb"), parameters)) == "good"
    for position in (0, 0x7FF8, 0x8000, 0x27FF8, 0x28000, 0x80000 - 8):
        lba = 0x900000 + position if position < 0x40000 else 0xB00000 + position - 0x40000
        assert array.read(1, lba, 8) == pattern(1, position, 8, 512)


def test_a_lost_answer_is_asked_for_again_with_the_same_bytes() -> None:
    array = CopyArray(size_store_blocks=0x200000)
    array.write(0, 0x100000, pattern(1, 0, 64, 512))
    for _ in range(2):
        assert code_of(array.command(0, windows("populate_cdb"), windows("populate_512"))) == "good"
    for _ in range(2):
        token = data_of(array.command(0, windows("information_cdb")))[38:]
    parameters = windows("write_head") + token + windows("write_tail_512")
    for _ in range(3):
        assert code_of(array.command(1, windows("write_cdb"), parameters)) == "good"
    assert array.read(1, 0x900000, 64) == pattern(1, 0, 64, 512)


def test_writes_pile_up_without_end_and_memory_does_not() -> None:
    array = CopyArray(CopyLimits(max_records_per_nexus=64))
    token = array.token(0, 0, [(0, 8)])
    for number in range(1, 1000):
        assert code_of(array.write_using(1, number, token, [(0, 8)])) == "good"
    assert len(array.manager.copies.records) == 64
    assert len(array.manager.copies.records._finished) == 64
    assert code_of(array.information(0, 0)) == "good", "the token's record is missed more than any of these"


def test_more_than_64_fragments() -> None:
    array = CopyArray()
    ranges = [(number * 16, 8) for number in range(65)]
    assert code_of(array.populate(0, 1, ranges)) == "5/26/08"
    token = array.token(0, 1, ranges[:64])
    assert code_of(array.write_using(1, 2, token, [(number * 8 + 3, 8) for number in reversed(range(64))])) == "good"
    assert code_of(array.command(1, out_cdb(0x11, 3, 0xFFFF), bytes(0xFFFF))) == "5/26/00"
    assert code_of(array.command(1, out_cdb(0x11, 3, 0xFFFF), bytes(600))) == "5/1A/00"


@pytest.mark.parametrize("lun", [1, 3])
def test_ten_zeroings_with_a_running_offset(lun: int) -> None:
    array = CopyArray(size_store_blocks=1 << 15)
    size = array.block_bytes(lun)
    blocks = (8 << 20) // size
    array.write(lun, 3, pattern(1, 3, 64, size))
    for number in range(10):
        ranges = [(number * blocks, blocks)]
        assert code_of(array.write_using(lun, number, golden("zero_token"), ranges, offset_into_rod=number * blocks)) == "good"
    assert not any(array.read(lun, 0, 100))
    assert all(not mapped for _, _, mapped in array.volume(lun).extents(0))
