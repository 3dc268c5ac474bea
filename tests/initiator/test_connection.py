"""Full feature phase, PDU by PDU, against a naive portal."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.initiator.errors import ProtocolViolation, Rejected
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.connection_events import ConnectionEnding, Finished, LogoutRequested
from odx_target.initiator.session.serial import following, is_behind
from odx_target.iscsi.pdu.headers import (
    AsynchronousMessage,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    ReadyToTransfer,
    Reject,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    ScsiResponse,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    TextRequest,
    TextResponse,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG, TaskManagementFunction
from odx_target.iscsi.pdu.text import encode_pairs
from tests.initiator.naive_portal import OPTIONS, Pair, logged_in

READ = bytes([0x88]) + bytes(15)
WRITE = bytes([0x8A]) + bytes(15)
DATA = bytes(range(256)) * 400


def result_of(pair: Pair, tag: int) -> CommandResult:
    (event,) = pair.events()
    assert isinstance(event, Finished)
    assert event.initiator_task_tag == tag
    assert isinstance(event.outcome, CommandResult)
    return event.outcome


def test_a_command_without_data() -> None:
    pair = logged_in()
    tag = pair.connection.command(3, bytes(6))
    command, data = pair.request(ScsiCommand)
    assert command == ScsiCommand(attribute=1, lun=3 << 48, initiator_task_tag=tag, cmd_sn=1, exp_stat_sn=102, cdb=bytes(16))
    assert data == b""
    pair.answer(ScsiResponse(initiator_task_tag=tag))
    assert result_of(pair, tag) == CommandResult(0)


def test_lun_above_255_uses_flat_space() -> None:
    pair = logged_in()
    pair.connection.command(0x123, bytes(6))
    assert pair.request(ScsiCommand)[0].lun == 0x4123 << 48


def test_sense_comes_with_the_response() -> None:
    pair = logged_in()
    tag = pair.connection.command(0, bytes(6))
    pair.answer(ScsiResponse(initiator_task_tag=tag, status=2), b"\0\x12" + bytes(18))
    assert result_of(pair, tag) == CommandResult(2, sense=bytes(18))


def test_data_in_pieces_with_the_status_in_the_last() -> None:
    pair = logged_in()
    tag = pair.connection.command(0, READ, data_in_bytes=1000)
    command, _ = pair.request(ScsiCommand)
    assert (command.read, command.write, command.expected_data_transfer_length) == (True, False, 1000)
    pair.answer(ScsiDataIn(initiator_task_tag=tag, final=False), DATA[:600], numbered=False)
    pair.answer(ScsiDataIn(initiator_task_tag=tag, has_status=True, data_sn=1, buffer_offset=600), DATA[600:1000])
    assert result_of(pair, tag) == CommandResult(0, DATA[:1000])


def test_less_data_than_expected_is_a_residual() -> None:
    pair = logged_in()
    tag = pair.connection.command(0, READ, data_in_bytes=805)
    pair.answer(ScsiDataIn(initiator_task_tag=tag, has_status=True, underflow=True, residual_count=255), DATA[:550])
    assert result_of(pair, tag) == CommandResult(0, DATA[:550], b"", 255)
    tag = pair.connection.command(0, READ, data_in_bytes=8)
    pair.answer(ScsiDataIn(initiator_task_tag=tag), DATA[:8], numbered=False)
    pair.answer(ScsiResponse(initiator_task_tag=tag, overflow=True, residual_count=4))
    assert result_of(pair, tag) == CommandResult(0, DATA[:8], b"", -4)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([(ScsiDataIn(buffer_offset=4), DATA[:4], False)], "at 4 to 8 came where 0 was due"),
        ([(ScsiDataIn(), DATA[:1004], False)], "of 1000 bytes expected"),
        ([(ScsiDataIn(), DATA[:4], False), (ScsiDataIn(), DATA[:4], False)], "came where 4 was due"),
        ([(ScsiDataIn(has_status=True), DATA[:8], True)], "sent 8 bytes of data and claims 1000"),
        ([(ScsiResponse(), b"", True)], "sent 0 bytes of data and claims 1000"),
        ([(ScsiResponse(status=2), b"\0\xff\x70", True)], "255 bytes of sense in a segment of 3"),
        ([(ScsiResponse(response=1), b"", True)], "could not carry out"),
        ([(ReadyToTransfer(desired_data_transfer_length=8), b"", False)], "asked for 8 bytes at 0 of a transfer of 0"),
        ([(ScsiResponse(initiator_task_tag=77), b"", True)], "0x4d, which is no command"),
        ([(TaskManagementFunctionResponse(), b"", True)], "no TaskManagementFunctionRequest under way"),
        ([(TextResponse(), b"", True)], "answers no request"),
        ([(LogoutResponse(), b"", True)], "no LogoutRequest under way"),
        ([(LoginResponse(), b"", True)], "LoginResponse, which is not allowed"),
        ([(NopOut(), b"", True)], "NopOut, which is not allowed"),
        ([(ScsiResponse(), b"", False), (ScsiResponse(), b"", False)], "StatSN 102 came where 103 was due"),
        ([(Reject(reason=4), b"", True)], "rejected a PDU: protocol error"),
        ([(Reject(reason=0x77), b"", True)], "rejected a PDU: reason 77h"),
    ],
)
def test_what_a_target_may_not_do(answers: list[tuple[Any, bytes, bool]], words: str) -> None:
    pair = logged_in()
    tag = pair.connection.command(0, READ, data_in_bytes=1000)
    other = pair.connection.command(0, bytes(6))
    for index, (original, data, numbered) in enumerate(answers):
        pdu = replace(original)
        if hasattr(pdu, "initiator_task_tag") and pdu.initiator_task_tag in {0, NO_TAG}:
            pdu.initiator_task_tag = tag if "StatSN" not in words else (other, tag)[index]
        if index + 1 < len(answers):
            pair.answer(pdu, data, numbered=numbered)
            continue
        with pytest.raises(ProtocolViolation, match=words):
            pair.answer(pdu, data, numbered=numbered)


@pytest.mark.parametrize("data", [b"\x3e" + bytes(47), b"\x20\x80\0\0\0\xff\xff\xff" + bytes(40)])
def test_bytes_that_are_no_pdu_of_ours(data: bytes) -> None:
    pair = logged_in()
    with pytest.raises(ProtocolViolation, match="cannot be read"):
        pair.connection.receive(memoryview(data))


@pytest.mark.parametrize(
    ("keys", "immediate", "unsolicited"),
    [
        ({}, [8192], [(8192, 8192)]),  # FirstBurstLength 16384, PDUs of 8192
        ({"InitialR2T": "Yes"}, [8192], []),
        ({"ImmediateData": "No"}, [0], [(0, 8192), (8192, 8192)]),
        ({"ImmediateData": "No", "InitialR2T": "Yes"}, [0], []),
        ({"MaxRecvDataSegmentLength": "65536"}, [16384], []),
        ({"FirstBurstLength": "10000"}, [8192], [(8192, 1808)]),
    ],
)
def test_data_that_need_not_be_asked_for(
    keys: dict[str, str], immediate: list[int], unsolicited: list[tuple[int, int]]
) -> None:
    pair = logged_in(keys)
    tag = pair.connection.command(0, WRITE, DATA)
    (command, first), *rest = pair.requests()
    assert isinstance(command, ScsiCommand)
    assert (command.read, command.write, command.expected_data_transfer_length) == (False, True, len(DATA))
    assert command.final == (not unsolicited)
    assert [len(first)] == immediate
    assert first == DATA[: len(first)]
    sent = []
    for data_sn, (pdu, data) in enumerate(rest):
        assert isinstance(pdu, ScsiDataOut)
        assert (pdu.initiator_task_tag, pdu.target_transfer_tag, pdu.data_sn) == (tag, NO_TAG, data_sn)
        assert pdu.final == (data_sn == len(rest) - 1)
        assert data == DATA[pdu.buffer_offset :][: len(data)]
        sent.append((pdu.buffer_offset, len(data)))
    assert sent == unsolicited


def test_data_that_is_asked_for() -> None:
    pair = logged_in({"ImmediateData": "No", "InitialR2T": "Yes"})
    tag = pair.connection.command(5, WRITE, [DATA[:50000], DATA[50000:]])
    pair.request(ScsiCommand)
    asked = [(0, 65536), (65536, len(DATA) - 65536)]
    for r2t_sn, (offset, size_bytes) in enumerate(asked):
        r2t = ReadyToTransfer(
            initiator_task_tag=tag, target_transfer_tag=0x55, r2t_sn=r2t_sn, buffer_offset=offset,
            desired_data_transfer_length=size_bytes,
        )  # fmt: skip
        pair.answer(r2t, numbered=False)
        sent = pair.requests()
        assert b"".join(data for _, data in sent) == DATA[offset : offset + size_bytes]
        assert [pdu.final for pdu, _ in sent if isinstance(pdu, ScsiDataOut)] == [False] * (len(sent) - 1) + [True]
        assert {pdu.target_transfer_tag for pdu, _ in sent if isinstance(pdu, ScsiDataOut)} == {0x55}
        assert [pdu.data_sn for pdu, _ in sent if isinstance(pdu, ScsiDataOut)] == list(range(len(sent)))
    pair.answer(ScsiResponse(initiator_task_tag=tag))
    assert result_of(pair, tag) == CommandResult(0)


@pytest.mark.parametrize(
    ("r2t", "words"),
    [
        (ReadyToTransfer(desired_data_transfer_length=0), "asked for 0 bytes"),
        (ReadyToTransfer(desired_data_transfer_length=65537), "asked for 65537 bytes"),
        (ReadyToTransfer(buffer_offset=len(DATA) - 1, desired_data_transfer_length=2), "of a transfer of 102400"),
        (ReadyToTransfer(desired_data_transfer_length=8, r2t_sn=1), "R2TSN 1 came where 0 was due"),
    ],
)
def test_data_that_may_not_be_asked_for(r2t: ReadyToTransfer, words: str) -> None:
    pair = logged_in()
    tag = pair.connection.command(0, WRITE, DATA)
    with pytest.raises(ProtocolViolation, match=words):
        pair.answer(replace(r2t, initiator_task_tag=tag), numbered=False)


def test_commands_wait_for_the_window() -> None:
    pair = logged_in(window=2)
    tags = [pair.connection.command(0, bytes(6)) for _ in range(5)]
    assert [pdu.cmd_sn for pdu, _ in pair.requests() if isinstance(pdu, ScsiCommand)] == [1, 2]
    pair.portal.exp_cmd_sn = 3
    pair.answer(ScsiResponse(initiator_task_tag=tags[0]))
    assert [pdu.cmd_sn for pdu, _ in pair.requests() if isinstance(pdu, ScsiCommand)] == [3, 4]
    assert pair.connection.withdraw(tags[4])
    assert not pair.connection.withdraw(tags[3])
    pair.portal.window = 10
    pair.answer(NopIn(), numbered=False)
    assert pair.requests() == []


def test_a_window_that_goes_back_is_ignored() -> None:
    pair = logged_in(window=2)
    pair.answer(NopIn(), numbered=False)
    pair.portal.exp_cmd_sn = 0
    pair.portal.window = 0
    pair.answer(NopIn(), numbered=False)
    pair.connection.command(0, bytes(6))
    pair.connection.command(0, bytes(6))
    assert len(pair.requests()) == 2


def test_a_closed_window_does_not_stop_what_is_immediate() -> None:
    pair = logged_in(window=0)
    tag = pair.connection.command(2, bytes(6))
    assert pair.requests() == []
    pair.connection.task_management(TaskManagementFunction.LOGICAL_UNIT_RESET, 2)
    request, _ = pair.request(TaskManagementFunctionRequest)
    assert (request.immediate, request.cmd_sn, request.function, request.lun) == (True, 1, 5, 2 << 48)
    assert request.referenced_task_tag == NO_TAG
    pair.connection.log_out()
    pair.request(LogoutRequest)
    pair.portal.window = 9
    pair.answer(NopIn(), numbered=False)
    assert pair.requests() == []  # no PDU is sent after a logout
    assert pair.connection.withdraw(tag)


def test_abort_task_names_the_command() -> None:
    pair = logged_in()
    pair.connection.command(0, bytes(6))
    tag = pair.connection.command(0, bytes(6))
    pair.requests()
    function = pair.connection.task_management(TaskManagementFunction.ABORT_TASK, 0, tag)
    request, _ = pair.request(TaskManagementFunctionRequest)
    assert (request.referenced_task_tag, request.ref_cmd_sn, request.cmd_sn) == (tag, 2, 3)
    pair.answer(TaskManagementFunctionResponse(initiator_task_tag=function, response=1))
    assert pair.events() == [Finished(function, 1)]
    pair.connection.forget(tag)
    with pytest.raises(ProtocolViolation):
        pair.answer(ScsiResponse(initiator_task_tag=tag))


def test_pings_go_both_ways() -> None:
    pair = logged_in()
    tag = pair.connection.ping(b"hello")
    nop, data = pair.request(NopOut)
    assert (nop.immediate, nop.target_transfer_tag, data) == (True, NO_TAG, b"hello")
    pair.answer(NopIn(initiator_task_tag=tag), b"hello")
    assert pair.events() == [Finished(tag, b"hello")]
    pair.answer(NopIn(lun=4 << 48, target_transfer_tag=9), numbered=False)
    nop, _ = pair.request(NopOut)
    assert (nop.initiator_task_tag, nop.target_transfer_tag, nop.lun, nop.immediate) == (NO_TAG, 9, 4 << 48, True)
    pair.answer(NopIn(), numbered=False)
    assert pair.requests() == []


def test_a_text_answer_may_take_several_pdus() -> None:
    pair = logged_in()
    tag = pair.connection.text([("SendTargets", "All")])
    request, data = pair.request(TextRequest)
    assert (request.final, data) == (True, b"SendTargets=All\0")
    text = encode_pairs([("TargetName", "a"), ("TargetAddress", "b")])
    pair.answer(TextResponse(initiator_task_tag=tag, final=False, continued=True, target_transfer_tag=5), text[:9])
    request, data = pair.request(TextRequest)
    assert (request.initiator_task_tag, request.target_transfer_tag, data) == (tag, 5, b"")
    pair.answer(TextResponse(initiator_task_tag=tag), text[9:])
    assert pair.events() == [Finished(tag, [("TargetName", "a"), ("TargetAddress", "b")])]


def test_a_rejected_request_fails_alone() -> None:
    pair = logged_in()
    tag, other = pair.connection.command(0, bytes(6)), pair.connection.command(0, bytes(6))
    (command, _), _ = pair.requests()
    pair.answer(Reject(reason=5), command.encode_header())
    (event,) = pair.events()
    assert event.initiator_task_tag == tag
    assert isinstance(event.outcome, Rejected)
    assert "command not supported" in str(event.outcome)
    pair.answer(ScsiResponse(initiator_task_tag=other))
    assert result_of(pair, other) == CommandResult(0)


def test_what_a_target_announces() -> None:
    pair = logged_in()
    pair.answer(AsynchronousMessage(async_event=1, parameter3=10))
    pair.answer(AsynchronousMessage(async_event=0))
    pair.answer(AsynchronousMessage(async_event=2))
    assert pair.events() == [LogoutRequested(10), ConnectionEnding("the target announced that it drops the connection")]


def test_logout() -> None:
    pair = logged_in()
    tag = pair.connection.log_out()
    request, _ = pair.request(LogoutRequest)
    assert (request.reason, request.immediate) == (0, True)
    pair.answer(LogoutResponse(initiator_task_tag=tag))
    assert pair.events() == [Finished(tag, None)]


def test_task_tags_are_never_reused_while_under_way() -> None:
    pair = logged_in(window=100000)
    first = pair.connection.command(0, bytes(6))
    pair.connection._pending.next_tag = NO_TAG
    second = pair.connection.command(0, bytes(6))
    third = pair.connection.command(0, bytes(6))
    assert len({first, second, third, 0, NO_TAG}) == 5


@pytest.mark.parametrize(("header", "data"), [(True, False), (False, True), (True, True)])
def test_digests(header: bool, data: bool) -> None:
    options = replace(OPTIONS, header_digest=header, data_digest=data)
    keys = {"HeaderDigest": "CRC32C" if header else "None", "DataDigest": "CRC32C" if data else "None"}
    pair = logged_in(keys, options)
    tag = pair.connection.command(0, WRITE, DATA[:1001])
    command, sent = pair.request(ScsiCommand)
    assert (command.data_segment_length, sent) == (1001, DATA[:1001])
    pair.answer(ScsiResponse(initiator_task_tag=tag, status=2), b"\0\x12" + bytes(18))
    assert result_of(pair, tag).status == 2
    tag = pair.connection.command(0, READ, data_in_bytes=100)
    answer = bytearray(pair.portal.encode(ScsiDataIn(initiator_task_tag=tag, has_status=True), DATA[:100]))
    answer[-5 if data else 20] ^= 1
    with pytest.raises(ProtocolViolation, match="digest"):
        pair.connection.receive(memoryview(answer))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=30))
def test_bytes_may_come_in_any_pieces(sizes: list[int]) -> None:
    pair = logged_in()
    read = pair.connection.command(0, READ, data_in_bytes=1000)
    ping = pair.connection.ping()
    stream = pair.portal.encode(ScsiDataIn(initiator_task_tag=read, final=False), DATA[:501], numbered=False)
    stream += pair.portal.encode(NopIn(initiator_task_tag=ping))
    stream += pair.portal.encode(ScsiDataIn(initiator_task_tag=read, has_status=True, buffer_offset=501), DATA[501:1000])
    rest = b""
    for size in [*sizes, len(stream)]:
        rest, stream = rest + stream[:size], stream[size:]
        rest = rest[pair.connection.receive(memoryview(rest)) :]
    assert rest == b""
    assert pair.events() == [Finished(ping, b""), Finished(read, CommandResult(0, DATA[:1000]))]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3F]))
def test_no_bytes_of_a_target_give_a_traceback(data: bytes, opcode: int) -> None:
    pair = logged_in()
    pair.connection.command(0, READ, data_in_bytes=100)
    pair.connection.command(0, WRITE, DATA[:100])
    stream = bytes([opcode]) + data
    try:
        taken = pair.connection.receive(memoryview(stream))
    except ProtocolViolation as violation:
        assert "\n" not in str(violation)  # noqa: PT017 - only the message is of interest
    else:
        assert taken <= len(stream)


def test_serial_numbers_wrap() -> None:
    assert following(0xFFFFFFFF) == 0
    assert is_behind(0xFFFFFFFF, 0)
    assert not is_behind(0, 0xFFFFFFFF)
    assert not is_behind(5, 5)
