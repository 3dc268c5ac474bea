import pytest

from odx_target.store.api import DamagedBlock, PoolFailed, StoreError
from tests.scsi.array import UnitUnderTest, code_of, data_of

READS = {
    6: lambda lba, count: bytes((0x08, lba >> 16, lba >> 8 & 0xFF, lba & 0xFF, count & 0xFF, 0)),
    10: lambda lba, count: b"\x28\0" + lba.to_bytes(4, "big") + b"\0" + count.to_bytes(2, "big") + b"\0",
    12: lambda lba, count: b"\xa8\0" + lba.to_bytes(4, "big") + count.to_bytes(4, "big") + b"\0\0",
    16: lambda lba, count: b"\x88\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0",
}
WRITE_CODES = {6: 0x0A, 10: 0x2A, 12: 0xAA, 16: 0x8A}
FUA = 0x08


def read(lba, count, size=10, flags=0):
    cdb = bytearray(READS[size](lba, count))
    cdb[1] |= flags
    return bytes(cdb)


def write(lba, count, size=10, flags=0):
    return bytes((WRITE_CODES[size],)) + read(lba, count, size, flags)[1:]


def pattern(size_bytes, seed=1):
    return bytes((seed + index * 7) % 251 for index in range(size_bytes))


@pytest.mark.parametrize("size", READS)
@pytest.mark.parametrize("block_bytes", [512, 4096])
@pytest.mark.parametrize(("lba", "count"), [(0, 1), (3, 2), (7, 9), (8, 16), (1, 30)])
def test_what_is_written_is_read(size, block_bytes, lba, count):
    unit = UnitUnderTest(block_bytes)
    data = pattern(count * block_bytes)
    written = unit.command(write(lba, count, size), data)
    assert (written.status, written.transfer_bytes) == (0, len(data))
    reply = unit.command(read(lba, count, size))
    assert data_of(reply) == data
    assert reply.transfer_bytes == len(data)
    around = data_of(unit.command(read(0, 64)))
    assert around == bytes(lba * block_bytes) + data + bytes((64 - lba - count) * block_bytes)


def test_a_transfer_length_of_zero_is_256_in_the_6_byte_forms_alone():
    unit = UnitUnderTest()
    data = pattern(256 * 512)
    assert unit.command(write(4, 0, 6), data).transfer_bytes == len(data)
    assert data_of(unit.command(read(4, 0, 6))) == data
    for size in (10, 12, 16):
        assert unit.command(read(4, 0, size)).transfer_bytes == 0
        assert unit.command(write(4, 0, size), b"").transfer_bytes == 0


def test_aligned_transfers_are_not_copied():
    unit = UnitUnderTest()
    received = []
    unit.volume.write = lambda block, data: received.append((block, data))
    view = memoryview(pattern(8192))
    unit.command(write(8, 16), [view])
    assert received[0][0] == 1
    assert received[0][1][0] is view
    blocks = [bytes(4096), bytes(4096)]
    unit.volume.read_now = lambda block, count: blocks
    assert unit.command(read(8, 16)).data_in is blocks


@pytest.mark.parametrize("size_bytes", [0, 100, 512, 1000, 1535, 1536, 2048])
def test_data_that_falls_short_writes_whole_blocks_and_too_much_is_not_looked_at(size_bytes):
    unit = UnitUnderTest()
    data = pattern(size_bytes)
    reply = unit.command(write(5, 3), data)
    assert reply.transfer_bytes == 1536
    is_cut_off = size_bytes in (100, 1000, 1535)
    assert (code_of(reply) if is_cut_off else reply.status) == ((5, 0x0E, 3) if is_cut_off else 0)
    kept = 0 if is_cut_off else min(size_bytes, 1536)
    assert data_of(unit.command(read(5, 3))) == data[:kept] + bytes(1536 - kept)


def test_data_may_come_in_pieces_of_any_length():
    unit = UnitUnderTest()
    data = pattern(3 * 512)
    unit.command(write(5, 3), [data[:100], data[100:1000], b"", data[1000:]])
    assert data_of(unit.command(read(5, 3))) == data


def test_fua_makes_a_write_durable_before_its_reply():
    unit = UnitUnderTest()
    unit.pool.flush_delay_s = 1.0
    started = unit.start(write(8, 8, flags=FUA), pattern(4096))
    assert not started.is_done
    assert unit.volume.blocks[1] == pattern(4096), "the data is in place while its durability is waited for"
    unit.environment.advance(1.0)
    assert started.reply.transfer_bytes == 4096
    assert unit.pool.flushes == 1
    assert unit.pool.commits == 1


def test_without_a_write_cache_every_write_is_durable():
    unit = UnitUnderTest(write_cache_enabled=False)
    unit.command(write(0, 1), pattern(512))
    assert unit.pool.flushes == 1
    unit.command("93 01 00 00 00 00 00 00 00 00 00 00 00 08 00 00")
    assert unit.pool.flushes == 2


def test_a_fua_read_waits_until_what_it_reads_is_durable():
    unit = UnitUnderTest()
    unit.command(write(8, 8), pattern(4096))
    assert unit.pool.flushes == 0
    assert data_of(unit.command(read(8, 8, flags=FUA))) == pattern(4096)
    assert unit.pool.flushes == 1


def test_dpo_changes_nothing():
    unit = UnitUnderTest()
    assert data_of(unit.command(read(0, 8, flags=0x10))) == bytes(4096)


def test_cold_data_is_waited_for():
    unit = UnitUnderTest()
    unit.command(write(3, 9), pattern(9 * 512))
    unit.volume.is_cold = lambda: True
    started = unit.start(read(3, 9))
    assert not started.is_done
    unit.environment.advance(0.01)
    assert data_of(started.reply) == pattern(9 * 512)
    assert not unit.logical_unit.tasks.members


def test_a_write_with_cold_edges_keeps_its_own_copy_of_the_data():
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: True
    buffer = bytearray(pattern(512))
    started = unit.start(write(3, 1), [memoryview(buffer)])
    buffer[:] = bytes(512)  # the transport receives other data into the buffer
    unit.environment.advance(0.01)
    assert started.reply.status == 0
    unit.volume.is_cold = lambda: False
    assert data_of(unit.command(read(3, 1))) == pattern(512)


@pytest.mark.parametrize("cold", [False, True])
def test_a_damaged_block_is_a_medium_error_with_its_address(cold):
    unit = UnitUnderTest()
    unit.volume.damaged = {2}
    unit.volume.is_cold = lambda: cold
    for cdb, information in ((read(0, 64), 16), (read(16, 8), 16), (read(18, 2), 18), (read(23, 1), 23)):
        reply = unit.command(cdb)
        assert code_of(reply) == (3, 0x11, 0)
        assert reply.sense[0] == 0xF0
        assert int.from_bytes(reply.sense[3:7], "big") == information
    assert unit.command(read(0, 16)).status == 0
    assert code_of(unit.command(write(17, 1), pattern(512))) == (3, 0x11, 0), "a damaged edge cannot be kept"
    unit.volume.damaged.clear()
    assert not unit.internal_errors


@pytest.mark.parametrize(
    ("failure", "code"),
    [(PoolFailed("no disk"), (4, 0x03, 0)), (StoreError("a surprise"), (4, 0x44, 0)), (DamagedBlock(0), (3, 0x11, 0))],
)
def test_a_failure_of_the_store_has_its_sense(failure, code):
    unit = UnitUnderTest()
    unit.volume.failure = failure
    assert code_of(unit.command(write(0, 8), pattern(4096))) == code
    assert not unit.internal_errors


def test_a_full_pool_is_data_protect_and_changes_nothing():
    unit = UnitUnderTest()
    unit.volume.is_full = True
    assert code_of(unit.command(write(0, 8), pattern(4096))) == (7, 0x27, 0x07)
    assert code_of(unit.command(write(1, 1), pattern(512))) == (7, 0x27, 0x07)
    assert data_of(unit.command(read(0, 8))) == bytes(4096)


def test_a_flush_that_fails_fails_the_command():
    unit = UnitUnderTest()
    unit.pool.flush_failure = PoolFailed("no disk")
    assert code_of(unit.command(write(0, 8, flags=FUA), pattern(4096))) == (4, 0x03, 0)
    assert code_of(unit.command("35" + "00" * 9)) == (4, 0x03, 0)


def test_synchronize_cache_waits_unless_immed():
    unit = UnitUnderTest()
    unit.pool.flush_delay_s = 1.0
    started = unit.start("35 00 00 00 00 00 00 00 00 00")
    assert not started.is_done
    unit.environment.advance(1.0)
    assert started.reply.status == 0
    assert unit.start("35 02 00 00 00 00 00 00 00 00").reply.status == 0
    assert unit.pool.flushes == 1
    unit.environment.advance(1.0)
    assert unit.pool.flushes == 2


def test_a_flush_in_the_background_that_fails_is_not_an_error_of_the_array():
    unit = UnitUnderTest()
    unit.pool.flush_failure = PoolFailed("no disk")
    assert unit.start("91 02" + "00" * 14).reply.status == 0
    unit.environment.advance(1.0)
    assert [task.error for task in unit.environment.background] == [None]


@pytest.mark.parametrize("cdb", [write(0, 1), "42" + "00" * 9, "93 01" + "00" * 14])
def test_a_write_protected_unit_refuses_writes(cdb):
    unit = UnitUnderTest(write_protected=True)
    assert code_of(unit.command(cdb, bytes(512))) == (7, 0x27, 0)
    assert unit.command(read(0, 1)).status == 0
    assert unit.command("2f" + "00" * 9).status == 0


# VERIFY


def verify(lba, count, bytchk):
    return b"\x2f" + bytes((bytchk << 1,)) + lba.to_bytes(4, "big") + b"\0" + count.to_bytes(2, "big") + b"\0"


@pytest.mark.parametrize("cold", [False, True])
def test_verify_compares_as_bytchk_asks(cold):
    unit = UnitUnderTest()
    data = pattern(512) * 5000
    unit.command(write(3, 5000), data)
    unit.volume.is_cold = lambda: cold
    assert unit.command(verify(0, 8192, 0)).status == 0
    reply = unit.command(verify(3, 5000, 1), data)
    assert (reply.status, reply.transfer_bytes) == (0, len(data))
    reply = unit.command(verify(3, 5000, 3), data[:512])
    assert (reply.status, reply.transfer_bytes) == (0, 512)
    wrong = bytearray(data)
    wrong[2_000_000] ^= 1
    reply = unit.command(verify(3, 5000, 1), bytes(wrong))
    assert code_of(reply) == (0xE, 0x1D, 0)
    assert int.from_bytes(reply.sense[3:7], "big") == 2_000_000
    reply = unit.command(verify(0, 4, 3), data[:512])
    assert code_of(reply) == (0xE, 0x1D, 0)
    assert int.from_bytes(reply.sense[3:7], "big") == 0
    reply = unit.command(verify(3, 5000, 3), data[:500] + b"\xff" + data[501:512])
    assert int.from_bytes(reply.sense[3:7], "big") == 500, "an offset in the one block that was sent"
    assert code_of(unit.command(verify(3, 2, 1), data[:512])) == (5, 0x24, 0)
    assert code_of(unit.command(verify(3, 2, 1), data[:1023])) == (5, 0x0E, 3)


def test_verify_finds_a_damaged_block():
    unit = UnitUnderTest()
    unit.volume.damaged = {700}
    reply = unit.command(verify(0, 8192, 0))
    assert code_of(reply) == (3, 0x11, 0)
    assert int.from_bytes(reply.sense[3:7], "big") == 5600


def test_verify_of_nothing_is_fine():
    unit = UnitUnderTest()
    for bytchk in (0, 1, 3):
        assert unit.command(verify(8192, 0, bytchk)).status == 0
