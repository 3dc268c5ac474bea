"""Tests of the dissector with golden bytes that other targets send, but not our array."""

from collections.abc import Callable
from pathlib import Path

import pytest

from odx_target.initiator import cdb as cdbs
from odx_target.initiator.copying.token_commands import ZERO_TOKEN, BlockRange, populate_token_list, write_using_token_list
from odx_target.iscsi.pdu.headers import ScsiCommand, ScsiDataIn, ScsiDataOut, ScsiResponse
from odx_target.target.trace.tap import ConnectionTap
from tests.initiator.golden import golden
from tests.interop.programs import run
from tests.target.trace.wire import Traced, encode, last_login_response

pytestmark = pytest.mark.interop

DISSECTOR = Path(__file__).parents[2] / "tools" / "wireshark" / "odx.lua"
TIMEOUT_S = 30


def answered(tap: ConnectionTap, cdb: bytes, answer: bytes) -> None:
    tap.received(memoryview(encode(ScsiCommand(read=True, expected_data_transfer_length=4096, cdb=cdb.ljust(16, b"\0")))))
    tap.sent([encode(ScsiDataIn(final=True, has_status=True), answer)])


def page(tap: ConnectionTap) -> None:
    answered(tap, cdbs.inquiry(4096, 0x8F), golden("third_party_copy_page")[0])


def partial(tap: ConnectionTap) -> None:
    sense = bytes.fromhex("f0 00 0a 00 00 00 64 0a 00 00 00 00 0d 04 00 00 00 00")
    head = bytes.fromhex("00 00 00 34 11 03 00 01 ff ff ff fe 02 14 12 f1 00 00 00 00 00 00 00 64") + bytes(8)
    answered(tap, cdbs.receive_rod_token_information(1, 4096), head + sense + bytes(2) + bytes(4))


def result(tap: ConnectionTap, sense: bytes) -> None:
    """Send the result of a WRITE USING TOKEN that failed."""
    head = bytes.fromhex("11 02 00 01 ff ff ff fe 02") + bytes([len(sense), len(sense), 0xF1]) + bytes(16)
    body = head + sense + bytes(4)
    answered(tap, cdbs.receive_rod_token_information(1, 4096), len(body).to_bytes(4, "big") + body)


def fixed_sense(tap: ConnectionTap) -> None:
    result(tap, bytes.fromhex("f0 00 05 00 00 00 07 0a 00 00 00 09 26 00 03 8f 02 16"))


def segment_sense(tap: ConnectionTap) -> None:
    result(tap, bytes.fromhex("70 00 0a 00 00 00 00 0a 00 00 00 00 26 0a 00 a0 00 0c"))


def descriptor_sense(tap: ConnectionTap) -> None:
    descriptors = "00 0a 80 00 00 00 00 01 00 00 00 05  01 0a 00 00 11 22 33 44 55 66 77 88  02 06 00 00 cb 00 0e 00"
    result(tap, bytes.fromhex(f"72 05 26 00 00 00 00 22 {descriptors} 0c 02 00 00"))


def two_tokens(tap: ConnectionTap) -> None:
    tokens = b"".join(bytes(2) + bytes.fromhex(f"0080000{number} 0000 01f8") + bytes(504) for number in (1, 2))
    body = bytes.fromhex("10 01 00 01 ff ff ff fe 00 00 00 f1") + bytes(16) + len(tokens).to_bytes(4, "big") + tokens
    answered(tap, cdbs.receive_rod_token_information(1, 4096), len(body).to_bytes(4, "big") + body)


def two_bursts(tap: ConnectionTap, *, ends_with_status: bool) -> None:
    """Send parameter data of more than MaxBurstLength. The F bit ends a sequence of Data-In PDUs, but not the data."""
    token = bytes.fromhex("00800002 0000 01f8") + bytes(504)
    body = bytes.fromhex("10 01 00 01 ff ff ff fe 00 00 00 f1") + bytes(16) + (514).to_bytes(4, "big") + bytes(2) + token
    answer = len(body).to_bytes(4, "big") + body
    cdb = cdbs.receive_rod_token_information(1, 4096)
    tap.received(memoryview(encode(ScsiCommand(read=True, expected_data_transfer_length=4096, cdb=cdb))))
    tap.sent([encode(ScsiDataIn(final=True), answer[:512])])
    tap.sent([encode(ScsiDataIn(final=True, has_status=ends_with_status, buffer_offset=512), answer[512:])])
    if not ends_with_status:
        tap.sent([encode(ScsiResponse())])


def two_bursts_with_status(tap: ConnectionTap) -> None:
    two_bursts(tap, ends_with_status=True)


def two_bursts_before_a_response(tap: ConnectionTap) -> None:
    two_bursts(tap, ends_with_status=False)


def an_answer_that_stays_incomplete(tap: ConnectionTap) -> None:
    cdb = cdbs.receive_rod_token_information(1, 4096)
    tap.received(memoryview(encode(ScsiCommand(read=True, expected_data_transfer_length=4096, cdb=cdb))))
    tap.sent([encode(ScsiDataIn(final=True), bytes.fromhex("00000222 10 01 0001 ff ff ff fe 00 00 00 f1"))])
    tap.sent([encode(ScsiResponse(status=2))])


def an_answer_before_a_response(tap: ConnectionTap) -> None:
    body = bytes.fromhex("10 12 00 01 00 00 01 f4 00 00 00 f1") + bytes(16) + bytes(4)
    cdb = cdbs.receive_rod_token_information(1, 4096)
    tap.received(memoryview(encode(ScsiCommand(read=True, expected_data_transfer_length=4096, cdb=cdb))))
    tap.sent([encode(ScsiDataIn(final=True), len(body).to_bytes(4, "big") + body)])
    tap.sent([encode(ScsiResponse())])


def other_descriptors(tap: ConnectionTap) -> None:
    group = bytes.fromhex("000d 0014 10 00112233445566778899aabbccddeeff 000000")
    stream = bytes.fromhex("01 00 0014 00000000") + (77).to_bytes(8, "big") + (78).to_bytes(8, "big")
    processor = bytes.fromhex("03 00 0014 00000000") + (87).to_bytes(8, "big") + (88).to_bytes(8, "big")
    unknown = bytes.fromhex("07 00 0004 cafecafe")
    entries = stream + processor + unknown
    features = bytes.fromhex("0106") + (44 + len(entries)).to_bytes(2, "big") + bytes(42) + len(entries).to_bytes(2, "big")
    descriptors = group + features + entries
    answered(tap, cdbs.inquiry(4096, 0x8F), b"\0\x8f" + len(descriptors).to_bytes(2, "big") + descriptors)


def send(tap: ConnectionTap, cdb: bytes, data: bytes, expected_bytes: int) -> None:
    command = ScsiCommand(write=True, expected_data_transfer_length=expected_bytes, cdb=cdb.ljust(16, b"\0"))
    tap.received(memoryview(encode(command, data)))


def more_expected_than_the_list_has(tap: ConnectionTap) -> None:
    data = write_using_token_list(ZERO_TOKEN, [BlockRange(5, 6)])
    send(tap, cdbs.write_using_token(1, len(data)), data, 4096)


def bytes_behind_the_list(tap: ConnectionTap) -> None:
    data = populate_token_list([BlockRange(5, 6), BlockRange(7, 8), BlockRange(9, 10)])
    send(tap, cdbs.populate_token(1, 32), data, len(data))


def a_list_that_stays_incomplete(tap: ConnectionTap) -> None:
    data = populate_token_list([BlockRange(5, 6), BlockRange(7, 8)])
    send(tap, cdbs.populate_token(1, len(data)), data[:32], len(data))
    tap.sent([encode(ScsiResponse(status=2))])


def a_list_in_pieces(tap: ConnectionTap) -> None:
    data = populate_token_list([BlockRange(5, 6), BlockRange(7, 8)])
    send(tap, cdbs.populate_token(1, len(data)), data[:32], len(data))
    tap.received(memoryview(encode(ScsiDataOut(final=True, buffer_offset=32), data[32:])))


def flags_of_a_list(tap: ConnectionTap) -> None:
    data = bytearray(populate_token_list([BlockRange(5, 6)], inactivity_timeout_s=7))
    data[2], data[8:12] = 0x03, bytes.fromhex("00800002")
    send(tap, cdbs.populate_token(1, len(data)), bytes(data), len(data))


def other_commands(tap: ConnectionTap) -> None:
    tap.received(memoryview(encode(ScsiCommand(cdb=bytes.fromhex("831c 00001234") + bytes(10)))))
    tap.sent([encode(ScsiResponse())])
    body = bytes.fromhex("11 12 00 02 00 00 01 f4 00 00 00 f1") + (99).to_bytes(8, "big") + bytes(8)
    answered(tap, bytes.fromhex("8405 00005678 00000000 00000400 0000"), len(body).to_bytes(4, "big") + body)


def a_size_that_is_not_known(tap: ConnectionTap) -> None:
    token = bytes.fromhex("00800000 0000 01f8") + bytes(40) + b"\xff" * 16 + bytes(448)
    data = write_using_token_list(token, [BlockRange(0, 1)])
    send(tap, cdbs.write_using_token(1, len(data)), data, len(data))


def zeros(tap: ConnectionTap) -> None:
    data = write_using_token_list(ZERO_TOKEN, [BlockRange(1 << 40, 7), BlockRange(0, 0)])
    command = ScsiCommand(write=True, expected_data_transfer_length=len(data), cdb=cdbs.write_using_token(1, len(data)))
    tap.received(memoryview(encode(command, data)))


def cut_page(tap: ConnectionTap) -> None:
    answered(tap, cdbs.inquiry(50, 0x8F), golden("third_party_copy_page")[0][:50])


TOKEN_AT_THE_END = """ROD TYPE: point in time copy, persistent (0x00800002)
    EXTENDED ROD TOKEN DATA: 000000"""


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (
            page,
            """MAXIMUM RANGE DESCRIPTORS: 64
            MAXIMUM TOKEN TRANSFER SIZE: 524288
            MAXIMUM CSCD DESCRIPTOR COUNT: 8
            MAXIMUM SEGMENT DESCRIPTOR COUNT: 64
            MAXIMUM DESCRIPTOR LIST LENGTH: 4096
            MAXIMUM INLINE DATA LENGTH: 0
            DESCRIPTOR TYPE CODE: 0x02
            DESCRIPTOR TYPE CODE: 0x0a
            DESCRIPTOR TYPE CODE: 0xe4
            CSCD DESCRIPTOR ID: ROD token (0xf800)
            CSCD DESCRIPTOR ID: this logical unit (0xffff)
            OPTIMAL BYTES TO TOKEN PER SEGMENT: 18446744073709551615
            ROD type FFFF0001h: block device zero
            MAXIMUM SEGMENT LENGTH: 268435456
            INLINE DATA GRANULARITY: 0""",
        ),
        (
            partial,
            """COPY OPERATION STATUS: completed without error, partial ROD token usage (0x03)
            EXTENDED COPY COMPLETION STATUS: CHECK CONDITION (0x02)
            SENSE DATA LENGTH: 18
            SENSE KEY: COPY ABORTED (0xa)
            INFORMATION: 100
            ADDITIONAL SENSE CODE: 0x0d
            ADDITIONAL SENSE CODE QUALIFIER: 0x04
            TRANSFER COUNT: 100
            ROD TOKEN DESCRIPTORS LENGTH: 0""",
        ),
        (
            zeros,
            """ROD TYPE: block device zero (0xffff0001)
            Block device range 0: LBA 1099511627776, 7 blocks
            Block device range 1: LBA 0, 0 blocks""",
        ),
        (cut_page, "MAXIMUM RANGE DESCRIPTORS: 64"),
        (
            fixed_sense,
            """VALID: True
            RESPONSE CODE: current, fixed format (0x70)
            SENSE KEY: ILLEGAL REQUEST (0x5)
            INFORMATION: 7
            ADDITIONAL SENSE LENGTH: 10
            COMMAND SPECIFIC INFORMATION: 0x00000009
            FIELD REPLACEABLE UNIT CODE: 0x03
            SKSV: True
            C/D: False
            BPV: True
            BIT POINTER: 7
            FIELD POINTER: 534""",
        ),
        (
            segment_sense,
            """VALID: False
            SENSE KEY: COPY ABORTED (0xa)
            SD: True
            FIELD POINTER: 12""",
        ),
        (
            descriptor_sense,
            """RESPONSE CODE: current, descriptor format (0x72)
            SENSE KEY: ILLEGAL REQUEST (0x5)
            ADDITIONAL SENSE CODE: 0x26
            Sense data descriptor 00h: information
            INFORMATION: 4294967301
            COMMAND SPECIFIC INFORMATION: 1122334455667788
            C/D: True
            BIT POINTER: 3
            FIELD POINTER: 14
            Sense data descriptor 0Ch: forwarded sense data
            NOT DECODED: 0000""",
        ),
        (
            two_tokens,
            """ROD TOKEN DESCRIPTORS LENGTH: 1028
            ROD TYPE: point in time copy, change vulnerable (0x00800001)
            ROD TYPE: point in time copy, persistent (0x00800002)""",
        ),
        (two_bursts_with_status, TOKEN_AT_THE_END),
        (two_bursts_before_a_response, TOKEN_AT_THE_END),
        (an_answer_before_a_response, "COPY OPERATION STATUS: in progress in the background (0x12)"),
        (an_answer_that_stays_incomplete, "AVAILABLE DATA: 546"),
        (
            other_descriptors,
            """COPY GROUP IDENTIFIER LENGTH: 16
            COPY GROUP IDENTIFIER: 00112233445566778899aabbccddeeff
            PERIPHERAL DEVICE TYPE: stream (0x01)
            MAXIMUM BYTES IN STREAM ROD: 77
            OPTIMAL BYTES IN STREAM ROD TRANSFER: 78
            PERIPHERAL DEVICE TYPE: processor (0x03)
            MAXIMUM BYTES IN PROCESSOR ROD: 87
            OPTIMAL BYTES IN PROCESSOR ROD TRANSFER: 88
            NOT DECODED: cafecafe""",
        ),
        (more_expected_than_the_list_has, "Block device range 0: LBA 5, 6 blocks"),
        (a_list_that_stays_incomplete, "Block device range 0: LBA 5, 6 blocks"),
        (
            a_list_in_pieces,
            """Block device range 0: LBA 5, 6 blocks
            Block device range 1: LBA 7, 8 blocks""",
        ),
        (
            flags_of_a_list,
            """RTV: True
            IMMED: True
            INACTIVITY TIMEOUT: 7
            ROD TYPE: point in time copy, persistent (0x00800002)""",
        ),
        (
            other_commands,
            """COPY OPERATION ABORT CDB
            LIST IDENTIFIER: 4660
            RECEIVE COPY STATUS (LID4) parameter data
            LIST IDENTIFIER: 22136
            COPY OPERATION STATUS: in progress in the background (0x12)
            ESTIMATED STATUS UPDATE DELAY: milliseconds (500)
            TRANSFER COUNT: 99""",
        ),
        (a_size_that_is_not_known, "NUMBER OF BYTES REPRESENTED UNKNOWN: ffffffffffffffffffffffffffffffff"),
    ],
)
def test_the_words(tmp_path: Path, play: Callable[[ConnectionTap], None], words: str) -> None:
    text = seen(tmp_path, lambda traced: play(traced.connected()))
    assert not [line.strip() for line in words.splitlines() if line.strip() not in text]


def seen(folder: Path, play: Callable[[Traced], None]) -> str:
    """Return the output of tshark for a capture."""
    traced = Traced(folder)
    play(traced)
    traced.close()
    text = run("tshark", "-n", "-r", folder / "trace.pcapng", "-X", f"lua_script:{DISSECTOR}", "-V", timeout_s=TIMEOUT_S)
    assert "Lua Error" not in text
    return text


def test_what_stands_behind_a_list_does_not_count(tmp_path: Path) -> None:
    text = seen(tmp_path, lambda traced: bytes_behind_the_list(traced.connected()))
    assert "Block device range 0: LBA 5, 6 blocks" in text
    assert "Block device range 1" not in text


def write_with_digests(tap: ConnectionTap, lba: int) -> None:
    data = write_using_token_list(ZERO_TOKEN, [BlockRange(lba, 8)])
    command = ScsiCommand(write=True, expected_data_transfer_length=len(data), cdb=cdbs.write_using_token(1, len(data)))
    tap.received(memoryview(encode(command, data, header_digest=True)))
    tap.sent([encode(ScsiResponse(), header_digest=True)])


def test_header_digests_in_a_capture_with_a_pause(tmp_path: Path) -> None:
    def play(traced: Traced) -> None:
        tap = traced.connected()
        tap.sent([last_login_response(HeaderDigest="CRC32C")])
        write_with_digests(tap, 100)
        traced.tracing.toggle()
        write_with_digests(tap, 200)
        traced.tracing.toggle()
        write_with_digests(tap, 300)

    text = seen(tmp_path, play)
    assert text.count("WRITE USING TOKEN DATA LENGTH: 550") == 2
    assert "LBA 100, 8 blocks" in text
    assert "LBA 200, 8 blocks" not in text
    assert "LBA 300, 8 blocks" in text


def test_header_digests_in_a_capture_that_begins_behind_the_login(tmp_path: Path) -> None:
    def play(traced: Traced) -> None:
        traced.tracing.toggle()
        tap = traced.connected()
        tap.sent([last_login_response(HeaderDigest="CRC32C")])
        traced.tracing.toggle()
        write_with_digests(tap, 300)

    assert "LBA 300, 8 blocks" in seen(tmp_path, play)


def test_it_loads_from_the_personal_plugin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = tmp_path / "home/.local/lib/wireshark/plugins"
    plugins.mkdir(parents=True)
    for file in DISSECTOR.parent.glob("*.lua"):
        (plugins / file.name).write_bytes(file.read_bytes())
    traced = Traced(tmp_path)
    zeros(traced.connected())
    traced.close()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = run("tshark", "-n", "-r", tmp_path / "trace.pcapng", "-V", timeout_s=TIMEOUT_S)
    assert "Lua" not in text.replace("running Wireshark as", "")
    assert "Block device range 0: LBA 1099511627776, 7 blocks" in text
