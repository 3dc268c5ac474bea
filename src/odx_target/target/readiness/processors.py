"""The processors of the machine, as far as the system names them."""

import os
import time


def count_processors() -> int:
    """Return the number of processors that this process may use, or that the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sleep_for_no_time() -> None:
    """Give the processor to another process, on a system without sched_yield."""
    time.sleep(0)
