"""A process that serves uses the memory of freed buffers again."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource
from odx_target.cli.serving.freed_memory import keep_freed_memory

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def read_eight_times():
    return [bytearray(1 << 20) for _ in range(8)]

keep_freed_memory()
for _ in range(10):
    read_eight_times()
before = page_faults()
for _ in range(100):
    read_eight_times()
print(page_faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_freed_buffers_of_large_reads_cause_no_page_faults() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 1000  # by default, more than 100,000
