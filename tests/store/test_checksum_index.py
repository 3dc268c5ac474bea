"""Tests that checksums are loaded on demand and take a limited amount of memory."""

from array import array

import pytest
from tests.store.pools import Machine, blocks, read, write

from odx_target.store.log.checksum_index import ChecksumIndex
from odx_target.store.log.footer import TAIL_BYTES, capacity_blocks, decode_table, decode_tail, encode_footer, footer_blocks
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS

IDENTITY = bytes(range(16))


def table(value: int) -> "array[int]":
    return array("I", [value])


def test_the_tables_loaded_first_give_way() -> None:
    index = ChecksumIndex(IDENTITY, max_tables=2)
    for number in range(1, 6):
        index.keep(number, table(number))
    assert index.tables == {4: table(4), 5: table(5)}


def test_segments_being_filled_keep_their_tables() -> None:
    index = ChecksumIndex(IDENTITY, max_tables=1)
    index.pin(1, table(1))
    index.pin(2, table(2))
    for number in range(3, 6):
        index.keep(number, table(number))
    assert set(index.tables) == {1, 2, 5}
    index.unpin(1, table(9))
    assert index.tables == {1: table(9), 2: table(2)}


def test_reads_go_on_with_room_for_one_table() -> None:
    machine = Machine()
    write(machine, machine.pool.create_volume("a", 300, {}), 0, [blocks(*range(300))])
    machine.reopen()
    machine.pool.reader._index._max_tables = 1
    for at in (0, 100, 200, 50, 250):
        assert read(machine, machine.pool.volumes["a"], at, 50) == blocks(*range(at, at + 50))
        assert len(machine.pool.reader._tables) <= 2


@pytest.mark.parametrize("used_blocks", [0, 1, 1007, 1008, 1009, 1010, 1024, MAX_SEGMENT_BLOCKS - 17])
def test_a_footer_survives_its_bytes(used_blocks: int) -> None:
    checksums = array("I", range(used_blocks))
    footer = encode_footer(IDENTITY, 5, checksums, range(70, 75))
    size_blocks = used_blocks + footer_blocks(used_blocks)
    assert len(footer) == footer_blocks(used_blocks) * 4096
    tail = decode_tail(footer[-4096:], IDENTITY, 5, size_blocks)
    assert tail is not None
    assert (tail.first_osn, tail.last_osn) == (70, 74)
    assert decode_table(tail, footer) == checksums
    assert decode_tail(footer[-4096:], IDENTITY, 6, size_blocks) is None
    assert decode_tail(footer[-4096:], bytes(16), 5, size_blocks) is None
    assert decode_tail(footer[-4096:], IDENTITY, 5, size_blocks + 1) is None


def test_every_flipped_bit_of_a_footer_is_seen() -> None:
    footer = encode_footer(IDENTITY, 5, array("I", range(10)), range(70, 70))
    for at in range(40):
        for bit in range(8):
            damaged = bytearray(footer)
            damaged[at] ^= 1 << bit
            tail = decode_tail(damaged, IDENTITY, 5, 11)
            assert tail is not None
            assert decode_table(tail, damaged) is None
    for at in range(len(footer) - TAIL_BYTES, len(footer)):
        for bit in range(8):
            damaged = bytearray(footer)
            damaged[at] ^= 1 << bit
            assert decode_tail(damaged, IDENTITY, 5, 11) is None


@pytest.mark.parametrize("segment_blocks", [32, 1000, 1010, MAX_SEGMENT_BLOCKS])
def test_what_batches_fill_and_the_footer_make_a_segment(segment_blocks: int) -> None:
    capacity = capacity_blocks(segment_blocks)
    assert capacity + footer_blocks(capacity) <= segment_blocks
