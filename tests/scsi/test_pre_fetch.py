import pytest

from odx_target.scsi.limits import MAX_TRANSFER_BYTES
from tests.scsi.array import UnitUnderTest, code_of, data_of

GOOD, CONDITION_MET = 0x00, 0x04
IMMED = 0x02


def short(lba, count, flags=0):
    return bytes((0x34, flags)) + lba.to_bytes(4, "big") + b"\0" + count.to_bytes(2, "big") + b"\0"


def long(lba, count, flags=0):
    return bytes((0x90, flags)) + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0"


class ReadsOfUnit(UnitUnderTest):
    """A unit that records which store blocks commands waited for."""

    def __init__(self, **options):
        super().__init__(**options)
        self.fetched = []
        self.volume.is_cold = lambda: True
        read = self.volume.read

        def noted_read(block, count):
            self.fetched += range(block, block + count)
            return read(block, count)

        self.volume.read = noted_read


@pytest.mark.parametrize("cdb", [short, long])
def test_blocks_are_read_until_they_are_in_memory(cdb):
    unit = ReadsOfUnit()
    started = unit.start(cdb(9, 16))
    assert not started.is_done
    unit.environment.advance(0.01)
    assert started.reply.status == CONDITION_MET
    assert not started.reply.transfer_bytes
    assert unit.fetched == [1, 2, 3]


@pytest.mark.parametrize("cdb", [short, long])
def test_blocks_that_are_in_memory_are_not_waited_for(cdb):
    unit = ReadsOfUnit()
    unit.volume.is_cold = lambda: False
    assert unit.command(cdb(0, 64)).status == CONDITION_MET
    assert not unit.fetched


@pytest.mark.parametrize("cdb", [short, long])
def test_nobody_waits_with_immed_and_nothing_is_said_to_be_in_memory(cdb):
    unit = ReadsOfUnit()
    assert unit.start(cdb(0, 64, IMMED)).reply.status == GOOD
    assert not unit.fetched


@pytest.mark.parametrize("cdb", [short, long])
def test_a_length_of_zero_is_all_to_the_end(cdb):
    unit = ReadsOfUnit(size_store_blocks=16)
    assert unit.command(cdb(100, 0)).status == CONDITION_MET
    assert unit.fetched == list(range(12, 16))
    assert unit.command(cdb(128, 0)).status == CONDITION_MET


def test_no_more_is_read_than_one_command_may_name():
    most_store_blocks = MAX_TRANSFER_BYTES // 4096
    unit = ReadsOfUnit(size_store_blocks=most_store_blocks + 1)
    assert int.from_bytes(data_of(unit.command("12 01 b0 00 40 00"))[16:20], "big") == most_store_blocks * 8
    assert unit.command(long(0, 0)).status == GOOD
    assert unit.fetched == list(range(most_store_blocks))
    assert unit.command(long(8, most_store_blocks * 8)).status == CONDITION_MET
    assert code_of(unit.command(long(0, most_store_blocks * 8 + 1))) == (5, 0x24, 0)


def test_what_cannot_be_read_is_told():
    unit = ReadsOfUnit()
    unit.volume.damaged = {700}
    assert unit.command(long(0, 5600)).status == CONDITION_MET
    reply = unit.command(long(0, 5601))
    assert code_of(reply) == (3, 0x11, 0)
    assert int.from_bytes(reply.sense[3:7], "big") == 5600


def test_it_can_be_aborted():
    unit = ReadsOfUnit()
    waiting = unit.start(long(0, 8192), tag=7)
    unit.environment.settle()
    assert unit.server.abort_task(unit.nexus, 0, 7)
    unit.environment.advance(1.0)
    assert waiting.reply.status == 0x40
    assert len(unit.fetched) == 256
