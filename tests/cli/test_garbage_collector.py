"""How often a process that serves makes full garbage collections."""

import gc
import subprocess
import sys

import pytest
import trio
import trio.testing

from odx_target.cli.serving.garbage_collector import INTERVAL_S, spared_collector

GROW = """
import gc, sys
from contextlib import nullcontext
import trio
from odx_target.cli.serving.garbage_collector import spared_collector
async def main():
    gc.collect()
    async with spared_collector() if sys.argv[1] == "spared" else nullcontext():
        before = gc.get_stats()
        kept = [[] for _ in range(300_000)]
        kept.clear()
        after = gc.get_stats()
        print(*(b["collections"] - a["collections"] for a, b in zip(before, after)))
trio.run(main)
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


async def test_objects_that_replace_old_ones_are_collected_while_they_are_few(autojump_clock: trio.testing.MockClock) -> None:
    thresholds = gc.get_threshold()
    replaced: list[list[int]] = [[] for _ in range(100_000)]
    try:
        async with spared_collector():
            for index in range(len(replaced)):
                replaced[index] = []
            young = len(gc.get_objects(generation=0))
            await trio.sleep(INTERVAL_S + 0.01)
            assert len(gc.get_objects(generation=0)) < young // 10
    finally:
        gc.set_threshold(*thresholds)  # the frozen objects stay frozen, because most of them live to the end


IMPORTS = """
import gc, sys
sys.argv = ["odx-target", "serve", "--lun", "a"]
from odx_target.cli.program import run
def collections():
    return sum(each["collections"] for each in gc.get_stats())
before = collections()
assert run() == 2
print(gc.isenabled(), gc.get_freeze_count(), collections() - before)
"""


def test_imports_of_a_subcommand_are_never_collected() -> None:
    ended = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, timeout=60)
    is_on, frozen, count_collections = ended.stdout.split()
    assert is_on == "True"
    assert int(frozen) > 50_000
    assert int(count_collections) < 100  # those while arguments are parsed; the imports alone would make several hundred
