"""Runs the machines that compare pools with a naive model, with little leaves and with memory for only a few of them.

A volume of these machines then has ten leaves, and most of them are dropped and loaded again and again: between writes, copies,
snapshots, checkpoints, cycles of the cleaner, failures of the disk and crashes. The machines run in a process of their own,
because all modules must agree on the size of a leaf.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MACHINES = (
    "tests/store/test_crash_machine.py",
    "tests/store/cleaning/test_clean_machine.py",
    "tests/store/test_sharing_machine.py",
)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("leaves", [3, 5])
def test_leaves_that_are_dropped_and_loaded_again_change_nothing(leaves: int) -> None:
    environment = {**os.environ, "ODX_TEST_LEAF_BITS": "3", "ODX_TEST_MAP_LEAVES": str(leaves), "ODX_TEST_STEPS": "0.2"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *MACHINES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout
    assert f"{len(MACHINES)} passed" in done.stdout
