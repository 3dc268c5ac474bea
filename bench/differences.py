"""Measures the comparison of two snapshots of a volume of 1 TiB.

    python -m bench.differences EXTENTS FULL     EXTENTS blocks changed between the snapshots; FULL is 1 if all blocks have data

Every second block may change, so each changed block is a range of its own, and so are the equal blocks between two of them. The
first comparison also loads the leaves that are not in memory. The pool is in /dev/shm.
"""

import gc
import json
import sys
import tempfile
import time
from pathlib import Path
from random import Random

import trio
from bench.full_volume import make_full_volume, make_small_volume, when_ready

from odx_target.store.api import Volume
from odx_target.store.open import LogPool, PoolOptions, open_directory_pool
from odx_target.target.trio_environment import TrioEnvironment

MEMORY = "/dev/shm"
SIZE_BLOCKS = 1 << 28
COMPARISONS = 5
CHANGES_OF_A_COMMIT = 256


async def change_scattered(pool: LogPool, volume: Volume, small: Volume, extents: int) -> None:
    """Change single blocks that are not adjacent."""
    draw = Random(3)
    frozen = small.freeze(durable=True)
    for number, half in enumerate(sorted(draw.sample(range(SIZE_BLOCKS // 2), extents))):
        source = draw.randrange(small.size_blocks)
        await when_ready(volume, lambda half=half, source=source: volume.copy_from(frozen, source, 2 * half, 1))  # type: ignore[misc]
        if number % CHANGES_OF_A_COMMIT == 0:
            pool.commit()
            await pool.turns.next_if_spent()
    pool.commit()


async def compare(pool: LogPool, volume: Volume) -> tuple[int, float]:
    """Return the number of ranges that differ, and the seconds of the comparison."""
    began = time.perf_counter()
    found = 0
    async for part in pool.changed_ranges(volume.snapshots["older"], volume.snapshots["newer"]):
        for _block, _count_blocks, _change in part.ranges():
            found += 1
    return found, time.perf_counter() - began


async def measure(folder: Path, extents: int, *, is_full: bool) -> dict[str, float]:
    async with trio.open_nursery() as nursery:
        pool = await open_directory_pool(folder, TrioEnvironment(nursery), PoolOptions(cleaning=False))
        small = await make_small_volume(pool)
        if is_full:
            volume = await make_full_volume(pool, small, "volume", SIZE_BLOCKS)
        else:
            volume = pool.create_volume("volume", SIZE_BLOCKS, {})
        volume.snapshot("older")
        await change_scattered(pool, volume, small, extents)
        volume.snapshot("newer")
        gc.collect()
        gc.freeze()
        found, first_s = await compare(pool, volume)
        again_s = min([(await compare(pool, volume))[1] for _ in range(COMPARISONS)])
        await pool.close()
        nursery.cancel_scope.cancel()
    return {"ranges that differ": found, "first comparison, s": round(first_s, 3), "again, s": round(again_s, 3)}


def main(arguments: list[str]) -> None:
    extents, is_full = int(arguments[0]), arguments[1] == "1"
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        print(json.dumps(trio.run(lambda: measure(Path(name) / "pool", extents, is_full=is_full))))


if __name__ == "__main__":
    main(sys.argv[1:])
