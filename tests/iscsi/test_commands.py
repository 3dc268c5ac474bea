"""The command window, the order of commands, immediate commands, tags, and the fields of a command."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.headers import LUN_NOT_SINGLE_LEVEL, NopIn, NopOut, Reject, ScsiCommand, ScsiDataIn, ScsiDataOut
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.iscsi.session.command_window import CommandWindow, HeldPdu, Turn, is_before
from odx_target.iscsi.session.events import CommandReady, PduRejected
from tests.iscsi.conversation import Conversation, joined
from tests.iscsi.extended_cdb import encode_extended_cdb

NEAR_THE_END = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF]


class TestWindow:
    @pytest.mark.parametrize("first", NEAR_THE_END)
    def test_takes_what_is_inside_and_ignores_the_rest(self, first: int) -> None:
        window = CommandWindow(first, 4)
        turns = {distance: window.turn((first + distance) & 0xFFFFFFFF) for distance in (-1, 0, 1, 3, 4, 1 << 31)}
        assert turns == {
            -1: Turn.IGNORE,
            0: Turn.NOW,
            1: Turn.LATER,
            3: Turn.LATER,
            4: Turn.IGNORE,
            1 << 31: Turn.IGNORE,
        }

    @pytest.mark.parametrize("first", NEAR_THE_END)
    def test_moves_on_when_commands_are_answered(self, first: int) -> None:
        window = CommandWindow(first, 2)
        for _ in range(2):
            assert not window.is_closed
            window.advance()
        assert window.is_closed
        assert window.turn(window.exp_cmd_sn) is Turn.IGNORE
        window.complete()
        assert window.turn(window.exp_cmd_sn) is Turn.NOW

    def test_serial_numbers_compare_around_the_end(self) -> None:
        assert is_before(0xFFFFFFFF, 0)
        assert not is_before(0, 0xFFFFFFFF)
        assert not is_before(5, 5)

    @given(st.permutations(range(12)), st.sampled_from(NEAR_THE_END), st.sets(st.integers(0, 11), max_size=4))
    @settings(max_examples=200, deadline=None)
    def test_any_order_runs_in_order_and_plugged_gaps_are_passed_over(
        self, order: list[int], first: int, plugged: set[int]
    ) -> None:
        window = CommandWindow(first, 12)
        ran: list[int] = []

        def number(index: int) -> int:
            return (first + index) & 0xFFFFFFFF

        def run_held() -> None:
            while (held := window.next_held()) is not None:
                window.advance()
                ran.append(held.header[0])

        for index in order:
            if index in plugged:
                assert window.plug(number(index), number(12))
                run_held()
            elif window.turn(number(index)) is Turn.NOW:
                window.advance()
                ran.append(index)
                run_held()
            else:
                window.hold(number(index), HeldPdu(bytes([index]) + bytes(47), b"", b"data"))
        assert ran == [index for index in range(12) if index not in plugged]
        assert window.exp_cmd_sn == number(12)
        assert window.held_bytes == 0
        assert not window.held


def ready_tags(talk: Conversation) -> list[int]:
    return [event.initiator_task_tag for event in talk.events if isinstance(event, CommandReady)]


@given(st.permutations(range(6)), st.sampled_from(NEAR_THE_END), st.booleans())
@settings(max_examples=100, deadline=None)
def test_commands_are_delivered_in_order(order: list[int], first: int, one_buffer: bool) -> None:
    talk = Conversation(cmd_sn=first).logged_in()
    raw = [talk.encode(ScsiCommand(initiator_task_tag=i, cmd_sn=(first + i) & 0xFFFFFFFF)) for i in range(6)]
    for part in [b"".join(raw[i] for i in order)] if one_buffer else [raw[i] for i in order]:
        talk.feed(part)
    assert ready_tags(talk) == list(range(6))


def test_a_command_that_came_twice_or_outside_the_window_is_ignored() -> None:
    talk = Conversation().logged_in()
    talk.command(cmd_sn=7)
    talk.command(cmd_sn=7)
    talk.command(cmd_sn=6)
    talk.command(cmd_sn=7 + limits.COMMAND_WINDOW)
    talk.command(cmd_sn=10)
    talk.command(cmd_sn=10)
    assert ready_tags(talk) == [2]
    assert not talk.unread


def test_no_more_commands_than_the_window_has_room_for() -> None:
    talk = Conversation().logged_in()
    for _ in range(limits.COMMAND_WINDOW + 1):
        talk.read(512)
    events = [event for event in talk.events if isinstance(event, CommandReady)]
    assert len(events) == limits.COMMAND_WINDOW
    talk.reply(events[5], data=[bytes(512)])
    data_in = talk.take(ScsiDataIn)
    assert data_in.max_cmd_sn == data_in.exp_cmd_sn  # room for one
    talk.events.clear()
    talk.read(512, cmd_sn=data_in.exp_cmd_sn)
    assert len(talk.events) == 1


def test_a_command_abandoned_from_a_full_window_is_told_by_a_nop_in() -> None:
    talk = Conversation().logged_in()
    for _ in range(limits.COMMAND_WINDOW):
        talk.read(512)
    first, second = talk.take_event(CommandReady), talk.take_event(CommandReady)
    talk.connection.abandon(first)
    talk.connection.abandon(second)
    talk.collect()
    told = talk.take(NopIn)
    assert (told.initiator_task_tag, told.target_transfer_tag) == (0xFFFFFFFF, 0xFFFFFFFF)
    assert told.max_cmd_sn == told.exp_cmd_sn
    assert not talk.unread
    assert first.aborted
    talk.reply(first, data=[bytes(512)])
    assert not talk.unread


def test_an_early_write_keeps_its_data_until_its_turn() -> None:
    talk = Conversation().logged_in()
    early = talk.write(1024, b"a" * 512, final=False, cmd_sn=8)
    talk.data_out(early, 512, b"b" * 512)
    assert not talk.events
    talk.command(cmd_sn=7)
    assert [type(event) for event in talk.events] == [CommandReady] * 2
    assert joined(talk.events[1]) == b"a" * 512 + b"b" * 512  # type: ignore[arg-type]


def test_data_of_another_command_is_not_kept_with_an_early_one() -> None:
    talk = Conversation().logged_in()
    collecting = talk.write(1024, b"a" * 512, final=False, cmd_sn=7)
    talk.command(cmd_sn=9)
    talk.data_out(collecting, 512, b"b" * 512)
    assert joined(talk.take_event(CommandReady)) == b"a" * 512 + b"b" * 512


def test_early_data_is_bounded() -> None:
    talk = Conversation().logged_in()
    fitting = limits.MAX_HELD_BYTES // (65536 + 48)
    for i in range(fitting):
        talk.write(65536, bytes(65536), cmd_sn=8 + i)
    assert not talk.connection.closed
    talk.write(65536, bytes(65536), cmd_sn=8 + fitting)
    assert talk.take(Reject).reason == RejectReason.PROTOCOL_ERROR
    assert talk.connection.closed


def test_early_data_outs_are_bounded_too() -> None:
    talk = Conversation().logged_in()
    early = talk.write(1 << 20, final=False, cmd_sn=8)
    for i in range((limits.MAX_HELD_BYTES - 48) // (65536 + 48)):
        talk.data_out(early, i * 65536, bytes(65536), data_sn=i, final=False)
    assert not talk.connection.closed
    talk.data_out(early, 0, bytes(65536))
    assert talk.take(Reject).reason == RejectReason.PROTOCOL_ERROR


def test_early_commands_of_every_kind_wait_for_their_turn() -> None:
    talk = Conversation().logged_in()
    talk.send(NopOut(initiator_task_tag=50, cmd_sn=8), b"ping")
    talk.command(cmd_sn=9)
    assert not talk.unread
    talk.command(cmd_sn=7)
    assert talk.take_with_data(NopIn)[1] == b"ping"
    assert len(ready_tags(talk)) == 2


def test_an_early_command_that_is_refused_when_its_turn_comes_leaves_a_gap() -> None:
    talk = Conversation().logged_in()
    early = talk.command(cmd_sn=8)
    talk.command(cmd_sn=7, initiator_task_tag=early.initiator_task_tag)
    assert talk.take(Reject).reason == RejectReason.TASK_IN_PROGRESS
    talk.command(cmd_sn=9)
    assert len(ready_tags(talk)) == 1
    talk.command(cmd_sn=8)
    assert len(ready_tags(talk)) == 3


def test_immediate_commands_are_outside_the_window_and_bounded() -> None:
    talk = Conversation().logged_in()
    for i in range(limits.MAX_IMMEDIATE_COMMANDS):
        talk.command(immediate=True)
        assert len(ready_tags(talk)) == i + 1
    talk.command(immediate=True)
    assert talk.take(Reject).reason == RejectReason.IMMEDIATE_COMMAND_REJECT
    event = talk.take_event(CommandReady)
    assert event.immediate
    talk.reply(event)
    assert talk.unread.pop().pdu.exp_cmd_sn == 7  # type: ignore[union-attr]
    talk.exp_stat_sn += 1
    talk.command(immediate=True)
    assert not talk.connection.closed
    assert len(ready_tags(talk)) == limits.MAX_IMMEDIATE_COMMANDS


@pytest.mark.parametrize("tag", [0x20, 0xFFFFFFFF])
def test_a_tag_in_use_is_rejected_and_the_task_goes_on(tag: int) -> None:
    talk = Conversation().logged_in()
    talk.read(512, initiator_task_tag=0x20)
    pdu = talk.read(512, initiator_task_tag=tag)
    reject, data = talk.take_with_data(Reject)
    assert (reject.reason, data) == (RejectReason.TASK_IN_PROGRESS, pdu.encode_header())
    assert reject.exp_cmd_sn == pdu.cmd_sn
    event = talk.take_event(CommandReady)
    assert isinstance(talk.take_event(PduRejected), PduRejected)
    talk.reply(event, data=[bytes(512)])
    assert talk.take(ScsiDataIn).initiator_task_tag == 0x20
    talk.read(512, initiator_task_tag=0x20, cmd_sn=pdu.cmd_sn)  # free again
    assert len(talk.events) == 1


def test_what_a_command_carries() -> None:
    talk = Conversation().logged_in()
    cdb = bytes(range(16))
    sent = talk.command(cdb, lun=300, attribute=3, read=True, expected_data_transfer_length=96)
    event = talk.take_event(CommandReady)
    assert (event.lun, event.lun_field, event.cdb, event.attribute) == (300, sent.lun, cdb, 3)
    assert (event.reads, event.writes, event.expected_data_transfer_length) == (True, False, 96)
    assert (event.initiator_task_tag, event.immediate, event.cmd_sn) == (sent.initiator_task_tag, False, 7)


@pytest.mark.parametrize("field", [0xC101 << 48, 1, 0x0100 << 48, 0x0005 << 48 | 1])
def test_a_lun_of_another_form_is_handed_on_as_it_is(field: int) -> None:
    talk = Conversation().logged_in()
    pdu = ScsiCommand(lun=field, initiator_task_tag=1, cmd_sn=7)
    talk.send(pdu)
    event = talk.take_event(CommandReady)
    assert (event.lun, event.lun_field) == (LUN_NOT_SINGLE_LEVEL, field)


@pytest.mark.parametrize("length", [17, 32, 260])
def test_a_long_cdb_arrives_whole(length: int) -> None:
    talk = Conversation().logged_in()
    cdb = b"\x7f" + bytes(i & 0xFF for i in range(1, length))
    talk.send(ScsiCommand(initiator_task_tag=1, cmd_sn=7, cdb=cdb[:16]), additional=encode_extended_cdb(cdb))
    assert talk.take_event(CommandReady).cdb == cdb


VARIABLE_LENGTH = b"\x7f".ljust(16, b"\0")
BAD_ADDITIONAL: list[tuple[str, Any]] = [
    ("cdb past the limit", encode_extended_cdb(bytes(261))),
    ("length past the end", bytes.fromhex("00ff0100aabbccdd")),
    ("length zero", bytes.fromhex("00000100")),
    ("no bytes of the cdb", bytes.fromhex("00010100")),
    ("two extended cdbs", encode_extended_cdb(bytes(20)) + encode_extended_cdb(bytes(20))),
    ("two read lengths", bytes.fromhex("0005020000000200") * 2),
    ("a read length of three bytes", bytes.fromhex("0004020000000000")),
    ("a read length of five bytes", bytes.fromhex("000602000000000000000000")),
    ("a read length without bytes", bytes.fromhex("00010200")),
    ("reserved type 0", bytes.fromhex("00010000")),
    ("reserved type 3", bytes.fromhex("0005030000000000")),
    ("reserved type 63 after a cdb", encode_extended_cdb(bytes(20)) + bytes.fromhex("00013f00")),
]


@pytest.mark.parametrize("additional", [row[1] for row in BAD_ADDITIONAL], ids=[row[0] for row in BAD_ADDITIONAL])
def test_bad_additional_headers_are_rejected(additional: bytes) -> None:
    talk = Conversation().logged_in()
    talk.send(ScsiCommand(initiator_task_tag=1, cmd_sn=7, cdb=VARIABLE_LENGTH), additional=additional)
    assert talk.take(Reject).reason == RejectReason.INVALID_PDU_FIELD
    talk.command(cmd_sn=7)
    assert len(ready_tags(talk)) == 1


@pytest.mark.parametrize("operation_code", [0x00, 0x28, 0x5F, 0x88, 0xA3])
def test_a_cdb_that_fits_the_header_has_no_extension(operation_code: int) -> None:
    talk = Conversation().logged_in()
    cdb = bytes((operation_code,)).ljust(16, b"\0")
    talk.send(ScsiCommand(initiator_task_tag=1, cmd_sn=7, cdb=cdb), additional=encode_extended_cdb(bytes(32)))
    assert talk.take(Reject).reason == RejectReason.INVALID_PDU_FIELD


@pytest.mark.parametrize("operation_code", [0x7E, 0x7F, 0xC0, 0xFF])
def test_other_cdbs_may_be_long_and_have_a_read_length(operation_code: int) -> None:
    talk = Conversation().logged_in()
    cdb = bytes((operation_code,)).ljust(16, b"\0")
    additional = bytes.fromhex("0005020000000200") + encode_extended_cdb(cdb + b"rest")
    talk.send(ScsiCommand(initiator_task_tag=1, cmd_sn=7, cdb=cdb), additional=additional)
    assert talk.take_event(CommandReady).cdb == cdb + b"rest"


def test_additional_headers_belong_to_commands_alone() -> None:
    talk = Conversation().logged_in()
    talk.send(NopOut(initiator_task_tag=1, cmd_sn=7), additional=bytes(4))
    assert talk.take(Reject).reason == RejectReason.INVALID_PDU_FIELD
    talk.send(ScsiDataOut(), additional=bytes(4))
    assert not talk.connection.closed


@pytest.mark.parametrize("size", [0, 1000])
def test_what_is_kept_for_a_missing_command_is_bounded(size: int) -> None:
    talk = Conversation().logged_in()
    early = talk.write(1 << 20, cmd_sn=talk.cmd_sn + 1, final=False)
    for count in range(limits.MAX_HELD_BYTES // 48 + 1):
        if talk.connection.closed:
            break
        talk.data_out(early, 0, bytes(size), final=False, data_sn=count)
    assert talk.connection.closed
    assert talk.take(Reject).reason == RejectReason.PROTOCOL_ERROR
