"""The short lane executes usual reads and writes, leaves all other commands to the usual way, and gives the same replies."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from odx_target.iscsi.pdu.header import encode_lun
from odx_target.iscsi.pdu.headers import ScsiCommand, TaskManagementFunctionRequest
from odx_target.iscsi.pdu.opcodes import NO_TAG, TaskManagementFunction
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.store.api import DamagedBlock, PoolFull
from odx_target.target.server import response_sender, short_lane
from tests.settings import searching
from tests.target.lane_sides import CAPACITY_BYTES, Side, side, sides

BLOCK_BYTES = {0: 512, 1: 4096}
READ_6, WRITE_6, READ_10, WRITE_10, READ_12, WRITE_12, READ_16, WRITE_16 = 8, 10, 0x28, 0x2A, 0xA8, 0xAA, 0x88, 0x8A


def transfer(operation_code: int, lba: int, count: int) -> bytes:
    """Return the CDB of a READ or WRITE of any length."""
    fields = {0: (3, 1, 0), 1: (4, 1, 2), 2: (4, 1, 2), 4: (8, 4, 0), 5: (4, 4, 0)}[operation_code >> 5]
    lba_bytes, count_bytes, _ = fields
    if operation_code >> 5 == 0:
        return bytes([operation_code]) + (lba & 0x1FFFFF).to_bytes(3) + bytes([count & 0xFF, 0])
    group = b"\0" if operation_code >> 5 == 1 else b""
    return bytes([operation_code, 0]) + lba.to_bytes(lba_bytes) + group + count.to_bytes(count_bytes)


Change = Callable[[ScsiCommand], None]


def _cdb_byte(index: int, value: int) -> Change:
    def change(command: ScsiCommand) -> None:
        cdb = bytearray(command.cdb)
        cdb[index] |= value
        command.cdb = bytes(cdb)

    return change


def _field(**fields: object) -> Change:
    def change(command: ScsiCommand) -> None:
        for name, value in fields.items():
            setattr(command, name, value)

    return change


def _expects(more_bytes: int) -> Change:
    def change(command: ScsiCommand) -> None:
        command.expected_data_transfer_length = max(0, command.expected_data_transfer_length + more_bytes)

    return change


CHANGES: dict[str, Change] = {
    # unusual property of a command: the change that gives it to a READ(16) or WRITE(16)
    "DPO": _cdb_byte(1, 0x10),
    "protection information": _cdb_byte(1, 0x20),
    "reserved bit of byte 1": _cdb_byte(1, 0x01),
    "group number": _cdb_byte(14, 0x01),
    "reserved bit of the group number": _cdb_byte(14, 0x40),
    "NACA": _cdb_byte(15, 0x04),
    "LBA beyond the capacity": _cdb_byte(5, 0x01),
    "LBA beyond 2^63": _cdb_byte(2, 0x80),
    "immediate": _field(immediate=True),
    "ordered": _field(attribute=2),
    "head of queue": _field(attribute=3),
    "ACA": _field(attribute=4),
    "no such attribute": _field(attribute=7),
    "no such logical unit": _field(lun=encode_lun(9)),
    "LUN of two levels": _field(lun=1),
    "no tag": _field(initiator_task_tag=NO_TAG),
    "expected length of 0": _expects(-CAPACITY_BYTES),
    "longer expected length": _expects(512),
    "shorter expected length": _expects(-512),
    "both directions": _field(read=True, write=True),
    "no direction": _field(read=False, write=False),
}
"""Each of these commands differs from a usual command, so the lane leaves it to the usual way."""

ORDINARY: dict[str, Change] = {
    "simple": _field(attribute=1),
    "untagged": _field(attribute=0),
    "LUN by flat space addressing": lambda command: setattr(command, "lun", command.lun | 0x4000 << 48),
}
"""The lane executes all these commands."""


@dataclass(frozen=True)
class Planned:
    """A READ or WRITE with at most one unusual property."""

    operation_code: int
    lun: int
    lba: int
    count: int
    change: str = "simple"

    def encode(self, on: Side) -> bytes:
        peer = on.peer
        size_bytes = self.count * BLOCK_BYTES[self.lun]
        cdb = transfer(self.operation_code, self.lba, self.count)
        writes = self.operation_code & 2 != 0
        make = peer.write if writes else peer.read
        command = make(cdb, size_bytes, lun=self.lun)
        data = Random(f"{command.cmd_sn} {self.lba}").randbytes(size_bytes) if writes else b""
        sent_sn = command.cmd_sn
        (CHANGES | ORDINARY)[self.change](command)
        if command.immediate:
            peer.cmd_sn = sent_sn
        return peer.encode(command, data)


def other(on: Side, name: str) -> bytes:
    """Encode a command that is neither a READ nor a WRITE."""
    peer = on.peer
    if name == "LOGICAL UNIT RESET":
        return peer.encode(peer.manage(TaskManagementFunction.LOGICAL_UNIT_RESET))
    if name == "missing command":
        peer.next_cmd_sn()
        return b""
    cdb = {"TEST UNIT READY": bytes(6), "stop": b"\x1b\0\0\0\0\0", "start": b"\x1b\0\0\0\1\0"}[name]
    return peer.encode(peer.command(cdb))


OTHERS = ("TEST UNIT READY", "LOGICAL UNIT RESET", "missing command")
WAITING = ("stop", "start")
"""Commands that wait. Each is a batch of its own, because the order in which two waiting commands end is not fixed."""

planned = st.builds(
    Planned,
    st.sampled_from([READ_10, WRITE_10, READ_16, WRITE_16, READ_16, WRITE_16, READ_6, WRITE_6, READ_12, WRITE_12]),
    st.sampled_from([0, 0, 1]),
    st.integers(0, 64) | st.integers(480, 520),
    st.integers(0, 24),
    st.sampled_from(list(ORDINARY)),
)
unusual = st.builds(
    Planned,
    st.sampled_from([READ_16, WRITE_16]),
    st.sampled_from([0, 1]),
    st.integers(0, 40),
    st.integers(0, 24),
    st.sampled_from(list(CHANGES)),
)
batches_of_commands = st.lists(
    st.lists(planned | planned | planned | unusual | st.sampled_from(OTHERS), min_size=1, max_size=6)
    | st.sampled_from(WAITING).map(lambda name: [name]),
    max_size=12,
)


@searching(60)
@given(batches_of_commands, st.randoms(use_true_random=False))
def test_both_ways_give_the_same_replies(batches: list[list[Planned | str]], random: Random) -> None:
    async def compare() -> None:
        async with sides() as (short, usual):
            for batch in batches:
                short_bytes, usual_bytes = (
                    b"".join(each.encode(on) if isinstance(each, Planned) else other(on, each) for each in batch)
                    for on in (short, usual)
                )
                assert short_bytes == usual_bytes
                cut = random.randrange(len(short_bytes) + 1)
                waits = batch[0] in WAITING
                answers = await short.feed(short_bytes[:cut], short_bytes[cut:], waits=waits)
                wanted = await usual.feed(usual_bytes[:cut], usual_bytes[cut:], waits=waits)
                assert without_exp_cmd_sn(answers) == without_exp_cmd_sn(wanted)
                assert short.is_closed == usual.is_closed
                if short.is_closed:
                    break
                assert short.lane._state.window.exp_cmd_sn == usual.lane._state.window.exp_cmd_sn
            assert short.content == usual.content
            assert short.counted == usual.counted

    trio.run(compare)


def without_exp_cmd_sn(answers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Remove ExpCmdSN. The usual way counts all commands of a batch before it sends the first reply; the lane counts them one by
    one.
    """
    return [(header[:28] + header[32:], data) for header, data in answers]
