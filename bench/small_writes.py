"""Where the time of small writes goes, in the array and in tgt: the page docs/performance/why-small-writes.md.

    python -m bench.small_writes            prints the page
    python -m bench.small_writes --write    writes it

It counts the system calls of both targets with strace, and measures the processor time of both for each command, in
turn. The parts of the path of the array are those of `bench/one_write.py`. Pools and files are in /dev/shm.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import machine
from bench.clients import ClientFailed, QemuBench, fill
from bench.one_write import parts
from bench.pages import DOCUMENTS
from bench.processes import used_s
from bench.rounds import write_random
from bench.targets import OWN, PEERS, TGT, Running, array
from bench.time_split import system_calls
from tests.interop.serving import DidNotServe

MIB = 1 << 20
SIZE_BYTES, STEP_BYTES = 4096, 4096 * 1009
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


def load(depth: int) -> QemuBench:
    return QemuBench(SIZE_BYTES, depth, STEP_BYTES, writes=True)


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


def calls_of(target: Running, depth: int) -> Mapping[str, float]:
    """Return the number of system calls of each kind for each command."""
    calls = system_calls(target, lambda: load(depth).run(target.url, TIMEOUT_S, COUNTED).commands)
    return {name: number for name, number in calls.items() if number >= LEAST}


def timed(running: Mapping[str, Running], depth: int) -> Mapping[str, tuple[float, float]]:
    """Return the medians of the commands per second, and of the processor time in microseconds for each command."""
    rates: dict[str, list[float]] = {name: [] for name in running}
    processor_us: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(ROUNDS):
        for name, target in running.items():
            before_s = used_s(target.pid)
            rates[name].append(load(depth).run(target.url, TIMEOUT_S, TIMED).rate)
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
    with both() as running:
        for depth in DEPTHS:
            figures = timed(running, depth)
            calls = {name: calls_of(target, depth) for name, target in running.items()}
            lines += [
                f"## 4 KiB writes at scattered places, depth {depth}\n",
                f"| | {' | '.join(running)} |\n|---|{' ---: |' * len(running)}",
                f"| commands per second | {' | '.join(f'{figures[name][0]:,.0f}' for name in running)} |",
                f"| processor time for each command, us | {' | '.join(f'{figures[name][1]:.1f}' for name in running)} |",
                f"| system calls for each command | {' | '.join(f'{sum(calls[name].values()):.2f}' for name in running)} |",
            ]
            for call in sorted({call for each in calls.values() for call in each}):
                lines.append(f"| - {call} | {' | '.join(f'{calls[name].get(call, 0):.2f}' for name in running)} |")
            lines.append("")
    lines += [
        "## The parts of a write in the array, depth 1\n",
        "The array and its host are in one process, so the wake-up of the host is not included. The cleaner works between the",
        "commands.\n",
        "| part | us |\n|---|---: |",
        *(f"| {part} | {taken_us:.1f} |" for part, taken_us in parts().items()),
    ]
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the page in docs/performance; use a quiet machine")
    options = parser.parse_args(words)
    missing = [program for program in ("strace", "tgtd", "qemu-img") if shutil.which(program) is None]
    if missing:
        print(f"needed and not installed: {', '.join(missing)}")
        return 1
    try:
        text = page()
    except (ClientFailed, DidNotServe, OSError) as error:
        print(error)
        return 1
    if options.write:
        (DOCUMENTS / "why-small-writes.md").write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
