"""How often a process that serves makes full garbage collections."""

import subprocess
import sys

import pytest

GROW = """
import gc, sys
from odx_target.cli.serving.garbage_collector import spare_collector
gc.collect()
if sys.argv[1] == "spared":
    spare_collector()
before = gc.get_stats()
kept = [[] for _ in range(300_000)]
kept.clear()
after = gc.get_stats()
print(*(b["collections"] - a["collections"] for a, b in zip(before, after)))
"""


def collections(how: str) -> list[int]:
    """Return the number of collections of each generation while 300,000 objects are created and then dropped."""
    ended = subprocess.run([sys.executable, "-c", GROW, how], capture_output=True, text=True, check=True, timeout=60)
    return [int(count) for count in ended.stdout.split()]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="its collector has other generations")
def test_only_young_objects_are_collected() -> None:
    young, older, full = collections("spared")
    assert young > 0
    assert older == full == 0
    assert collections("as it is")[2] > 0, "as Python has it"
