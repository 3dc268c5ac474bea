"""Collection of write data: immediate, unsolicited, requested by R2T; and every error that an initiator can make."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.headers import ReadyToTransfer, Reject, ScsiCommand, ScsiDataOut, ScsiResponse
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.iscsi.session.events import CommandAccepted, CommandEnded, CommandReady, PduRejected
from tests.iscsi.conversation import Conversation, joined

UNEXPECTED, INCORRECT, CRC, BIDIRECTIONAL = (0x0B, 0x0C, 0x0C), (0x0B, 0x0C, 0x0D), (0x0B, 0x47, 0x05), (0x05, 0x0E, 0x03)


def pattern(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def take_sense(talk: Conversation, command: ScsiCommand) -> tuple[int, int, int]:
    """Return the sense key, ASC and ASCQ of a CHECK CONDITION."""
    response, data = talk.take_with_data(ScsiResponse)
    assert (response.status, response.response) == (2, 0)
    assert response.initiator_task_tag == command.initiator_task_tag
    assert (response.underflow, response.residual_count) == (True, command.expected_data_transfer_length)
    sense = data[2:]
    assert int.from_bytes(data[:2]) == len(sense) == 18
    return sense[2], sense[12], sense[13]


def test_immediate_data_is_delivered_without_a_copy() -> None:
    talk = Conversation().logged_in()
    data = pattern(8192)
    pdu = ScsiCommand(write=True, initiator_task_tag=5, expected_data_transfer_length=8192, cmd_sn=talk.next_cmd_sn())
    raw = bytearray(talk.encode(pdu, data))
    talk.connection.receive(memoryview(raw), talk.now)
    (event,) = talk.connection.take_events()
    assert isinstance(event, CommandReady)
    raw[48:50] = b"\xee\xee"
    assert joined(event) == b"\xee\xee" + data[2:]


def test_a_write_without_data_waits_for_none() -> None:
    talk = Conversation().logged_in()
    talk.write(0)
    assert joined(talk.take_event(CommandReady)) == b""


def test_the_edge_hears_of_a_command_before_its_data_and_of_its_end() -> None:
    talk = Conversation().logged_in()
    late = talk.write(200_000)
    r2t = talk.take(ReadyToTransfer)
    whole = talk.write(512, bytes(512))
    assert [place.command.initiator_task_tag for place in talk.places] == [late.initiator_task_tag]
    assert talk.take_event(CommandReady).initiator_task_tag == whole.initiator_task_tag
    talk.data_out(late, 0, bytes(200_000), target_transfer_tag=r2t.target_transfer_tag)
    event = talk.take_event(CommandReady)
    (accepted,) = talk.places
    assert accepted.command is event
    failing = talk.write(200_000)
    r2t = talk.take(ReadyToTransfer)
    talk.data_out(failing, 0, b"short", target_transfer_tag=r2t.target_transfer_tag)
    assert take_sense(talk, failing) == INCORRECT
    assert [type(place) for place in talk.places[1:]] == [CommandAccepted, CommandEnded]
    talk.write(200_000)
    talk.write(512, b"more than that" * 100)
    assert len(talk.places) == 4, "what fails at once was never accepted"
    talk.connection.connection_lost("end", talk.now)
    talk.collect()
    assert [type(place) for place in talk.places[3:]] == [CommandAccepted, CommandEnded]


def answer_r2ts(talk: Conversation, command: ScsiCommand, data: bytes, segment: int) -> list[tuple[int, int]]:
    """Send the data that each R2T asks for, in Data-Outs of at most `segment` bytes. Returns offset and length of each R2T."""
    asked = []
    while talk.unread:
        r2t = talk.take(ReadyToTransfer)
        start, length = r2t.buffer_offset, r2t.desired_data_transfer_length
        assert r2t.initiator_task_tag == command.initiator_task_tag
        assert r2t.r2t_sn == len(asked)
        asked.append((start, length))
        for data_sn, at in enumerate(range(start, start + length, segment)):
            end = min(at + segment, start + length)
            talk.data_out(
                command,
                at,
                data[at:end],
                data_sn=data_sn,
                target_transfer_tag=r2t.target_transfer_tag,
                final=end == start + length,
            )
    return asked


def send_unsolicited(talk: Conversation, command: ScsiCommand, data: bytes, end: int, segment: int) -> None:
    start = command.data_segment_length
    for data_sn, at in enumerate(range(start, end, segment)):
        stop = min(at + segment, end)
        talk.data_out(command, at, data[at:stop], data_sn=data_sn, final=stop == end)


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_all_ways_to_send_a_write_deliver_its_data(data: Any) -> None:
    first_burst, max_burst = data.draw(st.sampled_from([(512, 512), (512, 2048), (1024, 4096), (4096, 4096)]))
    keys = {
        "FirstBurstLength": str(first_burst),
        "MaxBurstLength": str(max_burst),
        "ImmediateData": data.draw(st.sampled_from(["Yes", "No"])),
        "InitialR2T": data.draw(st.sampled_from(["Yes", "No"])),
        "MaxOutstandingR2T": str(data.draw(st.integers(1, 4))),
        **data.draw(st.sampled_from([{}, {"DataDigest": "CRC32C", "HeaderDigest": "CRC32C"}])),
    }
    talk = Conversation().logged_in(**keys)
    size = data.draw(st.integers(0, 20_000))
    segment = data.draw(st.sampled_from([100, 512, 5000]))
    whole = pattern(size)
    unsolicited = min(first_burst, size)
    immediate = data.draw(st.integers(0, unsolicited)) if keys["ImmediateData"] == "Yes" else 0
    more = keys["InitialR2T"] == "No" and immediate < unsolicited and data.draw(st.booleans())
    command = talk.write(size, whole[:immediate], final=not more)
    start = immediate
    if more:
        send_unsolicited(talk, command, whole, unsolicited, segment)
        start = unsolicited
    if start < size:
        assert not talk.events
        assert len(talk.unread) == min(int(keys["MaxOutstandingR2T"]), -(-(size - start) // max_burst))
    asked = answer_r2ts(talk, command, whole, segment)
    expected = [(at, min(max_burst, size - at)) for at in range(start, size, max_burst)]
    assert asked == expected
    event = talk.take_event(CommandReady)
    assert joined(event) == whole
    assert event.writes
    assert not talk.events
    talk.reply(event, size=size)
    response = talk.take(ScsiResponse)
    assert (response.status, response.exp_data_sn, response.underflow, response.overflow) == (0, len(asked), False, False)


def test_r2t_has_no_flags_but_the_one_windows_wants() -> None:
    talk = Conversation().logged_in()
    talk.write(1 << 20, lun=3)
    received = talk.unread[0]
    assert received.header[1:4] == b"\x80\0\0"
    r2t = talk.take(ReadyToTransfer)
    assert (r2t.lun, r2t.buffer_offset, r2t.desired_data_transfer_length) == (3 << 48, 0, 262144)
    assert r2t.target_transfer_tag != 0xFFFFFFFF


def test_the_lun_of_a_data_out_is_not_looked_at() -> None:
    talk = Conversation().logged_in()
    command = talk.write(512)
    r2t = talk.take(ReadyToTransfer)
    talk.data_out(command, 0, bytes(512), target_transfer_tag=r2t.target_transfer_tag, lun=99 << 48)
    assert joined(talk.take_event(CommandReady)) == bytes(512)


def test_two_writes_may_interleave_their_data() -> None:
    talk = Conversation().logged_in()
    commands = [talk.write(1024), talk.write(1024)]
    tags = [talk.take(ReadyToTransfer).target_transfer_tag for _ in commands]
    for at in (0, 512):
        for command, tag in zip(commands, tags, strict=True):
            byte = bytes([command.initiator_task_tag])
            talk.data_out(command, at, byte * 512, target_transfer_tag=tag, data_sn=at // 512, final=at == 512)
    for command in commands:
        assert joined(talk.take_event(CommandReady)) == bytes([command.initiator_task_tag]) * 1024


def test_a_write_that_collects_does_not_keep_back_a_read() -> None:
    talk = Conversation().logged_in()
    talk.write(4096)
    read = talk.read(512)
    assert talk.take_event(CommandReady).initiator_task_tag == read.initiator_task_tag


# Errors of initiators

WRONG_COMMANDS: list[tuple[str, dict[str, str], int, int, tuple[int, int, int]]] = [
    ("immediate data not agreed on", {"ImmediateData": "No"}, 4096, 512, UNEXPECTED),
    ("more immediate than the first burst", {"FirstBurstLength": "512"}, 4096, 1024, INCORRECT),
    ("more immediate than expected", {}, 512, 1024, INCORRECT),
    ("immediate where nothing is expected", {}, 0, 4, INCORRECT),
]


@pytest.mark.parametrize(
    ("keys", "size", "immediate", "sense"), [row[1:] for row in WRONG_COMMANDS], ids=[row[0] for row in WRONG_COMMANDS]
)
def test_wrong_immediate_data_ends_the_command(
    keys: dict[str, str], size: int, immediate: int, sense: tuple[int, int, int]
) -> None:
    talk = Conversation().logged_in(**keys)
    talk.write(size, bytes(immediate))
    response, data = talk.take_with_data(ScsiResponse)
    assert (data[4], data[14], data[15]) == sense
    assert response.residual_count == size
    assert not talk.events
    assert joined_next_write(talk) == b"good"


def joined_next_write(talk: Conversation) -> bytes:
    """Check that the connection still works: deliver a small write, and return its data."""
    if talk.connection.session and not talk.connection.session.parameters.immediate_data:
        command = talk.write(4)
        tag = talk.take(ReadyToTransfer).target_transfer_tag
        talk.data_out(command, 0, b"good", target_transfer_tag=tag)
    else:
        talk.write(4, b"good")
    return joined(talk.take_event(CommandReady))


def test_data_with_a_command_that_does_not_write() -> None:
    talk = Conversation().logged_in()
    talk.command(data=b"data")
    assert talk.take_with_data(ScsiResponse)[1][14:16] == b"\x0c\x0c"
    talk.command(data=b"data", read=True, expected_data_transfer_length=512)
    assert talk.take_with_data(ScsiResponse)[1][14:16] == b"\x0c\x0c"
    assert joined_next_write(talk) == b"good"


def test_unsolicited_data_that_was_not_agreed_on_ends_the_command_when_it_has_come() -> None:
    talk = Conversation().logged_in(InitialR2T="Yes")
    command = talk.write(4096, bytes(512), final=False)
    assert not talk.unread
    talk.data_out(command, 512, bytes(512), final=False)
    assert not talk.unread
    talk.data_out(command, 1024, bytes(512), data_sn=1, final=True)
    assert take_sense(talk, command) == UNEXPECTED


def test_unsolicited_data_after_the_burst_has_ended() -> None:
    talk = Conversation().logged_in()
    command = talk.write(4096, bytes(512))
    r2t = talk.take(ReadyToTransfer)
    talk.data_out(command, 512, bytes(512))
    assert not talk.unread
    talk.data_out(command, 512, bytes(3584), target_transfer_tag=r2t.target_transfer_tag)
    assert take_sense(talk, command) == UNEXPECTED


@pytest.mark.parametrize("sent", [0, 100, 2048])
def test_an_unsolicited_burst_of_another_length_than_the_first_burst(sent: int) -> None:
    talk = Conversation().logged_in(FirstBurstLength="1024")
    command = talk.write(8192, final=False)
    talk.data_out(command, 0, bytes(sent))
    assert take_sense(talk, command) == INCORRECT
    assert joined_next_write(talk) == b"good"


def test_a_short_write_may_leave_its_rest_to_an_r2t() -> None:
    talk = Conversation().logged_in(FirstBurstLength="1024")
    command = talk.write(1000, final=False)
    talk.data_out(command, 0, bytes(400))
    r2t = talk.take(ReadyToTransfer)
    assert (r2t.buffer_offset, r2t.desired_data_transfer_length) == (400, 600)


@pytest.mark.parametrize("sent", [0, 511, 513, 600])
def test_an_r2t_answered_with_another_length(sent: int) -> None:
    talk = Conversation().logged_in()
    command = talk.write(512)
    r2t = talk.take(ReadyToTransfer)
    talk.data_out(command, 0, bytes(sent), target_transfer_tag=r2t.target_transfer_tag)
    assert take_sense(talk, command) == INCORRECT
    assert joined_next_write(talk) == b"good"


def test_a_failed_command_waits_for_all_its_open_bursts() -> None:
    talk = Conversation().logged_in(MaxBurstLength="512", MaxOutstandingR2T="3", FirstBurstLength="512")
    command = talk.write(1536)
    tags = [talk.take(ReadyToTransfer).target_transfer_tag for _ in range(3)]
    for i, tag in enumerate(tags):
        assert not talk.unread
        talk.data_out(command, i * 512, bytes(512 if i else 8), target_transfer_tag=tag)
    assert take_sense(talk, command) == INCORRECT


@pytest.mark.parametrize("numbers", [(0, 0), (1, 0), (27, 28), (0xFFFFFFFF, 0), (0, 2)], ids=str)
def test_data_sn_out_of_order_means_lost_data_and_ends_the_command(numbers: tuple[int, int]) -> None:
    talk = Conversation().logged_in()
    command = talk.write(1024)
    r2t = talk.take(ReadyToTransfer)
    for i, data_sn in enumerate(numbers):
        assert not talk.unread
        talk.data_out(command, i * 512, bytes(512), data_sn=data_sn, target_transfer_tag=r2t.target_transfer_tag, final=i == 1)
    assert take_sense(talk, command) == CRC
    assert joined_next_write(talk) == b"good"


@pytest.mark.parametrize("offset", [4, 512, 0xFFFFFFFF])
def test_a_buffer_offset_out_of_order_ends_the_connection(offset: int) -> None:
    talk = Conversation().logged_in()
    command = talk.write(1024)
    r2t = talk.take(ReadyToTransfer)
    talk.data_out(command, offset, bytes(512), target_transfer_tag=r2t.target_transfer_tag)
    assert talk.take(Reject).reason == RejectReason.PROTOCOL_ERROR
    assert talk.connection.closed
    assert f"goes on at {offset} instead of 0" in str(talk.connection.close_reason)


def test_r2ts_answered_out_of_order_end_the_connection() -> None:
    talk = Conversation().logged_in(MaxBurstLength="512", MaxOutstandingR2T="2", FirstBurstLength="512")
    command = talk.write(1024)
    _, second = talk.take(ReadyToTransfer), talk.take(ReadyToTransfer)
    talk.data_out(command, 512, bytes(512), target_transfer_tag=second.target_transfer_tag)
    assert talk.take(Reject).reason == RejectReason.PROTOCOL_ERROR
    assert talk.connection.closed


@pytest.mark.parametrize("tags", [(0x99, 0xFFFFFFFF), (0x99, 1), (None, 0x7777)], ids=["task", "both", "transfer tag"])
def test_data_for_what_is_not_there_is_ignored(tags: tuple[int | None, int]) -> None:
    """The data may have been sent before the initiator learned of an abort."""
    talk = Conversation().logged_in()
    command = talk.write(512)
    r2t = talk.take(ReadyToTransfer)
    pdu = ScsiDataOut(initiator_task_tag=command.initiator_task_tag if tags[0] is None else tags[0])
    pdu.target_transfer_tag = tags[1]
    talk.send(pdu, bytes(512))
    assert not talk.unread
    talk.data_out(command, 0, b"x" * 512, target_transfer_tag=r2t.target_transfer_tag)
    assert joined(talk.take_event(CommandReady)) == b"x" * 512


def test_bidirectional_commands_are_refused() -> None:
    talk = Conversation().logged_in()
    command = talk.write(512, bytes(512), read=True)
    assert take_sense(talk, command) == BIDIRECTIONAL
    command = talk.write(512, bytes(100), read=True, final=False)
    assert not talk.unread
    talk.data_out(command, 100, bytes(412))
    assert take_sense(talk, command) == BIDIRECTIONAL


def damaged(raw: bytes) -> bytes:
    """Return the PDU with a wrong data digest."""
    return raw[:-1] + bytes([raw[-1] ^ 1])


def test_a_data_digest_error_in_data_ends_the_command_after_its_burst() -> None:
    talk = Conversation().logged_in(DataDigest="CRC32C")
    command = talk.write(1024)
    r2t = talk.take(ReadyToTransfer)
    first = ScsiDataOut(final=False, initiator_task_tag=command.initiator_task_tag, target_transfer_tag=r2t.target_transfer_tag)
    talk.feed(damaged(talk.encode(first, bytes(512))))
    reject, data = talk.take_with_data(Reject)
    assert (reject.reason, data) == (RejectReason.DATA_DIGEST_ERROR, first.encode_header())
    assert isinstance(talk.take_event(PduRejected), PduRejected)
    talk.data_out(command, 512, bytes(512), data_sn=1, target_transfer_tag=r2t.target_transfer_tag)
    assert take_sense(talk, command) == CRC
    assert not talk.events


def test_a_data_digest_error_in_a_command_discards_it_and_leaves_a_gap() -> None:
    talk = Conversation().logged_in(DataDigest="CRC32C")
    pdu = ScsiCommand(write=True, initiator_task_tag=9, expected_data_transfer_length=512, cmd_sn=talk.next_cmd_sn())
    raw = talk.encode(pdu, b"x" * 512)
    talk.feed(damaged(raw))
    assert talk.take(Reject).reason == RejectReason.DATA_DIGEST_ERROR
    talk.events.clear()
    later = talk.read(4096)
    assert not talk.events
    talk.feed(raw)
    assert [talk.take_event(CommandReady).initiator_task_tag for _ in range(2)] == [9, later.initiator_task_tag]


# Limits


@pytest.mark.parametrize("size", [limits.MAX_TRANSFER_BYTES, limits.MAX_TRANSFER_BYTES + 1, 0xFFFFFFFF])
def test_of_a_transfer_past_the_limit_as_much_as_the_limit_is_asked_for(size: int) -> None:
    talk = Conversation().logged_in(MaxOutstandingR2T="8")
    command = talk.write(size, b"some")
    data = b"some" + bytes(limits.MAX_TRANSFER_BYTES - 4)
    asked = answer_r2ts(talk, command, data, 262144)
    assert sum(length for _, length in asked) == limits.MAX_TRANSFER_BYTES - 4
    event = talk.take_event(CommandReady)
    assert (joined(event), event.expected_data_transfer_length) == (data, size)
    talk.reply(event, size=limits.MAX_TRANSFER_BYTES)
    response = talk.take(ScsiResponse)
    assert (response.underflow, response.residual_count) == (size > len(data), size - len(data))


def test_r2ts_wait_for_memory_and_go_on_when_a_command_is_answered() -> None:
    talk = Conversation().logged_in(MaxBurstLength="1048576")
    size = limits.MAX_TRANSFER_BYTES
    fitting = limits.MAX_COLLECTED_BYTES // size
    commands = [talk.write(size) for _ in range(fitting + 1)]
    small = talk.write(512)  # there is memory for it, but it has to wait for the writes before it
    asked = [talk.take(ReadyToTransfer) for _ in range(fitting)]
    assert [r2t.initiator_task_tag for r2t in asked] == [command.initiator_task_tag for command in commands[:fitting]]
    assert not talk.unread
    for offset in range(0, size, limits.MAX_BURST_BYTES):
        transfer_tag = asked[0].target_transfer_tag
        for data_sn in range(4):
            at = offset + data_sn * 262144
            talk.data_out(commands[0], at, bytes(262144), data_sn=data_sn, target_transfer_tag=transfer_tag, final=data_sn == 3)
        if talk.unread:
            asked[0] = talk.take(ReadyToTransfer)
    event = talk.take_event(CommandReady)
    assert sum(map(len, event.data_out)) == size
    assert not talk.unread  # the memory is in use until the command is answered
    talk.reply(event, size=size)
    assert talk.take(ReadyToTransfer).initiator_task_tag == commands[fitting].initiator_task_tag
    assert talk.take(ScsiResponse).status == 0
    assert not talk.unread
    assert small.initiator_task_tag


def test_a_flood_of_tiny_data_outs_is_kept_in_few_pieces() -> None:
    talk = Conversation().logged_in()
    command = talk.write(4096)
    r2t = talk.take(ReadyToTransfer)
    for i in range(1024):
        talk.data_out(command, i * 4, b"abcd", data_sn=i, target_transfer_tag=r2t.target_transfer_tag, final=i == 1023)
    event = talk.take_event(CommandReady)
    assert joined(event) == b"abcd" * 1024
    assert len(event.data_out) <= 2
