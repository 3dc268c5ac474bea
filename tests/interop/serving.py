"""Starts `odx-target serve` as a process, waits until it listens, stops or kills it, and always reaps it."""

import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from tests.interop.forked import Program, start

IQN = "iqn.2026-11.io.odx-target:array"
READY = "listening on "
READY_TIMEOUT_S = 300
"""Time limit of a start. A start takes about a second of processor time, but other processes may need the processors too."""
FORKS = False
"""True if servers are forked from a process that has imported the program. `tests/conftest.py` sets it, because tests start
hundreds of servers. Benchmarks, and servers with another version or with options of Python, use new interpreters.
"""
END_TIMEOUT_S = 20
"""Time limit for a server to end. It should need far less."""


class DidNotServe(AssertionError):
    """The server ended or printed nothing instead of getting ready. The message contains its log."""


@dataclass
class Served:
    """A running server."""

    process: subprocess.Popen[str] | Program
    log_path: Path
    portal: str
    seconds_to_ready: float
    lines: "queue.Queue[str | None]" = field(repr=False)
    printed: list[str] = field(repr=False)
    """Lines that the server printed before it was ready."""

    def url(self, lun: int | None = None) -> str:
        """URL of the portal, as iscsi-ls expects it, or of a LUN of the target."""
        return f"iscsi://{self.portal}" + ("" if lun is None else f"/{IQN}/{lun}")

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def kill(self) -> None:
        """Kill the process with SIGKILL and reap it. Does nothing if the process has ended."""
        self.process.kill()
        self._reap()

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Stop the server with a signal and return its exit status."""
        self.process.send_signal(signal_number)
        return self._reap()

    def _reap(self) -> int:
        try:
            return self.process.wait(END_TIMEOUT_S)
        finally:
            self.process.kill()
            self.process.wait(END_TIMEOUT_S)


def serve(
    pool: Path | None,
    luns: Sequence[str] = (),
    *,
    log_path: Path,
    portal: str = "127.0.0.1:0",
    options: Sequence[str] = (),
    descriptors: int | None = None,
    source: Path | None = None,
    python_options: Sequence[str] = (),
) -> Served:
    """Start a server and return when it listens.

    `luns` are values of --lun. Pass the `portal` of an ended server to replace that server. If `pool` is None, a new pool is
    made beside the log; it stays there if the server is killed. `descriptors` is the limit of descriptors for the server.
    `source` is a folder with another version of the package. `python_options` are options of Python itself.

    Raises DidNotServe if the server ends first, or prints nothing for READY_TIMEOUT_S.
    """
    arguments = ["serve"]
    arguments += [str(pool)] if pool is not None else []
    arguments += [word for lun in luns for word in ("--lun", lun)]
    arguments += ["--portal", portal, *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "TMPDIR": str(log_path.parent)}
    environment |= {} if source is None else {"PYTHONPATH": str(source)}
    started_s = time.monotonic()
    reading, writing = os.pipe()
    process: subprocess.Popen[str] | Program
    with log_path.open("a") as log, os.fdopen(writing, "w") as output:
        if FORKS and source is None and not python_options:
            process = start(arguments, stdout=output, stderr=log, environment=environment, descriptors=descriptors)
        else:
            process = subprocess.Popen(
                [sys.executable, *python_options, "-m", "odx_target.cli.main", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                text=True,
                preexec_fn=None if descriptors is None else partial(_limit_descriptors, descriptors),
                env=environment,
            )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_drain, args=(os.fdopen(reading), lines), daemon=True).start()
    try:
        printed = _wait_until_ready(lines, started_s + READY_TIMEOUT_S)
    except BaseException as error:
        process.kill()
        process.wait(END_TIMEOUT_S)
        if isinstance(error, DidNotServe):
            raise DidNotServe(f"{error}; its log:\n{log_path.read_text(errors='replace')}") from None
        raise
    portal = printed[-1].removeprefix(READY).strip()
    return Served(process, log_path, portal, time.monotonic() - started_s, lines, printed)


def _limit_descriptors(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def _drain(pipe: IO[str], lines: "queue.Queue[str | None]") -> None:
    """Read the pipe while the server lives, so that the server never waits for its reader; None marks the end."""
    with pipe:
        for line in pipe:
            lines.put(line.rstrip("\n"))
    lines.put(None)


def _wait_until_ready(lines: "queue.Queue[str | None]", deadline_s: float) -> list[str]:
    seen = []
    while True:
        try:
            line = lines.get(timeout=max(deadline_s - time.monotonic(), 0.01))
        except queue.Empty:
            raise DidNotServe(f"the server was not ready in {READY_TIMEOUT_S} s; it printed {seen}") from None
        if line is None:
            raise DidNotServe(f"the server ended before it was ready; it printed {seen}")
        seen.append(line)
        if line.startswith(READY):
            return seen
