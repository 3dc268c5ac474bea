"""Measures copies by token beside copies through the host, and the latency of other commands while copies run.

    python -m bench.copies                  copies of 1, 64 and 1024 MiB and of a LUN of 1 TiB; prints the tables
    python -m bench.copies --write          also writes docs/performance/copies.json, copies.md and a plot
    python -m bench.copies --max-mib 64     no larger copies, and no LUN of 1 TiB

A copy by token is made as Windows makes it: POPULATE TOKEN, RECEIVE ROD TOKEN INFORMATION and WRITE USING TOKEN for each 256
MiB, and a flush at the end. A copy through the host is `qemu-img convert` from the LUN to the same LUN.
"""

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import SubprocessError

import trio
from bench import machine
from bench.clients import ClientFailed, execute
from bench.copy_pages import DOCUMENTS, CopyDocument, tables, write_pages
from bench.copying import (
    FOREGROUND_MIB,
    TIMEOUT_S,
    WATCHED_COPY_MIB,
    CopyBench,
    Row,
    host_copy,
    interference,
    large_lun,
    token_copies,
)
from bench.ending import end_by_sigterm
from bench.load.login import LoadFailed
from bench.slow_reads import slow_reads
from bench.starting import serve_starts
from bench.targets import TGT
from bench.tgt import tgt
from rich.console import Console
from tests.interop.serving import DidNotServe, serve

from odx_target.initiator.errors import InitiatorError

MEMORY = "/dev/shm"
SIZES_MIB = (1, 64, 1024)
MIB = 1 << 20
TABLE_COLUMNS = 150
POOL_LIMIT = "8G"
LARGE_LUNS = ("large=1T", "large-copy=1T")


@contextmanager
def served(folder: Path, luns: Sequence[str], python_options: Sequence[str] = ()) -> Iterator[str]:
    """Serve an array in a folder. Yields its portal. With options of Python, the array is stopped in good order."""
    folder.mkdir()
    options = ["--pool-limit", POOL_LIMIT]
    server = serve(folder / "pool", luns, log_path=folder / "serve.log", options=options, python_options=python_options)
    try:
        yield server.portal
        if python_options:
            server.stop()
    finally:
        server.kill()


def measured(folder: Path, max_mib: int) -> dict[str, list[Row]]:
    """Measure all tables. The keys are the titles of the tables."""
    sizes = [size for size in SIZES_MIB if size <= max_mib]
    # The first LUN has room for a source, a fragmented source and a destination.
    luns = [f"bench={4 * max_mib}M", f"foreground={min(FOREGROUND_MIB, max_mib)}M", *LARGE_LUNS]
    with served(folder / "array", luns) as portal, tgt(folder / "tgt.raw", 2 * max_mib * MIB) as peer:
        bench = CopyBench(portal, max_mib, folder)
        bench.fill()
        rows = trio.run(token_copies, bench, sizes)
        bench.fill_peer(peer)
        for row, size in zip(rows, sizes, strict=True):
            row["through the host, s"] = host_copy(bench.url, size, bench.destination_mib)
            row[f"through the host by {TGT}, s"] = host_copy(peer, size, max_mib)
        with served(folder / "other", [f"bench={4 * WATCHED_COPY_MIB}M"]) as other_portal:
            latencies = trio.run(interference, bench, bench.other_array(other_portal))
        found = {"Copies": rows, "Latency during copies": latencies}
        if max_mib >= max(SIZES_MIB):
            found["A LUN of 1 TiB"] = [trio.run(large_lun, bench)]
    return found


def waits(folder: Path, max_mib: int) -> dict[str, list[Row]]:
    """Measure for what the slow reads beside copies wait."""
    watched_mib = min(WATCHED_COPY_MIB, max_mib)

    def bench_at(portal: str) -> CopyBench:
        bench = CopyBench(portal, watched_mib, folder)
        bench.fill()
        return bench

    luns = [f"bench={4 * watched_mib}M", f"foreground={min(FOREGROUND_MIB, watched_mib)}M"]
    with served(folder / "other", luns[:1]) as other_portal:
        return slow_reads(bench_at, other_portal, partial(served, folder / "noted", luns), folder / "steps.json")


def starts(folder: Path) -> dict[str, list[Row]]:
    """Measure the starts of arrays. Arrays in a running process have a process of their own, whose memory is measured."""
    printed = execute([sys.executable, "-m", "bench.starting", "arrays", str(folder)], TIMEOUT_S)
    return {
        "Start of `serve` to the first login": [{**serve_starts(folder)}],
        "Arrays in a running process": [json.loads(printed.splitlines()[-1])],
    }


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--max-mib", type=int, choices=SIZES_MIB, default=max(SIZES_MIB))
    options = parser.parse_args(words)
    console = Console(width=max(Console().width, TABLE_COLUMNS))
    facts = machine.facts()
    try:
        with tempfile.TemporaryDirectory(dir=MEMORY, prefix="odx-copies-") as name:
            found = measured(Path(name), options.max_mib)
        with tempfile.TemporaryDirectory(dir=MEMORY, prefix="odx-waits-") as name:
            found |= waits(Path(name), options.max_mib)
        with tempfile.TemporaryDirectory(dir=MEMORY, prefix="odx-starts-") as name:
            found |= starts(Path(name))
    except (ClientFailed, DidNotServe, InitiatorError, LoadFailed, OSError, SubprocessError) as error:
        console.print(str(error), markup=False)
        return 1
    document = CopyDocument(command=shlex.join(["python", "-m", "bench.copies", *words]), machine=facts, tables=found)
    for table in tables(document):
        console.print(table.as_rich())
    if options.write:
        write_pages(document, DOCUMENTS)
    return 0


if __name__ == "__main__":
    end_by_sigterm()
    sys.exit(main(sys.argv[1:]))
