"""Where the time of small writes goes, in the array and in tgt: the page docs/performance/why-small-writes.md.

    python -m bench.small_writes            prints the page
    python -m bench.small_writes --write    writes it

It counts the system calls of both targets with strace, and measures the processor time of both for each command, in
turn. The parts of the path of the array are those of `bench/one_write.py`. Pools and files are in /dev/shm.
"""

import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

from bench import machine
from bench.clients import QemuBench, fill
from bench.ending import end_by_sigterm
from bench.one_write import OTHERS, PASS, Cost, cost_of_a_write
from bench.processes import used_s
from bench.rounds import write_random
from bench.targets import OWN, PEERS, TGT, Running, array
from bench.time_split import system_calls
from bench.why_pages import print_or_write

MIB = 1 << 20
SIZE_BYTES, STEP_BYTES = 4096, 4096 * 1009
ALIGNMENTS = {"scattered places": (0, STEP_BYTES), "unaligned scattered places": (512, 2 * STEP_BYTES)}
"""The first byte and the distance of the writes, by the words of the page. An unaligned write covers parts of two blocks."""
ALIGNED, UNALIGNED = ALIGNMENTS
LUN_BYTES = 256 * MIB
DEPTHS = (1, 32)
COUNTED = 4000
"""Number of commands whose system calls are counted. `strace` slows a target down, so they are not timed."""
TIMED = 16_384
ROUNDS = 8
"""Rounds of timed commands. Together they write more than the free room of the pool, so the cleaner works in the later ones."""
LEAST = 0.02
"""System calls that are rarer than this for each command are left out."""
TIMEOUT_S = 60
REST = "the host, the network stack, wake-ups, and what both processes take from each other"
GOALS = {ALIGNED: 1.2, UNALIGNED: 1.0}
"""Rates of writes of 4 KiB at depth 1, as multiples of those of tgt."""


def load(alignment: str, depth: int) -> QemuBench:
    first_byte, step_bytes = ALIGNMENTS[alignment]
    return QemuBench(SIZE_BYTES, depth, step_bytes, writes=True, first_byte=first_byte)


@contextmanager
def both() -> Iterator[Mapping[str, Running]]:
    """Start the array and tgt, with LUNs that are full."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name, ExitStack() as started:
        image = Path(name) / "image.raw"
        write_random(image, LUN_BYTES)
        running = {}
        for target, start in ((OWN, array()), (TGT, PEERS[TGT])):
            (Path(name) / target).mkdir()
            running[target] = started.enter_context(start(Path(name) / target, LUN_BYTES))
            fill(running[target].url, image)
        yield running


def calls_of(target: Running, alignment: str, depth: int) -> Mapping[str, float]:
    """Return the number of system calls of each kind for each command."""
    calls = system_calls(target, lambda: load(alignment, depth).run(target.url, TIMEOUT_S, COUNTED).commands)
    return {name: number for name, number in calls.items() if number >= LEAST}


def timed(running: Mapping[str, Running], alignment: str, depth: int) -> Mapping[str, tuple[float, float]]:
    """Return the medians of the commands per second, and of the processor time in microseconds for each command."""
    rates: dict[str, list[float]] = {name: [] for name in running}
    processor_us: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(ROUNDS):
        for name, target in running.items():
            before_s = used_s(target.pid)
            rates[name].append(load(alignment, depth).run(target.url, TIMEOUT_S, TIMED).rate)
            processor_us[name].append((used_s(target.pid) - before_s) / TIMED * 1e6)
    return {name: (statistics.median(rates[name]), statistics.median(processor_us[name])) for name in running}


def page() -> str:
    """Measure everything, and return the page."""
    facts = machine.facts()
    lines = [
        "# Why small writes take as long as they take\n",
        "`python -m bench.small_writes --write` writes this page. All figures are medians.\n",
        machine.as_markdown(facts),
    ]
    times_us: dict[str, Mapping[str, float]] = {}
    with both() as running:
        for alignment, depth in product(ALIGNMENTS, DEPTHS):
            figures = timed(running, alignment, depth)
            if depth == 1:
                times_us[alignment] = {name: 1e6 / figures[name][0] for name in running}
            calls = {name: calls_of(target, alignment, depth) for name, target in running.items()}
            lines += [
                f"## 4 KiB writes at {alignment}, depth {depth}\n",
                f"| | {' | '.join(running)} |\n|---|{' ---: |' * len(running)}",
                f"| commands per second | {' | '.join(f'{figures[name][0]:,.0f}' for name in running)} |",
                f"| processor time for each command, us | {' | '.join(f'{figures[name][1]:.1f}' for name in running)} |",
                f"| system calls for each command | {' | '.join(f'{sum(calls[name].values()):.2f}' for name in running)} |",
            ]
            for call in sorted({call for each in calls.values() for call in each}):
                lines.append(f"| - {call} | {' | '.join(f'{calls[name].get(call, 0):.2f}' for name in running)} |")
            lines.append("")
    costs = {alignment: cost_of_a_write(is_aligned=alignment == ALIGNED) for alignment in ALIGNMENTS}
    lines += parts_of_a_write(costs)
    for alignment, cost in costs.items():
        lines += depth_1(alignment, times_us[alignment][OWN], times_us[alignment][TGT], cost)
    return "\n".join(lines) + "\n"


def parts_of_a_write(costs: Mapping[str, Cost]) -> list[str]:
    """Return the lines about the parts of a write in the array, by its alignment."""
    rows = {part: [f"{cost.parts_us[part]:.1f}" for cost in costs.values()] for part in costs[ALIGNED].parts_us}
    rows[OTHERS] = [f"{cost.others_us:.1f}" for cost in costs.values()]
    rows["functions of Python that a pass calls"] = [f"{cost.python_calls:.0f}" for cost in costs.values()]
    rows["blocks that the cleaner moves"] = [f"{cost.moved_blocks:.2f}" for cost in costs.values()]
    rows["blocks of headers in the log"] = [f"{cost.header_blocks:.2f}" for cost in costs.values()]
    return [
        "## The parts of a write in the array, depth 1\n",
        "The array and its host are in one process, so the wake-up of the host is not included. The free room of the pool is",
        "used up, so the cleaner works. An unaligned write reads and writes two blocks.",
        "One call of the native module makes most of a pass, so its parts are timed in a second run, in Python.\n",
        f"| part, us | {' | '.join(costs)} |\n|---|{' ---: |' * len(costs)}",
        *(f"| {part} | {' | '.join(figures)} |" for part, figures in rows.items()),
        "",
    ]


def depth_1(alignment: str, own_us: float, tgt_us: float, cost: Cost) -> list[str]:
    """Return the lines about depth 1. `own_us` and `tgt_us` are the times from one command to the next."""
    goal = GOALS[alignment]
    pass_us, goal_us = cost.parts_us[PASS], tgt_us / goal
    rest_us = own_us - pass_us - cost.others_us
    without_others, without_own = (tgt_us / (own_us - each) for each in (cost.others_us, cost.others_us + pass_us))
    left_us = goal_us - rest_us - cost.others_us
    conclusion = f"the pass may take at most {left_us:.1f} us" if left_us > 0 else "no pass is short enough"
    shares = ("pass of the hub", pass_us), (OTHERS, cost.others_us), (REST, rest_us)
    return [
        f"## Writes at {alignment} at depth 1, and the goal\n",
        f"From one command to the next, the array takes {own_us:.1f} us and tgt {tgt_us:.1f} us.",
        f"The rate of the array is {tgt_us / own_us:.2f} of that of tgt. The goal is {goal}, which is {goal_us:.1f} us.\n",
        "| time of the array | us | share |\n|---|---: |---: |",
        *(f"| {name} | {taken_us:.1f} | {taken_us / own_us:.0%} |" for name, taken_us in shares),
        f"\nWithout the other tasks, the rate would be {without_others:.2f} of that of tgt.",
        f"If the pass took no time either, it would be {without_own:.2f}.",
        f"With the other tasks, and with the rest as it is, {conclusion} for the goal.\n",
    ]


def main(words: list[str]) -> int:
    return print_or_write(words, __doc__, ("strace", "tgtd", "qemu-img"), page, "why-small-writes.md")


if __name__ == "__main__":
    end_by_sigterm()
    sys.exit(main(sys.argv[1:]))
