"""A program of another project meets a hostile answer, on an array of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from odx_target.target.faults.evil import EVIL
from odx_target.target.faults.rule import Rule
from odx_target.testing import RunningArray, running_array

ROOT = Path(__file__).parents[3]

MAX_RUN_S = 60
"""Time limit of a program. After the hostile answers the target is good again, so a program has nothing to wait for."""
STANDSTILL_S = 5
"""A program waits for a missing answer if its connection is open and no PDU comes or goes for this time. It is longer than the
three seconds for which libiscsi keeps a useless connection before it connects again.
"""
LOOK_S = 0.05
HOSTILE_ANSWERS = 3
"""Number of hostile answers that each program gets."""

_HOST = (sys.executable, "-m", "tests.interop.faults.libiscsi_host", "{portal}", "{target}")
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    # name: arguments, with {portal}, {target} and {lun}
    "iscsi-ls": ("iscsi-ls", "-s", "iscsi://{portal}"),
    "iscsi-inq": ("iscsi-inq", "{lun}"),
    "qemu-img": ("qemu-img", "info", "{lun}"),
    "libiscsi": (*_HOST, "0"),
}
"""The programs, without timeouts. iscsi-ls and iscsi-inq cannot have one."""

WITH_TIMEOUT: Mapping[str, tuple[str, ...]] = {
    "qemu-img": (
        *("qemu-img", "info", "--image-opts"),
        "driver=iscsi,transport=tcp,portal={portal},target={target},lun=0,timeout=1",
    ),
    "libiscsi": (*_HOST, "1"),
}
"""The same programs with a timeout of one second."""

DISCOVERING = ("iscsi-ls", "libiscsi")
WRITING = ("libiscsi",)


CRASHES = {-4, -6, -7, -8, -11, 132, 134, 135, 136, 139}
"""Exit codes of a program that a fault has ended."""


class End(StrEnum):
    """The ways in which a program ends that has met a hostile answer."""

    ENDS = "ends"
    WAITS = "waits"
    """It waited for a missing answer, and was ended from outside."""
    CRASHES = "crashes"
    HANGS = "hangs"
    """It went on without end."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """The end of a program, the number of hostile answers that it got, and its output."""

    end: End
    hits: int
    output: str


def programs_that_meet(evil: str) -> tuple[str, ...]:
    """Return the programs whose use of a target can get this hostile answer."""
    kinds = str(EVIL[evil].words.get("pdu", ""))
    return DISCOVERING if kinds == "text-response" else WRITING if kinds == "r2t" else tuple(PROGRAMS)


def meet(evil: str, arguments: Sequence[str], folder: Path, *, may_wait: bool) -> Meeting:
    """Run a program against an array that gives hostile answers, until the program ends.

    If it `may_wait`, it is ended when it stands still. Its output is kept in a file of the folder.
    """
    with running_array({"first": "64M"}, record=False) as array:
        rule = array.faults.add({"evil": evil, "times": HOSTILE_ANSWERS})
        traffic = [array.faults.add(f"pdu=any direction={way} probability=0% drop") for way in ("in", "out")]
        words = {"portal": array.portal, "target": array.target, "lun": array.url("first")}
        log = folder / array.portal
        with log.open("w") as output:
            process = subprocess.Popen(
                [word.format(**words) for word in arguments],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            end = _end_of(process, array, [rule, *traffic], may_wait=may_wait)
        finally:
            process.kill()
            process.wait()
        return Meeting(end, rule.hits, log.read_text(errors="replace")[-2000:])


def _end_of(process: subprocess.Popen[bytes], array: RunningArray, rules: Sequence[Rule], *, may_wait: bool) -> End:
    """Wait until the process ends or stands still. The counts of the rules show the PDUs that come and go."""
    began_s = moved_s = time.monotonic()
    counts: list[tuple[int, int]] = []
    while True:
        try:
            return End.CRASHES if process.wait(LOOK_S) in CRASHES else End.ENDS
        except subprocess.TimeoutExpired:
            now_s = time.monotonic()
        before, counts = counts, [(rule.hits, rule.passed) for rule in rules]
        if counts != before:
            moved_s = now_s
        elif may_wait and rules[0].hits and now_s - moved_s >= STANDSTILL_S and array._loop.call(_is_connected, array):
            return End.WAITS
        if now_s - began_s >= MAX_RUN_S:
            return End.HANGS


async def _is_connected(array: RunningArray) -> bool:
    listener = array._service.array._listener
    assert listener is not None
    return bool(listener.connections())
