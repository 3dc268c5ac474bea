"""If an operation is ended in any way before its work has begun, everything that was taken for it is released."""

from collections.abc import Awaitable, Callable

import pytest

from odx_target.copymgr.commands.parameter_lists import ListFlag, encode_populate_token
from odx_target.copymgr.limits import CopyLimits
from odx_target.copymgr.operations.extended_copy_job import ExtendedCopyJob
from odx_target.copymgr.operations.operation import CopyOperation
from odx_target.scsi.reply import Reply, Status
from tests.copymgr.array import CopyArray, Range, code_of, out_cdb, pattern
from tests.copymgr.extended_copy import BlocksSegment, copy, lun_list

ONE: list[Range] = [(0, 16)]
PERSISTENT = 0x0080_0002
TAG = 4711
LIST_IDENTIFIER = 9


def waits(array: CopyArray) -> Callable[[CopyOperation], Awaitable[None] | None]:
    return lambda operation: array.environment.sleep(1.0)


def populate_persistent(array: CopyArray, flags: int) -> int:
    array.start_populate(0, LIST_IDENTIFIER, ONE, flags=flags | ListFlag.RTV, rod_type=PERSISTENT, tag=TAG)
    return 0


def populate_in_steps(array: CopyArray, flags: int) -> int:
    array.manager.copies.before_step = waits(array)
    array.start_populate(0, LIST_IDENTIFIER, ONE, flags=flags, tag=TAG)
    return 0


def write_in_steps(array: CopyArray, flags: int) -> int:
    (token,) = array.manager.copies.tokens.live.values()
    array.manager.copies.before_step = waits(array)
    array.start_write_using(1, LIST_IDENTIFIER, token.data, [(3, 100)], flags=flags, tag=TAG)
    return 1


def write_unaligned(array: CopyArray, flags: int) -> int:
    """Write more blocks than are moved at once."""
    (token,) = array.manager.copies.tokens.live.values()
    array.start_write_using(1, LIST_IDENTIFIER, token.data, [(3, 100)], flags=flags, tag=TAG)
    return 1


COMMANDS = (populate_persistent, populate_in_steps, write_in_steps, write_unaligned)


def abort_copy(array: CopyArray, lun: int) -> None:
    assert code_of(array.command_at_once(lun, b"\x83\x1c" + LIST_IDENTIFIER.to_bytes(4, "big"))) == "good"


FOREGROUND_ENDS: dict[str, Callable[[CopyArray, int], object]] = {
    "abort task": lambda array, lun: array.server.abort_task(array.nexus, lun, TAG),
    "abort task set": lambda array, lun: array.server.abort_task_set(array.nexus, lun),
    "clear task set": lambda array, lun: array.server.clear_task_set(array.new_nexus("iqn.other"), lun),
    "nexus loss": lambda array, _: array.server.detach(array.nexus),
}
ENDS: dict[str, Callable[[CopyArray, int], object]] = {
    "logical unit reset": lambda array, lun: array.server.reset_logical_unit(array.logical_units[lun], None),
    "target reset": lambda array, _: array.server.reset_target(None),
    "COPY OPERATION ABORT": abort_copy,
    "preempted": lambda array, lun: array.manager.nexus_preempted(array.nexus, array.logical_units[lun]),
    "logical unit gone": lambda array, lun: array.manager.detach_logical_unit(array.logical_units[lun]),
    "array stops": lambda array, _: array.environment.stop(),
}
CASES = [
    *((command, 0, end) for command in COMMANDS for end in FOREGROUND_ENDS | ENDS),
    *((command, ListFlag.IMMED, end) for command in COMMANDS for end in ENDS),
]


def array_with_token() -> CopyArray:
    array = CopyArray(CopyLimits(copy_step_bytes=8192))
    array.write(0, 0, pattern(0, 0, 200, 512))
    array.write(1, 0, pattern(1, 0, 200, 512))
    array.token(0, 1, [(1, 160)])
    return array


@pytest.mark.parametrize(("command", "flags", "end"), CASES)
def test_nothing_is_left(command: Callable[[CopyArray, int], int], flags: int, end: str) -> None:
    array = array_with_token()
    (token,) = array.manager.copies.tokens.live.values()
    lun = command(array, flags)
    written = array.volume(1).read_now(0, 25)  # some of the work is done at once
    assert len(array.manager.copies.operations) == 1
    (FOREGROUND_ENDS | ENDS)[end](array, lun)
    array.environment.settle()
    assert array.manager.copies.operations == {}
    assert list(array.manager.copies.tokens.live.values()) == [token]
    assert token.leases == 0
    assert list(array.pool.frozen_maps.values()) == [token.rod.frozen]
    assert array.pool.remembered_keys("copymgr/token/") == []
    assert all(unit.tasks.members == [] for unit in array.logical_units.values())
    assert array.internal_errors == []
    if end != "array stops":
        array.environment.advance(100.0)
        assert array.volume(1).read_now(0, 25) == written


def test_an_operation_is_given_up_with_its_outcome() -> None:
    """The outcome is abandoned, as by a transport whose connection accepts no more work."""
    array = array_with_token()
    data = encode_populate_token(ONE, flags=ListFlag.RTV, rod_type=PERSISTENT)
    cdb = out_cdb(0x10, LIST_IDENTIFIER, len(data)).ljust(16, b"\0")
    _, outcome = array.server.execute(array.nexus, 0, cdb, [data], 1, TAG)
    assert not isinstance(outcome, Reply)
    assert len(array.pool.frozen_maps) == 2
    outcome.abandon()
    assert array.manager.copies.operations == {}
    assert len(array.pool.frozen_maps) == 1
    assert array.pool.remembered_keys("copymgr/token/") == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_background_that_takes_no_more_work(
    command: Callable[[CopyArray, int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    array = array_with_token()

    def refuse(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(array.copies, "start_soon", refuse)
    command(array, ListFlag.IMMED)
    assert array.manager.copies.operations == {}
    assert len(array.pool.frozen_maps) == 1
    assert [token.leases for token in array.manager.copies.tokens.live.values()] == [0]
    assert len(array.internal_errors) == 1


def test_aborted_commands_leave_room_for_honest_ones() -> None:
    """Each command is aborted before its work has begun, and no other task runs in between."""
    array = CopyArray(CopyLimits(max_concurrent_copies=8, max_tokens=8))
    for _ in range(100):
        populate_persistent(array, 0)
        assert array.server.abort_task(array.nexus, 0, TAG)
        array.environment.settle()
    assert code_of(array.populate(0, 1, ONE, nexus=array.new_nexus("iqn.honest"))) == "good"


def test_a_failure_while_giving_back_ends_the_operation_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    array = array_with_token()
    error = ZeroDivisionError()

    def fail(*_: object) -> None:
        raise error

    populate_persistent(array, 0)
    monkeypatch.setattr(array.manager.copies.tokens, "discard", fail)
    array.server.abort_task(array.nexus, 0, TAG)
    array.environment.settle()
    assert array.manager.copies.operations == {}
    assert array.internal_errors == [error]


@pytest.mark.parametrize("error", [MemoryError(), ZeroDivisionError()])
def test_an_extended_copy_that_fails_before_its_work_ends(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray()

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(ExtendedCopyJob, "set_segments", fail)
        parameters = lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8)])
        assert copy(array, 0, parameters).status == Status.CHECK_CONDITION
    assert array.manager.copies.operations == {}
    assert all(unit.tasks.members == [] for unit in array.logical_units.values())
    assert code_of(copy(array, 0, parameters)) == "good", "the list identifier is free again"


@pytest.mark.parametrize("error", [MemoryError(), ZeroDivisionError()])
@pytest.mark.parametrize("part", ["FrozenRod.of_ranges", "RodToken", "decode_head"])
def test_a_token_that_is_not_finished_holds_nothing(part: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    array = CopyArray()

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(f"odx_target.copymgr.commands.populate_token.{part}", fail)
        assert array.populate(0, 1, ONE, flags=ListFlag.RTV, rod_type=PERSISTENT).status != 0
    assert array.pool.frozen_maps == {}
    assert array.manager.copies.tokens.live == {}
    assert array.manager.copies.operations == {}
    assert array.pool.remembered_keys("copymgr/token/") == []
