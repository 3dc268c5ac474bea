"""`odx-target status`: its lines, its JSON, and its repeated form in a pipe and on a terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from odx_target.cli.text.status_lines import latency, status_lines
from tests.interop import forked
from tests.interop.serving import serve

COMMAND = (sys.executable, "-m", "odx_target", "status")
KIND = {"commands": 10, "bytes": 40960, "mean_s": 0.00015, "p50_s": 0.0001, "p99_s": 0.0123, "p999_s": 1.5}
NEVER = {"commands": 0, "bytes": 0, "mean_s": None, "p50_s": None, "p99_s": None, "p999_s": None}
WAIT_S = 60.0


def target(name: str = "iqn.2026-11.io.odx-target:array", **limits: int) -> dict[str, Any]:
    usual = {"sessions": 6, "max_sessions": None, "max_commands": 128, "memory_share_percent": 100}
    return {"name": name, **usual, **limits}


def answer(**changes: Any) -> dict[str, Any]:
    pool = {
        "logical_bytes": 1 << 40,
        "used_bytes": 1 << 30,
        "available_bytes": None,
        "volumes": 2,
        "snapshots": 3,
        "frozen_maps": 4,
        "failure": None,
        "no_room": None,
        "damaged_blocks": 0,
        "checkpoint_age_s": 12.0,
        "checkpoint_error": None,
        "space": None,
        "cleaning": None,
        "log": None,
    }
    volume = {
        "name": "a\x1b[31m",
        "lun": 0,
        "size_bytes": 1 << 40,
        "snapshots": 3,
        "mapped_bytes": None,
        "unique_bytes": None,
        "shared_bytes": None,
        "commands": {"read": KIND, "write": NEVER, "other": NEVER},
    }
    array = {
        "luns": 1,
        "tokens": 2,
        "max_tokens": 65536,
        "copies": 0,
        "copied": {"shared_bytes": 0, "moved_bytes": 0, "zeroed_bytes": 0},
        "stepping_aside": {"remaining_s": None, "cause": None, "refused": 0},
        "commands": {"read": KIND, "write": NEVER, "other": NEVER},
        "sessions": [{"initiator": "iqn.x", "peer": "127.0.0.1:1", "tsih": 1, "commands": 10, "bytes": 4096}],
        "sessions_not_listed": 5,
        "targets": [target()],
    }
    return {"time_s": 100.0, "pool": pool, "array": array, "volumes": [volume], "volumes_not_listed": 1} | changes


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0000015, "1.5 us"),
        (0.000999, "999 us"),
        (0.001, "1 ms"),
        (0.0123, "12.3 ms"),
        (1.5, "1.5 s"),
        (60.0, "60 s"),
    ],
)
def test_a_latency_has_three_digits_and_a_unit(seconds: float | None, text: str) -> None:
    assert latency(seconds) == text


def test_lines_of_an_answer() -> None:
    text = "\n".join(status_lines(answer()))
    assert "1.0 GiB used, unknown available; 2 volumes of 1.0 TiB, 3 snapshots, 4 other frozen maps" in text
    assert "data: not counted" in text
    assert "6 sessions, 2 of 65536 tokens" in text
    assert re.search(r"^read +10 +- +- +150 us +100 us +12.3 ms +1.5 s$", text, re.MULTILINE)
    assert "1 more volumes" in text
    assert "5 more sessions" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("targets", "lines"),
    [
        ([target()], []),
        ([target(max_sessions=4)], ["iqn.2026-11.io.odx-target:array 6 4 128 100 %"]),
        ([target(max_commands=8)], ["iqn.2026-11.io.odx-target:array 6 - 8 100 %"]),
        ([target(memory_share_percent=25)], ["iqn.2026-11.io.odx-target:array 6 - 128 25 %"]),
        ([target("iqn.x:a\x1b"), target("iqn.x:b")], ["iqn.x:a\\x1b 6 - 128 100 %", "iqn.x:b 6 - 128 100 %"]),
    ],
)
def test_the_limits_of_targets_are_shown(targets: list[dict[str, Any]], lines: list[str]) -> None:
    found = answer()
    found["array"]["targets"] = targets
    shown = [re.sub(r" {2,}", " ", each).strip() for each in status_lines(found)]
    assert [each for each in shown if " %" in each] == lines
    assert ("target sessions max-sessions max-commands memory-share" in shown) is bool(lines)


def test_rates_are_those_between_two_answers() -> None:
    commands = {"read": {**KIND, "commands": 110, "bytes": 40960 + 100 * 4096}, "write": NEVER, "other": NEVER}
    now = answer(time_s=102.0)
    now["array"] = {**now["array"], "commands": commands}
    text = "\n".join(status_lines(now, answer()))
    assert re.search(r"^read +110 +50 +200 KiB ", text, re.MULTILINE)
    assert re.search(r"^read +110 +- +- ", "\n".join(status_lines(now, now)), re.MULTILINE), "no time has passed"


@pytest.mark.parametrize(
    ("stepping_aside", "line"),
    [
        ({"remaining_s": None, "cause": None, "refused": 0}, None),
        ({"remaining_s": None, "cause": None, "refused": 3}, "new copies: 3 were refused so far"),
        (
            {"remaining_s": 9.2, "cause": "the operator", "refused": 1},
            "new copies: refused for 10 more seconds (the operator); 1 were refused so far",
        ),
    ],
)
def test_stepping_aside_is_shown(stepping_aside: dict[str, object], line: str | None) -> None:
    found = answer()
    found["array"]["stepping_aside"] = stepping_aside
    assert [each for each in status_lines(found) if each.startswith("new copies")] == ([] if line is None else [line])


@pytest.mark.parametrize(
    ("state", "words"),
    [("running", "being sanitized, 40 % done"), ("failed", "has failed; hosts must"), ("waiting", "goes on when it is a LUN")],
)
def test_a_sanitize_operation_is_shown(state: str, words: str) -> None:
    found = answer()
    assert "saniti" not in "\n".join(status_lines(found))
    found["volumes"][0]["sanitize"] = {"state": state, "percent": 40}
    (line,) = [line for line in status_lines(found) if "sanitize" in line]
    assert words in line
    assert "\x1b" not in line


def test_the_capacity_tier_is_shown() -> None:
    found = answer()
    assert "tier" not in "\n".join(status_lines(found))
    found["pool"]["capacity_tier"] = {
        "used_bytes": 3 << 30,
        "available_bytes": None,
        "limit_bytes": None,
        "to_capacity_bytes": 5 << 20,
        "to_fast_bytes": 0,
        "moved_bytes": 7 << 20,
        "problem": None,
    }
    for each in found["volumes"]:
        each.update(tier="capacity", to_move_bytes=5 << 20)
    lines = status_lines(found)
    wanted = "capacity tier: 3.0 GiB used, unknown available; 5.0 MiB to move there, 0 bytes to move back"
    assert wanted in lines
    assert any(line.rstrip().endswith("capacity  5.0 MiB") for line in lines)
    found["pool"]["capacity_tier"]["problem"] = "it\x1b[31m is full"
    assert f"{wanted}; not moved now: it?[31m is full" in [line.replace("\\x1b", "?") for line in status_lines(found)]


def test_troubles_are_shown() -> None:
    found = answer()
    found["pool"] |= {"failure": "the disk failed", "damaged_blocks": 2}
    lines = status_lines(found)
    assert "trouble: the disk failed" in lines
    assert "trouble: 2 damaged blocks are known" in lines


def test_a_pool_without_array_has_no_commands() -> None:
    found = answer(array=None)
    found["volumes"][0]["commands"] = None
    text = "\n".join(status_lines(found))
    assert "sessions" not in text
    assert "p99.9" not in text


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    running = serve(tmp_path / "pool", ["a=1M"], log_path=tmp_path / "log")
    yield tmp_path / "pool"
    running.kill()


def test_the_numbers_of_a_pool_that_no_array_serves(tmp_path: Path) -> None:
    serve(tmp_path / "pool", ["a=1M"], log_path=tmp_path / "log").stop()
    ended = forked.run("status", tmp_path / "pool", "--space", "--json")
    assert ended.returncode == 0
    found = json.loads(ended.stdout)
    assert found["array"] is None
    assert found["pool"]["space"]["unique_bytes"] == 0
    refused = forked.run("status", tmp_path / "pool", "--watch")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "no server answers" in refused.stderr


def accept_interrupts() -> None:
    """Undo that a shell which runs the tests in the background makes them ignore interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_rounds_in_a_pipe_have_no_colours_and_end_on_an_interrupt(served: Path) -> None:
    watching = subprocess.Popen(
        [*COMMAND, served, "--watch", "--interval", "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=accept_interrupts,
    )
    assert watching.stdout is not None
    rounds = 0
    while rounds < 3:
        line = watching.stdout.readline()
        assert line, "the command ended too early"
        rounds += line.startswith("pool: ")
        assert "\x1b" not in line
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=WAIT_S)
    assert (watching.returncode, errors) == (0, "")


def test_a_round_on_a_terminal_replaces_the_round_before(served: Path) -> None:
    master, slave = pty.openpty()
    watching = subprocess.Popen(
        [*COMMAND, served, "--watch", "--interval", "0.1"],
        stdout=slave,
        stderr=subprocess.PIPE,
        stdin=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
        preexec_fn=accept_interrupts,
    )
    os.close(slave)
    seen = b""
    until_s = time.monotonic() + WAIT_S
    while seen.count(b"pool: ") < 3 and time.monotonic() < until_s:
        if select.select([master], [], [], 1.0)[0]:
            seen += os.read(master, 1 << 16)
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=WAIT_S)
    os.close(master)
    assert seen.count(b"pool: ") >= 3
    assert b"\x1b[1A" in seen, "the cursor moves up before each round"
    assert (watching.returncode, errors) == (0, b"")


def test_a_program_that_stops_to_read_ends_the_command(served: Path) -> None:
    command = [*COMMAND, served, "--watch", "--interval", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        watching.stdout.readline()
        watching.stdout.close()
        assert watching.wait(timeout=WAIT_S) == 1
        assert watching.stderr.read() == b""
