"""`make bench`: comparison of this array with Debian's tgt on one machine, both with their data in memory.

Each round starts both targets on fresh storage in /dev/shm and fills them with the same random data. Each load then runs on one
target after the other; the order changes in each round. The table has the medians and their ratio.
"""

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.clients import ClientFailed, Read, Write, fill
from bench.tgt import tgt
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from tests.interop.serving import DidNotServe, serve

ROUNDS = 3
LUN_BYTES = 256 << 20
MEMORY = Path("/dev/shm")
PROGRAMS = ("tgtd", "tgtadm", "iscsi-perf", "qemu-img")
KIB = 1024
TABLE_COLUMNS = 110
SCATTERED_STEP_BYTES = 4 * KIB * 1009
"""A prime number of blocks, so that a load visits every place once before it visits a place again."""

LOADS = {
    "read 4 KiB random, depth 32": Read(4 * KIB, 32, random=True),
    "read 4 KiB random, depth 1": Read(4 * KIB, 1, random=True),
    "read 256 KiB, depth 1": Read(256 * KIB, 1),
    "read 256 KiB, depth 8": Read(256 * KIB, 8),
    "write 4 KiB scattered, depth 32": Write(4 * KIB, 32, 30_000, SCATTERED_STEP_BYTES),
    "write 4 KiB scattered, depth 1": Write(4 * KIB, 1, 8_000, SCATTERED_STEP_BYTES),
    "write 4 KiB sequential, depth 32": Write(4 * KIB, 32, 30_000, 4 * KIB),
    "write 256 KiB, depth 1": Write(256 * KIB, 1, 1_000, 256 * KIB),
    "write 256 KiB, depth 8": Write(256 * KIB, 8, 1_500, 256 * KIB),
}

Loads = dict[str, Read | Write]
Figures = dict[tuple[str, str], list[float]]
"""Commands per second by load and target, with one figure for each round."""


@contextmanager
def ours(folder: Path) -> Iterator[str]:
    """Serve one LUN from a new pool; yields its URL."""
    served = serve(folder / "pool", [f"bench={LUN_BYTES >> 20}M"], log_path=folder / "serve.log")
    try:
        yield served.url(0)
    finally:
        served.kill()


def run_round(number: int, loads: Loads, image: Path, folder: Path, figures: Figures, progress: Progress) -> None:
    with tgt(folder / "tgt.raw", LUN_BYTES) as peer, ours(folder) as own:
        urls = {"tgt": peer, "odx-target": own}
        for url in urls.values():
            fill(url, image)
        order = list(urls) if number % 2 == 0 else list(reversed(urls))
        for name, load in loads.items():
            for target in order:
                figures.setdefault((name, target), []).append(load.run(urls[target]))
            progress.advance(progress.task_ids[0])


def table(loads: Loads, figures: Figures) -> Table:
    made = Table(title=f"commands per second, median of {ROUNDS} rounds")
    for heading in ("load", "tgt", "odx-target", "its MB/s", "ratio", "ratio by round"):
        made.add_column(heading, justify="left" if heading == "load" else "right", no_wrap=True)
    for name, load in loads.items():
        peer, own = figures[name, "tgt"], figures[name, "odx-target"]
        rate = statistics.median(own)
        ratios = [mine / theirs for mine, theirs in zip(own, peer, strict=True)]
        made.add_row(
            name,
            f"{statistics.median(peer):,.0f}",
            f"{rate:,.0f}",
            f"{rate * load.size_bytes / 1e6:,.0f}",
            f"{statistics.median(ratios):.2f}",
            " ".join(f"{ratio:.2f}" for ratio in ratios),
        )
    return made


def main(words: list[str]) -> int:
    """Measure the loads whose names contain all words, or every load if there are no words."""
    console = Console(width=max(Console().width, TABLE_COLUMNS))
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        console.print(f"needed and not installed: {', '.join(missing)} (Debian: tgt libiscsi-bin qemu-utils qemu-block-extra)")
        return 1
    loads: Loads = {name: load for name, load in LOADS.items() if all(word in name for word in words)}
    if not loads:
        console.print(f"no load has {' and '.join(words)} in its name; there are {'; '.join(LOADS)}", markup=False)
        return 1
    figures: Figures = {}
    try:
        with (
            tempfile.TemporaryDirectory(dir=MEMORY, prefix="odx-bench-") as name,
            Progress(console=console, transient=True) as progress,
        ):
            progress.add_task("measuring", total=ROUNDS * len(loads))
            image = Path(name) / "image.raw"
            image.write_bytes(os.urandom(LUN_BYTES))
            for number in range(ROUNDS):
                folder = Path(name) / str(number)
                folder.mkdir()
                run_round(number, loads, image, folder, figures, progress)
                shutil.rmtree(folder)
    except (ClientFailed, DidNotServe, OSError) as error:
        console.print(str(error), markup=False)
        return 1
    console.print(table(loads, figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
