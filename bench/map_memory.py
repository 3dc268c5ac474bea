"""Measures the memory of the block map of a written TiB, and the time to freeze, copy and save it.

    python bench/map_memory.py            runs all measurements, each in its own process
    python bench/map_memory.py random 1   runs one measurement, for a map of 1 TiB

Only the map is made, without data. Its places are those that a log would give for the same pattern of writes.
"""

import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from odx_target.store.catalogue.interface import Checkpoint, VolumeState
from odx_target.store.catalogue.sqlite import SqliteCatalogue
from odx_target.store.map.copy_on_write import BlockMap

TIB_BLOCKS = 1 << 28
GIB_BLOCKS = 1 << 18
BATCH_BLOCKS = 64
"""Blocks in a batch with one write of 256 KiB. Headers separate the batches, so these are the shortest sequential runs."""

LCG_FACTOR = 6364136223846793005
"""Factor of a random generator that takes every value once (Knuth). Its low bits vary little, so they become the high bits."""

LOW_BITS = 10
PLACE_FACTOR = 2654435761
PLACE_MASK = (1 << 40) - 1

Figures = dict[str, float]


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def timed(figures: Figures, name: str, scale: float = 1e3) -> Iterator[None]:
    gc.collect()
    start = time.perf_counter()
    yield
    figures[name] = (time.perf_counter() - start) * scale


def write_in_sequence(live: BlockMap, blocks: int) -> None:
    for block in range(0, blocks, BATCH_BLOCKS):
        live.assign(block, block // BATCH_BLOCKS * (BATCH_BLOCKS + 1) + 1, BATCH_BLOCKS)


def write_at_random(live: BlockMap, blocks: int) -> None:
    """Write every block with its own write, in an order that jumps between leaves. `blocks` must be a power of two."""
    mask = blocks - 1
    high = blocks.bit_length() - 1 - LOW_BITS
    state = 1
    for place in range(1, blocks + 1):
        state = (state * LCG_FACTOR + 1) & mask
        block = (state >> LOW_BITS) | (state << high) & mask
        live.assign(block, place * PLACE_FACTOR & PLACE_MASK | 1)


def checkpoint(live: BlockMap) -> Checkpoint:
    return Checkpoint({}, {}, (VolumeState(0, "bench", bytes(16), {}, live.freeze()),))


def written_map(write: Callable[[BlockMap, int], None], tib: float) -> Figures:
    figures: Figures = {"empty_process_mib": peak_mib()}
    blocks = int(TIB_BLOCKS * tib)
    live = BlockMap(TIB_BLOCKS)
    with timed(figures, "write_s", 1):
        write(live, blocks)
    figures["written_mib"] = peak_mib()
    with timed(figures, "freeze_us", 1e6):
        live.freeze()
    with timed(figures, "first_write_after_us", 1e6):
        live.assign(blocks // 2, 5)
    with tempfile.TemporaryDirectory() as directory:
        save(figures, live, directory)
        figures["saved_mib"] = peak_mib()
        del live
        load(figures, directory)
        figures["loaded_instead_mib"] = peak_mib()
    return figures


def save(figures: Figures, live: BlockMap, directory: str) -> None:
    path = Path(directory) / "catalogue.db"
    catalogue = SqliteCatalogue(path)
    with timed(figures, "save_s", 1):
        catalogue.save(checkpoint(live))
    with timed(figures, "save_again_ms"):
        catalogue.save(checkpoint(live))
    live.assign(0, 5)
    with timed(figures, "save_one_leaf_ms"):
        catalogue.save(checkpoint(live))
    catalogue.close()
    figures["file_mib"] = path.stat().st_size / (1 << 20)


def load(figures: Figures, directory: str) -> None:
    catalogue = SqliteCatalogue(Path(directory) / "catalogue.db")
    with timed(figures, "load_s", 1):
        assert catalogue.load() is not None
    catalogue.close()


def scattered(tib: float) -> Figures:
    """Measure the memory for each of many single blocks, scattered over a PiB; there are 100,000 blocks per requested TiB."""
    figures: Figures = {"empty_process_mib": peak_mib()}
    count = int(100_000 * tib)
    random = Random(1)
    live = BlockMap(TIB_BLOCKS * 1024)
    with timed(figures, "write_s", 1):
        for place in range(1, count + 1):
            live.assign(random.randrange(live.size_blocks), place)
    figures["bytes_a_block"] = (peak_mib() - figures["empty_process_mib"]) * (1 << 20) / count
    with timed(figures, "walk_extents_s", 1):
        figures["extents"] = sum(1 for _ in live.extents())
    with timed(figures, "clear_and_free_all_us", 1e6):
        live.clear(0, live.size_blocks)
    return figures


def copies(_tib: float) -> Figures:
    figures: Figures = {}
    for name, write in (("sequential", write_in_sequence), ("fragmented", write_at_random)):
        source = BlockMap(2 * GIB_BLOCKS)
        write(source, 2 * GIB_BLOCKS)
        frozen = source.freeze()
        for how, first in (("aligned", 0), ("unaligned", 5)):
            target = BlockMap(2 * GIB_BLOCKS)
            with timed(figures, f"copy_1gib_{name}_{how}_us", 1e6):
                target.copy_range(frozen, first, 0, GIB_BLOCKS)
        with tempfile.TemporaryDirectory() as directory:
            kept: Figures = {}
            save(kept, target, directory)
            load(kept, directory)
        figures |= {f"1gib_{name}_{key}": value for key, value in kept.items()}
    return figures


def calls(_tib: float) -> Figures:
    """Measure the calls of the hot path on packed and on dense leaves of a TiB."""
    figures: Figures = {}
    for name, write in (("packed", write_in_sequence), ("dense", write_at_random)):
        live = BlockMap(TIB_BLOCKS)
        write(live, GIB_BLOCKS)
        for what, call in calls_of(live, 77_760).items():
            figures[f"{name}_{what}_us"] = min(timed_call(call) for _ in range(5))
    return figures


def calls_of(live: BlockMap, block: int) -> dict[str, Callable[[], object]]:
    return {
        "runs_1": lambda: live.runs(block, 1),
        "runs_64": lambda: live.runs(block, 64),
        "assign_1": lambda: live.assign(block, 99),
        "assign_64": lambda: live.assign(block, 10_000, 64),
        "runs_64_contiguous": lambda: live.runs(block, 64),
    }


def timed_call(call: Callable[[], object], times: int = 10_000) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) * 1e6 / times


MEASUREMENTS: dict[str, Callable[[float], Figures]] = {
    "sequential": lambda tib: written_map(write_in_sequence, tib),
    "random": lambda tib: written_map(write_at_random, tib),
    "scattered": scattered,
    "copies": copies,
    "calls": calls,
}


def main() -> None:
    if len(sys.argv) > 1:
        tib = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
        print(json.dumps(MEASUREMENTS[sys.argv[1]](tib)))
        return
    for name in MEASUREMENTS:
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
        print(name)
        for key, value in json.loads(done.stdout).items():
            print(f"    {key:44} {value:12.2f}")


if __name__ == "__main__":
    main()
