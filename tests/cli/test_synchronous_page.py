"""The commands of docs/synchronous-replication.md run as they stand, but for the ports."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.recipes.pages import blocks

PAGE = Path(__file__).parents[2] / "docs" / "synchronous-replication.md"
SHELL = ("bash", "-e", "-u", "-m", "-o", "pipefail", "-c")
TIMEOUT_S = 240


FIRST_PORT, PORTS = 15_000, 15_000
"""Ports below those that the system gives to sockets without a port, which other tests use at the same time."""


def free_ports(count: int) -> list[int]:
    """Return ports that are free now. Processes begin to look at different ones."""
    found: list[int] = []
    for number in range(PORTS):
        port = FIRST_PORT + (os.getpid() * 97 + number) % PORTS
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            break
    return found


def test_the_walk_through_runs(tmp_path: Path) -> None:
    script = "\n".join(block.text for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "sh")
    found = sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", script)))
    for port, other in zip(found, free_ports(len(found)), strict=True):
        script = script.replace(f"127.0.0.1:{port}", f"127.0.0.1:{other}")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "odx-target").write_text(f'#!/bin/sh\nexec {sys.executable} -m odx_target "$@"\n')
    (programs / "odx-target").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        [*SHELL, script], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        _end(tmp_path)
    assert process.returncode == 0, f"{output}\n{errors}"
    for line in ("the other member is the primary of the group g", "group g: in sync", "serving", "the group g was deleted"):
        assert line in output


def _end(folder: Path) -> None:
    """Kill the servers that a failed script has left. Their command lines name nothing else, so their folder tells them."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                os.kill(int(process.name), signal.SIGKILL)
