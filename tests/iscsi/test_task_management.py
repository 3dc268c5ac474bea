"""Task management: functions that the protocol answers, functions that the server answers, and aborted tasks without answer."""

import pytest

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.headers import (
    NopIn,
    ReadyToTransfer,
    Reject,
    ScsiDataIn,
    ScsiResponse,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    encode_lun,
)
from odx_target.iscsi.pdu.opcodes import RejectReason, TaskManagementFunction, TaskManagementResponse
from odx_target.iscsi.session.close_reason import CloseCode
from odx_target.iscsi.session.events import CommandReady, SessionClosed, TaskManagement
from tests.iscsi.conversation import Conversation, Directory

F, R = TaskManagementFunction, TaskManagementResponse
LUN_FUNCTIONS = [F.ABORT_TASK_SET, F.CLEAR_TASK_SET, F.LOGICAL_UNIT_RESET]
TARGET_FUNCTIONS = [F.TARGET_WARM_RESET, F.TARGET_COLD_RESET]


def request(talk: Conversation, function: int, **fields: int) -> TaskManagementFunctionRequest:
    pdu = TaskManagementFunctionRequest(immediate=True, function=function, initiator_task_tag=talk.tag(), cmd_sn=talk.cmd_sn)
    for name, value in fields.items():
        setattr(pdu, name, value)
    if not pdu.immediate and "cmd_sn" not in fields:
        pdu.cmd_sn = talk.next_cmd_sn()
    talk.send(pdu)
    return pdu


def response(talk: Conversation) -> int:
    return talk.take(TaskManagementFunctionResponse).response


@pytest.mark.parametrize("immediate", [True, False])
def test_abort_task_of_a_command_the_edge_has(immediate: bool) -> None:
    talk = Conversation().logged_in()
    command = talk.read(512, lun=1)
    event = talk.take_event(CommandReady)
    sent = request(talk, F.ABORT_TASK, immediate=immediate, lun=command.lun, referenced_task_tag=command.initiator_task_tag)
    asked = talk.take_event(TaskManagement)
    assert (asked.function, asked.lun, asked.referenced_task_tag) == (F.ABORT_TASK, 1, command.initiator_task_tag)
    assert list(asked.affected) == [event]
    assert not talk.unread
    talk.answer(asked, R.FUNCTION_COMPLETE)
    answer = talk.take(TaskManagementFunctionResponse)
    assert (answer.response, answer.initiator_task_tag) == (R.FUNCTION_COMPLETE, sent.initiator_task_tag)
    # Both places in the window are free again.
    assert answer.max_cmd_sn == answer.exp_cmd_sn + limits.COMMAND_WINDOW - 1
    assert event.aborted
    talk.reply(event, data=[bytes(512)])
    talk.answer(asked, R.FUNCTION_COMPLETE)
    assert not talk.unread


def test_a_task_that_could_not_be_aborted_is_still_answered() -> None:
    talk = Conversation().logged_in()
    command = talk.read(512)
    event = talk.take_event(CommandReady)
    request(talk, F.ABORT_TASK, referenced_task_tag=command.initiator_task_tag)
    talk.answer(talk.take_event(TaskManagement), R.TASK_DOES_NOT_EXIST)
    assert response(talk) == R.TASK_DOES_NOT_EXIST
    talk.reply(event, data=[bytes(512)])
    assert talk.take(ScsiDataIn).has_status


def test_an_answer_before_that_of_the_function_is_sent() -> None:
    talk = Conversation().logged_in()
    command = talk.read(512)
    event = talk.take_event(CommandReady)
    request(talk, F.ABORT_TASK, referenced_task_tag=command.initiator_task_tag)
    talk.reply(event, data=[bytes(512)])
    talk.answer(talk.take_event(TaskManagement), R.FUNCTION_COMPLETE)
    assert talk.take(ScsiDataIn).has_status
    assert response(talk) == R.FUNCTION_COMPLETE
    assert not event.aborted


def test_abort_task_of_a_command_that_still_collects_data_needs_no_edge() -> None:
    talk = Conversation().logged_in()
    command = talk.write(4096)
    r2t = talk.take(ReadyToTransfer)
    request(talk, F.ABORT_TASK, referenced_task_tag=command.initiator_task_tag)
    assert response(talk) == R.FUNCTION_COMPLETE
    talk.data_out(command, 0, bytes(4096), target_transfer_tag=r2t.target_transfer_tag)
    assert not talk.events
    assert not talk.unread


def test_abort_task_with_another_lun_finds_no_task() -> None:
    talk = Conversation().logged_in()
    command = talk.read(512, lun=1)
    talk.take_event(CommandReady)
    request(talk, F.ABORT_TASK, lun=encode_lun(2), referenced_task_tag=command.initiator_task_tag)
    assert response(talk) == R.TASK_DOES_NOT_EXIST
    assert not talk.events


@pytest.mark.parametrize("ref_cmd_sn", [6, 7 + limits.COMMAND_WINDOW, 8])
def test_abort_task_of_an_unknown_command_outside_the_window_or_later(ref_cmd_sn: int) -> None:
    talk = Conversation().logged_in()
    request(talk, F.ABORT_TASK, referenced_task_tag=0x99, ref_cmd_sn=ref_cmd_sn, cmd_sn=8)
    assert response(talk) == R.TASK_DOES_NOT_EXIST


def test_abort_task_of_a_command_that_never_came_fills_its_gap() -> None:
    talk = Conversation().logged_in()
    talk.read(512, cmd_sn=8)
    assert not talk.events
    request(talk, F.ABORT_TASK, referenced_task_tag=0x99, ref_cmd_sn=7, cmd_sn=9)
    assert response(talk) == R.FUNCTION_COMPLETE
    assert talk.take_event(CommandReady).cmd_sn == 8
    request(talk, F.ABORT_TASK, referenced_task_tag=0x99, ref_cmd_sn=7, cmd_sn=9)
    assert response(talk) == R.TASK_DOES_NOT_EXIST


def test_a_gap_is_filled_once() -> None:
    talk = Conversation().logged_in()
    for _ in range(2):
        request(talk, F.ABORT_TASK, referenced_task_tag=0x99, ref_cmd_sn=8, cmd_sn=9)
        answer = talk.take(TaskManagementFunctionResponse)
        assert (answer.response, answer.max_cmd_sn) == (R.FUNCTION_COMPLETE, 8 + limits.COMMAND_WINDOW - 1)
    talk.read(512, cmd_sn=7)
    talk.read(512, cmd_sn=9)
    assert [event.cmd_sn for event in talk.events if isinstance(event, CommandReady)] == [7, 9]


def test_abort_task_of_a_held_command_drops_it() -> None:
    talk = Conversation().logged_in()
    held = talk.read(512, cmd_sn=8)
    request(talk, F.ABORT_TASK, referenced_task_tag=held.initiator_task_tag, ref_cmd_sn=8, cmd_sn=9)
    assert response(talk) == R.FUNCTION_COMPLETE
    talk.read(512, cmd_sn=7)
    talk.read(512, cmd_sn=9)
    assert [event.cmd_sn for event in talk.events if isinstance(event, CommandReady)] == [7, 9]


@pytest.mark.parametrize("function", LUN_FUNCTIONS + TARGET_FUNCTIONS)
def test_functions_of_a_lun_or_the_target_end_the_tasks_in_their_scope(function: int) -> None:
    talk = Conversation().logged_in()
    talk.read(512, lun=1)
    talk.read(512, lun=2)
    collecting = talk.write(4096, lun=1)
    other_collecting = talk.write(4096, lun=2)
    tags = [talk.take(ReadyToTransfer).target_transfer_tag for _ in range(2)]
    on_lun, elsewhere = talk.take_event(CommandReady), talk.take_event(CommandReady)
    request(talk, function, lun=encode_lun(1))
    asked = talk.take_event(TaskManagement)
    whole_target = function in TARGET_FUNCTIONS
    assert list(asked.affected) == ([on_lun, elsewhere] if whole_target else [on_lun])
    talk.answer(asked, R.FUNCTION_COMPLETE)
    assert response(talk) == R.FUNCTION_COMPLETE
    assert (on_lun.aborted, elsewhere.aborted) == (True, whole_target)
    if function == F.TARGET_COLD_RESET:
        return
    talk.data_out(collecting, 0, bytes(4096), target_transfer_tag=tags[0])
    assert not talk.events
    talk.data_out(other_collecting, 0, bytes(4096), target_transfer_tag=tags[1])
    assert len(talk.events) == (0 if whole_target else 1)


@pytest.mark.parametrize(
    ("function", "answered"),
    [
        (F.CLEAR_ACA, R.FUNCTION_NOT_SUPPORTED),
        (F.TASK_REASSIGN, R.TASK_REASSIGNMENT_NOT_SUPPORTED),
        (0, R.FUNCTION_REJECTED),
        (9, R.FUNCTION_REJECTED),
        (127, R.FUNCTION_REJECTED),
    ],
)
@pytest.mark.parametrize("immediate", [True, False])
def test_functions_that_are_not_there(function: int, answered: int, immediate: bool) -> None:
    talk = Conversation().logged_in()
    request(talk, function, immediate=immediate)
    assert response(talk) == answered
    assert not talk.events
    assert not talk.connection.closed


def test_target_cold_reset_ends_every_connection() -> None:
    directory = Directory()
    talks = [Conversation(directory, isid=bytes([i] * 6)).logged_in() for i in range(3)]
    request(talks[0], F.TARGET_COLD_RESET)
    talks[0].answer(talks[0].take_event(TaskManagement), R.FUNCTION_COMPLETE)
    assert response(talks[0]) == R.FUNCTION_COMPLETE
    for talk in talks:
        talk.collect()
        assert talk.connection.closed
        assert talk.connection.close_reason is not None
        assert talk.connection.close_reason.code is CloseCode.TARGET_RESET
        assert isinstance(talk.events[0], SessionClosed)
    assert directory.sessions.sessions == []


def test_a_cold_reset_that_failed_ends_nothing() -> None:
    talk = Conversation().logged_in()
    request(talk, F.TARGET_COLD_RESET)
    talk.answer(talk.take_event(TaskManagement), R.FUNCTION_NOT_SUPPORTED)
    assert response(talk) == R.FUNCTION_NOT_SUPPORTED
    assert not talk.connection.closed


def test_functions_under_way_are_bounded() -> None:
    talk = Conversation().logged_in()
    for _ in range(limits.MAX_IMMEDIATE_COMMANDS):
        request(talk, F.LOGICAL_UNIT_RESET)
    request(talk, F.LOGICAL_UNIT_RESET)
    assert talk.take(Reject).reason == RejectReason.IMMEDIATE_COMMAND_REJECT
    for _ in range(limits.MAX_IMMEDIATE_COMMANDS):
        talk.answer(talk.take_event(TaskManagement), R.FUNCTION_COMPLETE)
        assert response(talk) == R.FUNCTION_COMPLETE


def test_an_aborted_write_gives_its_memory_to_those_who_wait() -> None:
    talk = Conversation().logged_in(MaxBurstLength="1048576")
    size = limits.MAX_TRANSFER_BYTES
    commands = [talk.write(size) for _ in range(3)]
    assert [talk.take(ReadyToTransfer).initiator_task_tag for _ in range(2)] == [c.initiator_task_tag for c in commands[:2]]
    request(talk, F.ABORT_TASK, referenced_task_tag=commands[0].initiator_task_tag)
    assert talk.take(ReadyToTransfer).initiator_task_tag == commands[2].initiator_task_tag
    assert response(talk) == R.FUNCTION_COMPLETE


def test_a_reset_asks_for_no_data_of_tasks_it_ends() -> None:
    talk = Conversation().logged_in()
    for _ in range(3):
        talk.write(limits.MAX_TRANSFER_BYTES)
    talk.unread.clear()
    request(talk, F.LOGICAL_UNIT_RESET)
    talk.answer(talk.take_event(TaskManagement), R.FUNCTION_COMPLETE)
    assert response(talk) == R.FUNCTION_COMPLETE
    assert not talk.unread


def test_a_function_for_an_unanswered_failed_command() -> None:
    """A failed command that still waits for the end of a burst can be aborted too."""
    talk = Conversation().logged_in(InitialR2T="Yes")
    command = talk.write(4096, final=False)
    request(talk, F.ABORT_TASK, referenced_task_tag=command.initiator_task_tag)
    assert response(talk) == R.FUNCTION_COMPLETE
    talk.data_out(command, 0, bytes(512))
    assert not [r for r in talk.unread if isinstance(r.pdu, ScsiResponse)]


@pytest.mark.parametrize("function", [F.ABORT_TASK, *LUN_FUNCTIONS])
def test_a_lun_is_the_same_in_either_addressing_method(function: int) -> None:
    flat_space = 0x4001 << 48
    talk = Conversation().logged_in()
    collecting = talk.write(4096, lun=1)
    talk.take(ReadyToTransfer)
    request(talk, function, lun=flat_space, referenced_task_tag=collecting.initiator_task_tag)
    if function != F.ABORT_TASK:
        talk.answer(talk.take_event(TaskManagement))
    assert response(talk) == R.FUNCTION_COMPLETE
    assert not talk.connection._full_feature.tasks.active  # type: ignore[union-attr]


def test_another_nexus_ends_what_is_collected_for_a_lun() -> None:
    talk = Conversation().logged_in()
    collecting, other = talk.write(4096, lun=1), talk.write(4096, lun=2)
    tags = [talk.take(ReadyToTransfer).target_transfer_tag for _ in range(2)]
    assert talk.connection.abort_collecting(1)
    assert not talk.connection.abort_collecting(1)
    talk.data_out(collecting, 0, bytes(4096), target_transfer_tag=tags[0])
    assert not talk.events
    talk.data_out(other, 0, bytes(4096), target_transfer_tag=tags[1])
    assert talk.take_event(CommandReady).lun == 2
    assert not talk.unread


def test_a_window_that_another_nexus_opens_again_is_told() -> None:
    talk = Conversation().logged_in()
    for _ in range(limits.COMMAND_WINDOW):
        talk.write(4096)
    talk.unread.clear()
    assert talk.connection.abort_collecting(0)
    talk.collect()
    told = talk.take(NopIn)
    assert (told.max_cmd_sn - told.exp_cmd_sn) & 0xFFFFFFFF == limits.COMMAND_WINDOW - 1
