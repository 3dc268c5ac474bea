"""The content of a line: commands with their parameter lists and responses, statuses as text, and no secrets."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.iscsi.pdu.headers import (
    AsynchronousMessage,
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    NopIn,
    NopOut,
    Pdu,
    ReadyToTransfer,
    Reject,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    ScsiResponse,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    encode_lun,
)
from odx_target.target.trace.conversation import MAX_COMMANDS, MAX_KEPT_BYTES, MAX_KEPT_IN_ALL_BYTES, Conversation
from odx_target.target.trace.frames import Frames
from odx_target.target.trace.parameter_list_text import ANSWERS, PARAMETER_LISTS, parameter_list_bytes, wants_answer
from odx_target.target.trace.pdu_line import describe_pdu
from tests.initiator.golden import TOKEN, golden
from tests.iscsi.examples import pdus
from tests.target.trace.wire import encode

SENSE = bytes.fromhex("70 00 05 00 00 00 00 0a 00 00 00 00 26 00 00 80 00 0e")
CHANGED = bytes.fromhex("70 00 06 00 00 00 00 0a 00 00 00 00 2a 09 00 00 00 00")
PARTIAL = bytes.fromhex("f0 00 0a 00 00 00 64 0a 00 00 00 00 0d 04 00 00 00 00")


class Reader:
    """Makes the lines of PDUs that are passed one by one."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._conversation = Conversation(parameter_list_bytes, wants_answer)

    def __call__(self, pdu: Pdu, data: bytes = b"", additional: bytes = b"") -> str:
        (piece,) = self._frames.cut(memoryview(encode(pdu, data, additional=additional)))
        assert piece.pdu is not None
        return describe_pdu(self._conversation.see(piece.pdu, piece))


def command(cdb: bytes, **fields: int | bool) -> ScsiCommand:
    return ScsiCommand(initiator_task_tag=7, cdb=cdb.ljust(16, b"\0"), attribute=1, cmd_sn=3, exp_stat_sn=4, **fields)  # type: ignore[arg-type]


def test_a_read_and_its_data() -> None:
    read = Reader()
    cdb = bytes.fromhex("28 00 00 00 10 00 00 00 08 00")
    assert read(command(cdb, read=True, lun=encode_lun(2), expected_data_transfer_length=4096)) == (
        "SCSI Command final LUN=2 tag=0x7 expected_data_transfer_length=4096 | "
        "READ(10) logical_block_address=4096 transfer_length=8 | CmdSN=3 ExpStatSN=4"
    )
    data_in = ScsiDataIn(initiator_task_tag=7, final=True, has_status=True, stat_sn=4, exp_cmd_sn=4, max_cmd_sn=9)
    assert read(data_in, b"secret" * 8) == "SCSI Data-In final tag=0x7 GOOD | data=48 | StatSN=4 ExpCmdSN=4 MaxCmdSN=9"


def test_a_populate_token_whose_list_comes_by_r2t() -> None:
    cdb, data = golden("populate_token")
    read = Reader()
    first = read(command(cdb, write=True, final=True, expected_data_transfer_length=len(data)))
    assert "POPULATE TOKEN list_identifier=" in first
    assert "sends" not in first
    asked = read(ReadyToTransfer(initiator_task_tag=7, target_transfer_tag=1, desired_data_transfer_length=len(data)))
    assert asked.startswith(f"R2T tag=0x7 transfer_tag=0x1 desired_data_transfer_length={len(data)} |")
    assert "sends" not in read(ScsiDataOut(initiator_task_tag=7, target_transfer_tag=1, final=False), data[:20])
    last = read(ScsiDataOut(initiator_task_tag=7, target_transfer_tag=1, data_sn=1, buffer_offset=20), data[20:])
    assert "sends populate_token_data_length=46 inactivity_timeout=0 (the default)" in last
    assert "ranges=[4096+128, 8192+16]" in last


def test_a_write_using_token_shows_no_token() -> None:
    cdb, data = golden("write_using_token")
    words = Reader()(command(cdb, write=True, expected_data_transfer_length=len(data)), data)
    assert "del_tkn=1 offset_into_rod=0 rod_token=[a5a5a5a5h unknown, identifier a5a5a5a5a5a5a5a5, " in words
    assert f"sha256 {sha256(TOKEN).hexdigest()[:8]}...]" in words
    assert "ranges=[12288+144]" in words
    assert TOKEN[:16].hex() not in words.replace(" ", "")


def test_a_list_is_whole_when_it_has_the_length_of_the_cdb() -> None:
    cdb, data = golden("write_using_token")
    assert len(data) == 552
    words = Reader()(command(cdb, write=True, expected_data_transfer_length=4096), data)
    assert "sends write_using_token_data_length=550" in words
    assert "ranges=[12288+144]" in words


@pytest.mark.parametrize("in_one", [True, False])
def test_bytes_behind_the_length_of_the_cdb_are_no_part_of_a_list(in_one: bool) -> None:
    cdb, data = golden("populate_token")
    longer = data[:14] + (48).to_bytes(2, "big") + data[16:] + (99).to_bytes(8, "big") + bytes(8)
    read = Reader()
    cut = len(longer) if in_one else len(data) - 10
    words = read(command(cdb, write=True, final=in_one, expected_data_transfer_length=len(longer)), longer[:cut])
    assert ("sends" in words) is in_one
    if not in_one:
        words = read(ScsiDataOut(initiator_task_tag=7, buffer_offset=cut), longer[cut:])
    assert "ranges=[4096+128, 8192+16]" in words
    assert "bytes)" not in words


def test_what_came_of_a_list_is_shown_with_the_status() -> None:
    cdb, data = golden("populate_token")
    read = Reader()
    assert "sends" not in read(command(cdb, write=True, expected_data_transfer_length=48), data[:20])
    words = read(ScsiResponse(initiator_task_tag=7, status=2), len(SENSE).to_bytes(2, "big") + SENSE)
    assert "byte 14 of the parameter list | sends (20 of 48 bytes) populate_token_data_length=46" in words
    assert "block_device_range_descriptor_length=32 ranges=[]" in words
    read(command(cdb, write=True, expected_data_transfer_length=48))
    assert "sends" not in read(ScsiResponse(initiator_task_tag=7, status=2)), "nothing came"


def test_a_list_that_the_transfer_length_cuts_off() -> None:
    cdb, data = golden("populate_token")
    read = Reader()
    words = read(command(cdb, write=True, expected_data_transfer_length=20), data[:20])
    assert "sends (20 of 48 bytes) populate_token_data_length=46" in words
    assert "sends" not in read(ScsiResponse(initiator_task_tag=7))


@pytest.mark.parametrize(
    ("size_bytes", "last_words"),
    [
        (15, "sends (15 of 552 bytes) not decoded: "),
        (16, "offset_into_rod=0 rod_token=[0 bytes]"),
        (20, "offset_into_rod=0 rod_token=[4 bytes]"),
        (400, "rod_token=[a5a5a5a5h unknown, identifier a5a5a5a5a5a5a5a5, "),
        (528, f"sha256 {sha256(TOKEN).hexdigest()[:8]}...]"),
        (551, "block_device_range_descriptor_length=16 ranges=[]"),
    ],
)
def test_a_write_using_token_that_ends_anywhere(size_bytes: int, last_words: str) -> None:
    cdb, data = golden("write_using_token")
    read = Reader()
    read(command(cdb, write=True, expected_data_transfer_length=552), data[:size_bytes])
    words = read(ScsiResponse(initiator_task_tag=7, status=2))
    assert f"sends ({size_bytes} of 552 bytes) " in words
    assert last_words in words
    assert TOKEN[:16].hex() not in words.replace(" ", "")


def test_of_a_list_no_more_is_kept_than_the_limit() -> None:
    read = Reader()
    for length, words in [(MAX_KEPT_BYTES, "sends populate"), (MAX_KEPT_BYTES + 1, "sends (65536 of 65537 bytes) populate")]:
        cdb = b"\x83\x10".ljust(10, b"\0") + length.to_bytes(4, "big") + b"\0\0"
        assert words in read(command(cdb, write=True, expected_data_transfer_length=length), bytes(length))


def test_of_all_lists_of_a_connection_no_more_is_kept_than_the_limit() -> None:
    conversation = Conversation(parameter_list_bytes, wants_answer)
    length = MAX_KEPT_BYTES

    def see(pdu: Pdu, data: bytes = b"") -> None:
        (piece,) = Frames().cut(memoryview(encode(pdu, data)))
        assert piece.pdu is not None
        conversation.see(piece.pdu, piece)

    def kept_bytes() -> int:
        commands = conversation._commands.values()
        return sum(len(command.parameter_list or b"") + len(command.answer) for command in commands)

    cdb = b"\x83\x10".ljust(10, b"\0") + (length + 1).to_bytes(4, "big") + b"\0\0"
    tags = range(2 * MAX_KEPT_IN_ALL_BYTES // length)
    for tag in tags:
        see(
            ScsiCommand(initiator_task_tag=tag, cdb=cdb, write=True, expected_data_transfer_length=length + 1),
            bytes(length - 1),
        )
        assert kept_bytes() == conversation._kept_bytes <= MAX_KEPT_IN_ALL_BYTES
    for tag in tags:
        see(ScsiResponse(initiator_task_tag=tag))
        assert kept_bytes() == conversation._kept_bytes
    assert kept_bytes() == 0


FORMAT_UNIT = 0x04


def test_every_command_whose_list_is_shown_says_its_length() -> None:
    for operation_code, service_action in PARAMETER_LISTS:
        ones = bytes([operation_code, service_action or 0]) + b"\xff" * 14
        assert parameter_list_bytes(ones) >= (4 if operation_code == FORMAT_UNIT else 0xFF)
    assert [parameter_list_bytes(bytes([FORMAT_UNIT, flags, 0, 0, 0, 0])) for flags in (0x10, 0x30)] == [4, 8]
    assert parameter_list_bytes(b"\x2a" + b"\xff" * 15) == 0, "the data of writes are not shown"


def test_an_answer_with_a_token_in_two_pdus() -> None:
    (answer,) = golden("rod_token_information")
    read = Reader()
    read(command(bytes.fromhex("84 07 00 00 01 01 00 00 00 00 00 00 04 00"), read=True, expected_data_transfer_length=1024))
    half = len(answer) // 2
    assert "answers" not in read(ScsiDataIn(initiator_task_tag=7, final=False), answer[:half])
    last = read(ScsiDataIn(initiator_task_tag=7, final=True, has_status=True, buffer_offset=half), answer[half:])
    assert "copy_operation_status=1 (completed without error)" in last
    assert "transfer_count=144" in last
    assert "rod_token=[" in last
    assert TOKEN[:16].hex() not in last.replace(" ", "")


def test_an_unmap() -> None:
    data = bytes.fromhex("0016 0010 00000000") + (4096).to_bytes(8, "big") + (8).to_bytes(4, "big") + bytes(4)
    words = Reader()(command(b"\x42\0\0\0\0\0\0\0\x18\0", write=True, expected_data_transfer_length=24), data)
    assert "UNMAP parameter_list_length=24" in words
    assert "ranges=[4096+8]" in words


def test_a_reservation() -> None:
    read = Reader()
    data = (0x11).to_bytes(8, "big") + bytes(16)
    words = read(command(b"\x5f\1\5\0\0\0\0\0\x18\0", write=True, expected_data_transfer_length=24), data)
    assert "| PERSISTENT RESERVE OUT, RESERVE type=5 parameter_list_length=24 |" in words
    assert "sends reservation_key=0x11 service_action_reservation_key=0x0 (none)" in words
    assert "RESERVATION CONFLICT" in read(ScsiResponse(initiator_task_tag=7, status=0x18))
    read(command(b"\x5e\1\0\0\0\0\0\1\0\0", read=True, expected_data_transfer_length=256))
    answer = bytes.fromhex("00000002 00000010 0000000000000011 00000000 00 05 0000")
    words = read(ScsiDataIn(initiator_task_tag=7, final=True, has_status=True), answer)
    assert "answers prgeneration=2" in words
    assert "reservation_key=0x11" in words
    assert "type=5 (Write Exclusive, registrants only)" in words


def test_sense_in_words() -> None:
    read = Reader()
    read(command(bytes(16)))
    response = ScsiResponse(initiator_task_tag=7, status=2)
    assert read(response, len(SENSE).to_bytes(2, "big") + SENSE).startswith(
        "SCSI Response tag=0x7 CHECK CONDITION | ILLEGAL REQUEST, 26h/00h invalid field in parameter list, "
        "byte 14 of the parameter list |"
    )
    assert "COPY ABORTED, 0Dh/04h" in read(response, len(PARTIAL).to_bytes(2, "big") + PARTIAL)
    assert "information=100" in read(response, len(PARTIAL).to_bytes(2, "big") + PARTIAL)


def test_login_text_without_challenges_and_responses() -> None:
    text = b"CHAP_N=somebody\0CHAP_R=0x0123456789abcdef\0CHAP_C=0bAAAA\0CHAP_I=7\0InitiatorAlias=a\nb\0"
    words = Reader()(LoginRequest(current_stage=0), text)
    assert "CHAP_N=somebody CHAP_R=(18 characters) CHAP_C=(6 characters) CHAP_I=7 InitiatorAlias=a\\nb" in words
    assert "current_stage=SECURITY_NEGOTIATION" in words
    assert "next_stage" not in words


@pytest.mark.parametrize("key", ["chap_r", "Chap_R", "CHAP_R ", " CHAP_R", "\tchap_c ", "srp_hm", "SRP_s", "Krb_Ap_Req"])
def test_a_response_under_a_key_that_is_written_otherwise_is_not_told_either(key: str) -> None:
    words = Reader()(LoginRequest(), f"{key}=0x0123456789abcdef\0".encode())
    assert "(18 characters)" in words
    assert "0123" not in words


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_response_that_is_cut_anywhere_is_not_told_either(cut: int) -> None:
    read = Reader()
    text = b"CHAP_N=somebody\0CHAP_R=0baGVsbG8gd29ybGQgc2VjcmV0cyE=\0InitiatorAlias=z\0"
    first = read(LoginRequest(continued=True), text[:cut])
    read(LoginResponse())
    words = first + read(LoginRequest(), text[cut:])
    value = text[25:53].decode()
    assert not [at for at in range(len(value) - 3) if value[at : at + 4] in words]
    assert ("the rest of a value" in words) == (text[cut - 1] != 0)
    read(LoginResponse())
    assert "InitiatorAlias=y" in read(LoginRequest(), b"InitiatorAlias=y\0")


def test_the_other_pdus() -> None:
    read = Reader()
    assert read(TaskManagementFunctionRequest(function=5, initiator_task_tag=9, lun=encode_lun(1))).startswith(
        "Task Management Function Request function=LOGICAL_UNIT_RESET LUN=1 tag=0x9 |"
    )
    assert "response=FUNCTION_COMPLETE" in read(TaskManagementFunctionResponse(response=0, initiator_task_tag=9))
    assert read(NopOut(cmd_sn=1, exp_stat_sn=2)) == "NOP-Out | CmdSN=1 ExpStatSN=2"
    assert "transfer_tag=0x5" in read(NopIn(target_transfer_tag=5))
    assert "reason=CLOSE_SESSION" in read(LogoutRequest(reason=0))
    assert "async_event=LOGOUT_REQUESTED" in read(AsynchronousMessage(async_event=1, parameter3=5))
    event = len(CHANGED).to_bytes(2, "big") + CHANGED
    words = read(AsynchronousMessage(async_event=0, lun=encode_lun(3)), event + b"more")
    assert "async_event=SCSI_EVENT" in words
    assert "| UNIT ATTENTION, 2Ah/09h capacity data has changed |" in words
    assert "| data=2 |" in read(AsynchronousMessage(async_event=0), bytes(2))
    assert "| data=20 |" in read(AsynchronousMessage(async_event=255), event), "a vendor's event"
    rejected = NopOut(initiator_task_tag=3).encode_header()
    assert "reason=PROTOCOL_ERROR | data=48" not in read(Reject(reason=4), rejected)
    assert "of NOP-Out tag=0x3" in read(Reject(reason=4), rejected)
    assert "unknown command | " not in read(command(b"\xff" * 16))
    assert "unknown command cdb=ff ff" in read(command(b"\xff" * 16))


def test_no_more_commands_are_remembered_than_the_limit() -> None:
    conversation = Conversation(parameter_list_bytes, wants_answer)
    for tag in range(MAX_COMMANDS + 2):
        (piece,) = Frames().cut(memoryview(encode(ScsiCommand(initiator_task_tag=tag, cdb=bytes(16)))))
        assert piece.pdu is not None
        conversation.see(piece.pdu, piece)
    for tag, known in [(0, False), (1, False), (2, True), (MAX_COMMANDS + 1, True)]:
        (piece,) = Frames().cut(memoryview(encode(ScsiResponse(initiator_task_tag=tag))))
        assert piece.pdu is not None
        assert (conversation.see(piece.pdu, piece).command is not None) is known


@given(st.lists(st.tuples(pdus(), st.binary(max_size=120), st.sampled_from([b"", b"AHS!", b"\0\5\1\0abcd"])), max_size=6))
@settings(max_examples=150, deadline=None)
def test_any_conversation_is_one_line_a_pdu(rows: list[tuple[Pdu, bytes, bytes]]) -> None:
    read = Reader()
    for pdu, data, additional in rows:
        words = read(pdu, data, additional)
        assert words
        assert words.isprintable()


@given(
    st.sampled_from([*PARAMETER_LISTS.items(), *ANSWERS.items()]),
    st.binary(max_size=16),
    st.one_of(st.binary(max_size=100), st.binary(min_size=500, max_size=600)),
)
@settings(max_examples=200, deadline=None)
def test_any_data_of_any_command_can_be_put_into_a_line(
    row: tuple[tuple[int, int | None], object], rest: bytes, data: bytes
) -> None:
    (operation_code, service_action), _ = row
    cdb = bytes([operation_code, service_action or 0]) + rest.ljust(14, b"\0")[:14]
    if service_action is None:
        cdb = bytes([operation_code]) + rest.ljust(15, b"\0")[:15]
    read = Reader()
    read(command(cdb, read=True, write=True, expected_data_transfer_length=len(data)), data)
    words = read(ScsiDataIn(initiator_task_tag=7, final=True, has_status=True), data)
    assert words.isprintable()
