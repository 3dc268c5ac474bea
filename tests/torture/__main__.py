"""Command line of the torture.

    python -m tests.torture run --minutes 120      random steps on all processors, and all other tests on one of them
    python -m tests.torture seeds --minutes 120    only random steps
    python -m tests.torture crashes --minutes 30   only crashes at every operation of the disk, in one process
    python -m tests.torture replay FILE            the steps in a file that a search has written

The exit code is 1 if a difference was found.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.torture.searching import read_script
from tests.torture.seeds import replay
from tests.torture.workers import crash_for, quiet, run_for

PROGRESS = Path("var/torture.json")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture", description="Run an array with faults against a naive model."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    all_tests = (
        "run random steps on all processors, and the other tests (damage, a week of work, kills, crashes) on one of them"
    )
    for name, text in (
        ("run", all_tests),
        ("seeds", "only run random steps on all processors"),
        ("crashes", "only crash at every operation of the disk"),
    ):
        search = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        search.add_argument("--minutes", type=float, default=120.0, help="duration of the search; default: %(default)g")
        search.add_argument(
            "--progress", type=Path, default=PROGRESS, help="file for the sums of all runs; default: %(default)s"
        )
        if name == "crashes":
            search.add_argument("--workload", type=int, help="number of the workload; default: go on with the last one")
            continue
        search.add_argument(
            "--workers", type=int, default=os.cpu_count() or 1, help="number of processes; default: %(default)s"
        )
    text = "repeat the steps in a file that a search has written after a difference"
    script = commands.add_parser("replay", help=text, description=f"{text[0].upper()}{text[1:]}.")
    script.add_argument("script", type=Path, metavar="FILE", help="the file with the steps")
    arguments = parser.parse_args()
    if arguments.command == "replay":
        quiet()
        print(replay(*read_script(arguments.script)))
        return 0
    if arguments.command == "crashes":
        quiet()
        return 0 if crash_for(arguments.minutes * 60, arguments.progress, arguments.workload) else 1
    all_forms = arguments.command == "run"
    return 0 if run_for(arguments.minutes * 60, arguments.progress, arguments.workers, all_forms=all_forms) else 1


if __name__ == "__main__":
    sys.exit(main())
