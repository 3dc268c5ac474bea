"""Measures the cleaner of a pool in a directory: its throughput, the write amplification and the longest turn of the loop.

    python bench/cleaning.py [SIZE-MIB]     with pools that are 50 % and 80 % live, below a limit of 256 MiB by default
    python bench/cleaning.py SIZE-MIB PERCENT   the figures for one share of live data, as JSON
    python bench/cleaning.py writes         speed of writes without garbage, to compare two versions of the store

Random blocks are overwritten until the pool has written four times its limit. A turn is the time of the processor between two
polls of the event loop. Python's garbage collector has the settings of `serve`.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import trio

from odx_target.cli.serving.garbage_collector import spared_collector
from odx_target.store.api import PoolBusy
from odx_target.store.open import PoolOptions, open_directory_pool
from odx_target.target.trio_environment import TrioEnvironment

BLOCK = 4096
MIB = 1 << 20
PIECE_BLOCKS = 4
WRITES_MIB = 1024


class Turns(trio.abc.Instrument):
    """Notes the processor time of every turn of the loop."""

    def __init__(self) -> None:
        self.turns_ms: list[float] = []
        self.is_on = False
        self._began_s = time.thread_time()

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        self._began_s = time.thread_time()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        if self.is_on:
            self.turns_ms.append((time.thread_time() - self._began_s) * 1e3)


async def write(pool, volume, block: int, data: bytes) -> None:  # type: ignore[no-untyped-def]
    while True:
        try:
            volume.write(block, [data])
            return
        except PoolBusy:
            pool.commit()
            await volume.room_made()


async def overwrite(folder: str, live_share: float, limit_mib: int, turns: Turns) -> dict[str, float]:
    limit_blocks = limit_mib * MIB // BLOCK
    live_blocks = int(limit_blocks * live_share)
    random = Random(1)
    data = random.randbytes(PIECE_BLOCKS * BLOCK)
    async with spared_collector(), trio.open_nursery() as nursery:
        options = PoolOptions(limit_bytes=limit_mib * MIB, segment_blocks=512)
        pool = await open_directory_pool(Path(folder) / "pool", TrioEnvironment(nursery), options)
        volume = pool.create_volume("a", live_blocks, {})
        for block in range(0, live_blocks - PIECE_BLOCKS, PIECE_BLOCKS):
            await write(pool, volume, block, data)
            if block % 64 == 0:
                pool.commit()
                await trio.lowlevel.checkpoint()
        began_s = time.perf_counter()
        turns.is_on = True
        for count in range(4 * limit_blocks // PIECE_BLOCKS):
            await write(pool, volume, random.randrange(live_blocks // PIECE_BLOCKS) * PIECE_BLOCKS, data)
            if count % 4 == 0:
                pool.commit()
                await trio.lowlevel.checkpoint()
        turns.is_on = False
        took_s = time.perf_counter() - began_s
        cleaning = pool.status().cleaning
        await pool.close()
        host_mib, moved_mib = 4 * limit_mib, cleaning.moved_blocks * BLOCK / MIB
        return {
            "live, %": round(live_share * 100),
            "write amplification": round(cleaning.write_amplification, 2),
            "hosts, MiB/s": round(host_mib / took_s, 1),
            "moved, MiB/s": round(moved_mib / took_s, 1),
            "segments freed": cleaning.freed_segments,
            "longest turn, ms": round(max(turns.turns_ms), 1),
            "turns over 2 ms": sum(each > 2 for each in turns.turns_ms),
            "turns": len(turns.turns_ms),
        }


async def write_once(folder: str) -> None:
    data = Random(1).randbytes(16 * BLOCK)
    async with trio.open_nursery() as nursery:
        pool = await open_directory_pool(Path(folder) / "pool", TrioEnvironment(nursery), PoolOptions())
        volume = pool.create_volume("a", WRITES_MIB * MIB // BLOCK, {})
        began_s = time.process_time()
        for block in range(0, WRITES_MIB * MIB // BLOCK, 16):
            await write(pool, volume, block, data)
            pool.commit()
            if block % 256 == 0:
                await trio.lowlevel.checkpoint()
        print(f"{WRITES_MIB / (time.process_time() - began_s):.0f} MiB for each second of the processor")
        await pool.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1:] == ["writes"]:
            trio.run(write_once, folder)
            return
    limit_mib = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    shares = [int(sys.argv[2]) / 100] if len(sys.argv) > 2 else [0.5, 0.8]
    for live_share in shares:
        with tempfile.TemporaryDirectory() as folder:
            turns = Turns()
            print(json.dumps(trio.run(overwrite, folder, live_share, limit_mib, turns, instruments=[turns])))


if __name__ == "__main__":
    main()
