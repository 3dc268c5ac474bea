"""The processors of the machine, as far as the system names them."""

import os
import time
from collections.abc import Callable


def count_processors() -> int:
    """Return the number of processors that this process may use, or that the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sleep_for_no_time() -> None:
    time.sleep(0)


def yield_function() -> Callable[[], None]:
    """Return the function that lets another process use the processor, if one waits for it."""
    return os.sched_yield if hasattr(os, "sched_yield") else _sleep_for_no_time
