"""NOP, text, logout, refusals, digests, timers, and the end of a connection when the target stops."""

from collections.abc import Callable

import pytest

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.headers import (
    PDU_CLASSES,
    AsynchronousMessage,
    LoginRequest,
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    Pdu,
    ReadyToTransfer,
    Reject,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    SnackRequest,
    TaskManagementFunctionRequest,
    TextRequest,
    TextResponse,
)
from odx_target.iscsi.pdu.opcodes import AsyncEvent, LogoutReason, LogoutStatus, RejectReason
from odx_target.iscsi.pdu.text import decode_pairs
from odx_target.iscsi.session.close_reason import CloseCode
from odx_target.iscsi.session.directory_interface import Portal
from odx_target.iscsi.session.events import CommandReady, ConnectionEnding, PduRejected, SessionClosed
from tests.iscsi.conversation import INITIATOR, TARGET, Conversation, Directory


def discovery(directory: Directory | None = None, recv: str = "8192") -> Conversation:
    talk = Conversation(directory or Directory())
    keys = {**talk.names("Discovery"), "MaxRecvDataSegmentLength": recv}
    talk.login_request(keys, 1, 3)
    return talk


def code(talk: Conversation) -> CloseCode:
    assert talk.connection.closed
    assert talk.connection.close_reason is not None
    return talk.connection.close_reason.code


class TestNop:
    @pytest.mark.parametrize("data", [b"", b"ping", bytes(range(256)) * 4])
    @pytest.mark.parametrize("immediate", [True, False])
    def test_a_ping_is_echoed(self, data: bytes, immediate: bool) -> None:
        talk = Conversation().logged_in()
        talk.send(NopOut(immediate=immediate, initiator_task_tag=5, cmd_sn=talk.cmd_sn), data)
        answer, echo = talk.take_with_data(NopIn)
        assert (answer.initiator_task_tag, answer.target_transfer_tag, echo) == (5, 0xFFFFFFFF, data)
        assert answer.exp_cmd_sn == talk.cmd_sn + (not immediate)
        assert answer.max_cmd_sn == answer.exp_cmd_sn + limits.COMMAND_WINDOW - 1

    def test_an_echo_is_no_longer_than_the_initiator_takes(self) -> None:
        talk = Conversation().logged_in(MaxRecvDataSegmentLength="512")
        talk.send(NopOut(immediate=True, initiator_task_tag=5, cmd_sn=7), bytes(1000))
        assert len(talk.take_with_data(NopIn)[1]) == 512

    def test_an_answer_to_a_ping_is_not_answered(self) -> None:
        talk = Conversation().logged_in()
        talk.send(NopOut(immediate=True, target_transfer_tag=3, cmd_sn=7), b"pong")
        assert not talk.unread


class TestText:
    def targets(self, talk: Conversation, wanted: str, **fields: int) -> list[tuple[str, str]]:
        pdu = TextRequest(initiator_task_tag=talk.tag(), cmd_sn=talk.next_cmd_sn())
        for name, value in fields.items():
            setattr(pdu, name, value)
        talk.send(pdu, f"SendTargets={wanted}\0".encode())
        answer, data = talk.take_with_data(TextResponse)
        assert (answer.final, answer.continued, answer.target_transfer_tag) == (True, False, 0xFFFFFFFF)
        assert answer.initiator_task_tag == pdu.initiator_task_tag
        return decode_pairs(data)

    def test_send_targets_tells_names_addresses_and_portal_groups(self) -> None:
        directory = Directory(names=["iqn.a", "iqn.b"])
        directory.portal_list = [Portal("192.0.2.1:3260"), Portal("[2001:db8::1]:3260", 2)]
        addresses = [("TargetAddress", "192.0.2.1:3260,1"), ("TargetAddress", "[2001:db8::1]:3260,2")]
        talk = discovery(directory)
        assert self.targets(talk, "All") == [("TargetName", "iqn.a"), *addresses, ("TargetName", "iqn.b"), *addresses]
        assert self.targets(talk, "iqn.b") == [("TargetName", "iqn.b"), *addresses]
        assert self.targets(talk, "iqn.c") == []
        assert self.targets(talk, "") == [("SendTargets", "Reject")]

    def test_a_normal_session_tells_of_its_own_target_alone(self) -> None:
        talk = Conversation(Directory(names=[TARGET, "iqn.b"])).logged_in()
        own = [("TargetName", TARGET), ("TargetAddress", "127.0.0.1:3260,1")]
        assert self.targets(talk, "") == own
        assert self.targets(talk, TARGET) == own
        for other in ("All", "iqn.b"):
            assert self.targets(talk, other) == [("SendTargets", "Reject")]

    def test_a_long_answer_comes_in_parts(self) -> None:
        names = [f"iqn.2026-11.io.odx-target:{i:0100}" for i in range(50)]
        talk = discovery(Directory(names=names), recv="512")
        talk.send(TextRequest(initiator_task_tag=9, cmd_sn=talk.next_cmd_sn()), b"SendTargets=All\0")
        whole = b""
        while True:
            answer, data = talk.take_with_data(TextResponse)
            whole += data
            assert len(data) <= 512
            assert answer.initiator_task_tag == 9
            assert answer.final != answer.continued
            if answer.final:
                assert answer.target_transfer_tag == 0xFFFFFFFF
                break
            assert answer.target_transfer_tag != 0xFFFFFFFF
            following = TextRequest(initiator_task_tag=9, cmd_sn=talk.next_cmd_sn())
            following.target_transfer_tag = answer.target_transfer_tag
            talk.send(following)
        assert [value for name, value in decode_pairs(whole) if name == "TargetName"] == names

    def test_a_request_may_come_in_parts(self) -> None:
        talk = discovery()
        talk.send(TextRequest(final=False, continued=True, initiator_task_tag=9, cmd_sn=talk.next_cmd_sn()), b"SendTar")
        answer, data = talk.take_with_data(TextResponse)
        assert (answer.final, answer.continued, data) == (False, False, b"")
        following = TextRequest(initiator_task_tag=9, cmd_sn=talk.next_cmd_sn())
        following.target_transfer_tag = answer.target_transfer_tag
        talk.send(following, b"gets=All\0")
        assert ("TargetName", TARGET) in decode_pairs(talk.take_with_data(TextResponse)[1])

    def test_a_request_without_the_f_bit_leaves_the_exchange_open(self) -> None:
        talk = discovery()
        talk.send(TextRequest(final=False, initiator_task_tag=9, cmd_sn=talk.next_cmd_sn()), b"SendTargets=All\0")
        answer, data = talk.take_with_data(TextResponse)
        assert (answer.final, answer.continued) == (False, False)
        assert data
        following = TextRequest(initiator_task_tag=9, cmd_sn=talk.next_cmd_sn())
        following.target_transfer_tag = answer.target_transfer_tag
        talk.send(following)
        answer, data = talk.take_with_data(TextResponse)
        assert (answer.final, data) == (True, b"")

    def test_a_new_request_ends_the_one_before(self) -> None:
        talk = discovery()
        talk.send(TextRequest(final=False, continued=True, initiator_task_tag=9, cmd_sn=talk.next_cmd_sn()), b"junk")
        talk.take(TextResponse)
        assert ("TargetName", TARGET) in self.targets(talk, "All")

    def test_an_exchange_that_is_not_under_way_is_rejected(self) -> None:
        talk = discovery()
        talk.send(TextRequest(target_transfer_tag=77, cmd_sn=talk.cmd_sn), b"SendTargets=All\0")
        reject = talk.take(Reject)
        assert (reject.reason, reject.exp_cmd_sn) == (RejectReason.INVALID_PDU_FIELD, talk.cmd_sn)
        assert reject.max_cmd_sn == talk.cmd_sn + limits.COMMAND_WINDOW - 1
        assert self.targets(talk, "All")

    def test_keys_in_full_feature_phase(self) -> None:
        talk = Conversation().logged_in()
        talk.send(
            TextRequest(initiator_task_tag=9, cmd_sn=talk.next_cmd_sn()),
            b"MaxRecvDataSegmentLength=512\0InitialR2T=Yes\0X-a=1\0",
        )
        answers = decode_pairs(talk.take_with_data(TextResponse)[1])
        assert answers == [("InitialR2T", "Reject"), ("X-a", "NotUnderstood")]
        talk.read(1024)
        talk.reply(talk.take_event(CommandReady), data=[bytes(1024)])
        assert [talk.take(ScsiDataIn).data_segment_length for _ in range(2)] == [512, 512]


class TestLogout:
    @pytest.mark.parametrize("reason", [LogoutReason.CLOSE_SESSION, LogoutReason.CLOSE_CONNECTION])
    @pytest.mark.parametrize("immediate", [True, False])
    def test_a_logout_is_answered_and_ends_session_and_tasks(self, reason: int, immediate: bool) -> None:
        talk = Conversation().logged_in()
        talk.read(512)
        running = talk.take_event(CommandReady)
        pdu = LogoutRequest(immediate=immediate, reason=reason, initiator_task_tag=9, connection_id=1, cmd_sn=talk.cmd_sn)
        talk.send(pdu)
        answer = talk.take(LogoutResponse)
        assert (answer.response, answer.initiator_task_tag) == (LogoutStatus.CLOSED, 9)
        assert code(talk) is CloseCode.LOGGED_OUT
        assert running.aborted
        assert [type(event) for event in talk.events] == [SessionClosed, ConnectionEnding]
        assert talk.directory.sessions.sessions == []
        assert len(talk.directory.sessions._connections) == 0

    @pytest.mark.parametrize(
        ("reason", "connection_id", "status"),
        [
            (LogoutReason.CLOSE_CONNECTION, 2, LogoutStatus.CID_NOT_FOUND),
            (LogoutReason.REMOVE_CONNECTION_FOR_RECOVERY, 1, LogoutStatus.RECOVERY_NOT_SUPPORTED),
        ],
    )
    def test_a_logout_that_cannot_be(self, reason: int, connection_id: int, status: int) -> None:
        talk = Conversation().logged_in()
        talk.send(LogoutRequest(immediate=True, reason=reason, connection_id=connection_id, cmd_sn=7))
        assert talk.take(LogoutResponse).response == status
        assert not talk.connection.closed

    def test_an_unknown_reason_is_rejected(self) -> None:
        talk = Conversation().logged_in()
        talk.send(LogoutRequest(immediate=True, reason=9, cmd_sn=7))
        assert talk.take(Reject).reason == RejectReason.INVALID_PDU_FIELD
        assert not talk.connection.closed

    def test_a_logout_waits_for_its_turn_and_nothing_runs_after_it(self) -> None:
        talk = Conversation().logged_in()
        talk.send(LogoutRequest(initiator_task_tag=9, connection_id=1, cmd_sn=8))
        talk.command(cmd_sn=9)
        assert not talk.unread
        talk.command(cmd_sn=7)
        assert talk.take(LogoutResponse).response == LogoutStatus.CLOSED
        assert [type(event) for event in talk.events] == [CommandReady, SessionClosed, ConnectionEnding]
        assert talk.feed(b"anything") == 8
        assert not talk.unread

    def test_a_discovery_session_logs_out(self) -> None:
        talk = discovery()
        talk.send(LogoutRequest(immediate=True, initiator_task_tag=9, connection_id=1, cmd_sn=talk.cmd_sn))
        assert talk.take(LogoutResponse).response == LogoutStatus.CLOSED
        assert [type(event) for event in talk.events] == [ConnectionEnding]


REFUSED: list[tuple[Pdu, RejectReason, bool]] = [
    (SnackRequest(), RejectReason.SNACK_REJECT, False),
    (LoginRequest(), RejectReason.PROTOCOL_ERROR, True),
    *((kind(), RejectReason.PROTOCOL_ERROR, True) for opcode, kind in PDU_CLASSES.items() if opcode >= 0x20),
]


@pytest.mark.parametrize(("pdu", "reason", "fatal"), REFUSED, ids=lambda value: type(value).__name__)
def test_pdus_that_have_no_place_are_rejected(pdu: Pdu, reason: int, fatal: bool) -> None:
    talk = Conversation().logged_in()
    talk.send(pdu)
    reject, data = talk.take_with_data(Reject)
    assert (reject.reason, data) == (reason, pdu.encode_header())
    assert talk.connection.closed == fatal
    rejected = talk.take_event(PduRejected)
    assert (rejected.reason, bool(rejected.detail)) == (reason, True)


def test_an_unknown_operation_is_rejected_and_the_connection_goes_on() -> None:
    talk = Conversation().logged_in()
    header = b"\x1c" + bytes(47)
    talk.feed(header)
    reject, data = talk.take_with_data(Reject)
    assert (reject.reason, data) == (RejectReason.COMMAND_NOT_SUPPORTED, header)
    talk.command()
    assert len(talk.events) == 2


@pytest.mark.parametrize("kind", [ScsiCommand, ScsiDataOut, NopOut, TaskManagementFunctionRequest])
def test_a_discovery_session_takes_text_and_logout_alone(kind: Callable[[], Pdu]) -> None:
    talk = discovery()
    talk.send(kind())
    assert talk.take(Reject).reason == RejectReason.COMMAND_NOT_SUPPORTED
    assert "discovery" in str(talk.take_event(PduRejected).detail)


def test_a_segment_at_the_declared_length_is_taken_and_past_it_ends_the_connection() -> None:
    talk = Conversation().logged_in(FirstBurstLength="262144", MaxBurstLength="262144")
    talk.write(262144, bytes(262144))
    assert len(talk.events) == 1
    pdu = ScsiCommand(write=True, data_segment_length=262145, cmd_sn=8)
    talk.feed(pdu.encode_header())
    assert talk.take(Reject).reason == RejectReason.PROTOCOL_ERROR
    assert code(talk) is CloseCode.PROTOCOL_ERROR


def test_a_header_digest_error_ends_the_connection_without_a_word() -> None:
    talk = Conversation().logged_in(HeaderDigest="CRC32C")
    raw = bytearray(talk.encode(ScsiCommand(cmd_sn=7)))
    raw[20] ^= 1
    assert talk.feed(bytes(raw)) == len(raw)
    assert not talk.unread
    assert code(talk) is CloseCode.HEADER_DIGEST


def test_digests_begin_after_the_login() -> None:
    talk = Conversation().logged_in(HeaderDigest="CRC32C", DataDigest="CRC32C")
    talk.write(4, b"data")
    talk.reply(talk.take_event(CommandReady), size=4)
    assert len(talk.unread) == 1


@pytest.mark.parametrize("kind", [NopOut, TextRequest])
def test_a_data_digest_error_in_other_requests(kind: type[NopOut] | type[TextRequest]) -> None:
    talk = Conversation().logged_in(DataDigest="CRC32C")
    raw = bytearray(talk.encode(kind(initiator_task_tag=5, cmd_sn=7), b"X-a=1\0"))
    raw[-1] ^= 1
    talk.feed(bytes(raw))
    assert talk.take(Reject).reason == RejectReason.DATA_DIGEST_ERROR
    raw[-1] ^= 1
    talk.feed(bytes(raw))
    assert isinstance(talk.unread[0].pdu, NopIn | TextResponse)


class TestTimers:
    def test_a_login_that_takes_too_long_ends(self) -> None:
        talk = Conversation()
        assert talk.connection.next_timer() == 100 + limits.LOGIN_TIMEOUT_S
        talk.now += 10
        talk.login_request(talk.names(), 0, 1)
        talk.connection.handle_timer(100 + limits.LOGIN_TIMEOUT_S - 0.1)
        assert not talk.connection.closed
        talk.connection.handle_timer(100 + limits.LOGIN_TIMEOUT_S)
        assert code(talk) is CloseCode.LOGIN_TIMEOUT
        assert talk.connection.next_timer() is None
        talk.connection.handle_timer(1e9)

    def test_silence_is_pinged_and_an_answer_ends_the_wait(self) -> None:
        talk = Conversation().logged_in()
        due = talk.connection.next_timer()
        assert due == 100 + limits.PING_AFTER_IDLE_S
        talk.connection.handle_timer(due)
        talk.collect()
        ping = talk.take(NopIn)
        assert (ping.initiator_task_tag, ping.lun) == (0xFFFFFFFF, 0)
        assert ping.target_transfer_tag != 0xFFFFFFFF
        assert talk.connection.next_timer() == due + limits.PING_TIMEOUT_S
        talk.now = due + 1
        talk.send(NopOut(immediate=True, target_transfer_tag=ping.target_transfer_tag, cmd_sn=7))
        assert talk.connection.next_timer() == talk.now + limits.PING_AFTER_IDLE_S

    def test_a_ping_without_an_answer_ends_the_connection(self) -> None:
        talk = Conversation().logged_in()
        talk.connection.handle_timer(100 + limits.PING_AFTER_IDLE_S)
        talk.connection.handle_timer(100 + limits.PING_AFTER_IDLE_S + limits.PING_TIMEOUT_S - 0.1)
        assert not talk.connection.closed
        talk.connection.handle_timer(100 + limits.PING_AFTER_IDLE_S + limits.PING_TIMEOUT_S)
        assert code(talk) is CloseCode.PING_TIMEOUT

    def test_data_that_does_not_come_ends_the_connection_of_a_host_that_is_alive(self) -> None:
        talk = Conversation().logged_in()
        command = talk.write(200_000)
        first, second = talk.take(ReadyToTransfer), 100 + limits.DATA_OUT_TIMEOUT_S
        talk.now += 20
        self.ping(talk)
        talk.now += 20
        talk.data_out(command, 0, bytes(1000), target_transfer_tag=first.target_transfer_tag, final=False)
        for _ in range(5):
            assert talk.connection.next_timer() is not None  # the server checks it every second
            talk.now += limits.DATA_OUT_TIMEOUT_S / 5
            assert not talk.connection.closed
            self.ping(talk)
        talk.connection.handle_timer(second)
        assert not talk.connection.closed
        assert talk.connection.next_timer() == talk.now
        talk.connection.handle_timer(talk.now)
        assert code(talk) is CloseCode.DATA_OUT_TIMEOUT

    @staticmethod
    def ping(talk: Conversation) -> None:
        talk.send(NopOut(immediate=True, initiator_task_tag=999, cmd_sn=8))
        talk.take(NopIn)

    def test_no_data_is_awaited_of_a_host_that_has_sent_all(self) -> None:
        talk = Conversation().logged_in()
        command = talk.write(70_000)
        r2t = talk.take(ReadyToTransfer)
        assert talk.connection.next_timer() == 100 + limits.PING_AFTER_IDLE_S
        talk.now += 59
        talk.data_out(command, 0, bytes(70_000), target_transfer_tag=r2t.target_transfer_tag)
        assert talk.connection.next_timer() == talk.now + limits.PING_AFTER_IDLE_S

    def test_a_silent_discovery_session_is_closed_without_a_ping(self) -> None:
        talk = discovery()
        talk.connection.handle_timer(100 + limits.DISCOVERY_IDLE_S)
        talk.collect()
        assert not talk.unread
        assert code(talk) is CloseCode.IDLE


class TestLeave:
    def test_the_initiator_is_asked_to_log_out_and_does(self) -> None:
        talk = Conversation().logged_in()
        talk.connection.request_logout(200.0, 3)
        talk.collect()
        message = talk.take(AsynchronousMessage)
        assert (message.async_event, message.parameter3) == (AsyncEvent.LOGOUT_REQUESTED, 3)
        assert talk.connection.next_timer() == 203
        talk.send(LogoutRequest(immediate=True, connection_id=1, cmd_sn=7))
        assert talk.take(LogoutResponse).response == 0
        assert code(talk) is CloseCode.LOGGED_OUT

    def test_who_does_not_log_out_is_told_and_dropped(self) -> None:
        talk = Conversation().logged_in()
        talk.connection.request_logout(200.0)
        talk.collect()
        assert talk.take(AsynchronousMessage).parameter3 == 1
        talk.connection.handle_timer(200 + limits.LOGOUT_TIME_S)
        talk.collect()
        message = talk.take(AsynchronousMessage)
        assert (message.async_event, message.parameter1) == (AsyncEvent.DROPPING_CONNECTION, 1)
        assert code(talk) is CloseCode.SHUTDOWN

    def test_a_login_under_way_is_ended_at_once(self) -> None:
        talk = Conversation()
        talk.connection.request_logout(200.0)
        assert code(talk) is CloseCode.SHUTDOWN
        talk.connection.request_logout(200.0)

    def test_other_messages_may_carry_data(self) -> None:
        talk = Conversation().logged_in()
        talk.connection.send_asynchronous_message(AsyncEvent.SCSI_EVENT, lun=1 << 48, data=b"\0\x04abcd")
        talk.collect()
        message, data = talk.take_with_data(AsynchronousMessage)
        assert (message.lun, data) == (1 << 48, b"\0\x04abcd")

    def test_a_lost_connection_says_so_once(self) -> None:
        talk = Conversation().logged_in()
        talk.connection.connection_lost("reset by peer", 200.0)
        talk.connection.connection_lost("again", 201.0)
        talk.collect()
        assert str(talk.connection.close_reason) == "connection lost: reset by peer"
        assert [type(event) for event in talk.events] == [SessionClosed, ConnectionEnding]
        talk.connection.send_asynchronous_message(AsyncEvent.SCSI_EVENT)
        assert talk.connection.take_output() == []


def test_a_session_knows_who_it_is() -> None:
    talk = Conversation().logged_in()
    assert talk.connection.session is not None
    assert talk.connection.session.initiator_name == INITIATOR
