"""Clients that put a load on a LUN. Each run has a time limit and returns the commands per second."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECTOR_BYTES = 512
SETTLE_S = 30
"""Seconds beyond the expected time of a run after which the client is taken to hang."""

AVERAGE = re.compile(r"iops average (\d+)")
COMPLETED = re.compile(r"Run completed in ([0-9.]+) seconds")


class ClientFailed(Exception):
    """A client failed or printed no result; the message is its output."""


@dataclass(frozen=True)
class Read:
    """A run of `iscsi-perf` for some seconds."""

    size_bytes: int
    depth: int
    random: bool = False
    duration_s: int = 2

    def run(self, url: str) -> float:
        words = ["iscsi-perf", "-m", str(self.depth), "-b", str(self.size_bytes // SECTOR_BYTES), "-t", str(self.duration_s)]
        printed = _run([*words, *(["-r"] if self.random else []), url], self.duration_s + SETTLE_S)
        return float(_last(AVERAGE, printed))


@dataclass(frozen=True)
class Write:
    """A run of `qemu-img bench -w`. Each write begins `step_bytes` after the last one, and starts again at the end."""

    size_bytes: int
    depth: int
    count: int
    step_bytes: int

    def run(self, url: str) -> float:
        words = ["qemu-img", "bench", "-w", "-f", "raw", "-t", "none", "-c", str(self.count), "-d", str(self.depth)]
        printed = _run([*words, "-s", str(self.size_bytes), "-S", str(self.step_bytes), "--pattern", "90", url], SETTLE_S)
        return self.count / float(_last(COMPLETED, printed))


def fill(url: str, image: Path) -> None:
    """Write a raw image into a LUN."""
    _run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", str(image), url], SETTLE_S)


def _run(words: list[str], timeout_s: float) -> str:
    try:
        ended = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise ClientFailed(f"{' '.join(words)} does not end") from None
    printed = ended.stdout.decode(errors="replace")
    if ended.returncode != 0:
        raise ClientFailed(f"{' '.join(words)} ended with {ended.returncode}: {printed}")
    return printed


def _last(wanted: re.Pattern[str], printed: str) -> str:
    found = wanted.findall(printed)
    if not found:
        raise ClientFailed(f"no result in {printed!r}")
    return str(found[-1])
