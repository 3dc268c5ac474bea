"""Runs tests of the copy manager and of the array again, with memory for the map entries of only three leaves.

`ODX_TEST_MAP_LEAVES=3 pytest tests/copymgr tests/target tests/sim` runs all of these tests in this way.
"""

import os
import subprocess
import sys
from pathlib import Path

TESTS = (
    "tests/copymgr/test_state_machine.py",
    "tests/copymgr/test_writing.py",
    "tests/copymgr/test_results.py",
    "tests/target/test_lun_size_machine.py",
    "tests/target/test_array_waiting.py",
    "tests/target/test_array.py",
    "tests/target/test_storage_operations.py",
    "tests/target/schedules/test_adding.py",
    "tests/target/schedules/test_crashes.py",
    "tests/target/schedules/test_runner.py",
    "tests/target/schedules/test_schedule_machine.py",
    "tests/sim/test_array_simulation.py",
)
ROOT = Path(__file__).parents[1]


def test_arrays_whose_leaves_are_dropped_and_loaded_again() -> None:
    environment = {**os.environ, "ODX_TEST_MAP_LEAVES": "3", "ODX_TEST_STEPS": "0.2"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *TESTS]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
