"""A tap, from its connections to its files: times, directions, pauses, and that no fault of it stops the array."""

from itertools import pairwise
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from odx_target.cli.serving.serve import open_pool
from odx_target.initiator import cdb as cdbs
from odx_target.initiator.copying.token_commands import BlockRange, populate_token_list, write_using_token_list
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.url import Portal as RemotePortal
from odx_target.iscsi.pdu.headers import LoginRequest, LoginResponse, NopIn, NopOut, ScsiCommand, ScsiDataIn, TextRequest
from odx_target.iscsi.pdu.opcodes import Stage
from odx_target.target.array import Array
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, Portal
from odx_target.target.control.operations import perform
from odx_target.target.trace import tracing as tracing_module
from odx_target.target.trace.tcp_segments import ACK, FIN, SYN
from odx_target.target.trace.trace_files import opened_tracing
from odx_target.target.trace.tracing import Tracing
from tests.target.running import LUNS
from tests.target.trace.packets import captured, segment
from tests.target.trace.wire import Traced, encode, last_login_response

INQUIRY = bytes.fromhex("12 00 00 00 60 00").ljust(16, b"\0")


def test_time_peer_and_direction(traced: Traced) -> None:
    tap = traced.connected()
    tap.received(memoryview(encode(NopOut(cmd_sn=1))))
    tap.sent([encode(NopIn(stat_sn=1))[:20], encode(NopIn(stat_sn=1))[20:]])
    tap.closed()
    assert traced.lines == [
        "2027-01-15T12:00:00.001000Z 127.0.0.1:40000 -- connected to 127.0.0.1:3260",
        "2027-01-15T12:00:00.002000Z 127.0.0.1:40000 -> NOP-Out | CmdSN=1 ExpStatSN=0",
        "2027-01-15T12:00:00.003000Z 127.0.0.1:40000 <- NOP-In | StatSN=1 ExpCmdSN=0 MaxCmdSN=0",
        "2027-01-15T12:00:00.004000Z 127.0.0.1:40000 -- connection closed",
    ]
    first, *_ = packets = captured(traced.packets)
    assert first.now_ns == 1_800_014_400_002_000_000
    assert [packet.inbound for packet in packets] == [True, False, True, True, False, False, True, False]


def test_each_pdu_begins_a_packet(traced: Traced) -> None:
    tap = traced.connected()
    pdus = [encode(NopOut(cmd_sn=number)) for number in range(3)]
    tap.received(memoryview(b"".join(pdus)))
    segments = [segment(packet.data) for packet in captured(traced.packets)]
    assert [each.payload for each in segments] == [b"", b"", b"", *pdus]


def test_connections_from_one_port_begin_with_numbers_of_their_own(traced: Traced) -> None:
    """Otherwise a reader takes the later connections for repetitions of the first."""
    for _ in range(100):
        tap = traced.connected()
        tap.received(memoryview(encode(NopOut())))
        tap.closed()
    segments = [segment(packet.data) for packet in captured(traced.packets)]
    for sender in (True, False):
        begins = [each.sequence_number for each in segments if each.flags & SYN and bool(each.flags & ACK) is sender]
        assert len(begins) == 100
        ordered = sorted(begins)
        gaps = [after - before for before, after in pairwise(ordered)]
        assert min(gaps) > 1 << 20, "what one has sent does not reach to the next"


def test_packets_are_cut_but_their_length_is_told(tmp_path: Path) -> None:
    traced = Traced(tmp_path, snap_bytes=128)
    tap = traced.connected()
    tap.sent([encode(ScsiDataIn(final=True), bytes(1000))])
    traced.close()
    last = captured(traced.packets)[-1]
    assert (len(last.data), last.size_bytes) == (128, 20 + 20 + 48 + 1000)


def test_a_pause_is_a_hole_and_digests_are_still_known(traced: Traced) -> None:
    traced.tracing.toggle()
    tap = traced.connected()
    tap.sent([last_login_response(HeaderDigest="CRC32C")])
    tap.received(memoryview(encode(NopOut(cmd_sn=1), header_digest=True)))
    assert traced.lines == []
    traced.tracing.toggle()
    tap.received(memoryview(encode(NopOut(cmd_sn=2), header_digest=True)))
    traced.tracing.toggle()
    tap.received(memoryview(encode(NopOut(cmd_sn=3), header_digest=True)))
    traced.tracing.toggle()
    tap.received(memoryview(encode(NopOut(cmd_sn=4), header_digest=True)))
    tap.closed()
    assert traced.texts == ["-> NOP-Out | CmdSN=2 ExpStatSN=0", "-> NOP-Out | CmdSN=4 ExpStatSN=0", "-- connection closed"]
    flags = [segment(packet.data).flags for packet in captured(traced.packets)]
    assert sum(bool(each & SYN) for each in flags) == 4
    assert sum(bool(each & FIN) for each in flags) == 2


def test_a_command_from_before_a_pause_is_forgotten(traced: Traced) -> None:
    tap = traced.connected()
    tap.sent([last_login_response()])
    command = ScsiCommand(read=True, initiator_task_tag=1, expected_data_transfer_length=96, cdb=INQUIRY)
    tap.received(memoryview(encode(command)))
    traced.tracing.toggle()
    traced.tracing.toggle()
    tap.sent([encode(ScsiDataIn(initiator_task_tag=1, final=True, has_status=True), bytes(96))])
    assert "answers" not in traced.texts[-1]


@pytest.mark.parametrize("toggles_before", [0, 1])
@pytest.mark.parametrize("by_target", [False, True])
def test_a_response_that_is_cut_where_tracing_is_switched_is_not_told(
    traced: Traced, toggles_before: int, by_target: bool
) -> None:
    """The first part comes before or during the pause, the last part while tracing is on."""
    tap = traced.connected()
    if toggles_before:
        traced.tracing.toggle()
    first, last = b"CHAP_N=me\0CHAP_R=0x0123456789", b"abcdef0123456789\0Alias=z\0"
    stages = {"current_stage": Stage.SECURITY_NEGOTIATION, "next_stage": Stage.FULL_FEATURE_PHASE, "transit": True}
    if by_target:
        tap.sent([encode(LoginResponse(continued=True), first)])
    else:
        tap.received(memoryview(encode(LoginRequest(continued=True), first)))
    for _ in range(2 - toggles_before):
        traced.tracing.toggle()
    if by_target:
        tap.sent([encode(LoginResponse(**stages), last)])
    else:
        tap.received(memoryview(encode(LoginRequest(**stages), last)))
    assert "(the rest of a value, 16 characters) Alias=z" in traced.texts[-1]
    assert "abcdef" not in "\n".join(traced.texts)


def test_a_text_that_was_cut_before_a_pause_is_forgotten(traced: Traced) -> None:
    tap = traced.connected()
    tap.sent([last_login_response()])
    tap.received(memoryview(encode(TextRequest(continued=True), b"SendTar")))
    traced.tracing.toggle()
    traced.tracing.toggle()
    tap.received(memoryview(encode(TextRequest(), b"SendTargets=All\0")))
    assert "SendTargets=All" in traced.texts[-1]


def test_bytes_that_are_no_pdu_are_shown(traced: Traced) -> None:
    tap = traced.connected()
    tap.received(memoryview(b"GET / HTTP/1.1\r\n\r\n"))
    assert traced.texts[-1].startswith("-> 18 bytes: a part of a PDU | 47 45 54 20")
    assert segment(captured(traced.packets)[-1].data).payload.startswith(b"GET /")


def test_a_fault_in_here_ends_only_the_trace(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_seen: object) -> str:
        raise RuntimeError("no words")

    monkeypatch.setattr(tracing_module, "describe_pdu", broken)
    tap = traced.connected()
    with capture_logs() as logs:
        tap.received(memoryview(encode(NopOut())))
        tap.received(memoryview(encode(NopOut())))
        tap.closed()
    assert [entry["event"] for entry in logs] == ["the trace of a connection ends after an error"]


def test_nothing_named_nothing_opened() -> None:
    with opened_tracing(None, None) as tracing:
        assert tracing is None


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("way", ["same", "link", "hard link", "dots"])
def test_lines_and_packets_never_share_a_file(tmp_path: Path, is_there: bool, way: str) -> None:
    path = tmp_path / "both"
    if is_there:
        path.write_bytes(b"kept")
    other = {"same": path, "dots": tmp_path / "." / "folder" / ".." / "both"}.get(way, tmp_path / "other")
    (tmp_path / "folder").mkdir()
    if way == "link":
        other.symlink_to(path)
    elif way == "hard link":
        path.touch()
        other.hardlink_to(path)
    for trace, pcap in [(path, other), (other, path)]:
        with pytest.raises(ConfigError, match="trace and pcap are the same file"), opened_tracing(trace, pcap):
            pass
    assert path.exists() is (is_there or way == "hard link")
    assert not is_there or path.read_bytes() == b"kept"


def test_the_packets_are_private(tmp_path: Path) -> None:
    (tmp_path / "p").touch()
    (tmp_path / "p").chmod(0o666)
    with opened_tracing(tmp_path / "t", tmp_path / "p") as tracing:
        assert tracing is not None
    assert (tmp_path / "p").stat().st_mode & 0o077 == 0


async def copy_by_token(array: Array, options: SessionOptions) -> bytes:
    """Enumerate, copy eight blocks by token, write and read some data, and return the token."""
    portal = RemotePortal(array.portals[0].host, array.portals[0].port)
    async with open_session(portal, array.config.iqn, options) as session:
        for lun in (0, 1):
            await session.execute(lun, cdbs.test_unit_ready())
        await session.execute(0, cdbs.inquiry(255, 0x8F), data_in_bytes=255)
        await session.execute(0, cdbs.write_16(0, 8), [b"x" * 4096])
        populate = populate_token_list([BlockRange(0, 8)])
        await session.execute(0, cdbs.populate_token(1, len(populate)), [populate])
        answer = await session.execute(0, cdbs.receive_rod_token_information(1, 1024), data_in_bytes=1024)
        token = bytes(answer.data_in[38:550])
        write = write_using_token_list(token, [BlockRange(0, 1)])
        await session.execute(1, cdbs.write_using_token(2, len(write)), [write])
        read = await session.execute(1, cdbs.read_16(0, 1), data_in_bytes=4096)
        assert bytes(read.data_in) == b"x" * 4096
    return token


@pytest.mark.parametrize("digests", [False, True])
@pytest.mark.parametrize("immediate", [False, True])
async def test_a_copy_on_a_real_array(traced: Traced, digests: bool, immediate: bool) -> None:
    options = SessionOptions(
        isid=random_isid(b"trace"),
        header_digest=digests,
        data_digest=digests,
        immediate_data=immediate,
        initial_r2t=not immediate,
    )
    config = Config(luns=LUNS, portals=(Portal(port=0),))
    with trio.fail_after(20):
        async with Array(config, open_pool=open_pool, tap=traced.tracing) as array:
            token = await copy_by_token(array, options)
    text = "\n".join(traced.texts)
    assert "maximum_range_descriptors=64" in text
    assert "sends populate_token_data_length=30 inactivity_timeout=0 (the default)" in text
    assert "WRITE USING TOKEN list_identifier=2" in text
    assert "transfer_count=8" in text
    assert text.count(f"identifier {token[8:16].hex()}") == 2
    assert token[256:272].hex() not in text
    assert "xxxx" not in text
    assert "bytes: " not in text
    assert text.endswith("-- connection closed")
    assert token in traced.packets


async def test_an_array_whose_trace_is_full_serves_on() -> None:
    config = Config(luns=LUNS, portals=(Portal(port=0),))
    with trio.fail_after(20), capture_logs() as logs, opened_tracing(Path("/dev/full"), Path("/dev/full")) as tracing:
        assert isinstance(tracing, Tracing)
        async with Array(config, open_pool=open_pool, tap=tracing) as array:
            await copy_by_token(array, SessionOptions(isid=random_isid(b"full")))
            for file in (tracing.lines, tracing.packets):
                assert file is not None
                assert file.flush()
            found = await perform(array, "health", {})
    warnings = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert warnings == ["cannot write the trace; the trace pauses, the array continues"] * 2
    assert found["trace_errors"] == ["/dev/full: No space left on device"] * 2
    assert not found["is_well"]


def test_a_connection_ends_before_the_next_from_its_port_begins(traced: Traced) -> None:
    """The array may notice the end of the first connection only later."""
    first = traced.connected()
    first.received(memoryview(encode(NopOut())))
    second = traced.connected()
    second.received(memoryview(encode(NopOut())))
    first.closed()
    second.closed()
    flags = [segment(packet.data).flags for packet in captured(traced.packets)]
    kinds = ["SYN" if each & SYN else "FIN" for each in flags if each & (SYN | FIN)]
    assert kinds == ["SYN", "SYN", "FIN", "FIN"] * 2
