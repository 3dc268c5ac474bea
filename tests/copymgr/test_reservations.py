"""Reservations and copies: which commands a reservation prevents, and its effect on copies under way."""

from collections.abc import Callable

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag
from odx_target.copymgr.limits import CopyLimits
from odx_target.scsi.access_kind import Access
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Status
from tests.copymgr.array import CopyArray, Range, Started, code_of, data_of, pattern

CONFLICT = 0x18
WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS = 1, 3
REGISTER, RESERVE, PREEMPT, PREEMPT_AND_ABORT = 0, 1, 4, 5

COLUMNS = {
    # From SPC-4 table 65 and SBC-3 table 13 (SBC-4 table 13 for rows that SBC-3 does not have yet). "allowed" means allowed
    # under all types; "reads" means allowed under Write Exclusive, and in conflict under Exclusive Access; "writes" means all
    # others. "always allowed" means allowed under all types, and under a reservation by RESERVE too (SPC-2 5.5.1 and annex B).
    "always allowed": """
        REQUEST SENSE, INQUIRY, LOG SENSE, REPORT LUNS, READ CAPACITY(10), READ CAPACITY(16),
        REPORT IDENTIFYING INFORMATION, READ MEDIA SERIAL NUMBER
    """,
    "allowed": """
        TEST UNIT READY, REPORT TIMESTAMP, RECEIVE COPY STATUS (LID1), RECEIVE COPY STATUS (LID4),
        RECEIVE COPY OPERATING PARAMETERS, RECEIVE COPY FAILURE DETAILS (LID1), RECEIVE ROD TOKEN INFORMATION,
        REPORT ALL ROD TOKENS, REPORT TARGET PORT GROUPS,
        PERSISTENT RESERVE IN READ KEYS, PERSISTENT RESERVE IN READ RESERVATION, PERSISTENT RESERVE IN REPORT CAPABILITIES,
        PERSISTENT RESERVE IN READ FULL STATUS
    """,
    "reads": """
        READ(6), READ(10), READ(12), READ(16), VERIFY(10), VERIFY(12), VERIFY(16), PRE-FETCH(10), PRE-FETCH(16),
        READ BUFFER(10), READ BUFFER(16),
        GET LBA STATUS, READ DEFECT DATA(10), READ DEFECT DATA(12), MODE SENSE(6), MODE SENSE(10), POPULATE TOKEN,
        RECEIVE DIAGNOSTIC RESULTS, REPORT SUPPORTED OPERATION CODES, REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS
    """,
    "writes": """
        WRITE(6), WRITE(10), WRITE(12), WRITE(16), WRITE AND VERIFY(10), WRITE AND VERIFY(12), WRITE AND VERIFY(16),
        WRITE SAME(10), WRITE SAME(16), WRITE ATOMIC(16), COMPARE AND WRITE, ORWRITE(16), UNMAP,
        SYNCHRONIZE CACHE(10), SYNCHRONIZE CACHE(16), MODE SELECT(6), MODE SELECT(10), WRITE USING TOKEN, COPY OPERATION ABORT,
        FORMAT UNIT, SEND DIAGNOSTIC, WRITE BUFFER, SET IDENTIFYING INFORMATION, SET TIMESTAMP,
        SET TARGET PORT GROUPS,
        SANITIZE OVERWRITE, SANITIZE BLOCK ERASE, SANITIZE CRYPTOGRAPHIC ERASE, SANITIZE EXIT FAILURE MODE,
        EXTENDED COPY (LID1), EXTENDED COPY (LID4)
    """,
    # SPC-4 5.13.3: the handlers check a persistent reservation. A RELEASE is allowed under any RESERVE.
    "reserving": "RESERVE(6), RESERVE(10)",
    "releasing": "RELEASE(6), RELEASE(10)",
    # Table 66: each service action itself checks its sender.
    "by service action": """
        PERSISTENT RESERVE OUT REGISTER, PERSISTENT RESERVE OUT RESERVE, PERSISTENT RESERVE OUT RELEASE,
        PERSISTENT RESERVE OUT CLEAR, PERSISTENT RESERVE OUT PREEMPT, PERSISTENT RESERVE OUT PREEMPT AND ABORT,
        PERSISTENT RESERVE OUT REGISTER AND IGNORE EXISTING KEY, PERSISTENT RESERVE OUT REGISTER AND MOVE
    """,
    "by its START bit": "START STOP UNIT",
}
ACCESS = {
    "always allowed": Access.ALWAYS_ALLOWED,
    "allowed": Access.ALLOWED,
    "reads": Access.READS,
    "writes": Access.WRITES,
    "reserving": Access.ALLOWED,
    "releasing": Access.ALWAYS_ALLOWED,
    "by service action": Access.ALLOWED,
}


def names(column: str) -> list[str]:
    return [name.strip() for name in COLUMNS[column].split(",")]


def test_every_command_of_the_array_is_in_one_column() -> None:
    entries = CopyArray().server.commands
    rows = {row.name.replace(",", ""): entries.find(row.usage[:2]) for row in entries.rows()}
    listed = [name for column in COLUMNS for name in names(column)]
    assert sorted(rows) == sorted(listed)
    for column, access in ACCESS.items():
        for name in names(column):
            assert rows[name].access is access, name
    assert not isinstance(rows["START STOP UNIT"].access, Access)


def reserve_out(array: CopyArray, service_action: int, key: int, new_key: int = 0, *, nexus: Nexus, lun: int = 1) -> None:
    cdb = bytes((0x5F, service_action, WRITE_EXCLUSIVE, 0, 0, 0, 0, 0, 24))
    data = key.to_bytes(8, "big") + new_key.to_bytes(8, "big") + bytes(8)
    assert array.command(lun, cdb, data, nexus=nexus).status == 0


def copying(flags: int = 0) -> tuple[CopyArray, Started, Nexus]:
    """Begin a copy to LUN 1, and return it after 32 of its 160 blocks, with another host that may reserve."""
    array = CopyArray(CopyLimits(copy_step_bytes=8192, command_budget_s=1000.0))
    array.write(0, 0, pattern(0, 0, 200, 512))
    token = array.token(0, 1, [(1, 160)])
    array.manager.copies.before_step = lambda operation: array.environment.sleep(1.0)
    other = array.new_nexus("iqn.other", "1")
    for key, nexus in enumerate((array.nexus, other), 1):
        reserve_out(array, REGISTER, 0, key, nexus=nexus)
    ranges: list[Range] = [(8, 160)]
    started = array.start_write_using(1, 2, token, ranges, flags=flags)
    array.environment.advance(2.5)
    assert written(array) == 32
    return array, started, other


def written(array: CopyArray) -> int:
    data = b"".join(array.volume(1).read_now(1, 20) or [])
    return next((index for index in range(160) if data[index * 512 : index * 512 + 512] == bytes(512)), 160)


@pytest.mark.parametrize("flags", [0, ListFlag.IMMED])
@pytest.mark.parametrize("service_action", [RESERVE, PREEMPT])
def test_a_copy_under_way_goes_on_whatever_reservation_comes(flags: int, service_action: int) -> None:
    """A copy under way is not checked again (SPC-4 5.13.1), even if its host is preempted."""
    array, started, other = copying(flags)
    reserve_out(array, RESERVE, 2, nexus=other)
    if service_action == PREEMPT:
        reserve_out(array, PREEMPT, 2, 1, nexus=other)
        array.nexus.unit_attentions.clear()
    array.environment.advance(100.0)
    assert written(array) == 160
    assert started.reply.status == 0
    assert data_of(array.information(1, 2))[5] == 0x01, "its result may be asked for"
    assert code_of_next_copy(array) == CONFLICT


def code_of_next_copy(array: CopyArray) -> int:
    array.manager.copies.before_step = None
    token = array.token(0, 7, [(1, 8)])
    return array.write_using(1, 8, token, [(64, 8)]).status


@pytest.mark.parametrize("flags", [0, ListFlag.IMMED])
def test_preempt_and_abort_ends_the_copies_of_the_preempted(flags: int) -> None:
    """The copies end as by COPY OPERATION ABORT (SPC-4 5.13.11.2.6)."""
    array, started, other = copying(flags)
    reserve_out(array, PREEMPT_AND_ABORT, 2, 1, nexus=other)
    array.environment.advance(100.0)
    assert written(array) == 32
    assert array.manager.copies.operations == {}
    if not flags:
        assert started.reply.status == Status.TASK_ABORTED
    array.nexus.unit_attentions.clear()
    answer = data_of(array.copy_status(1, 2))
    assert (answer[5], int.from_bytes(answer[16:24], "big")) == (0x60, 32)
    assert array.internal_errors == []


@pytest.mark.parametrize("flags", [0, ListFlag.IMMED])
def test_preempt_and_abort_leaves_other_hosts_and_other_units_alone(flags: int) -> None:
    array, started, other = copying(flags)
    reserve_out(array, REGISTER, 0, 1, nexus=array.nexus, lun=2)
    reserve_out(array, REGISTER, 0, 2, nexus=other, lun=2)
    reserve_out(array, PREEMPT_AND_ABORT, 2, 1, nexus=other, lun=2)
    third = array.new_nexus("iqn.third", "1")
    reserve_out(array, REGISTER, 0, 3, nexus=third)
    reserve_out(array, PREEMPT_AND_ABORT, 1, 3, nexus=array.nexus)
    array.environment.advance(100.0)
    assert written(array) == 160
    assert started.reply.status == 0


@pytest.mark.parametrize(
    ("kind", "command", "status"),
    [
        (WRITE_EXCLUSIVE, lambda array, nexus: array.populate(1, 3, [(0, 8)], nexus=nexus), 0),
        (EXCLUSIVE_ACCESS, lambda array, nexus: array.populate(1, 3, [(0, 8)], nexus=nexus), CONFLICT),
        (WRITE_EXCLUSIVE, lambda array, nexus: array.abort(1, 3, nexus=nexus), CONFLICT),
        (EXCLUSIVE_ACCESS, lambda array, nexus: array.command(1, b"\x84\x08" + bytes(8) + b"\0\0\1\0", nexus=nexus), 0),
    ],
)
def test_token_commands_of_others(kind: int, command: Callable[[CopyArray, Nexus], Status], status: int) -> None:
    array = CopyArray()
    reserve_out(array, REGISTER, 0, 1, nexus=array.nexus)
    cdb = bytes((0x5F, RESERVE, kind, 0, 0, 0, 0, 0, 24))
    assert array.command(1, cdb, (1).to_bytes(8, "big") + bytes(16)).status == 0
    assert command(array, array.new_nexus("iqn.other", "1")).status == status


def test_a_token_of_reserved_data_can_be_used_where_there_is_no_reservation() -> None:
    """A token represents the data at its time. The reservation is for the logical unit, not for its data."""
    array = CopyArray()
    array.write(1, 0, pattern(1, 0, 8, 512))
    other = array.new_nexus("iqn.other", "1")
    token = array.token(1, 1, [(0, 8)], nexus=other)
    reserve_out(array, REGISTER, 0, 1, nexus=array.nexus)
    reserve_out(array, RESERVE, 1, nexus=array.nexus)
    assert array.write_using(1, 2, token, [(64, 8)], nexus=other).status == CONFLICT
    assert array.write_using(0, 3, token, [(64, 8)], nexus=other).status == 0
    assert array.read(0, 64, 8) == pattern(1, 0, 8, 512)
    assert code_of(array.write_using(1, 4, token, [(64, 8)])) == "good"
