"""Every command with data-out, with an expected data transfer length that differs from its CDB (RFC 7143 11.4.5)."""

from dataclasses import dataclass

import pytest

from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import BlockRange, populate_token_list, write_using_token_list
from odx_target.iscsi.pdu.headers import ScsiDataIn, ScsiResponse
from odx_target.target.array import Array
from tests.copymgr.extended_copy import HERE, BlocksSegment, copy_cdb, lid1_list, lid4_list
from tests.target.raw_peer import RawPeer, logged_in
from tests.target.running import running

BLOCK = 512
COUNT_BLOCKS = 16
BEFORE = bytes(range(256)) * 2 * COUNT_BLOCKS
DATA = b"w" * (2 * BLOCK)
KEEP = COUNT_BLOCKS * BLOCK
ZERO_TOKEN = bytes.fromhex("ffff0001000001f8") + bytes(504)


def by_10(code: int, byte_1: int = 0, count: int = 2) -> bytes:
    return bytes((code, byte_1, 0, 0, 0, 0, 0, 0, count, 0))


def by_12(code: int, byte_1: int = 0, count: int = 2) -> bytes:
    return bytes((code, byte_1, 0, 0, 0, 0, 0, 0, 0, count, 0, 0))


def by_16(code: int, byte_1: int = 0, count: int = 2) -> bytes:
    return bytes((code, byte_1, *bytes(8), 0, 0, 0, count, 0, 0))


def reserve_out(action: int, length: int = 24) -> bytes:
    return bytes((0x5F, action, 5, 0, 0)) + length.to_bytes(4, "big") + b"\0"


RESERVE_OUT = (
    *("REGISTER", "RESERVE", "RELEASE", "CLEAR", "PREEMPT", "PREEMPT AND ABORT"),
    "REGISTER AND IGNORE EXISTING KEY",
)
"""Service actions of PERSISTENT RESERVE OUT."""

PART = {name: (command, DATA) for name, command in {
    "WRITE(6)": bytes.fromhex("0a0000000200"),
    "WRITE(10)": by_10(0x2A),
    "WRITE(12)": by_12(0xAA),
    "WRITE(16)": by_16(0x8A),
    "ORWRITE(16)": by_16(0x8B),
    "WRITE AND VERIFY(10)": by_10(0x2E, 2),
    "WRITE AND VERIFY(12)": by_12(0xAE, 2),
    "WRITE AND VERIFY(16)": by_16(0x8E, 2),
}.items()}  # fmt: skip
"""Commands that may do a part of their work, on fewer blocks."""

WHOLE = {
    "VERIFY(10)": (by_10(0x2F, 2), BEFORE[: 2 * BLOCK]),
    "VERIFY(12)": (by_12(0xAF, 2), BEFORE[: 2 * BLOCK]),
    "VERIFY(16)": (by_16(0x8F, 2), BEFORE[: 2 * BLOCK]),
}
"""Commands that do all of their work or nothing."""

EXACT = {
    "COMPARE AND WRITE": (cdb.compare_and_write(0, 1), BEFORE[:BLOCK] + DATA[:BLOCK]),
    "WRITE ATOMIC(16)": (bytes((0x9C, 0, *bytes(8), 0, 0, 0, 2, 0, 0)), DATA),
    "WRITE SAME(10)": (by_10(0x41, count=16), DATA[:BLOCK]),
    "WRITE SAME(16)": (by_16(0x93, count=16), DATA[:BLOCK]),
}
"""Commands that accept neither more nor fewer bytes."""

_UNMAP = bytes.fromhex("0026002000000000") + 2 * (bytes(8) + bytes.fromhex("0000000800000000"))
_PAGES = bytes.fromhex("00000000 0a0a00000000000000000000")
_POPULATE = populate_token_list([BlockRange(0, 8), BlockRange(8, 8)])
_WRITE_USING = write_using_token_list(ZERO_TOKEN, [BlockRange(0, 8), BlockRange(8, 8)])
_SEGMENT = BlocksSegment(HERE, 8, HERE, 0, 8).build()
_COPY_LID1, _COPY_LID4 = lid1_list([], [_SEGMENT]), lid4_list([], [_SEGMENT])
_KEYS = bytes.fromhex("0000000000000001 0000000000000001 0000000000000000")
LISTS = {
    "UNMAP": (bytes((0x42, *bytes(6), 0, len(_UNMAP), 0)), _UNMAP),
    "MODE SELECT(6)": (bytes((0x15, 0x10, 0, 0, len(_PAGES), 0)), _PAGES),
    "MODE SELECT(10)": (bytes((0x55, 0x10, *bytes(5), 0, len(_PAGES) + 4, 0)), bytes(4) + _PAGES),
    "EXTENDED COPY (LID1)": (copy_cdb(len(_COPY_LID1)), _COPY_LID1),
    "EXTENDED COPY (LID4)": (copy_cdb(len(_COPY_LID4), is_lid4=True), _COPY_LID4),
    "POPULATE TOKEN": (cdb.populate_token(1, len(_POPULATE)), _POPULATE),
    "WRITE USING TOKEN": (cdb.write_using_token(2, len(_WRITE_USING)), _WRITE_USING),
    "FORMAT UNIT": (bytes.fromhex("041000000000"), bytes(4)),
    "SEND DIAGNOSTIC": (bytes.fromhex("1d1000000400"), bytes(4)),
    "SET IDENTIFYING INFORMATION": (bytes((0xA4, 6, *bytes(7), 16, 0, 0)), bytes(range(16))),
    "SET TIMESTAMP": (bytes((0xA4, 15, *bytes(7), 12, 0, 0)), bytes(12)),
    "SANITIZE, OVERWRITE": (bytes((0x48, 1, *bytes(6), 8, 0)), bytes.fromhex("01000004 00000000")),
    "WRITE BUFFER": (bytes((0x3B, 2, *bytes(6), 16, 0)), bytes(range(16))),
    **{f"PERSISTENT RESERVE OUT, {name}": (reserve_out(action), _KEYS) for action, name in enumerate(RESERVE_OUT)},
}
"""Commands with a parameter list. Fewer bytes than the length in the CDB are refused."""

WITHOUT_DATA_OUT = frozenset(
    {
        *("COPY OPERATION ABORT", "GET LBA STATUS", "INQUIRY", "LOG SENSE", "MODE SENSE(10)", "MODE SENSE(6)"),
        *("PERSISTENT RESERVE IN, READ FULL STATUS", "PERSISTENT RESERVE IN, READ KEYS"),
        *("PERSISTENT RESERVE IN, READ RESERVATION", "PERSISTENT RESERVE IN, REPORT CAPABILITIES"),
        *("PRE-FETCH(10)", "PRE-FETCH(16)", "READ CAPACITY(10)", "READ CAPACITY(16)", "READ DEFECT DATA(10)"),
        *("READ DEFECT DATA(12)", "READ(10)", "READ(12)", "READ(16)", "READ(6)", "RECEIVE COPY STATUS (LID4)"),
        *("RECEIVE COPY FAILURE DETAILS (LID1)", "RECEIVE COPY OPERATING PARAMETERS", "RECEIVE COPY STATUS (LID1)"),
        *("RECEIVE ROD TOKEN INFORMATION", "REPORT ALL ROD TOKENS", "REPORT LUNS", "REPORT SUPPORTED OPERATION CODES"),
        *("REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", "REQUEST SENSE", "START STOP UNIT", "SYNCHRONIZE CACHE(10)"),
        *("SYNCHRONIZE CACHE(16)", "TEST UNIT READY", "RESERVE(6)", "RESERVE(10)", "RELEASE(6)", "RELEASE(10)"),
        *("RECEIVE DIAGNOSTIC RESULTS", "READ BUFFER(10)", "READ BUFFER(16)", "REPORT IDENTIFYING INFORMATION"),
        *("REPORT TIMESTAMP", "READ MEDIA SERIAL NUMBER", "SANITIZE, BLOCK ERASE", "SANITIZE, CRYPTOGRAPHIC ERASE"),
        *("SANITIZE, EXIT FAILURE MODE",),
    }
)

LISTS_OF_OTHER_TESTS = frozenset(
    {"PERSISTENT RESERVE OUT, REGISTER AND MOVE", "REPORT TARGET PORT GROUPS", "SET TARGET PORT GROUPS"}
)
"""Commands that only the holder of a reservation can send (`tests/scsi/test_persistent_reserve.py`), and commands that need
asymmetric access (`tests/scsi/test_set_target_port_groups.py`).
"""


GOOD, CUT_OFF, CDB, LIST_LENGTH = "good", "5/0E/03", "5/24/00", "5/1A/00"


@dataclass(frozen=True)
class Case:
    """One command. `extra_bytes` is the number of bytes beyond the length in its CDB; if it is None, no data is sent.

    `outcomes` are the results of the groups of commands.
    """

    name: str
    extra_bytes: int | None
    outcomes: tuple[str, str, str, str]
    direction: str = "write"


CASES = (
    Case("as named", 0, (GOOD, GOOD, GOOD, GOOD)),
    Case("nothing", None, (GOOD, CDB, CDB, LIST_LENGTH)),
    Case("a block less", -BLOCK, (GOOD, CDB, CDB, LIST_LENGTH)),
    Case("cut off in the last block", -8, (CUT_OFF, CUT_OFF, CUT_OFF, LIST_LENGTH)),
    Case("some bytes more", 8, (GOOD, GOOD, CUT_OFF, GOOD)),
    Case("a block more", BLOCK, (GOOD, GOOD, CDB, GOOD)),
    Case("as a read", 0, (CUT_OFF, CDB, CDB, LIST_LENGTH), "read"),
    Case("without a direction", 0, (CUT_OFF, CDB, CDB, LIST_LENGTH), "none"),
    Case("both ways", 0, (CUT_OFF, CUT_OFF, CUT_OFF, CUT_OFF), "both"),
)

GROUPS = (PART, WHOLE, EXACT, LISTS)
ROWS = [
    pytest.param(name, case, case.outcomes[column], id=f"{name}: {case.name}")
    for column, group in enumerate(GROUPS)
    for name, (_, data) in group.items()
    for case in CASES
    if case.extra_bytes != -BLOCK or len(data) >= 2 * BLOCK
]
COMMANDS = {name: each for group in GROUPS for name, each in group.items()}


async def test_every_command_is_in_the_table() -> None:
    async with running() as array:
        names = {row.name for row in array.device_server.commands.rows()}
    assert names == {*COMMANDS, *WITHOUT_DATA_OUT, *LISTS_OF_OTHER_TESTS}


@pytest.mark.parametrize(("name", "case", "outcome"), ROWS)
async def test_the_status_says_what_was_done_and_the_residual_how_much(name: str, case: Case, outcome: str) -> None:
    command, data = COMMANDS[name]
    async with running() as array, logged_in(array) as peer:
        await peer.status_of(peer.write(cdb.write_16(0, COUNT_BLOCKS), KEEP), BEFORE)
        if name.startswith("PERSISTENT RESERVE OUT"):
            await send(peer, reserve_out(RESERVE_OUT.index("REGISTER AND IGNORE EXISTING KEY")), _KEYS)
        response, sense = await send(peer, command, sent(data, case), case.direction)
        assert (GOOD if not response.status else f"{sense[2] & 0xF}/{sense[12]:02X}/{sense[13]:02X}") == outcome
        assert residual_of(response) == expected_residual(len(data), len(sent(data, case)), case.direction)
        if outcome != GOOD:
            assert await content(peer) == BEFORE, "nothing is done of what is refused"
        elif name in PART:
            kept = min(len(sent(data, case)), len(data))
            assert await content(peer) == written(name, kept) + BEFORE[kept:]
        assert_nothing_is_under_way(array)


def sent(data: bytes, case: Case) -> bytes:
    if case.extra_bytes is None:
        return b""
    return (data + bytes(case.extra_bytes)) if case.extra_bytes >= 0 else data[: case.extra_bytes]


def written(name: str, size_bytes: int) -> bytes:
    if name != "ORWRITE(16)":
        return DATA[:size_bytes]
    return bytes(one | other for one, other in zip(BEFORE, DATA[:size_bytes], strict=False))


def expected_residual(named_bytes: int, sent_bytes: int, direction: str) -> int:
    """Return the expected residual: negative if fewer bytes were moved than the CDB names, positive if fewer than were
    expected.
    """
    return sent_bytes if direction != "write" else sent_bytes - named_bytes


def residual_of(response: ScsiResponse) -> int:
    assert not (response.overflow and response.underflow)
    return -response.residual_count if response.overflow else response.residual_count if response.underflow else 0


async def send(peer: RawPeer, command: bytes, data: bytes, direction: str = "write") -> tuple[ScsiResponse, bytes]:
    reads, writes = direction in ("read", "both"), direction in ("write", "both")
    pdu = peer.command(command, read=reads, write=writes, expected_data_transfer_length=len(data))
    await peer.send(pdu, data if writes else b"")
    received = await peer.next()
    assert received is not None
    response, segment = received
    assert isinstance(response, ScsiResponse)
    assert response.initiator_task_tag == pdu.initiator_task_tag
    return response, segment[2:]


async def content(peer: RawPeer) -> bytes:
    await peer.send(peer.read(cdb.read_16(0, COUNT_BLOCKS), KEEP))
    received = await peer.next()
    assert received is not None
    assert isinstance(received[0], ScsiDataIn)
    return received[1]


def assert_nothing_is_under_way(array: Array) -> None:
    assert not any(unit.tasks.members for unit in array.logical_units.values())
