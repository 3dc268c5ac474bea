"""Measures a pool with a map of 1 TiB of scattered 4 KiB blocks: its opening, its memory, and reads and writes at random.

    python -m bench.map_leaves DIRECTORY          makes the pool if it is missing, then runs all measurements
    python -m bench.map_leaves DIRECTORY open     measures only the opening, in this process
    python -m bench.map_leaves DIRECTORY use      opens the pool, and reads and writes at random

The pool has one small volume whose blocks were written one by one in a random order, and one volume of 1 TiB that is filled by
copies of the small one at odd offsets. So every leaf of the large map is dense and different, but the pool takes little room.
"""

import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import trio
from bench.full_volume import make_full_volume, make_small_volume, when_ready

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.open import LogPool, PoolOptions, open_directory_pool
from odx_target.target.trio_environment import TrioEnvironment

LARGE_BLOCKS = 1 << 28
USES = 4000

Figures = dict[str, float]


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


async def make(pool: LogPool, _nursery: trio.Nursery) -> Figures:
    began = time.perf_counter()
    small = await make_small_volume(pool)
    await make_full_volume(pool, small, "large", LARGE_BLOCKS)
    return {"make_s": time.perf_counter() - began, "make_peak_mib": peak_mib()}


async def use(pool: LogPool, nursery: trio.Nursery) -> Figures:
    """Read and write single blocks at random. The longest turn is the most processor time between two runs of a task."""
    figures = {"resident_after_opening_mib": resident_mib()}
    turns: list[float] = []
    gc.collect()
    gc.freeze()

    async def watch() -> None:
        while True:
            before = time.thread_time()
            await trio.lowlevel.checkpoint()
            turns.append(time.thread_time() - before)

    volume, random = pool.volumes["large"], Random(2)
    nursery.start_soon(watch)

    async def read(block: int) -> None:
        if volume.read_now(block, 1) is None:
            await volume.read(block, 1)

    async def write(block: int) -> None:
        await when_ready(volume, lambda: volume.write(block, [bytes(BLOCK_BYTES)]))
        pool.commit()

    actions: tuple[tuple[str, Callable[[int], Awaitable[None]]], ...] = (("read", read), ("write", write))
    for name, act in actions:
        began = time.perf_counter()
        for _ in range(USES):
            await act(random.randrange(LARGE_BLOCKS))
        figures[f"random_{name}_us"] = (time.perf_counter() - began) * 1e6 / USES
        figures[f"resident_after_{name}s_mib"] = resident_mib()
    figures["longest_turn_ms"] = max(turns) * 1e3
    figures["peak_mib"] = peak_mib()
    return figures


async def nothing(_pool: LogPool, _nursery: trio.Nursery) -> Figures:
    return {"peak_after_opening_mib": peak_mib()}


async def measured(directory: Path, act: Callable[[LogPool, trio.Nursery], Awaitable[Figures]]) -> Figures:
    async with trio.open_nursery() as nursery:
        figures: Figures = {"empty_process_mib": peak_mib()}
        began = time.perf_counter()
        pool = await open_directory_pool(directory, TrioEnvironment(nursery), PoolOptions(cleaning=False))
        figures["open_s"] = time.perf_counter() - began
        figures |= await act(pool, nursery)
        began = time.perf_counter()
        await pool.close()
        figures["close_s"] = time.perf_counter() - began
        nursery.cancel_scope.cancel()
    return figures


ACTIONS = {"make": make, "open": nothing, "use": use}


def main() -> None:
    directory = Path(sys.argv[1])
    if len(sys.argv) > 2:
        print(json.dumps(trio.run(measured, directory, ACTIONS[sys.argv[2]])))
        return
    for name in ACTIONS:
        if name == "make" and directory.exists():
            continue
        done = subprocess.run(
            [sys.executable, "-m", "bench.map_leaves", str(directory), name], capture_output=True, text=True, check=True
        )
        print(name)
        for key, value in json.loads(done.stdout).items():
            print(f"    {key:44} {value:12.2f}")


if __name__ == "__main__":
    main()
