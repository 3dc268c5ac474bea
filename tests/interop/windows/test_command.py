"""`odx-target windows-copy` as it is typed: against a server of ours, and against Debian's tgt, which has no token commands."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from bench.tgt import tgt
from typer.testing import CliRunner, Result

from odx_target.target.commands import windows_copy
from odx_target.target.commands.failure import CommandFailure
from tests.interop.serving import Served

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
        "LUN 0 INQUIRY page 8Fh -> GOOD",
        "LUN 0 POPULATE TOKEN list 00000000h, 81920 blocks at 0 -> GOOD",
        "LUN 1 WRITE USING TOKEN list 00000001h, offset 0, 81920 blocks at 0 -> GOOD",
        "1 POPULATE TOKEN, 1 RECEIVE ROD TOKEN INFORMATION, 1 WRITE USING TOKEN, 0 resets and new logins",
    ):
        assert line in lines
    assert lines[-1] == "equal"
    assert not [line for line in lines if "Windows gives up" in line or "Windows goes on" in line]


def test_fragments_between_block_sizes_over_two_paths_with_bytes(served: Served) -> None:
    words = ("--file-size", "3M", "--fragments", "70", "--paths", "2", "--path-choice", "round-robin", "--trace")
    lines = ok(served.url(0), served.url(2), *words, "--src-lba", "8", "--dst-lba", "1")
    assert lines[-1] == "equal"
    assert "2 POPULATE TOKEN, 2 RECEIVE ROD TOKEN INFORMATION, 2 WRITE USING TOKEN, 0 resets and new logins" in lines
    assert "           CDB  83 10 00 00 00 00 00 00 00 00 00 00 04 10 00 00" in lines
    assert any("(path 2) RECEIVE ROD TOKEN INFORMATION" in line for line in lines)
    token = next(line for line in lines if line.lstrip().startswith("token"))
    assert token.endswith(".. 512 bytes")


def test_zeros(served: Served) -> None:
    ok(served.url(0), served.url(1), "--file-size", "8M", "--fill")
    lines = ok(served.url(0), served.url(1), "--file-size", "8M", "--zero", "--list-identifier", "4294967295")
    assert any("WRITE USING TOKEN list FFFFFFFFh, offset 0, 16384 blocks" in line for line in lines)
    assert lines[-1] == "equal"


def test_within_one_unit(served: Served) -> None:
    assert ok(served.url(0), served.url(0), "--file-size", "1M", "--dst-lba", "65536")[-1] == "equal"
    message, _ = fails(served.url(0), served.url(0), "--file-size", "1M")
    assert "overlap" in message


def test_a_file_too_small_for_windows(served: Served) -> None:
    message, output = fails(served.url(0), served.url(1), "--file-size", "100K", "--fill")
    assert message == ("Windows would have given up: LUN 1: the file is smaller than 256 KiB (102400 bytes) [3.7]")
    assert "equal" in output.splitlines()
    assert "LUN 0 READ (10) 200 blocks at 0 -> GOOD" in output


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
    assert "not found" in fails(served.url(0).replace("array", "nobody"), served.url(1))[0]
    assert "lifetime" in fails(served.url(0), served.url(1), "--file-size", "1M", "--lifetime", "4000")[0]


@pytest.fixture
def no_tokens(tmp_path: Path) -> Iterator[str]:
    if not all(map(shutil.which, ("tgtd", "tgtadm"))):
        pytest.skip("tgt is not installed (Debian: tgt)")
    with tgt(tmp_path / "disk", 16 << 20) as url:
        yield url


def test_a_target_without_tokens_is_declined_where_windows_would(no_tokens: str) -> None:
    message, output = fails(no_tokens, no_tokens, "--file-size", "1M", "--dst-lba", "16384", "--fill")
    assert "VPD page 8Fh is not in the list of pages" in message
    assert "0 POPULATE TOKEN" in output
    assert "1048576 by reads and writes" in output
    assert "equal" in output.splitlines()
