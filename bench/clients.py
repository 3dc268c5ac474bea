"""Clients that put a load on a LUN. Each run is a process of its own, has a time limit, and returns how much was done.

`iscsi-perf` and `qemu-img bench` are programs of other projects. The load generator in `bench/load` does only what they
cannot do.
"""

import json
import math
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import ClassVar, Protocol

from bench.load.shape import Shape
from bench.processes import clients_used_s

SECTOR_BYTES = 512
SETTLE_S = 120
"""Seconds beyond the expected time of a run after which the client is taken to hang."""

AVERAGE = re.compile(r"iops average (\d+)")
BUSY = re.compile(r"busy (\d+)")
FINISHED = "finished."
MIN_PROCESSES_S = 3
"""Least window of several processes of iscsi-perf, in seconds. The processes do not begin at the same moment."""
MIN_TOGETHER = 0.5
"""Least share of the window for which all these processes must have read at the same time."""
COMPLETED = re.compile(r"Run completed in ([0-9.]+) seconds")


class ClientFailed(Exception):
    """A client failed or printed no result; the message is its output."""


@dataclass(frozen=True)
class Done:
    """The result of a run. Only the load generator measures `latencies_us`, by names such as "read p99".

    `client_busy` is the share of one processor that the client used, or None if the client is more than one process.
    """

    commands: float
    seconds: float
    latencies_us: Mapping[str, float] = field(default_factory=dict)
    client_busy: float | None = None

    @property
    def rate(self) -> float:
        """Commands per second."""
        return self.commands / self.seconds


class Load(Protocol):
    """A load that a client can put on a LUN."""

    client: ClassVar[str]
    needs_count: ClassVar[bool]
    """True if the client ends after a number of commands and not after a time."""

    @property
    def size_bytes(self) -> int: ...

    @property
    def write_share(self) -> float:
        """Share of the commands that are writes, from 0 to 1."""

    def run(self, url: str, seconds: float, count: int | None) -> Done:
        """Run for `count` commands, or for some seconds if the client can and there is no count. Raises ClientFailed."""


@dataclass(frozen=True)
class IscsiPerf:
    """Reads of `iscsi-perf`. Random reads begin at any block of 512 bytes, so most of them are not aligned. Each session is a
    process of its own.
    """

    size_bytes: int
    depth: int
    random: bool = False
    sessions: int = 1
    client: ClassVar[str] = "iscsi-perf"
    needs_count: ClassVar[bool] = False
    write_share: ClassVar[float] = 0.0

    def run(self, url: str, seconds: float, count: int | None) -> Done:
        assert count is None, "iscsi-perf ends after a time"
        duration_s = max(1 if self.sessions == 1 else MIN_PROCESSES_S, math.ceil(seconds))
        words = ["iscsi-perf", "-m", str(self.depth), "-b", str(self.size_bytes // SECTOR_BYTES), "-t", str(duration_s)]
        words += [*(["-r"] if self.random else []), url]

        def read(_: int) -> tuple[float, float]:
            average = average_of(execute(words, duration_s + SETTLE_S))
            return average, monotonic()

        before_s = clients_used_s()
        with ThreadPoolExecutor(self.sessions) as threads:
            ended = list(threads.map(read, range(self.sessions)))
        done = together([average for average, _ in ended], [ended_s for _, ended_s in ended], duration_s)
        return done if self.sessions > 1 else replace(done, client_busy=(clients_used_s() - before_s) / done.seconds)


def average_of(printed: str) -> float:
    """Return the rate that iscsi-perf has printed, in commands per second. Raises ClientFailed if any command has failed.

    iscsi-perf also counts commands that the target refuses as busy, and it ends with status 0 if the connection is lost.
    """
    if FINISHED not in printed or "failed" in printed or any(int(busy) for busy in BUSY.findall(printed)):
        raise ClientFailed(f"commands of iscsi-perf have failed: {printed.strip()!r}")
    return float(last(AVERAGE, printed))


def together(averages: Sequence[float], ended_s: Sequence[float], duration_s: float) -> Done:
    """Return the result of processes that have each read for `duration_s`, by their rates and the times at which they ended.

    The time is that from the first command of any process to the last one. Raises ClientFailed if the processes have not read
    at the same time for a large share of it, as with a target that makes one login wait for another session.
    """
    spread_s = max(ended_s) - min(ended_s)
    if spread_s > (1 - MIN_TOGETHER) * duration_s:
        raise ClientFailed(
            f"{len(averages)} processes of iscsi-perf did not read at the same time: each read for {duration_s} s,"
            f" and the last one began {spread_s:.1f} s after the first one"
        )
    return Done(sum(averages) * duration_s, duration_s + spread_s)


@dataclass(frozen=True)
class QemuBench:
    """A run of `qemu-img bench`. Each command begins `step_bytes` after the last one; the LUN is a ring."""

    size_bytes: int
    depth: int
    step_bytes: int
    writes: bool = False
    first_byte: int = 0
    flush_interval: int = 0
    """Number of commands after which the client flushes; 0 means that it does not flush."""
    client: ClassVar[str] = "qemu-img bench"
    needs_count: ClassVar[bool] = True

    @property
    def write_share(self) -> float:
        return float(self.writes)

    def run(self, url: str, seconds: float, count: int | None) -> Done:
        assert count is not None, "qemu-img bench has no time limit"
        words = ["qemu-img", "bench", "-f", "raw", "-t", "none", "-c", str(count), "-d", str(self.depth)]
        words += ["-s", str(self.size_bytes), "-S", str(self.step_bytes), "-o", str(self.first_byte)]
        words += ["-w", "--pattern", "90"] if self.writes else []
        words += [f"--flush-interval={self.flush_interval}"] if self.flush_interval else []
        before_s = clients_used_s()
        seconds = float(last(COMPLETED, execute([*words, url], seconds + SETTLE_S)))
        return Done(count, seconds, client_busy=(clients_used_s() - before_s) / seconds)


@dataclass(frozen=True)
class Generated:
    """A run of the load generator in `bench/load`, which checks every reply."""

    shape: Shape
    client: ClassVar[str] = "bench.load"
    needs_count: ClassVar[bool] = False

    @property
    def size_bytes(self) -> int:
        return self.shape.size_bytes

    @property
    def write_share(self) -> float:
        return self.shape.write_percent / 100

    def run(self, url: str, seconds: float, count: int | None) -> Done:
        length = ["--seconds", str(seconds)] if count is None else ["--count", str(count)]
        words = [sys.executable, "-m", "bench.load", url, self.shape.as_json(), *length]
        ran = json.loads(execute(words, seconds + SETTLE_S).splitlines()[-1])
        latencies = {f"{kind} {name}": value for kind in ("read", "write") for name, value in ran[f"{kind}s_us"].items()}
        return Done(ran["commands"], ran["seconds"], latencies, ran["client_busy"])


def fill(url: str, image: Path) -> None:
    """Write a raw image into a LUN."""
    execute(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), url], SETTLE_S)


def execute(words: list[str], timeout_s: float) -> str:
    """Run a program and return all that it prints. Raises ClientFailed if it fails or does not end in time."""
    try:
        ended = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise ClientFailed(f"{' '.join(words)} does not end") from None
    printed = ended.stdout.decode(errors="replace")
    if ended.returncode != 0:
        raise ClientFailed(f"{' '.join(words)} ended with {ended.returncode}: {printed.strip()}")
    return printed


def last(wanted: re.Pattern[str], printed: str) -> str:
    """Return the last match of a pattern in the output of a client. Raises ClientFailed if there is none."""
    found = wanted.findall(printed)
    if not found:
        raise ClientFailed(f"no result in {printed!r}")
    return str(found[-1])
