"""Fills large volumes by copies of a small one, so that the map is as large as that of written data but the pool takes little
room.
"""

import random
from collections.abc import Callable

from odx_target.store.api import BLOCK_BYTES, PoolBusy, Volume
from odx_target.store.open import LogPool

SMALL_BLOCKS = 1 << 16


async def when_ready(volume: Volume, change: Callable[[], None]) -> None:
    """Call `change` as soon as the pool accepts a change."""
    while True:
        try:
            return change()
        except PoolBusy:
            await volume.room_made()


async def make_small_volume(pool: LogPool) -> Volume:
    """Make a volume of 256 MiB and one block, whose blocks were written one by one in a random order."""
    small = pool.create_volume("small", SMALL_BLOCKS + 1, {})
    order = list(range(SMALL_BLOCKS + 1))
    random.Random(1).shuffle(order)
    data = bytes(range(256)) * (BLOCK_BYTES // 256)
    for count, block in enumerate(order):
        await when_ready(small, lambda block=block: small.write(block, [data]))  # type: ignore[misc]
        if count % 64 == 63:
            pool.commit()
    pool.commit()
    return small


async def make_full_volume(pool: LogPool, small: Volume, name: str, size_blocks: int) -> Volume:
    """Make a volume with data in each block, by copies of the small volume at odd offsets. So all leaves of its map differ."""
    frozen = small.freeze(durable=True)
    volume = pool.create_volume(name, size_blocks, {})
    block = 0
    while block < size_blocks:
        source = 1 + block // SMALL_BLOCKS % 1023
        count = min(SMALL_BLOCKS - source, size_blocks - block)
        done = 0
        while done < count:
            copied = 0

            def copy(source: int = source + done, at: int = block + done, count: int = count - done) -> None:
                nonlocal copied
                copied = volume.copy_from(frozen, source, at, count)

            await when_ready(volume, copy)
            done += copied
            pool.commit()
            await pool.turns.next_if_spent()
        block += count
    return volume
