"""EXTENDED COPY and other tasks: the order of tasks on both logical units, task management, and reservations."""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.copymgr.limits import CopyLimits
from odx_target.scsi.limits import MAX_TASKS
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.tasks.outcome import Outcome
from odx_target.scsi.tasks.place import Place
from odx_target.scsi.tasks.task_attribute import TaskAttribute
from odx_target.scsi.unit.format_operation import FormatOperation
from tests.copymgr.array import CopyArray, Started, code_of, data_of, pattern
from tests.copymgr.extended_copy import BlocksSegment, copy, copy_cdb, lun_list, receive, start_copy
from tests.copymgr.golden import golden
from tests.copymgr.test_reservations import EXCLUSIVE_ACCESS, REGISTER, RESERVE, WRITE_EXCLUSIVE
from tests.settings import searching
from tests.sim.virtual_environment import VirtualTask

READ_LUN_0 = bytes.fromhex("88000000000000000000000000080000")
WRITE = bytes.fromhex("8a000000000000000000000000080000")


def copying(receiver: int = 0, tag: int = 77) -> tuple[CopyArray, Started]:
    """Begin a copy of 64 blocks from LUN 0 to LUN 1 in steps of 16 blocks, and return it after two steps. The offsets are not
    aligned, so all blocks are read and written.
    """
    array = CopyArray(CopyLimits(copy_step_bytes=8192))
    array.write(0, 0, pattern(1, 0, 128, 512))
    array.manager.copies.before_step = lambda _: array.environment.sleep(1)
    started = start_copy(array, receiver, lun_list(array, [0, 1], [BlocksSegment(0, 3, 1, 16, 64)]), tag=tag)
    array.environment.advance(2.5)
    return array, started


def written_blocks(array: CopyArray) -> int:
    data = b"".join(array.volume(1).read_now(2, 10) or [])
    return next((index for index in range(80) if data[index * 512 :][:512] == bytes(512)), 80)


def assert_stopped(array: CopyArray, started: Started, blocks: int) -> None:
    assert written_blocks(array) == blocks
    array.environment.advance(100)
    assert written_blocks(array) == blocks, "something was written after the copy had ended"
    assert started.is_done
    assert array.manager.copies.operations == {}
    assert not any(unit.tasks.members for unit in array.logical_units.values())
    assert not array.pool.frozen_maps
    assert not array.internal_errors


@pytest.mark.parametrize("receiver", [0, 1, 2])
def test_conflicting_tasks_wait_for_the_copy(receiver: int) -> None:
    """A later write to the source, and a later read of the destination, wait for the end of the copy."""
    array, started = copying(receiver)
    others = [array.start(0, READ_LUN_0), array.start(1, READ_LUN_0), array.start(2, READ_LUN_0[:-4] + b"\x01\0\0\0")]
    write = array.start(0, WRITE, b"\xaa" * 4096)
    read = array.start(1, READ_LUN_0[:9] + b"\x10" + READ_LUN_0[10:])
    array.environment.advance(0.1)
    assert [each.is_done for each in (started, write, read, *others)] == [False] * 3 + [True] * 3
    array.environment.advance(100)
    assert [code_of(each.reply) for each in (started, write, read)] == ["good"] * 3
    assert array.read(1, 16, 64) == pattern(1, 3, 64, 512)
    assert data_of(read.reply) == pattern(1, 3, 8, 512)
    assert_stopped(array, started, 64)


@pytest.mark.parametrize("lun", [0, 1])
def test_the_copy_waits_for_earlier_tasks(lun: int) -> None:
    array = CopyArray()
    array.manager.copies.before_step = lambda _: array.environment.sleep(1)
    earlier = start_copy(array, 3, lun_list(array, [2, lun], [BlocksSegment(0, 0, 1, 0, 1)]))
    later = start_copy(array, 1 - lun, lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8)]))
    array.environment.advance(0.5)
    assert not earlier.is_done
    assert len(array.manager.copies.operations) == 1, "the later copy has not begun"
    array.environment.advance(10)
    assert (code_of(earlier.reply), code_of(later.reply)) == ("good", "good")


EVENTS: dict[str, tuple[Callable[[CopyArray], object], str | None]] = {
    # The reply to the copy that LUN 0 has received; None if there is no reply.
    "ABORT TASK": (lambda array: array.server.abort_task(array.nexus, 0, 77), None),
    "ABORT TASK SET": (lambda array: array.server.abort_task_set(array.nexus, 0), None),
    "CLEAR TASK SET": (lambda array: array.server.clear_task_set(array.new_nexus("iqn.other"), 0), None),
    "LOGICAL UNIT RESET": (lambda array: array.server.reset_logical_unit(array.logical_units[0], None), None),
    "target reset": (lambda array: array.server.reset_target(array.nexus), None),
    "I_T nexus loss": (lambda array: array.server.detach(array.nexus), None),
    "COPY OPERATION ABORT": (lambda array: array.abort(0, 7), "A/2F/02"),
    "ABORT TASK SET there": (lambda array: array.server.abort_task_set(array.nexus, 1), "A/0D/01"),
    "CLEAR TASK SET there": (lambda array: array.server.clear_task_set(array.new_nexus("iqn.other"), 1), "A/0D/01"),
    "LOGICAL UNIT RESET there": (lambda array: array.server.reset_logical_unit(array.logical_units[1], None), "A/0D/01"),
    "tasks cleared there": (lambda array: array.server.clear_tasks(array.logical_units[1]), "A/0D/01"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_events_that_end_a_copy(name: str) -> None:
    array, started = copying()
    assert written_blocks(array) == 32
    event, code = EVENTS[name]
    event(array)
    write = array.start(1, WRITE[:9] + b"\x60" + WRITE[10:], b"\xaa" * 4096)
    array.environment.advance(0.01)
    assert write.is_done, "no task waits for a copy that has been ended"
    array.environment.advance(2)
    assert code_of(started.reply) == (code or "aborted")
    if code == "A/0D/01":
        assert started.reply.sense[0] == 0xF0
        assert int.from_bytes(started.reply.sense[3:7], "big") == 32, "the blocks that were not written"
        assert started.reply.sense[8:12] == bytes((0, 18, 0, 0))
        assert started.reply.sense[18:] == b"\x40"
    if code is not None:
        assert data_of(receive(array, 0, 0x00))[4:] == bytes((2, 0, 0, 0)) + (32 * 512).to_bytes(4, "big")
    assert_stopped(array, started, 32)


def test_abort_task_on_the_other_logical_unit_finds_no_task() -> None:
    array, started = copying()
    assert not array.server.abort_task(array.nexus, 1, 77)
    array.environment.advance(10)
    assert code_of(started.reply) == "good"
    assert_stopped(array, started, 64)


@pytest.mark.parametrize("cut", [False, True])
def test_the_end_of_all_connections(cut: bool) -> None:
    array, _ = copying()
    array.end_connections(cut=cut)
    blocks = written_blocks(array)
    array.environment.advance(10)
    assert written_blocks(array) == blocks == 32
    assert not any(unit.tasks.members for unit in array.logical_units.values())
    assert not array.pool.frozen_maps


def reserve(array: CopyArray, lun: int, kind: int, nexus: Nexus) -> None:
    for action, key, new_key in ((REGISTER, 0, 9), (RESERVE, 9, 0)):
        data = key.to_bytes(8, "big") + new_key.to_bytes(8, "big") + bytes(8)
        assert array.command(lun, bytes((0x5F, action, kind, 0, 0, 0, 0, 0, 24)), data, nexus=nexus).status == 0


@pytest.mark.parametrize(
    ("receiver", "lun", "kind", "result"),
    [
        (2, 0, WRITE_EXCLUSIVE, "good"),  # reads are allowed
        (2, 0, EXCLUSIVE_ACCESS, "A/0D/01"),
        (2, 1, WRITE_EXCLUSIVE, "A/0D/01"),
        (2, 1, EXCLUSIVE_ACCESS, "A/0D/01"),
        (0, 0, WRITE_EXCLUSIVE, "conflict"),  # the command itself counts as a write
        (0, 0, EXCLUSIVE_ACCESS, "conflict"),
        (0, 1, WRITE_EXCLUSIVE, "A/0D/01"),
        (1, 1, WRITE_EXCLUSIVE, "conflict"),
        (2, 2, EXCLUSIVE_ACCESS, "conflict"),
        (2, 3, EXCLUSIVE_ACCESS, "good"),
    ],
)
def test_reservations(receiver: int, lun: int, kind: int, result: str) -> None:
    array = CopyArray()
    array.write(0, 0, pattern(1, 0, 16, 512))
    other = array.new_nexus("iqn.other")
    reserve(array, lun, kind, other)
    parameters = lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8)])
    reply = copy(array, receiver, parameters)
    assert ("conflict" if reply.status == 0x18 else code_of(reply)) == result
    written = b"".join(array.volume(1).read_now(0, 1) or [])
    assert written == (pattern(1, 0, 8, 512) if result == "good" else bytes(4096))
    if result != "conflict":
        assert code_of(copy(array, receiver, parameters, nexus=other)) == "good", "the holder may copy"


def test_the_sense_data_of_a_reservation_in_the_second_segment() -> None:
    array = CopyArray()
    reserve(array, 3, EXCLUSIVE_ACCESS, array.new_nexus("iqn.other"))
    segments = [BlocksSegment(0, 0, 1, 0, 8), BlocksSegment(2, 0, 1, 8, 1)]
    reply = copy(array, 0, lun_list(array, [0, 1, 3], segments))
    assert reply.sense == golden("extended_copy_failures", "reservation_on_source")


def test_a_reservation_during_the_copy() -> None:
    array, started = copying()
    reserve(array, 1, WRITE_EXCLUSIVE, array.new_nexus("iqn.other"))
    array.environment.advance(10)
    assert code_of(started.reply) == "A/0D/01"
    assert started.reply.sense[18:] == b"\x18"
    assert_stopped(array, started, 32)


@pytest.mark.parametrize(("lun", "stopped", "result"), [(0, True, 0), (1, True, 1), (1, False, 1), (0, False, None)])
def test_stopped_and_write_protected_units(lun: int, stopped: bool, result: int | None) -> None:
    """Sense data of the unit is forwarded. A write protected source can be read, also if it has received the command."""
    array = CopyArray()
    array.logical_units[lun].stopped, array.logical_units[lun].write_protected = stopped, not stopped
    reply = copy(array, 0, lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8)]))
    assert code_of(reply) == ("good" if result is None else "A/0D/01")
    if lun == 1 and not stopped:
        assert reply.sense == golden("extended_copy_failures", "write_protected")


@pytest.mark.parametrize("lun", [0, 1])
def test_a_unit_that_is_formatted_is_neither_read_nor_written(lun: int) -> None:
    array = CopyArray()
    command = lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8)])
    array.logical_units[lun].format_operation = FormatOperation(None)
    assert code_of(copy(array, 2, command)) == "A/0D/01"
    array.logical_units[lun].format_operation = None
    assert code_of(copy(array, 2, command)) == "good"


_COMMANDS = st.lists(
    st.tuples(
        st.booleans(),  # data-out arrives with the command
        st.sampled_from([TaskAttribute.SIMPLE, TaskAttribute.ORDERED, TaskAttribute.HEAD_OF_QUEUE]),
        st.integers(0, 2),  # receiver
        st.integers(0, 2),
        st.integers(0, 2),
        st.booleans(),  # a plain write to the receiver instead
    ),
    min_size=2,
    max_size=7,
)


@searching(max_examples=300)
@given(commands=_COMMANDS, order=st.randoms(use_true_random=False))
def test_no_deadlock_between_copies_in_any_direction(
    commands: list[tuple[bool, int, int, int, int, bool]], order: Random
) -> None:
    """Commands with all task attributes copy the same blocks between three logical units. Data-out arrives in any order. All
    commands end, and at no moment do two of them run although one writes a block that the other reads or writes.
    """
    array = CopyArray(size_store_blocks=8, block_lengths=(512, 512, 512))
    array.manager.copies.before_step = lambda _: array.environment.sleep(0.5)
    late: list[Callable[[], None]] = []
    outcomes: list[Reply | VirtualTask] = []

    def started(_: object, outcome: Outcome) -> None:
        outcomes.append(outcome if isinstance(outcome, Reply) else array.environment.spawn(outcome.run()))

    def advance() -> None:
        array.environment.advance(0.2)
        running = [commands[each.list_identifier] for each in array.manager.copies.operations]
        for (*_, source, destination, _), (*_, other_source, other_destination, _) in combinations(running, 2):
            assert destination not in (other_source, other_destination)
            assert source != other_destination

    for tag, (is_whole, attribute, receiver, source, destination, is_write) in enumerate(commands):
        data = bytes((tag,)) + lun_list(array, [source, destination], [BlocksSegment(0, 0, 1, 0, 8)])[1:]
        cdb = copy_cdb(len(data))
        if is_write:
            cdb, data = WRITE, bytes(4096)
        if is_whole:
            started(*array.server.execute(array.nexus, receiver, cdb, [data], attribute, tag))
        else:
            place = array.server.accept(array.nexus, receiver, cdb, attribute, tag, lambda: False)
            assert place is not None
            late.append(partial(_arrive, array, place, data, started))
        advance()
    order.shuffle(late)
    for arrive in late:
        arrive()
        advance()
    for _ in range(60):
        advance()
    assert [code_of(each if isinstance(each, Reply) else each.value()) for each in outcomes] == ["good"] * len(commands)
    assert not any(unit.tasks.members or unit.tasks.barriers for unit in array.logical_units.values())


def _arrive(array: CopyArray, place: Place, data: bytes, started: Callable[[object, Outcome], None]) -> None:
    started(*array.server.execute_accepted(place, [data], holds_memory=True))


def test_a_copy_does_not_wait_for_memory_that_another_command_needs() -> None:
    """A copy that would have to wait for a task without memory, on any of its logical units, is refused (rule 7)."""
    array = CopyArray()
    place = array.server.accept(array.nexus, 1, WRITE, TaskAttribute.SIMPLE, 1, lambda: True)
    assert place is not None
    reply = copy(array, 0, lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8)]))
    assert reply.status == 0x28
    place.give_back()
    assert not any(unit.tasks.members for unit in array.logical_units.values())


def test_full_task_sets() -> None:
    array, started = copying()
    member = array.logical_units[1].tasks.members[0]
    array.logical_units[1].tasks.members += [member] * (MAX_TASKS - 1)
    parameters = lun_list(array, [0, 1], [BlocksSegment(0, 0, 1, 0, 8)])
    assert copy(array, 0, parameters).status == 0x28
    assert copy(array, 1, parameters).status == 0x28
    array.logical_units[1].tasks.members[:] = [member]
    array.environment.advance(10)
    assert_stopped(array, started, 64)


@pytest.mark.parametrize("error", [MemoryError(), ZeroDivisionError()])
@pytest.mark.parametrize(
    "part", ["device_server.ThirdPartyAccess", "tasks.task_set.TaskSet._place_for", "tasks.task_set.Member.overlaps"]
)
@pytest.mark.parametrize("is_late", [False, True])
def test_a_copy_that_fails_to_join_a_task_set_leaves_all(
    part: str, error: Exception, is_late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failure must not leave a member behind, because later commands would wait for it forever."""
    array, running = copying()
    parameters = lun_list(array, [2, 0, 1], [BlocksSegment(0, 0, 1, 0, 1), BlocksSegment(1, 0, 2, 0, 8)])
    cdb = copy_cdb(len(parameters))
    place = array.server.accept(array.nexus, 3, cdb, TaskAttribute.SIMPLE, 5, lambda: False) if is_late else None

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(f"odx_target.scsi.{part}", fail)
        if place is None:
            reply = start_copy(array, 3, parameters).reply
        else:
            _, outcome = array.server.execute_accepted(place, [parameters], holds_memory=True)
            assert isinstance(outcome, Reply)
            reply = outcome
    assert reply.status == (Status.BUSY if isinstance(error, MemoryError) else Status.CHECK_CONDITION)
    assert [len(unit.tasks.members) for unit in array.logical_units.values()] == [1, 1, 0, 0], "only the running copy"
    array.internal_errors.clear()
    array.environment.advance(10)
    assert_stopped(array, running, 64)


def test_a_unit_that_the_nexus_gets_while_the_copy_waits_is_not_used() -> None:
    """The copy is no member of the task set of this unit. The segments before it are copied."""
    array, running = copying()
    nexus = array.new_nexus("iqn.other")
    nexus.logical_units = {lun: array.logical_units[lun] for lun in (0, 1)}
    segments = [BlocksSegment(0, 96, 1, 40, 8), BlocksSegment(1, 200, 2, 0, 8), BlocksSegment(0, 0, 1, 300, 8)]
    started = start_copy(array, 0, lun_list(array, [0, 1, 2], segments), nexus=nexus)
    write = array.start(0, WRITE, b"\xaa" * 4096)  # waits for both copies
    array.environment.advance(0.1)
    assert not started.is_done
    nexus.logical_units = array.logical_units
    array.environment.advance(10)
    assert [code_of(each.reply) for each in (running, started, write)] == ["good", "A/0D/02", "good"]
    assert started.reply.sense[10:12] == bytes((0, 1)), "the second segment"
    assert array.read(1, 40, 8) == pattern(1, 96, 8, 512)
    assert array.read(2, 0, 1) == bytes(4096)
    assert array.read(1, 300, 8) == bytes(4096)


def test_a_reset_of_a_unit_ends_the_copy_in_the_first_segment_that_needs_it() -> None:
    """Nothing of the unit is read or written after the reset, but the segments before it are copied."""
    array = CopyArray(CopyLimits(copy_step_bytes=8192))
    array.write(0, 0, pattern(1, 0, 128, 512))
    array.manager.copies.before_step = lambda _: array.environment.sleep(1)
    segments = [BlocksSegment(0, 3, 1, 16, 64), BlocksSegment(0, 3, 2, 0, 8)]
    started = start_copy(array, 3, lun_list(array, [0, 1, 2], segments))
    array.environment.advance(2.5)
    array.server.reset_logical_unit(array.logical_units[2], None)
    array.environment.advance(10)
    assert code_of(started.reply) == "A/0D/01"
    assert started.reply.sense[8:12] == bytes((0, 18, 0, 1)), "the second segment"
    assert array.volume(2).read_now(0, 1) == [bytes(4096)]
    assert_stopped(array, started, 64)
