"""The clients that load a LUN, each run once and bounded; all give commands per second."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECTOR_BYTES = 512
SETTLE_S = 30
"""Over what a run should take: then it hangs."""

AVERAGE = re.compile(r"iops average (\d+)")
COMPLETED = re.compile(r"Run completed in ([0-9.]+) seconds")


class ClientFailed(Exception):
    """A client ended badly or printed no result; the message is what it said."""


@dataclass(frozen=True)
class Read:
    """`iscsi-perf` for some seconds."""

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
    """`qemu-img bench -w`: a number of commands, each `step_bytes` after the one before, round and round."""

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
