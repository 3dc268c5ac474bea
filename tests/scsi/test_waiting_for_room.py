"""While a pool makes room, commands that write wait. Commands that cannot wait end with BUSY."""

import pytest

from odx_target.scsi.reply import Status
from odx_target.store.api import PoolBusy
from tests.scsi.array import UnitUnderTest, data_of

OLD, NEW = b"\x0f", b"\xf0"
LBA, COUNT = 3, 10


def cdb(code, count=COUNT):
    return bytes((code, 0)) + LBA.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0"


UNMAP_LIST = b"\0\x16\0\x10\0\0\0\0" + LBA.to_bytes(8, "big") + COUNT.to_bytes(4, "big") + bytes(4)

COMMANDS = {
    # name: (CDB, data-out in blocks of 512 bytes, content of the blocks afterwards)
    "WRITE": (cdb(0x8A), NEW * 512 * COUNT, NEW),
    "WRITE AND VERIFY": (cdb(0x8E), NEW * 512 * COUNT, NEW),
    "WRITE ATOMIC": (cdb(0x9C), NEW * 512 * COUNT, NEW),
    "ORWRITE": (cdb(0x8B), NEW * 512 * COUNT, b"\xff"),
    "COMPARE AND WRITE": (cdb(0x89), OLD * 512 * COUNT + NEW * 512 * COUNT, NEW),
    "WRITE SAME": (cdb(0x93), NEW * 512, NEW),
    "WRITE SAME of zeros": (cdb(0x93), bytes(512), b"\0"),
    "UNMAP": (b"\x42\0\0\0\0\0\0\0\x18\0", UNMAP_LIST, b"\0"),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("is_cold", [False, True])
def test_a_command_waits_for_room(name, times, is_cold):
    unit = UnitUnderTest()
    assert unit.command(cdb(0x8A), OLD * 512 * COUNT).status == 0
    command, data, after = COMMANDS[name]
    unit.volume.times_busy = times
    unit.volume.is_cold = lambda: is_cold
    reply = unit.command(command, data)
    unit.volume.is_cold = lambda: False
    assert (reply.status, unit.volume.times_busy) == (0, 0), reply.sense.hex(" ")
    assert data_of(unit.command(cdb(0x88, COUNT))) == after * 512 * COUNT
    assert not unit.internal_errors


def test_an_abort_while_it_waits_changes_nothing():
    unit = UnitUnderTest()
    unit.volume.times_busy = 1
    started = unit.start(cdb(0x8A), NEW * 512 * COUNT)
    assert not started.is_done
    unit.server.abort_task_set(unit.nexus, 0)
    unit.environment.advance(1.0)
    assert started.reply.status == Status.TASK_ABORTED
    assert data_of(unit.command(cdb(0x88))) == bytes(512 * COUNT)


def test_later_writes_of_the_same_blocks_stay_later():
    unit = UnitUnderTest()
    unit.volume.times_busy = 1
    first = unit.start(cdb(0x8A), OLD * 512 * COUNT)
    second = unit.start(cdb(0x8A), NEW * 512 * COUNT)
    unit.environment.advance(1.0)
    assert first.reply.status == second.reply.status == 0
    assert data_of(unit.command(cdb(0x88))) == NEW * 512 * COUNT


def test_what_cannot_wait_is_answered_busy(monkeypatch):
    unit = UnitUnderTest()

    def remember(*_arguments, **_options):
        raise PoolBusy("room is being made")

    monkeypatch.setattr(unit.pool, "remember", remember)
    aptpl = bytes(8) + (7).to_bytes(8, "big") + bytes(4) + b"\1" + bytes(3)
    reply = unit.command(bytes.fromhex("5f 00 00 00 00 00 00 00 18 00"), aptpl)
    assert reply.status == Status.BUSY
    assert not unit.internal_errors
