"""Tests that Debian's tshark reads the files of `serve --pcap`, and decodes token copy with our dissector."""

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from odx_target.initiator import cdb as cdbs
from odx_target.initiator.copying.token_commands import BlockRange, populate_token_list, write_using_token_list
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.url import Portal
from odx_target.iscsi.pdu.headers import LoginRequest
from tests.interop.programs import need, run
from tests.interop.serving import IQN, serve

pytestmark = pytest.mark.interop

DISSECTOR = Path(__file__).parents[2] / "tools" / "wireshark" / "odx.lua"
CHECKS = ("-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE")
GOOD = "1"
TRUE, FALSE = "1", "0"
TIMEOUT_S = 30

RANGES = [BlockRange(0x1000, 0x80), BlockRange(0x2000, 0x10)]
TARGET_RANGES = [BlockRange(0x300, 0x0C)]
WITH_DIGESTS = {"header_digest": True, "data_digest": True}
BY_R2T = {"immediate_data": False, "initial_r2t": True}
IN_PIECES = {"max_recv_data_segment_bytes": 512}
"""Setting with which tokens and VPD page 8Fh are sent in several PDUs each."""


@dataclass
class Capture:
    """A capture file, and the data that its session received from the array."""

    path: Path
    port: str
    token: bytes
    page: bytes

    def fields(self, shown: str, *names: str) -> list[list[str]]:
        """Return the values of fields, as a list for each packet that the display filter matches."""
        arguments = [argument for name in names for argument in ("-e", name)]
        with_dissector = any("odx." in text for text in (shown, *names))
        printed = self.tshark("-Y", shown, "-T", "fields", "-E", "separator=|", *arguments, with_dissector=with_dissector)
        return [line.split("|") for line in printed.splitlines() if not line.startswith(("Running as", "tshark:"))]

    def tshark(self, *arguments: str, with_dissector: bool = True) -> str:
        options = ["-n", "-r", self.path, "-d", f"tcp.port=={self.port},iscsi", *CHECKS]
        options += ["-X", f"lua_script:{DISSECTOR}"] if with_dissector else []
        return run("tshark", *options, *arguments, timeout_s=TIMEOUT_S)


async def _copy(portal: str, settings: dict[str, object]) -> tuple[bytes, bytes]:
    host, port = portal.rsplit(":", 1)
    options = SessionOptions(isid=random_isid(b"shark"), **settings)  # type: ignore[arg-type]
    async with open_session(Portal(host, int(port)), IQN, options) as session:
        for lun in (0, 1):
            await session.execute(lun, cdbs.test_unit_ready())
        page = await session.execute(0, cdbs.inquiry(4096, 0x8F), data_in_bytes=4096)
        await session.execute(0, cdbs.write_16(0x1000, 0x80), [b"x" * 0x10000])
        populate = populate_token_list(RANGES, inactivity_timeout_s=45)
        await session.execute(0, cdbs.populate_token(0x101, len(populate)), [populate])
        answer = await session.execute(0, cdbs.receive_rod_token_information(0x101, 1024), data_in_bytes=1024)
        token = bytes(answer.data_in[38:550])
        write = write_using_token_list(token, TARGET_RANGES, offset_into_rod_blocks=6)
        await session.execute(1, cdbs.write_using_token(0x102, len(write)), [write])
        await session.execute(1, cdbs.receive_rod_token_information(0x102, 1024), data_in_bytes=1024)
        await session.execute(0, cdbs.report_all_rod_tokens(4096), data_in_bytes=4096)
    return token, bytes(page.data_in)


def _captured(folder: Path, settings: dict[str, object], *options: str) -> Capture:
    """Capture one session of a server."""
    need("tshark")
    path = folder / "session.pcapng"
    luns = ("first=64M", "second=64M,block=4096")
    served = serve(folder / "pool", luns, log_path=folder / "serve.log", options=("--pcap", str(path), *options))
    try:
        token, page = trio.run(_copy, served.portal, settings)
        assert served.stop() == 0
    finally:
        served.kill()
    return Capture(path, served.portal.rpartition(":")[2], token, page)


SETTINGS = {"plain": {}, "digests": WITH_DIGESTS, "by R2T": BY_R2T, "in pieces": IN_PIECES}


@pytest.fixture(scope="module", params=SETTINGS)
def capture(request: pytest.FixtureRequest, module_path: Path) -> Capture:
    folder = module_path / request.param
    folder.mkdir()
    return _captured(folder, SETTINGS[request.param])


def test_stock_tshark_finds_nothing_amiss(capture: Capture) -> None:
    faults = capture.fields("_ws.malformed or tcp.analysis.flags or !(tcp.checksum.status == 1)", "frame.number")
    assert faults == []
    flags = capture.fields("tcp.flags.syn == 1 or tcp.flags.fin == 1", "tcp.flags")
    assert [each for (each,) in flags] == ["0x0002", "0x0012", "0x0011", "0x0011"]
    opcodes = [each for (each,) in capture.fields("iscsi", "iscsi.opcode")]
    assert opcodes[0] == "0x03"
    assert opcodes[-1] == "0x26"


def test_the_third_party_copy_page(capture: Capture) -> None:
    limits = "maximum_range_descriptors maximum_inactivity_timeout default_inactivity_timeout maximum_token_transfer_size"
    names = [f"odx.vpd.limits.{name}" for name in limits.split()]
    page = capture.page
    expected = [int.from_bytes(page[start:end], "big") for start, end in [(14, 16), (16, 20), (20, 24), (24, 32)]]
    assert capture.fields("odx.vpd.page_code", *names) == [[str(value) for value in expected]]
    ((kinds, types, actions),) = capture.fields(
        "odx.vpd.page_code",
        "odx.vpd.third_party_copy_descriptor_type",
        "odx.vpd.rod_type.rod_type",
        "odx.vpd.commands.service_action",
    )
    assert kinds.split(",") == [f"0x{kind:04x}" for kind in descriptor_types(page)]
    assert types.split(",")[:1] + types.split(",")[-1:] == ["0x00800000", "0xffff0001"]
    assert {"0x10", "0x11", "0x07"} <= set(actions.split(","))


def descriptor_types(page: bytes) -> list[int]:
    found, at = [], 4
    while at < len(page):
        found.append(int.from_bytes(page[at : at + 2], "big"))
        at += 4 + int.from_bytes(page[at + 2 : at + 4], "big")
    return found


def test_populate_token(capture: Capture) -> None:
    names = ("pt.populate_token_data_length", "pt.rtv", "pt.immed", "pt.inactivity_timeout", "pt.rod_type")
    ranges = ("range.logical_block_address", "range.number_of_logical_blocks")
    rest = ("pt.block_device_range_descriptor_length", *ranges)
    shown = "odx.pt.populate_token_data_length"
    assert capture.fields(shown, *(f"odx.{name}" for name in (*names, *rest))) == [
        ["46", FALSE, FALSE, "45", "0x00000000", "32", "4096,8192", "128,16"]
    ]
    cdb = ("odx.cdb.operation_code", "odx.cdb.service_action", "odx.cdb.list_identifier", "odx.cdb.parameter_list_length")
    commands = capture.fields("odx.cdb.parameter_list_length", *cdb)
    assert commands == [["0x83", "0x10", "257", "48"], ["0x83", "0x11", "258", "552"]]


def test_receive_rod_token_information(capture: Capture) -> None:
    names = ("available_data", "response_to_service_action", "copy_operation_status", "estimated_status_update_delay")
    more = ("extended_copy_completion_status", "transfer_count_units", "transfer_count", "rod_token_descriptors_length")
    shown = "odx.result.copy_operation_status"
    assert capture.fields(shown, *(f"odx.result.{name}" for name in (*names, *more))) == [
        ["546", "0x10", "0x01", "4294967294", "0x00", "0xf1", "144", "514"],
        ["32", "0x11", "0x01", "4294967294", "0x00", "0xf1", "12", "0"],
    ]
    assert capture.fields("odx.cdb.allocation_length and odx.cdb.service_action == 7", "odx.cdb.list_identifier") == [
        ["257"],
        ["258"],
    ]


def test_write_using_token_and_the_token(capture: Capture) -> None:
    names = ("write_using_token_data_length", "del_tkn", "immed", "offset_into_rod", "block_device_range_descriptor_length")
    shown = "odx.wut.write_using_token_data_length"
    assert capture.fields(shown, *(f"odx.wut.{name}" for name in names)) == [["550", FALSE, FALSE, "6", "16"]]
    token = capture.token
    expected = {
        "rod_type": "0x00800000",
        "rod_token_length": "504",
        "copy_manager_rod_token_identifier": token[8:16].hex(),
        "creator.descriptor_type_code": "0xe4",
        "creator.designator_type": "0x03",
        "creator.designator_length": "16",
        "creator.designator": token[24:40].hex(),
        "creator.disk_block_length": "512",
        "number_of_bytes_represented": str(0x90 * 512),
        "logical_block_length": "512",
        "logical_blocks_per_physical_block_exponent": "3",
        "lbpme": TRUE,
        "lbprz": TRUE,
        "lowest_aligned_logical_block_address": "0",
        "target_device.designator_type": "0x08",
        "target_device.designator": IQN,
        "extended_rod_token_data": token[256:].hex(),
    }
    ((*sent,),) = capture.fields(shown, *(f"odx.token.{name}" for name in expected))
    assert dict(zip(expected, sent, strict=True)) == expected
    ((*received,),) = capture.fields("odx.result.rod_token_descriptors_length > 0", *(f"odx.token.{name}" for name in expected))
    assert received == sent
    listed = capture.fields('odx.command.name == "REPORT ALL ROD TOKENS" and odx.token.rod_type', "odx.token.rod_token_length")
    assert listed == [["504"]]


def test_the_words_for_a_reader(capture: Capture) -> None:
    text = capture.tshark("-V", "-O", "odx", "-Y", "odx.wut.write_using_token_data_length")
    for words in ("Token copy (ODX): WRITE USING TOKEN", "OFFSET INTO ROD: 6", "point in time copy, default (0x00800000)"):
        assert words in text
    assert "Lua Error" not in capture.tshark("-V")


def test_packets_cut_short_still_tell_their_pdus(tmp_path: Path) -> None:
    capture = _captured(tmp_path, {}, "--pcap-snap-length", "136")
    commands = capture.fields("odx.command.name and iscsi.opcode == 1", "odx.command.name")
    names = ["INQUIRY (VPD page 8Fh)", "POPULATE TOKEN", "RECEIVE ROD TOKEN INFORMATION", "WRITE USING TOKEN"]
    assert [each for (each,) in commands] == [*names, "RECEIVE ROD TOKEN INFORMATION", "REPORT ALL ROD TOKENS"]
    assert capture.fields("odx.wut.write_using_token_data_length", "odx.wut.offset_into_rod") == [["6"]]


async def test_two_sessions_from_one_port_are_two_conversations(tmp_path: Path) -> None:
    """The second session comes from the port of the first session, as it may happen when ports are few."""
    need("tshark")
    path = tmp_path / "session.pcapng"
    served = serve(tmp_path / "pool", ("first=1M",), log_path=tmp_path / "serve.log", options=("--pcap", str(path)))
    try:
        host, port = served.portal.rsplit(":", 1)
        local = socket.create_server(("127.0.0.1", 0))
        own_port = local.getsockname()[1]
        local.close()
        for number in (1, 2):
            with socket.socket() as connected:
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connected.bind(("127.0.0.1", own_port))
                connected.connect((host, int(port)))
                text = f"InitiatorName=iqn.2026-11.example:{number}\0SessionType=Discovery\0AuthMethod=None\0".encode()
                request = LoginRequest(transit=True, current_stage=1, next_stage=3, data_segment_length=len(text))
                connected.sendall(request.encode_header() + text + bytes(-len(text) % 4))
                assert connected.recv(4096)
        assert served.stop() == 0
    finally:
        served.kill()
    capture = Capture(path, port, b"", b"")
    assert {row[0] for row in capture.fields("iscsi.opcode == 0x03", "tcp.stream")} == {"0", "1"}
    assert capture.fields("tcp.analysis.retransmission or tcp.analysis.spurious_retransmission", "frame.number") == []
