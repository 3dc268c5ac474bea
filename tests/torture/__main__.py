"""Command line of the torture.

    python -m tests.torture run --minutes 120      runs of seeds, and all other forms in one process
    python -m tests.torture seeds --minutes 120    only runs of seeds
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
    for name, text in (("run", "runs of seeds on all processors, and all other forms"), ("seeds", "only runs of seeds")):
        search = commands.add_parser(name, help=text)
        search.add_argument("--minutes", type=float, default=120.0)
        search.add_argument("--progress", type=Path, default=PROGRESS)
        search.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    script = commands.add_parser("replay", help="a run from a script")
    script.add_argument("script", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "replay":
        quiet()
        print(replay(*read_script(arguments.script)))
        return 0
    all_forms = arguments.command == "run"
    return 0 if run_for(arguments.minutes * 60, arguments.progress, arguments.workers, all_forms=all_forms) else 1


if __name__ == "__main__":
    sys.exit(main())
