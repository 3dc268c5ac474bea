"""Measures the time of snapshots, clones and restores, and of reads and writes behind many snapshots.

    python -m bench.snapshots                     runs all measurements, each in its own process
    python -m bench.snapshots changes 64 50000    a LUN of 64 GiB with 50,000 scattered blocks
    python -m bench.snapshots changes 64 16777216 a LUN of 64 GiB with data in each block, made by copies
    python -m bench.snapshots clones 1024 50000   `clone --count 500 --lun` of a LUN of 1 TiB, through the control socket
    python -m bench.snapshots reads 1000 50000    reads and writes of a LUN of 64 GiB with 1,000 snapshots

The pool is in a directory in /dev/shm. Times are medians in microseconds, unless the name of a figure says otherwise.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random

import trio
from bench.full_volume import make_full_volume, make_small_volume

from odx_target.cli.serving.serve import open_pool
from odx_target.store.api import BLOCK_BYTES, BlockSource, Pool, PoolBusy, Volume
from odx_target.store.open import open_directory_pool
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.control.client import request
from odx_target.target.control.operations import perform
from odx_target.target.control.server import serve_control
from odx_target.target.trio_environment import TrioEnvironment

GIB_BLOCKS = (1 << 30) // BLOCK_BYTES
REPEATS = 200
CLONES = 500
READS = 20_000
WRITES = 2000
PASSES = 7
WRITES_OF_A_COMMIT = 500
WRITES_OF_A_BATCH = 20
CHANGES_BETWEEN_SNAPSHOTS = 20
MEMORY = "/dev/shm"

SCENARIOS = (
    *(["changes", str(gib), str(blocks)] for gib in (1, 64, 1024) for blocks in (0, 50_000, gib * GIB_BLOCKS)),
    *(["clones", str(gib), str(blocks)] for gib in (1, 64, 1024) for blocks in (0, 50_000)),
    *(["reads", str(depth), "50000"] for depth in (1, 10, 100, 1000)),
)

Figures = dict[str, float]


async def write_when_ready(pool: Pool, volume: Volume, block: int, data: bytes) -> None:
    """Write a block as soon as the pool accepts a change."""
    while True:
        try:
            volume.write(block, [data])
            return
        except PoolBusy:
            await pool.committed()
            await volume.room_made()


async def write_scattered(pool: Pool, volume: Volume, count_blocks: int, draw: Random) -> None:
    """Write single blocks at random places, in commits of some hundred."""
    for number in range(count_blocks):
        block = draw.randrange(volume.size_blocks)
        data = number.to_bytes(8, "little") * (BLOCK_BYTES // 8)
        await write_when_ready(pool, volume, block, data)
        if number % WRITES_OF_A_COMMIT == 0:
            await pool.committed()
            await trio.sleep(0)
    await pool.committed()
    await pool.flush()


async def changes(folder: Path, gib: int, blocks: int) -> Figures:
    """Time of one snapshot, clone, restore and deletion, each with its commit, and of a snapshot with its flush."""
    async with trio.open_nursery() as nursery:
        pool = await open_directory_pool(folder / "pool", TrioEnvironment(nursery))
        if blocks == gib * GIB_BLOCKS:
            volume: Volume = await make_full_volume(pool, await make_small_volume(pool), "v", blocks)
        else:
            volume = pool.create_volume("v", gib * GIB_BLOCKS, {})
            await write_scattered(pool, volume, blocks, Random(1))
        times: dict[str, list[float]] = {}

        def timed(name: str, change: Callable[[], object]) -> None:
            began = time.perf_counter()
            change()
            pool.commit()
            times.setdefault(name, []).append((time.perf_counter() - began) * 1e6)

        for number in range(REPEATS):
            timed("snapshot", partial(volume.snapshot, f"s{number}"))
            snapshot = volume.snapshots[f"s{number}"]
            timed("clone", partial(pool.create_volume, f"c{number}", volume.size_blocks, {}, snapshot))
            timed("restore", partial(volume.restore, snapshot))
            timed("delete snapshot", snapshot.delete)
            began = time.perf_counter()
            volume.snapshot(f"t{number}")
            await pool.committed()
            await pool.flush()
            times.setdefault("durable snapshot", []).append((time.perf_counter() - began) * 1e6)
        figures = {name: statistics.median(each) for name, each in times.items()}
        await pool.close()
        nursery.cancel_scope.cancel()
    return figures


async def clones(folder: Path, gib: int, blocks: int) -> Figures:
    """Seconds from the request of 500 clones as LUNs of a running array to its answer; and seconds to open their pool again."""
    config = Config(folder / "pool", (LunConfig("first", gib << 30, BLOCK_BYTES),), (Portal(port=0),))
    async with (
        Array(config, open_pool=open_pool) as array,
        serve_control(folder / "control", partial(perform, array)),
    ):
        await write_scattered(array.pool, array.pool.volumes["first"], blocks, Random(1))
        arguments = {"origin": "first", "name": "vm-{}", "count": CLONES, "lun": True}
        began = time.perf_counter()
        await trio.to_thread.run_sync(request, folder / "control", "clone", arguments)
        elapsed_s = time.perf_counter() - began
    began = time.perf_counter()
    async with Array(config, open_pool=open_pool):
        opened_s = time.perf_counter() - began
    return {"500 clones, s": elapsed_s, "open again, s": opened_s}


async def reads(folder: Path, depth: int, blocks: int) -> Figures:
    """Time of reads of 4 KiB from the volume and from its oldest snapshot, and of writes, with blocks changed between the
    snapshots.
    """
    draw = Random(1)
    async with trio.open_nursery() as nursery:
        pool = await open_directory_pool(folder / "pool", TrioEnvironment(nursery))
        volume = pool.create_volume("v", 64 * GIB_BLOCKS, {})
        await write_scattered(pool, volume, blocks, draw)
        written = [block for block, _, mapped in volume.extents(0) if mapped]
        for number in range(depth):
            volume.snapshot(f"s{number}")
            for block in draw.sample(written, CHANGES_BETWEEN_SNAPSHOTS):
                await write_when_ready(pool, volume, block, bytes(BLOCK_BYTES))
            await pool.committed()
            await trio.sleep(0)
        # While a checkpoint is saved in a thread, each read also waits for the interpreter lock. This depends on the number of
        # changes since the last checkpoint, not on the number of snapshots.
        await pool.checkpoint()
        places = [draw.choice(written) for _ in range(READS)]
        figures = {
            "read of the volume": read_us(volume, places),
            "read of the oldest snapshot": read_us(volume.snapshots["s0"], places),
        }
        figures["write of the volume"] = await write_us(pool, volume, places)
        await pool.close()
        nursery.cancel_scope.cancel()
    return figures


def read_us(source: BlockSource, places: list[int]) -> float:
    """Processor time of one read in microseconds: the median of several passes, after one pass that fills the caches."""
    times = []
    for _ in range(1 + PASSES):
        began = time.thread_time()
        for block in places:
            source.read_now(block, 1)
        times.append((time.thread_time() - began) * 1e6 / len(places))
    return statistics.median(times[1:])


async def write_us(pool: Pool, volume: Volume, places: list[int]) -> float:
    """Processor time of one write with its share of a commit, in microseconds: the median of several passes. Each pass begins
    with a snapshot, so each write copies the part of the map that it changes.
    """
    times = []
    data = [bytes(range(256)) * (BLOCK_BYTES // 256)]
    for number in range(1 + PASSES):
        volume.snapshot("of the pass")
        elapsed_s = 0.0
        for start in range(number * WRITES, (number + 1) * WRITES, WRITES_OF_A_BATCH):
            began = time.thread_time()
            for block in places[start : start + WRITES_OF_A_BATCH]:
                volume.write(block, data)
            pool.commit()
            elapsed_s += time.thread_time() - began
            await trio.sleep(0)
        times.append(elapsed_s * 1e6 / WRITES)
        volume.snapshots["of the pass"].delete()
        await pool.checkpoint()
    return statistics.median(times[1:])


MEASURES: dict[str, Callable[[Path, int, int], Awaitable[Figures]]] = {"changes": changes, "clones": clones, "reads": reads}


def main(arguments: list[str]) -> None:
    if not arguments:
        for scenario in SCENARIOS:
            ended = subprocess.run(
                [sys.executable, "-m", "bench.snapshots", *scenario], capture_output=True, text=True, check=True
            )
            print(f"{' '.join(scenario):20}", ended.stdout.strip().splitlines()[-1], flush=True)
        return
    name, first, second = arguments
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        figures = trio.run(MEASURES[name], Path(folder), int(first), int(second))
    print(json.dumps({key: round(value, 3 if key.endswith(", s") else 1) for key, value in figures.items()}))


if __name__ == "__main__":
    main(sys.argv[1:])
