"""`copy`, `token` and `decode` as a user types them. The target is the array's protocol core with naive disks, on a memory
stream.
"""

import os
import random
import re
import signal
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
import typer
from typer.testing import CliRunner, Result

from odx_target.cli import decode
from odx_target.cli.failure import CommandFailure, Interrupted
from odx_target.cli.hosts import copy, demo, host_command
from odx_target.cli.hosts.token import token
from odx_target.cli.text.sizes import rate, size
from odx_target.cli.text.tables import dump
from odx_target.initiator.errors import ConnectFailed
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.url import Portal
from odx_target.iscsi.pdu.headers import LoginRequest, ScsiCommand, ScsiResponse
from tests.initiator.golden import golden
from tests.initiator.naive_portal import TARGET
from tests.initiator.naive_target import Array, NaiveDisk, check_condition
from tests.initiator.test_with_target_core import Directory, Target, serve

SOURCE, DESTINATION = f"iscsi://portal/{TARGET}/0", f"iscsi://portal/{TARGET}/1"
OTHER_PORTAL = f"iscsi://other/{TARGET}/1"
BLOCKS = 4096

app = typer.Typer(pretty_exceptions_enable=False)
app.command("copy")(copy.copy)
app.add_typer(token.app, name="token")
app.add_typer(decode.app, name="decode")
app.command("demo")(demo.demo)


def typed(*words: str, stdin: str | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, list(words), input=stdin)


def ok(*words: str, stdin: str | None = None) -> str:
    result = typed(*words, stdin=stdin)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def fails(*words: str) -> str:
    """Run a command that must fail with exit code 1; return its error, which must be one line."""
    result = typed(*words)
    assert isinstance(result.exception, CommandFailure), (result.output, result.exception)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def misused(*words: str, stdin: str | None = None) -> str:
    """Run a command that must be refused as bad usage with exit code 2; return its error."""
    result = typed(*words, stdin=stdin)
    assert result.exit_code == 2, (result.output, result.exception)
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[NaiveDisk]]:
    """Return two disks, the first full of data, that every portal except `nowhere` serves."""
    array, directory = Array(), Directory()
    content = bytearray(random.Random(5).randbytes(BLOCKS * 512))
    found = [NaiveDisk(array, content), NaiveDisk(array, bytearray(BLOCKS * 512))]

    async def connect(address: Portal) -> trio.abc.Stream:
        if address.host == "nowhere":
            raise OSError(111, "Connection refused")
        near, far = trio.testing.memory_stream_pair()
        trio.lowlevel.spawn_system_task(serve, Target(found, directory), far)
        return near

    monkeypatch.setattr(host_command, "open_session", partial(open_session, connect=connect))
    yield found
    assert directory.sessions.sessions == []  # every session was logged out in each case


def test_copy_by_token_says_so_in_its_last_line(disks: list[NaiveDisk]) -> None:
    output = ok("copy", SOURCE, DESTINATION)
    assert disks[1].data == disks[0].data
    last = output.splitlines()[-1]
    assert re.fullmatch(r"2097152 bytes \(2\.0 MiB\) in \d+\.\d{3} s, \S+ \S+/s; 2097152 bytes offloaded, 0 not", last)


def test_copy_by_host_says_why(disks: list[NaiveDisk]) -> None:
    disks[1].page = None
    last = ok("copy", SOURCE, DESTINATION).splitlines()[-1]
    assert disks[1].data == disks[0].data
    assert "0 bytes offloaded, 2097152 not: the destination cannot copy by token: it has no VPD page 8Fh" in last
    assert "not: the host's reads and writes were asked for" in ok("copy", SOURCE, DESTINATION, "--method", "host")


def test_copy_of_a_part_to_another_target(disks: list[NaiveDisk]) -> None:
    output = ok("copy", SOURCE, OTHER_PORTAL, "--blocks", "7", "--src-lba", "3", "--dst-lba", "9", "--method", "odx")
    assert "3584 bytes offloaded" in output
    assert disks[1].data[9 * 512 : 16 * 512] == disks[0].data[3 * 512 : 10 * 512]
    assert not any(disks[1].data[16 * 512 :])


def test_copy_that_falls_back_half_way(disks: list[NaiveDisk]) -> None:
    disks[1].truncate = lambda what, count: min(count, 1000)
    disks[1].faults = lambda cdb, data: check_condition(5, 0x23, 7) if cdb[9] == 2 and cdb[:2] == b"\x83\x11" else None
    output = ok("copy", SOURCE, DESTINATION)
    assert disks[1].data == disks[0].data
    assert re.search(r"; \d+ bytes offloaded, \d+ not", output)


def test_copy_that_must_be_offloaded_and_cannot(disks: list[NaiveDisk]) -> None:
    disks[0].page = None
    assert fails("copy", SOURCE, DESTINATION, "--method", "odx") == (
        "0 of 2097152 bytes were offloaded, then: the source cannot copy by token: it has no VPD page 8Fh (third-party copy)"
    )


@pytest.mark.parametrize(
    ("method", "command", "said"),
    [
        ("host", 0x8A, r"\d+ of 2097152 bytes are copied, 0 of them by token"),
        ("odx", 0x83, "0 of 2097152 bytes are copied, .*"),
    ],
)
def test_copy_that_is_interrupted_says_how_far_it_came(disks: list[NaiveDisk], method: str, command: int, said: str) -> None:
    written = []

    def interrupt(cdb: bytes, data: bytes) -> None:
        if cdb[0] == command:
            written.append(cdb)
            if len(written) == (10 if command == 0x8A else 1):
                os.kill(os.getpid(), signal.SIGINT)

    disks[0].limits = disks[1].limits = struct.pack(">4xL56x", 64)
    disks[0].faults = disks[1].faults = interrupt
    result = typed("copy", SOURCE, DESTINATION, "--method", method)
    assert isinstance(result.exception, Interrupted), (result.output, result.exception)
    assert result.exception.number == signal.SIGINT
    assert re.fullmatch(f"interrupted: {said}", result.exception.state)
    done_bytes = int(result.exception.state.split()[1])
    assert done_bytes < BLOCKS * 512
    assert (done_bytes > 0) == (method == "host")


def test_copy_that_fails_in_the_middle_says_how_far_it_came(disks: list[NaiveDisk]) -> None:
    disks[0].faults = lambda cdb, data: check_condition(3, 0x11, 0) if cdb[0] == 0x88 and cdb[8] == 0x0C else None
    disks[0].limits = struct.pack(">4xL56x", 64)
    message = fails("copy", SOURCE, DESTINATION, "--method", "host")
    assert re.search(r"READ of \d+ blocks at 3072: MEDIUM ERROR 11h/00h .* \(after \d+ of 2097152 bytes\)", message)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["http://x", DESTINATION], "begins with iscsi://"),
        ([SOURCE, "iscsi://h"], "expected iscsi://HOST:PORT/IQN/LUN"),
        ([SOURCE], "Missing argument"),
        ([SOURCE, DESTINATION, "--method", "magic"], "magic"),
        ([SOURCE, DESTINATION, "--blocks", "0"], "blocks"),
        ([SOURCE, DESTINATION, "--src-lba", "-1"], "src-lba"),
    ],
)
def test_copy_typed_wrongly(words: list[str], complaint: str) -> None:
    assert complaint in misused("copy", *words)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["iscsi://nowhere/iqn.x/0", DESTINATION], "nowhere:3260: connection refused"),
        ([SOURCE, "iscsi://portal/iqn.2026-11.test:other/1"], "portal:3260: iqn.2026-11.test:other: login refused: not found"),
        ([SOURCE, DESTINATION, "--src-lba", "5000"], "has 4096 blocks, none at 5000"),
        ([SOURCE, DESTINATION, "--dst-lba", "1"], "do not fit"),
    ],
)
def test_copy_that_cannot_be(disks: list[NaiveDisk], words: list[str], complaint: str) -> None:
    assert complaint in fails("copy", *words)


def test_token_populate_and_write_through_a_file(disks: list[NaiveDisk], tmp_path: Path) -> None:
    file = tmp_path / "a.token"
    output = ok("token", "populate", SOURCE, "--range", "0x10,20", "--range", "100,4", "--token-file", str(file))
    assert "83 10 00 00 00 00 00 00 00 00 00 00 00 30 00 00" in output
    assert "RECEIVE ROD TOKEN INFORMATION" in output
    assert re.search(r"transfer count\W+0x18\W+24", output)
    assert file.read_bytes() in disks[0].array.tokens
    assert "0x1f8" in ok("token", "info", "--token-file", str(file))
    assert "0x800000 " in ok("token", "info", "--token-file", str(file))
    words = ["--range", "50,4", "--offset-into-rod", "20", "--del-tkn", "--list-identifier", "0xffffffff"]
    output = ok("token", "write", DESTINATION, *words, "--token-file", str(file))
    assert re.search(r"offset into rod\W+0x14\W+20", output)
    assert "GOOD" in output
    assert disks[1].data[50 * 512 : 54 * 512] == disks[0].data[100 * 512 : 104 * 512]
    assert disks[0].array.tokens == {}
    assert "23h/04h invalid token operation, token unknown" in fails(
        "token", "write", DESTINATION, *words, "--token-file", str(file)
    )


def test_token_populate_with_every_option(disks: list[NaiveDisk]) -> None:
    seen = []
    disks[0].faults = lambda cdb, data: seen.append(data[:16].hex(" ")) if cdb[0] == 0x83 else None
    words = ["--rod-type", "pit-vulnerable", "--inactivity-timeout", "45", "--list-identifier", "7", "--immed"]
    output = ok("token", "populate", SOURCE, "--range", "0,1", *words)
    assert seen == ["00 1e 03 00 00 00 00 2d 00 80 00 01 00 00 00 10"]
    assert re.search(r"rod type\W+0x800001", output)


def test_token_without_ranges_lets_the_target_judge(disks: list[NaiveDisk]) -> None:
    disks[0].faults = lambda cdb, data: check_condition(5, 0x26, 0) if cdb[0] == 0x83 else None
    assert fails("token", "populate", SOURCE) == "POPULATE TOKEN: ILLEGAL REQUEST 26h/00h invalid field in parameter list"


def test_token_write_zeros(disks: list[NaiveDisk]) -> None:
    sent = []
    disks[1].faults = lambda cdb, data: (
        sent.append(data[16:24].hex()) or check_condition(5, 0x23, 1) if cdb[0] == 0x83 else None
    )
    assert "unsupported token type" in fails("token", "write", DESTINATION, "--zero", "--range", "0,1")
    assert sent == ["ffff0001000001f8"]


def test_token_results(disks: list[NaiveDisk]) -> None:
    disks[0].records[3] = (0x11, 0x03, 100, b"")
    for command in ("receive", "info", "status"):
        output = ok("token", command, SOURCE, "--list-identifier", "3")
        assert re.search(r"copy operation status\W+3\W+completed without error, fewer blocks", output)
        assert re.search(r"response to service action\W+0x11\W+WRITE USING TOKEN", output)
        assert ": ILLEGAL REQUEST 24h/00h" in fails("token", command, SOURCE, "--list-identifier", "4")


def test_token_abort_and_list(disks: list[NaiveDisk]) -> None:
    assert fails("token", "abort", SOURCE) == "COPY OPERATION ABORT: ILLEGAL REQUEST 24h/00h invalid field in CDB"
    ok("token", "populate", SOURCE, "--range", "0,1")
    assert "1 token" in ok("token", "list", SOURCE)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["populate", SOURCE, "--range", "1"], "a range is LBA,COUNT"),
        (["populate", SOURCE, "--range", "1,4294967296"], "COUNT 32"),
        (["populate", SOURCE, "--range", "18446744073709551616,1"], "LBA has 64 bits"),
        (["populate", SOURCE, "--list-identifier", "4294967296"], "32 bits"),
        (["populate", SOURCE, "--list-identifier", "x"], "no number"),
        (["populate", SOURCE, "--rod-type", "new"], "is none of"),
        (["populate", "iscsi://h"], "expected iscsi://"),
        (["write", SOURCE], "either --token-file or --zero"),
        (["write", SOURCE, "--zero", "--token-file", "x"], "either --token-file or --zero"),
        (["write", SOURCE, "--token-file", "/none/such"], "No such file"),
        (["write", SOURCE, "--token-file", __file__ + "/.."], "Not a directory"),
        (["write", SOURCE, "--token-file", "/dev/zero"], "has 512 bytes, this has more"),
        (["write", SOURCE, "--token-file", "/dev/null"], "has 512 bytes, this has 0"),
        (["info"], "a URL or --token-file"),
    ],
)
def test_token_typed_wrongly(words: list[str], complaint: str) -> None:
    assert complaint in misused("token", *words)


def test_decode_cdb() -> None:
    assert "READ(16)" in ok("decode", "cdb", "88:00:00:00:00:00:00:00:00:01:00:00:00:02:00:00")
    assert "INQUIRY" in ok("decode", "cdb", "-", stdin="12 01 8f\n00 ff 00\n")


def test_decode_sense() -> None:
    output = ok("decode", "sense", "70 00 05 00 00 00 00 0a 00 00 00 00 23 07 00 00 00 00")
    assert "ILLEGAL REQUEST" in output
    assert "token expired" in output


def test_decode_vpd() -> None:
    assert "Block Limits" in ok("decode", "vpd", "00 b0 00 3c" + "00" * 60)
    assert "Third" in ok("decode", "vpd", golden("third_party_copy_page")[0].hex(" "))


def test_decode_token() -> None:
    head = bytes.fromhex("00800000000001f80000000100000007 e400000001030010600140 5aabbccddeeff0011223344556 0000000000000200")
    output = ok("decode", "token", head.hex())
    assert "60 01 40 5a ab bc cd de ef" in output
    assert "0x1f8" in output


def test_decode_pdu() -> None:
    command = ScsiCommand(read=True, attribute=1, lun=2 << 48, initiator_task_tag=9, cdb=bytes([0x12, 1]).ljust(16, b"\0"))
    output = ok("decode", "pdu", command.encode_header().hex())
    assert all(words in output for words in ("ScsiCommand", "LUN 2", "SIMPLE", "0x00000009", "INQUIRY"))
    login = LoginRequest(transit=True, current_stage=1, next_stage=3, data_segment_length=13)
    output = ok("decode", "pdu", (login.encode_header() + b"MaxThings=12\0\0\0\0").hex())
    assert all(words in output for words in ("MaxThings", "12", "full feature phase"))
    response = ScsiResponse(status=2, data_segment_length=20).encode_header() + b"\0\x12\x70\0\5" + bytes(15)
    assert "ILLEGAL REQUEST" in ok("decode", "pdu", response.hex())
    assert "5 of 20 bytes" in ok("decode", "pdu", response[:53].hex())
    assert "3 bytes" in ok("decode", "pdu", (response + b"abc").hex())


def test_decode_pdu_with_a_parameter_list() -> None:
    cdb, data = golden("write_using_token")
    pdu = ScsiCommand(write=True, data_segment_length=len(data), cdb=cdb).encode_header() + data
    output = ok("decode", "pdu", pdu.hex(":"))
    assert "WRITE USING TOKEN" in output
    assert re.search(r"logical block address\W+0x3000", output)
    assert 21 * "a5 " not in ok("decode", "token", "a5" * 512)


def test_decode_of_a_token_that_is_too_long() -> None:
    assert "a ROD token has 512 bytes, not 513" in misused("decode", "token", "00" * 513)


@pytest.mark.parametrize("kind", ["cdb", "sense", "vpd", "token", "pdu"])
def test_decode_typed_wrongly(kind: str) -> None:
    assert "'z' is no hexadecimal digit" in misused("decode", kind, "0z")
    assert "are no whole bytes" in misused("decode", kind, "123")
    assert "no bytes given" in misused("decode", kind, " \n")
    assert "no bytes given" in misused("decode", kind, "-", stdin="")


@pytest.mark.parametrize(
    ("kind", "data"), [("sense", "aa"), ("vpd", "00"), ("token", "00"), ("pdu", "00"), ("pdu", "3e" + "00" * 47)]
)
def test_decode_of_what_cannot_be(kind: str, data: str) -> None:
    assert "that is no" in misused("decode", kind, data)


@pytest.mark.parametrize("wrong", ["1", "1K", "x", "1.5M", "1048577"])
def test_demo_typed_wrongly(wrong: str) -> None:
    assert "--size" in misused("demo", "--size", wrong)


def test_messages_of_errors_in_groups() -> None:
    async def fail_twice() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            nursery.start_soon(fail)

    async def fail() -> None:
        raise ConnectFailed("nobody there")

    with pytest.raises(CommandFailure, match="nobody there"):
        host_command.run(fail_twice)


def test_sizes() -> None:
    assert [size(1), size(1536), size(256 << 20), size(1 << 60)] == ["1 bytes", "1.5 KiB", "256 MiB", "1024 PiB"]
    assert rate(1 << 20, 0.5) == "2.0 MiB/s"
    assert rate(1, 0.0).endswith("/s")


def test_a_dump_leaves_out_repetitions() -> None:
    assert list(dump(bytes(64) + b"\1")) == [f"0000  {'00 ' * 15}00", "*", "0040  01"]
    assert dump(bytes(5000))[-1] == "and 904 bytes more"
