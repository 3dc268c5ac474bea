"""Start many arrays for tests in one process, and measure the time and the memory that each of them takes.

    .venv/bin/python -m bench.many_arrays [--count 100] [--use]

With `--use`, a host logs in to each array, and writes and reads a block. Memory is the growth of the resident set of the
process. One array is started and stopped first, so that imported modules do not count.
"""

import argparse
import gc
import os
import time
from contextlib import ExitStack
from pathlib import Path

from odx_target.testing import RunningArray, running_array

TARGET_S = 1.0
TARGET_MIB = 2.0
MIB = 1 << 20


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def use(array: RunningArray) -> None:
    with array.host() as host:
        host.write("a", 0, bytes(512))
        assert host.read("a", 0, 1) == bytes(512)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--use", action="store_true")
    wanted = parser.parse_args()
    with running_array() as first:
        use(first)
    before_bytes = resident_bytes()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    with ExitStack() as stack:
        arrays = [stack.enter_context(running_array()) for _ in range(wanted.count)]
        started_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        each_mib = (resident_bytes() - before_bytes) / wanted.count / MIB
        print(f"{wanted.count} arrays started in {started_s:.3f} s ({cpu_s:.3f} s of processor time)")
        print(f"{each_mib:.2f} MiB each")
        if wanted.use:
            for array in arrays:
                use(array)
            print(f"{(resident_bytes() - before_bytes) / wanted.count / MIB:.2f} MiB each after a host has used them")
        stopping_s = time.perf_counter()
    print(f"stopped in {time.perf_counter() - stopping_s:.3f} s")
    if wanted.count == 100:
        print(f"time: {'met' if started_s < TARGET_S else 'NOT met'} (less than {TARGET_S:g} s)")
        print(f"memory: {'met' if each_mib < TARGET_MIB else 'NOT met'} (less than {TARGET_MIB:g} MiB each)")


if __name__ == "__main__":
    main()
