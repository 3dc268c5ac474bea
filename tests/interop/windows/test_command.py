"""Tests of the command `odx-target windows-copy` against our server, and against Debian's tgt, which has no token commands."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from bench.tgt import tgt
from typer.testing import CliRunner, Result

from odx_target.cli.failure import CommandFailure
from odx_target.cli.hosts.windows import copy as windows_copy
from tests.interop.programs import need
from tests.interop.serving import Served, serve

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-windows-copy")]

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(windows_copy.windows_copy)


def typed(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, list(words))


def ok(*words: str) -> list[str]:
    result = typed(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return [re.sub(r"^ *[\d.]+ s ", "", line) for line in result.output.splitlines()]


def fails(*words: str) -> tuple[str, str]:
    result = typed(*words)
    assert isinstance(result.exception, CommandFailure), (result.output, result.exception)
    return str(result.exception), result.output


def test_a_copy_prints_each_command_and_ends_equal(served: Served) -> None:
    lines = ok(served.url(0), served.url(1), "--file-size", "40M", "--fill")
    for line in (
        "LUN 0 INQUIRY evpd=1 page_code=0x8f allocation_length=255 -> GOOD",
        "LUN 0 POPULATE TOKEN list_identifier=0 | sends inactivity_timeout=0 (the default) ranges=[0+81920] -> GOOD",
        "LUN 1 WRITE(10) fua=1 logical_block_address=81920 transfer_length=8 -> GOOD",
        "1 POPULATE TOKEN, 1 RECEIVE ROD TOKEN INFORMATION, 1 WRITE USING TOKEN, 0 resets and new logins",
    ):
        assert line in lines
    (write,) = (line for line in lines if "WRITE USING TOKEN list" in line)
    assert write.startswith("LUN 1 WRITE USING TOKEN list_identifier=1 | sends offset_into_rod=0 rod_token=[00800000h ")
    assert write.endswith("ranges=[0+81920] -> GOOD")
    assert any("LUN 1 limits: lifetime at most 3600 s" in line for line in lines)
    assert lines[-1] == "equal"
    assert not [line for line in lines if "Windows gives up" in line or "Windows goes on" in line]


def test_fragments_between_block_sizes_over_two_paths_with_bytes(served: Served) -> None:
    words = ("--file-size", "3M", "--fragments", "70", "--paths", "2", "--path-choice", "round-robin", "--trace")
    lines = ok(served.url(0), served.url(2), *words, "--src-lba", "8", "--dst-lba", "1")
    assert lines[-1] == "equal"
    assert "2 POPULATE TOKEN, 2 RECEIVE ROD TOKEN INFORMATION, 2 WRITE USING TOKEN, 0 resets and new logins" in lines
    assert "           CDB  83 10 00 00 00 00 00 00 00 00 00 00 04 10 00 00" in lines
    taken = [found.groups() for line in lines if (found := re.match(r"LUN 0 \((path \d)\) (POPULATE|RECEIVE)", line))]
    assert [name for _, name in taken] == ["POPULATE", "RECEIVE"] * 2
    assert all(one[0] != two[0] for one, two in zip(taken[::2], taken[1::2], strict=True))
    token = next(line for line in lines if line.lstrip().startswith("token"))
    assert token.endswith(".. 512 bytes")


def test_zeros(served: Served) -> None:
    ok(served.url(0), served.url(1), "--file-size", "8M", "--fill")
    lines = ok(served.url(0), served.url(1), "--file-size", "8M", "--zero", "--list-identifier", "4294967295")
    assert any(
        "WRITE USING TOKEN list_identifier=4294967295 | sends offset_into_rod=0 rod_token=[ffff0001h" in line for line in lines
    )
    assert lines[-1] == "equal"


def test_a_file_that_was_written_in_part(served: Served) -> None:
    ok(served.url(0), served.url(1), "--file-size", "8M", "--fill")
    lines = ok(served.url(0), served.url(1), "--file-size", "8M", "--valid-size", "1M")
    assert "1 POPULATE TOKEN, 1 RECEIVE ROD TOKEN INFORMATION, 2 WRITE USING TOKEN, 0 resets and new logins" in lines
    assert any("rod_token=[ffff0001h" in line and line.endswith("ranges=[2048+14336] -> GOOD") for line in lines)
    assert lines[-1] == "equal"


def test_with_digests(served: Served) -> None:
    lines = ok(served.url(0), served.url(1), "--file-size", "1M", "--digests")
    assert any(line.startswith("login request | HeaderDigest=CRC32C DataDigest=CRC32C") for line in lines)
    assert lines[-1] == "equal"


def test_a_full_destination_has_no_place_for_metadata(served: Served) -> None:
    lines = ok(served.url(0), served.url(1), "--file-size", "64M")
    assert not any("fua=1" in line for line in lines)
    assert "LUN 1 has no room beside the file, so the file system's own writes are left out" in lines
    assert lines[-1] == "equal"


TOKEN_COMMANDS = ("POPULATE TOKEN", "RECEIVE ROD TOKEN INFORMATION", "WRITE USING TOKEN")


def parts(line: str) -> list[str]:
    """Split a line about a command into its fields, its parameter list and its parameter data."""
    _, arrow, end = line.partition(" -> ")
    begin = line.removesuffix(arrow + end)
    words = re.sub(r"^ *[\d.]+ s LUN \d ", "", begin).split(" | ") + end.split(" | ")
    return [word for word in words if word.startswith((*TOKEN_COMMANDS, "sends ", "answers "))]


def test_its_lines_are_in_the_words_of_the_array_s_own_trace(guarded: Served) -> None:
    trace = guarded.log_path.with_name("trace")
    result = typed(*(with_chap(guarded.url(lun)) for lun in (0, 1)), "--file-size", "1M", "--trace")
    assert result.exit_code == 0, result.output
    sent = [line for line in result.output.splitlines() if re.search(rf" LUN \d ({'|'.join(TOKEN_COMMANDS)})", line)]
    told = [part for line in sent for part in parts(line)]
    assert len(told) == 6  # three commands, two parameter lists, an answer
    array_words = [part for line in trace.read_text().splitlines() for part in line.split(" | ")]
    assert [part for part in told if part not in array_words] == []


SECRET, TARGET_SECRET = "twelvechars1", "othersecret12"


@pytest.fixture(scope="module")
def guarded(module_path: Path) -> Iterator[Served]:
    """A server that requires CHAP of user `host`, proves itself as `array`, and writes a trace beside its pool."""
    folder = module_path / "guarded"
    folder.mkdir()
    for user, secret in (("host", SECRET), ("array", TARGET_SECRET)):
        (folder / user).write_text(secret)
        (folder / user).chmod(0o600)
    one_way = ("--chap-user", "host", "--chap-secret-file", str(folder / "host"))
    own = ("--target-chap-user", "array", "--target-chap-secret-file", str(folder / "array"))
    options = (*one_way, *own, "--trace", str(folder / "trace"))
    served = serve(folder / "pool", ("first=64M", "second=64M"), log_path=folder / "serve.log", options=options)
    try:
        yield served
    finally:
        served.kill()


def with_chap(url: str, secret: str = SECRET, target_secret: str = "") -> str:
    query = f"?target_user=array&target_password={target_secret}" if target_secret else ""
    return url.replace("iscsi://", f"iscsi://host%{secret}@") + query


@pytest.mark.parametrize("mutual", [False, True])
def test_chap(guarded: Served, mutual: bool) -> None:
    target_secret = TARGET_SECRET if mutual else ""
    urls = [with_chap(guarded.url(lun), target_secret=target_secret) for lun in (0, 1)]
    lines = ok(*urls, "--file-size", "1M", "--fill", "--trace")
    assert lines[-1] == "equal"
    proved = [line for line in lines if line.startswith("login request | CHAP_N=host CHAP_R=(34 characters)")]
    assert len(proved) == 2  # The discovery session and the normal session each use CHAP.
    assert all(("CHAP_C=(" in line) == mutual for line in proved)
    assert ("login response | CHAP_N=array CHAP_R=(34 characters)" in lines) == mutual
    assert not any(secret in line for line in lines for secret in (SECRET, TARGET_SECRET))


def test_chap_that_does_not_work_out(guarded: Served) -> None:
    first, second = guarded.url(0), guarded.url(1)
    for urls, words in (
        ((with_chap(first, "wrongsecret1"), second), "authentication failure (02h/01h)) [7.2, iScsiPrt 10]"),
        ((first, second), "authentication failure (02h/01h)) [7.2, iScsiPrt 10]"),
        ((with_chap(first, target_secret="wrongsecret1"), second), "did not authenticate itself by CHAP [7.3, iScsiPrt 17]"),
        ((with_chap(first, "short"), second), "the CHAP secret is not 12 to 16 bytes long (5 bytes) [7.3, iScsiPrt 35]"),
    ):
        message, output = fails(*urls)
        assert words in message
        assert not any(secret in message + output for secret in (SECRET, TARGET_SECRET, "wrongsecret1"))


def test_within_one_unit(served: Served) -> None:
    assert ok(served.url(0), served.url(0), "--file-size", "1M", "--dst-lba", "65536")[-1] == "equal"
    message, _ = fails(served.url(0), served.url(0), "--file-size", "1M")
    assert "overlap" in message


def test_a_file_too_small_for_windows(served: Served) -> None:
    message, output = fails(served.url(0), served.url(1), "--file-size", "100K", "--fill")
    assert message == ("Windows would have given up: LUN 1: the file is smaller than 256 KiB (102400 bytes) [3.7]")
    assert "equal" in output.splitlines()
    assert "LUN 0 READ(10) logical_block_address=0 transfer_length=200 -> GOOD" in output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--file-size", "many"], "--file-size"),
        (["--file-size", "0"], "--file-size"),
        (["--fragments", "0"], "--fragments"),
        (["--path-choice", "any"], "--path-choice"),
    ],
)
def test_typed_wrongly(words: list[str], complaint: str) -> None:
    url = "iscsi://127.0.0.1/iqn.a/0"
    result = typed(url, url, *words)
    assert result.exit_code == 2
    assert complaint in result.output


def test_what_cannot_be(served: Served) -> None:
    assert "REPORT LUNS does not list" in fails(served.url(0), served.url(9))[0]
    assert "no room" in fails(served.url(0), served.url(1), "--file-size", "65M")[0]
    assert "connection refused" in fails("iscsi://127.0.0.1:1/iqn.a/0", served.url(1))[0]
    assert "SendTargets does not list the target" in fails(served.url(0).replace("array", "nobody"), served.url(1))[0]
    assert "lifetime" in fails(served.url(0), served.url(1), "--file-size", "1M", "--lifetime", "4000")[0]


@pytest.fixture
def no_tokens(tmp_path: Path) -> Iterator[str]:
    need("tgtd")
    with tgt(tmp_path / "disk", 16 << 20) as url:
        yield url


def test_a_target_without_tokens_is_declined_where_windows_would(no_tokens: str) -> None:
    message, output = fails(no_tokens, no_tokens, "--file-size", "1M", "--dst-lba", "16384", "--fill")
    assert "VPD page 8Fh is not in the list of pages" in message
    assert "0 POPULATE TOKEN" in output
    assert "1048576 by reads and writes" in output
    assert "equal" in output.splitlines()
