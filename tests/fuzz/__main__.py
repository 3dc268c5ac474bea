"""Command line of the fuzzer.

    python -m tests.fuzz run --minutes 30        search with coverage; seeds continue where the last run ended
    python -m tests.fuzz replay FILE             repeat a finding from the file that the search has written
    python -m tests.fuzz minimise                keep only the scripts of the corpus that others do not make superfluous
    python -m tests.fuzz tokens --count 1000000  mutated tokens, each judged by the array and by a naive judge

The exit code is 1 if something was found.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from random import Random

from tests.fuzz.corpus import read_corpus, write_corpus
from tests.fuzz.line_coverage import LineCoverage, count_all_lines
from tests.fuzz.minimise import minimised
from tests.fuzz.search import Search, rule_of, search_all
from tests.fuzz.surfaces import SURFACE_BY_NAME, SURFACES

FINDINGS = Path("var/fuzz")
REPORT_INTERVAL_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Attack the array with changed inputs.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="search for inputs that break a rule")
    run.add_argument("--minutes", type=float, default=30.0, help="duration; default: %(default)g")
    run.add_argument("--seed", type=int, default=int(time.time()), help="seed of the search; default: the time")
    run.add_argument("--surface", action="append", choices=sorted(SURFACE_BY_NAME), help="only this surface; can be repeated")
    run.add_argument("--keep", action="store_true", help="add interesting scripts to the corpus in fixtures/fuzz")
    replay = commands.add_parser("replay", help="repeat a finding")
    replay.add_argument("file", type=Path, metavar="FILE")
    shorter = commands.add_parser("minimise", help="drop superfluous scripts from the corpus")
    shorter.add_argument("--surface", action="append", choices=sorted(SURFACE_BY_NAME))
    tokens = commands.add_parser("tokens", help="compare the judgement of mutated tokens with a naive judge")
    tokens.add_argument("--count", type=int, default=1_000_000)
    tokens.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    return {"run": _run, "replay": _replay, "minimise": _minimise, "tokens": _tokens}[arguments.command](arguments)


def _run(arguments: argparse.Namespace) -> int:
    chosen = [surface for surface in SURFACES if not arguments.surface or surface.name in arguments.surface]
    print(f"seed {arguments.seed}", flush=True)
    searches = [
        Search(
            surface,
            Random(f"{arguments.seed} {surface.name}"),
            read_corpus(surface.name),
            LineCoverage(surface.packages),
            is_timed=True,
        )
        for surface in chosen
    ]
    for search in searches:
        search.replay_corpus()
    began_s = last_s = time.monotonic()

    def is_over() -> bool:
        return time.monotonic() - began_s > arguments.minutes * 60

    written: set[str] = set()

    def report() -> None:
        nonlocal last_s
        _write_findings(searches, written)
        if time.monotonic() - last_s >= REPORT_INTERVAL_S:
            last_s = time.monotonic()
            _print_state(searches, last_s - began_s)

    found = search_all(searches, is_over, report)
    _write_findings(searches, written)
    _print_state(searches, time.monotonic() - began_s)
    if arguments.keep:
        for search in searches:
            former = read_corpus(search.surface.name)
            new = search.corpus[len(former) :]
            write_corpus(search.surface.name, search.corpus, FINDINGS)  # in case that this process is ended meanwhile
            write_corpus(search.surface.name, minimised(search.surface, new, former))
    return 1 if found else 0


def _write_findings(searches: list[Search], written: set[str]) -> None:
    """Write the new findings to files at once, because this process may be ended before its time."""
    for search in searches:
        for found in search.findings.values():
            path = found.write(FINDINGS) if f"{found.surface} {found.rule}" not in written else None
            if path is not None:
                written.add(f"{found.surface} {found.rule}")
                detail = found.detail[:500]
                print(f"{found.surface}: {found.rule}\n  {detail}\n  replay: python -m tests.fuzz replay {path}", flush=True)


def _print_state(searches: list[Search], elapsed_s: float) -> None:
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    total = sum(search.executions for search in searches)
    findings = sum(len(search.findings) for search in searches)
    print(f"{elapsed_s:.0f} s: {total:,} executions, {findings} findings, {memory_mib} MiB")
    for search in searches:
        assert search.coverage is not None
        lines, all_lines = search.coverage.count_lines, count_all_lines(search.surface.packages)
        print(
            f"  {search.surface.name}: {search.executions:,} executions, {lines:,} of {all_lines:,} lines "
            f"({100 * lines / all_lines:.0f} %), {len(search.outcomes):,} outcomes, {len(search.corpus):,} scripts "
            f"({search.grown} new), slowest {search.slowest_s:.2f} s",
            flush=True,
        )


def _replay(arguments: argparse.Namespace) -> int:
    finding = json.loads(arguments.file.read_text(encoding="utf-8"))
    try:
        outcomes = SURFACE_BY_NAME[finding["surface"]].run(finding["script"])
    except Exception as error:
        print(f"{rule_of(error)}\n{error}")
        return 1
    print("no rule was broken", *sorted(outcomes), sep="\n  ")
    return 0


def _minimise(arguments: argparse.Namespace) -> int:
    for surface in SURFACES:
        if not arguments.surface or surface.name in arguments.surface:
            before = read_corpus(surface.name)
            after = minimised(surface, before)
            write_corpus(surface.name, after)
            print(f"{surface.name}: {len(after)} of {len(before)} scripts are left")
    return 0


def _tokens(arguments: argparse.Namespace) -> int:
    from tests.fuzz.tokens.comparison import compare_tokens

    found = compare_tokens(arguments.count, arguments.seed)
    print(f"{sum(found.counts.values()):,} tokens", *(f"  {code}: {count:,}" for code, count in found.counts.items()), sep="\n")
    print(*found.differences, sep="\n")
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main())
