"""The dissector on golden bytes: what our array does not send, but other targets do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from odx_target.initiator import cdb as cdbs
from odx_target.initiator.token_commands import ZERO_TOKEN, BlockRange, write_using_token_list
from odx_target.target.iscsi.pdu import ScsiCommand, ScsiDataIn
from odx_target.target.trace.tap import ConnectionTap
from tests.initiator.golden import golden
from tests.interop.programs import run
from tests.target.trace.wire import Traced, encode

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


def zeros(tap: ConnectionTap) -> None:
    data = write_using_token_list(ZERO_TOKEN, [BlockRange(1 << 40, 7), BlockRange(0, 0)])
    command = ScsiCommand(write=True, expected_data_transfer_length=len(data), cdb=cdbs.write_using_token(1, len(data)))
    tap.received(memoryview(encode(command, data)))


def cut_page(tap: ConnectionTap) -> None:
    answered(tap, cdbs.inquiry(50, 0x8F), golden("third_party_copy_page")[0][:50])


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
    ],
)
def test_the_words(tmp_path: Path, play: Callable[[ConnectionTap], None], words: str) -> None:
    traced = Traced(tmp_path)
    play(traced.connected())
    traced.close()
    text = run("tshark", "-n", "-r", tmp_path / "trace.pcapng", "-X", f"lua_script:{DISSECTOR}", "-V", timeout_s=TIMEOUT_S)
    missing = [line.strip() for line in words.splitlines() if line.strip() not in text]
    assert not missing
    assert "Lua Error" not in text
