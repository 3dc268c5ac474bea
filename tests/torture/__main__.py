"""Command line of the torture.

    python -m tests.torture seeds --minutes 120    runs of seeds, for a time
    python -m tests.torture replay FILE            a run from a script

The exit code is 1 if a difference was found.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.torture.searching import read_script
from tests.torture.seeds import replay
from tests.torture.workers import quiet, run_for

PROGRESS = Path("var/torture.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    commands = parser.add_subparsers(dest="command", required=True)
    seeds = commands.add_parser("seeds", help="runs of seeds on all processors")
    seeds.add_argument("--minutes", type=float, default=120.0)
    seeds.add_argument("--progress", type=Path, default=PROGRESS)
    seeds.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    script = commands.add_parser("replay", help="a run from a script")
    script.add_argument("script", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "replay":
        quiet()
        print(replay(*read_script(arguments.script)))
        return 0
    return 0 if run_for(arguments.minutes * 60, arguments.progress, arguments.workers) else 1


if __name__ == "__main__":
    sys.exit(main())
