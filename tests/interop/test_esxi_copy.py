"""Tests of the command `odx-target esxi-copy` against our server, and against Debian's tgt, which has no EXTENDED COPY."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from bench.tgt import tgt
from typer.testing import CliRunner, Result

from odx_target.cli.failure import CommandFailure
from odx_target.cli.hosts.esxi import copy as esxi_copy
from tests.interop.programs import need
from tests.interop.serving import Served, serve

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-esxi-copy")]

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(esxi_copy.esxi_copy)
LUNS = ("first=66M", "second=66M", "third=66M,block=4096", "fourth=66M,block=4096", "full=1M")


@pytest.fixture(scope="module")
def served(module_path: Path) -> Iterator[Served]:
    options = ("--trace", str(module_path / "trace"))
    served = serve(module_path / "pool", LUNS, log_path=module_path / "serve.log", options=options)
    try:
        yield served
    finally:
        served.kill()


def typed(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, list(words))


def ok(*words: str) -> list[str]:
    result = typed(*words)
    assert result.exit_code == 0, (result.output, result.exception)
    return [re.sub(r"^ *[\d.]+ s ", "", line) for line in result.output.splitlines()]


def fails(*words: str) -> tuple[str, list[str]]:
    result = typed(*words)
    assert isinstance(result.exception, CommandFailure), (result.output, result.exception)
    return str(result.exception), result.output.splitlines()


@pytest.mark.parametrize(("source", "destination"), [(0, 1), (3, 2)])
def test_a_copy_is_offloaded_in_pieces_of_8_commands(served: Served, source: int, destination: int) -> None:
    lines = ok(served.url(source), served.url(destination), "--disk-size", "64M", "--fill")
    for line in (
        "pieces 0 to 1 of 32.0 MiB: 8 EXTENDED COPY each",
        "2 pieces of 32.0 MiB: 8 EXTENDED COPY each",
        f"LUN {source} hardware acceleration unknown: clone supported, ATS unknown, zero unknown",
        f"LUN {destination} hardware acceleration unknown: clone supported, ATS supported, zero unknown",
    ):
        assert line in lines
    assert "67108864 bytes offloaded, 0 by reads and writes" in lines[-2]
    assert lines[-1] == "equal"
    assert not [line for line in lines if "ESXi g" in line]
    assert sum("COMPARE AND WRITE" in line for line in lines) == 4


def test_between_block_lengths_the_host_copies(served: Served) -> None:
    message, lines = fails(served.url(0), served.url(2), "--disk-size", "64M", "--fill")
    assert message == (
        "ESXi would have given up the offload: LUN 2: source and destination have different block lengths (512 and 4096 bytes)"
    )
    assert "2 pieces of 32.0 MiB: 512 READ, 512 WRITE each" in lines
    assert lines[-1] == "equal"


@pytest.mark.parametrize(
    ("words", "piece"),
    [
        (("--transfer-size", "16M"), "2 EXTENDED COPY each"),
        (("--disk-type", "thin", "--release", "5.0"), "32 EXTENDED COPY each"),
        (("--receiver", "src"), "8 EXTENDED COPY each"),
    ],
)
def test_sizes_and_receivers(served: Served, words: tuple[str, ...], piece: str) -> None:
    lines = ok(served.url(0), served.url(1), "--disk-size", "64M", *words)
    assert f"2 pieces of 32.0 MiB: {piece}" in lines
    assert lines[-1] == "equal"


def test_one_command_with_several_segments(served: Served) -> None:
    words = ("--disk-size", "64M", "--use-array-values", "--multiple-segments", "--trace")
    lines = ok(served.url(0), served.url(1), *words)
    assert "1 piece of 64.0 MiB: 1 EXTENDED COPY" in lines
    (command,) = (line for line in lines if line.startswith("LUN 1 EXTENDED COPY (LID1)"))
    assert "list_id_usage=3 cscd_descriptor_list_length=64 segment_descriptor_list_length=84" in command
    assert lines[-1] == "equal"


def test_an_eagerly_zeroed_disk(served: Served) -> None:
    ok(served.url(0), served.url(1), "--disk-size", "64M", "--fill")
    lines = ok(served.url(0), served.url(1), "--disk-size", "64M", "--written", "20M", "--disk-type", "eagerzeroedthick")
    assert "1 piece of 20.0 MiB: 5 EXTENDED COPY" in lines
    assert "1 piece of 32.0 MiB: 32 WRITE SAME" in lines
    assert "LUN 1 hardware acceleration supported: clone supported, ATS supported, zero supported" in lines
    assert "20971520 bytes offloaded, 0 by reads and writes, 46137344 zeroed by WRITE SAME, 0 zeroed by writes" in lines[-2]
    assert lines[-1] == "equal"


def test_a_disk_that_fills_the_lun_has_no_locks(served: Served) -> None:
    lines = ok(served.url(0), served.url(4), "--disk-size", "1M")
    assert not any("COMPARE AND WRITE" in line for line in lines)
    assert any(line.startswith("ESXi goes on: LUN 4: there is no room beside the virtual disk") for line in lines)
    assert lines[-1] == "equal"


def test_within_one_lun(served: Served) -> None:
    lines = ok(served.url(0), served.url(0), "--disk-size", "32M", "--dst-lba", "65536", "--fill")
    assert "1 piece of 32.0 MiB: 8 EXTENDED COPY" in lines
    assert lines[-1] == "equal"
    message, _ = fails(served.url(0), served.url(0), "--disk-size", "32M", "--dst-lba", "65535")
    assert "overlap" in message


def test_its_lines_are_in_the_words_of_the_array_s_own_trace(served: Served) -> None:
    result = typed(served.url(0), served.url(1), "--disk-size", "1M", "--trace")
    assert result.exit_code == 0, result.output
    trace = served.log_path.with_name("trace").read_text()
    array_words = {part for line in trace.splitlines() for part in line.split(" | ")}
    command = next(line for line in result.output.splitlines() if "EXTENDED COPY (LID1)" in line)
    begin, _, _ = command.partition(" -> ")
    parts = re.sub(r"^ *[\d.]+ s LUN \d ", "", begin).split(" | ")
    assert len(parts) == 2
    assert [part for part in parts if part not in array_words] == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--disk-size", "many"], "--disk-size"),
        (["--disk-size", "0"], "--disk-size"),
        (["--disk-size", "1M", "--written", "2M"], "--written"),
        (["--disk-type", "fat"], "--disk-type"),
        (["--release", "3.5"], "--release"),
        (["--receiver", "both"], "--receiver"),
        (["--transfer-size", "17M"], "transfer size"),
        (["--transfer-size", "100K"], "transfer size"),
        (["--multiple-segments"], "values of the array"),
    ],
)
def test_typed_wrongly(words: list[str], complaint: str) -> None:
    url = "iscsi://127.0.0.1/iqn.a/0"
    result = typed(url, url, *words)
    assert result.exit_code == 2
    assert complaint in result.output


def test_copies_that_cannot_be_made(served: Served) -> None:
    assert "no disk there" in fails(served.url(0), served.url(9))[0]
    assert "no room" in fails(served.url(0), served.url(1), "--disk-size", "67M")[0]
    assert "connection refused" in fails("iscsi://127.0.0.1:1/iqn.a/0", served.url(1))[0]


@pytest.fixture
def no_copy(tmp_path: Path) -> Iterator[str]:
    need("tgtd")
    with tgt(tmp_path / "disk", 80 << 20) as url:
        yield url


def test_a_target_without_extended_copy(no_copy: str) -> None:
    message, lines = fails(no_copy, no_copy, "--disk-size", "32M", "--dst-lba", "65536", "--fill")
    assert "3PC is 0 in the INQUIRY data" in message
    assert "1 piece of 32.0 MiB: 512 READ, 512 WRITE" in lines
    assert lines[-1] == "equal"


def test_between_two_targets_the_copy_is_given_up(served: Served, module_path: Path) -> None:
    other = serve(module_path / "other", LUNS[:1], log_path=module_path / "other.log")
    try:
        message, lines = fails(served.url(0), other.url(0), "--disk-size", "64M", "--fill")
    finally:
        other.kill()
    assert message.startswith(
        "ESXi would have given up the offload: destination LUN 0: EXTENDED COPY failed (COPY ABORTED 0Dh/02h"
    )
    assert "1 piece of 32.0 MiB: 512 READ, 512 WRITE each" not in lines
    assert "0 bytes offloaded, 67108864 by reads and writes" in lines[-2]
    assert lines[-1] == "equal"
