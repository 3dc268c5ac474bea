"""Measures the time to open a pool and the memory of its maps, against the number of mapped bytes.

    python bench/opening.py scattered 100000    single blocks, scattered over a volume of 1 TiB
    python bench/opening.py sequential 100000   the same number of blocks in writes of 256 KiB

One process writes the blocks and saves a checkpoint, and another process opens the pool. Then a process writes the last blocks
without a checkpoint and is killed, and another process opens the pool and replays the log. The pool is in /dev/shm.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import trio

from odx_target.store.api import BLOCK_BYTES, Pool, PoolBusy, Volume
from odx_target.store.open import PoolOptions, open_directory_pool
from odx_target.target.trio_environment import TrioEnvironment

MEMORY = "/dev/shm"
SIZE_BLOCKS = (1 << 40) // BLOCK_BYTES
REPLAYED_BLOCKS = 20_000
RUN_BLOCKS = {"scattered": 1, "sequential": 64}
COMMIT_BLOCKS = 512
NEVER_BLOCKS = 1 << 40


def resident_mib() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def write(pool: Pool, volume: Volume, pattern: str, first: int, count_blocks: int) -> None:
    """Write blocks from number `first` of the pattern on."""
    run_blocks = RUN_BLOCKS[pattern]
    draw = Random(first)
    data = bytes(range(256)) * (BLOCK_BYTES // 256 * run_blocks)
    for number in range(first, first + count_blocks, run_blocks):
        block = number if pattern == "sequential" else draw.randrange(SIZE_BLOCKS)
        while True:
            try:
                volume.write(block, [data])
                break
            except PoolBusy:
                await pool.committed()
                await volume.room_made()
        if number % COMMIT_BLOCKS == 0:
            await pool.committed()
            await trio.sleep(0)
    await pool.committed()


async def fill(folder: Path, pattern: str, count_blocks: int) -> None:
    """Make a pool with a checkpoint of all blocks."""
    async with trio.open_nursery() as nursery:
        pool = await open_directory_pool(folder, TrioEnvironment(nursery))
        volume = pool.create_volume("a", SIZE_BLOCKS, {})
        await write(pool, volume, pattern, 0, count_blocks)
        await pool.close()
        nursery.cancel_scope.cancel()


async def add_and_die(folder: Path, pattern: str, count_blocks: int) -> None:
    """Write more blocks, and end the process without a checkpoint."""
    async with trio.open_nursery() as nursery:
        pool = await open_directory_pool(folder, TrioEnvironment(nursery), PoolOptions(checkpoint_blocks=NEVER_BLOCKS))
        await write(pool, pool.volumes["a"], pattern, count_blocks, REPLAYED_BLOCKS)
        os._exit(0)


async def measure(folder: Path, pattern: str, count_blocks: int) -> None:  # noqa: ARG001 - all steps have the same arguments
    """Open the pool, and print the time and the additional memory."""
    before_mib, began = resident_mib(), time.perf_counter()
    async with trio.open_nursery() as nursery:
        pool = await open_directory_pool(folder, TrioEnvironment(nursery))
        opened_s = time.perf_counter() - began
        print(json.dumps({"open, s": round(opened_s, 3), "memory, MiB": round(resident_mib() - before_mib, 1)}))
        await pool.close()
        nursery.cancel_scope.cancel()


STEPS = {"fill": fill, "add": add_and_die, "measure": measure}


def run_step(step: str, folder: Path, pattern: str, count_blocks: int) -> str:
    arguments = [sys.executable, __file__, step, str(folder), pattern, str(count_blocks)]
    return subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True).stdout


def main(arguments: list[str]) -> None:
    if len(arguments) == 4:
        step, folder, pattern, count = arguments
        trio.run(STEPS[step], Path(folder), pattern, int(count))
        return
    pattern, count_blocks = arguments[0], int(arguments[1])
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name) / "pool"
        run_step("fill", folder, pattern, count_blocks)
        clean = json.loads(run_step("measure", folder, pattern, count_blocks))
        run_step("add", folder, pattern, count_blocks)
        replayed = json.loads(run_step("measure", folder, pattern, count_blocks))
    mapped_mib = count_blocks * BLOCK_BYTES / (1 << 20)
    print(json.dumps({"mapped, MiB": mapped_mib, **clean, "open after a kill, s": replayed["open, s"]}))


if __name__ == "__main__":
    main(sys.argv[1:])
