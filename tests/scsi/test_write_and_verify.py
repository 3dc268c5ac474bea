import pytest

from odx_target.store.api import PoolFailed
from tests.scsi.array import UnitUnderTest, code_of, data_of

CDBS = {
    10: lambda code, lba, count: bytes((code, 0)) + lba.to_bytes(4, "big") + b"\0" + count.to_bytes(2, "big") + b"\0",
    12: lambda code, lba, count: bytes((code, 0)) + lba.to_bytes(4, "big") + count.to_bytes(4, "big") + b"\0\0",
    16: lambda code, lba, count: bytes((code, 0)) + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0",
}
WRITE_AND_VERIFY = {10: 0x2E, 12: 0xAE, 16: 0x8E}
BYTCHK = 1 << 1


def cdb(lba, count, size=10, flags=0):
    raw = bytearray(CDBS[size](WRITE_AND_VERIFY[size], lba, count))
    raw[1] |= flags
    return bytes(raw)


def read(unit, lba, count):
    return data_of(unit.command(CDBS[16](0x88, lba, count)))


def pattern(size_bytes):
    return bytes((index * 7) % 251 for index in range(size_bytes))


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("flags", [0, 0x10, BYTCHK])
@pytest.mark.parametrize("size", CDBS)
@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_what_is_written_is_durable_and_can_be_read(block_bytes, size, flags, cold):
    unit = UnitUnderTest(block_bytes)
    unit.volume.is_cold = lambda: cold
    data = pattern(9 * block_bytes)
    reply = unit.command(cdb(3, 9, size, flags), data)
    assert (reply.status, reply.transfer_bytes) == (0, len(data))
    assert unit.pool.flushes == 1
    assert read(unit, 3, 9) == data
    assert not unit.logical_unit.tasks.members


@pytest.mark.parametrize("flags", [0, BYTCHK])
def test_what_cannot_be_read_back_is_a_medium_error(flags):
    unit = UnitUnderTest()
    write = unit.volume.write

    def write_badly(block, data):
        write(block, data)
        unit.volume.damaged = {block}

    unit.volume.write = write_badly
    assert code_of(unit.command(cdb(8, 8, flags=flags), pattern(4096))) == (3, 0x11, 0)


def test_what_comes_back_otherwise_is_a_miscompare_if_asked():
    unit = UnitUnderTest()
    write = unit.volume.write
    unit.volume.write = lambda block, data: write(block, [b"".join(data)[:700] + b"?" + b"".join(data)[701:]])
    assert unit.command(cdb(8, 8), pattern(4096)).status == 0
    reply = unit.command(cdb(8, 8, flags=BYTCHK), pattern(4096))
    assert code_of(reply) == (0xE, 0x1D, 0)
    assert int.from_bytes(reply.sense[3:7], "big") == 700


def test_what_cannot_be_made_durable_is_told():
    unit = UnitUnderTest()
    unit.pool.flush_failure = PoolFailed("no disk")
    assert code_of(unit.command(cdb(0, 1), pattern(512))) == (4, 0x03, 0)


@pytest.mark.parametrize("size_bytes", [0, 100, 512, 1000, 1536, 2048])
def test_data_that_falls_short_writes_whole_blocks(size_bytes):
    unit = UnitUnderTest()
    reply = unit.command(cdb(5, 3, flags=BYTCHK), pattern(size_bytes))
    assert reply.transfer_bytes == 1536
    is_cut_off = size_bytes in (100, 1000)
    assert (code_of(reply) if is_cut_off else reply.status) == ((5, 0x0E, 3) if is_cut_off else 0)
    kept = 0 if is_cut_off else min(size_bytes, 1536)
    assert read(unit, 5, 3) == pattern(size_bytes)[:kept] + bytes(1536 - kept)


def test_an_abort_changes_nothing():
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: True
    waiting = unit.start(cdb(3, 1), pattern(512), tag=7)
    unit.environment.settle()
    assert unit.server.abort_task(unit.nexus, 0, 7)
    unit.environment.advance(0.01)
    assert waiting.reply.status == 0x40
    assert not unit.volume.writes


def test_nothing_to_do_is_done():
    unit = UnitUnderTest()
    assert unit.command(cdb(8192, 0)).status == 0
    assert not unit.volume.writes


@pytest.mark.parametrize("flags", [0, BYTCHK])
@pytest.mark.parametrize(("size", "code"), [(10, 0x2F), (12, 0xAF), (16, 0x8F)])
def test_verify_accepts_equal_blocks_in_every_form(size, code, flags):
    unit = UnitUnderTest()
    data = pattern(3 * 512)
    assert unit.command(cdb(8, 3), data).status == 0
    raw = bytearray(CDBS[size](code, 8, 3))
    raw[1] |= flags
    sent = data if flags else b""
    reply = unit.command(bytes(raw), sent)
    assert (reply.status, reply.transfer_bytes) == (0, len(sent))
    if flags:
        assert code_of(unit.command(bytes(raw), bytes(3 * 512))) == (0xE, 0x1D, 0)
