"""Command line of the simulation of several arrays.

    python -m tests.sim run --minutes 60           scenarios on all processors; the numbers add up in var/sim.json
    python -m tests.sim run --seeds 100000         until so many seeds were played, in all runs together
    python -m tests.sim run --scenarios links,hub  only some scenarios
    python -m tests.sim replay fills 17            one seed, with the last lines of its trace

The exit code is 1 if something was wrong.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.sim.playing import Run, quiet, replay
from tests.sim.scenarios.table import SCENARIOS

SUMS = Path("var/sim.json")


def _scenarios(text: str) -> list[str]:
    names = [each.strip() for each in text.split(",")]
    for name in names:
        if name not in SCENARIOS:
            raise argparse.ArgumentTypeError(f"there is no scenario {name!r}, only {', '.join(SCENARIOS)}")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Simulate several arrays with faults.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="play seeds of all scenarios on all processors")
    run.add_argument("--minutes", type=float, default=60.0, help="duration of the run; default: %(default)g")
    run.add_argument("--seeds", type=int, help="end when all runs together have played so many seeds")
    run.add_argument("--scenarios", type=_scenarios, default=[*SCENARIOS], help="names, with commas; default: all")
    run.add_argument("--sums", type=Path, default=SUMS, help="file for the sums of all runs; default: %(default)s")
    run.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="number of processes; default: %(default)s")
    one = commands.add_parser("replay", help="play one seed twice, and show the end of its trace")
    one.add_argument("scenario", choices=list(SCENARIOS))
    one.add_argument("seed", type=int)
    one.add_argument("--lines", type=int, default=40, help="number of lines of the trace to show; default: %(default)s")
    arguments = parser.parse_args()
    if arguments.command == "replay":
        quiet()
        return 0 if replay(arguments.scenario, arguments.seed, arguments.lines) else 1
    is_right = Run(arguments.sums, arguments.scenarios).play_for(arguments.minutes * 60, arguments.workers, arguments.seeds)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
