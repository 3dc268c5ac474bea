"""`make bench`: comparison of this array with other iSCSI targets on one machine.

    python -m bench [WORD...]               the cells whose names contain all words; without words, all cells
    python -m bench --quick                 the nine cells of the quick run, with short write cells
    python -m bench --write [NAME]          also writes docs/performance/NAME.json, the tables and the plots
    python -m bench --disk DIR              pools and files in a directory on a disk, not in memory
    python -m bench --working-set 2048      size of the LUN in MiB

The tables have the medians of all rounds. If a cell fails on this array or on tgt, the exit status is 1.
Cells with several processes always fail on istgt (see `istgt.py`), so its failures are only shown.
"""

import argparse
import shlex
import shutil
import sys
from pathlib import Path

from bench import machine
from bench.cells import chosen
from bench.clients import ClientFailed
from bench.ending import end_by_sigterm
from bench.options import MIB, add_plan_options, run_name
from bench.pages import DOCUMENTS, LATEST, write_pages
from bench.results import document
from bench.rounds import Plan, Rounds
from bench.tables import ceiling, failures, tables
from bench.targets import ISTGT, OWN, PACKAGES, PEERS, PROGRAMS, array
from rich.console import Console
from rich.progress import Progress
from tests.interop.serving import DidNotServe

TABLE_COLUMNS = 150


def arguments(words: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", nargs="?", type=run_name, const=LATEST, metavar="NAME", help="default: latest")
    parser.add_argument("--disk", type=Path, metavar="DIR", default=Plan.folder)
    add_plan_options(parser)
    parser.add_argument("--short-writes", action="store_true", help="write cells that are not sustained")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    return parser.parse_intermixed_args(words)


def plan_of(options: argparse.Namespace) -> Plan:
    """Return the plan that the options describe."""
    return Plan(
        rounds=options.rounds,
        seconds=options.seconds,
        working_set_bytes=options.working_set * MIB,
        folder=options.disk,
        is_sustained=not (options.quick or options.short_writes),
    )


def missing_programs(users: list[str]) -> list[str]:
    """Return the programs that some users need and that are not installed."""
    return [program for user in users for program in PROGRAMS[user] if shutil.which(program) is None]


def main(words: list[str]) -> int:
    options = arguments(words)
    console = Console(width=max(Console().width, TABLE_COLUMNS))
    if missing := missing_programs([*options.peers, "clients"]):
        console.print(f"needed and not installed: {', '.join(missing)} (Debian: {PACKAGES})")
        return 1
    cells = chosen(options.words, quick=options.quick)
    if not cells:
        console.print(f"no cell has {' and '.join(options.words)} in its name", markup=False)
        return 1
    plan = plan_of(options)
    facts = machine.facts() | machine.package_versions([*options.peers, "libiscsi-bin", "qemu-utils"])
    targets = {name: PEERS[name] for name in options.peers} | {OWN: array()}
    try:
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task("measuring", total=plan.rounds * len(cells))
            measured = Rounds(cells, targets, plan, lambda: progress.advance(task)).run()
    except (ClientFailed, DidNotServe, OSError) as error:
        console.print(str(error), markup=False)
        return 1
    found = document(cells, list(targets), OWN, measured, plan, shlex.join(["python", "-m", "bench", *words]), facts)
    for table in tables(found):
        console.print(table.as_rich())
    for line in (*found["plan"].items(), ("client", ceiling(found) or "the ceiling of the load generator was not measured")):
        console.print(f"{line[0]}: {line[1]}", markup=False)
    if options.write:
        write_pages(found, DOCUMENTS, options.write)
    for text in failures(found):
        console.print(text, markup=False, style="red")
    return 1 if failures(found, {ISTGT}) else 0


if __name__ == "__main__":
    end_by_sigterm()
    sys.exit(main(sys.argv[1:]))
