"""Tests of a pool in a directory with real threads and an event loop."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import trio
from tests.store.pools import block, blocks

from odx_target.store.api import PoolBusy, Volume
from odx_target.store.open import LogPool, PoolOptions, open_directory_pool
from odx_target.target.trio_environment import TrioEnvironment

SIZE = 2000


async def test_writers_readers_flushes_and_checkpoints_side_by_side(tmp_path: Path) -> None:
    options = PoolOptions(segment_blocks=64, checkpoint_blocks=200)
    async with trio.open_nursery() as background:
        environment = TrioEnvironment(background)
        pool = await open_directory_pool(tmp_path / "pool", environment, options)
        volumes = [pool.create_volume(f"v{number}", SIZE, {}) for number in range(3)]
        async with trio.open_nursery() as users:
            for number, volume in enumerate(volumes):
                users.start_soon(use, pool, volume.name, Random(number))
        await pool.close()
        pool = await open_directory_pool(tmp_path / "pool", environment, options)
        for number in range(3):
            expected = await use(None, "", Random(number))
            found = b"".join(await pool.volumes[f"v{number}"].read(0, SIZE))
            assert found == blocks(*[expected.get(at, 0) for at in range(SIZE)])
        await pool.close()


async def use(pool: LogPool | None, name: str, random: Random) -> dict[int, int]:
    """Write, flush and read at random; returns the final values. Without a pool, only computes these values."""
    expected: dict[int, int] = {}
    for step in range(120):
        at, count = random.randrange(SIZE - 80), random.choice((1, 1, 8, 80))
        values = [step * 1000 + index + 1 for index in range(count)]
        expected.update(zip(range(at, at + count), values, strict=True))
        if pool is not None:
            volume = pool.volumes[name]
            await write(volume, at, [blocks(*values)])
            pool.commit()
            if step % 7 == 0:
                await pool.flush()
            assert b"".join(await volume.read(at, count)) == blocks(*values)
            await trio.lowlevel.checkpoint()
    return expected


async def write(volume: Volume, at: int, data: Sequence[bytes]) -> None:
    while True:
        try:
            return volume.write(at, data)
        except PoolBusy:
            await volume.room_made()


async def test_a_pool_closes_while_a_segment_is_being_made(tmp_path: Path) -> None:
    async with trio.open_nursery() as background:
        environment = TrioEnvironment(background)
        for _ in range(3):
            pool = await open_directory_pool(tmp_path / "pool", environment, PoolOptions(segment_blocks=32))
            volume = pool.volumes.get("a") or pool.create_volume("a", SIZE, {})
            for at in range(40):
                await write(volume, at, [block(at)])
                pool.commit()
            await pool.close()
            assert b"".join(await volume.read(0, 40)) == blocks(*range(40))
