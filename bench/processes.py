"""Time of the processor and peak memory of a process, from /proc."""

import os
import resource
from pathlib import Path

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
STATE_FIELD = 3
"""Number of the first field after the name of the program in /proc/PID/stat. The name may contain spaces and parentheses."""
USER_FIELD, SYSTEM_FIELD = 14, 15
FORGET_PEAK = "5"
"""Text that resets VmHWM, if it is written to /proc/PID/clear_refs."""


def ticks_of(stat: str) -> tuple[int, int]:
    """Return the clock ticks that all threads of a process have used in user mode and in the kernel, from the text of
    /proc/PID/stat.
    """
    fields = stat.rpartition(")")[2].split()
    return int(fields[USER_FIELD - STATE_FIELD]), int(fields[SYSTEM_FIELD - STATE_FIELD])


def processor_s(stat: str) -> float:
    """Return the seconds of the processor that all threads of a process have used, from the text of /proc/PID/stat."""
    return sum(ticks_of(stat)) / CLOCK_TICKS


def peak_mib(status: str) -> float:
    """Return the peak of the resident memory in MiB, from the text of /proc/PID/status.

    Raises ProcessLookupError if the process has ended.
    """
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError("the process has ended")


def used_s(pid: int) -> float:
    return processor_s(Path(f"/proc/{pid}/stat").read_text())


def clients_used_s() -> float:
    """Return the seconds of the processor that all child processes have used that have ended. Targets end after their cells."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def peak_since_forgotten(pid: int) -> float:
    """Return the peak of the resident memory in MiB since `forget_peak`."""
    return peak_mib(Path(f"/proc/{pid}/status").read_text())


def forget_peak(pid: int) -> None:
    """Begin a new peak of the resident memory."""
    Path(f"/proc/{pid}/clear_refs").write_text(FORGET_PEAK)
