"""Measures compressed volumes of a pool in a directory: writes, reads, ratio, and the longest turn of the loop.

    python -m bench.compression [FOLDER]     FOLDER has the pool; /dev/shm by default

Random data is written to a compressed and to an uncompressed volume in turn. The line shows the processor time of one write
with its commit in the event loop. The ratios should be at least 0.99. Text is made of words and numbers. A turn is the time of
the processor between two polls of the event loop. Python's garbage collector has the settings of `serve`.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import trio
from bench.cleaning import Turns
from bench.ending import end_by_sigterm

from odx_target.cli.serving.garbage_collector import spared_collector
from odx_target.scsi.unit.logical_blocks import LogicalBlocks
from odx_target.store.open import LogPool, PoolOptions, open_directory_pool
from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, LZ4, OFF
from odx_target.target.trio_environment import TrioEnvironment

BLOCK = 4096
KIB = 1024
MIB = 1 << 20
SIZE_MIB = 128
RANDOM_MIB = 2048
WRITES_KIB = (64, 256, 1024)


def text(size_bytes: int) -> bytes:
    """Text that LZ4 compresses to less than half, and zstandard to less than a third."""
    random = Random(1)
    words = [bytes(random.choices(b"etaoinshrdlucmfwyp", k=random.randint(4, 12))) for _ in range(300)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    parts: list[bytes] = []
    length = 0
    while length < size_bytes:
        line = b"2026-11-29 %05d: " % random.randrange(10**5) + b" ".join(random.choices(words, weights, k=8)) + b"\n"
        parts.append(line)
        length += len(line)
    return b"".join(parts)[:size_bytes]


async def write(pool: LogPool, blocks: LogicalBlocks, data: bytes, write_bytes: int, size_bytes: int = SIZE_MIB * MIB) -> None:
    """Write the volume from its beginning, with a commit after each write."""
    view = memoryview(data)
    turns = pool.turns
    for offset in range(0, size_bytes, write_bytes):
        start = offset % len(data)
        piece = [view[start : start + write_bytes]]
        if not blocks.write_now(offset // BLOCK, piece):
            await blocks.write(offset // BLOCK, piece)
        pool.commit()
        await turns.next_if_spent()
        await trio.lowlevel.checkpoint()


async def read(pool: LogPool, blocks: LogicalBlocks, read_bytes: int, place: Callable[[int], int], count: int) -> None:
    for number in range(count):
        block = place(number) * (read_bytes // BLOCK)
        if blocks.read_now(block, read_bytes // BLOCK) is None:
            await blocks.read(block, read_bytes // BLOCK)
        await pool.turns.next_if_spent()
        if number % 16 == 0:
            await trio.lowlevel.checkpoint()


async def timed(size_bytes: int, work: Callable[[], object]) -> float:
    """Do the work. Returns MB for each second."""
    began_s = time.perf_counter()
    await work()  # type: ignore[misc]
    return size_bytes / 1e6 / (time.perf_counter() - began_s)


async def new_pool(folder: str, nursery: trio.Nursery, choice: str) -> tuple[LogPool, LogicalBlocks]:
    options = PoolOptions(cleaning=False)
    pool = await open_directory_pool(Path(folder) / "pool", TrioEnvironment(nursery), options)
    volume = pool.create_volume("a", SIZE_MIB * MIB // BLOCK, {COMPRESSION_ATTRIBUTE: choice})
    return pool, LogicalBlocks(volume, BLOCK)


async def measure_random(root: str, write_kib: int) -> None:
    """Write random data to a compressed and to an uncompressed volume of one pool in turn, with a commit after each write."""
    data = Random(2).randbytes(write_kib * KIB)
    took_us: dict[str, list[float]] = {OFF: [], LZ4: []}
    with tempfile.TemporaryDirectory(dir=root) as folder:
        async with spared_collector(), trio.open_nursery() as nursery:
            pool = await open_directory_pool(Path(folder) / "pool", TrioEnvironment(nursery), PoolOptions(cleaning=False))
            blocks = {}
            for choice in took_us:
                volume = pool.create_volume(choice, SIZE_MIB * MIB // BLOCK, {COMPRESSION_ATTRIBUTE: choice})
                blocks[choice] = LogicalBlocks(volume, BLOCK)
            for number in range(RANDOM_MIB * MIB // len(data)):
                choice = (OFF, LZ4, LZ4, OFF)[number % 4]
                while pool.log.unused_blocks < 4 * MIB // BLOCK:
                    await blocks[OFF].write(0, [data])
                    pool.commit()
                began_s = time.thread_time()
                blocks[choice].write_now(number * len(data) % (SIZE_MIB * MIB) // BLOCK, [memoryview(data)])
                pool.commit()
                took_us[choice].append((time.thread_time() - began_s) * 1e6)
                if number % 64 == 0:
                    await pool.turns.next()
            await pool.close()
            nursery.cancel_scope.cancel()
    middle = {choice: statistics.median(found) for choice, found in took_us.items()}
    usual = {choice: statistics.fmean(sorted(found)[: len(found) * 99 // 100]) for choice, found in took_us.items()}
    print(
        f"random, writes of {write_kib} KiB: median off {middle[OFF]:.1f} us, lz4 {middle[LZ4]:.1f} us, "
        f"ratio {middle[OFF] / middle[LZ4]:.3f}; mean without the slowest 1 % {usual[OFF]:.1f} and {usual[LZ4]:.1f} us, "
        f"ratio {usual[OFF] / usual[LZ4]:.3f}"
    )


async def measure_text(root: str, choice: str, write_kib: int, turns: Turns) -> None:
    data = text(16 * MIB)
    random = Random(3)
    with tempfile.TemporaryDirectory(dir=root) as folder:
        async with spared_collector(), trio.open_nursery() as nursery:
            pool, blocks = await new_pool(folder, nursery, choice)
            turns.turns_ms.clear()
            turns.is_on = True
            wrote = await timed(SIZE_MIB * MIB, lambda: write(pool, blocks, data, write_kib * KIB))
            turns.is_on = False
            write_turn_ms, long_turns = max(turns.turns_ms), sum(each > 2 for each in turns.turns_ms)
            space = await pool.space_of(pool.volumes["a"])
            turns.turns_ms.clear()
            turns.is_on = True
            size = SIZE_MIB * MIB
            large = await timed(size, lambda: read(pool, blocks, 256 * KIB, lambda number: number, size // (256 * KIB)))
            small = await timed(size // 4, lambda: read(pool, blocks, BLOCK, lambda number: number, size // BLOCK // 4))
            anywhere = lambda _number: random.randrange(size // BLOCK)  # noqa: E731
            scattered = await timed(20_000 * BLOCK, lambda: read(pool, blocks, BLOCK, anywhere, 20_000))
            turns.is_on = False
            print(
                f"text, {choice}, writes of {write_kib} KiB: wrote {wrote:.0f} MB/s, ratio {space.ratio:.2f}, "
                f"longest turn {write_turn_ms:.1f} ms, {long_turns} over 2 ms; read 256 KiB {large:.0f} MB/s, "
                f"4 KiB in order {small:.0f} MB/s, 4 KiB scattered {scattered:.0f} MB/s, "
                f"longest turn {max(turns.turns_ms):.1f} ms, {sum(each > 2 for each in turns.turns_ms)} over 2 ms"
            )
            await pool.close()
            nursery.cancel_scope.cancel()


def main() -> None:
    root = sys.argv[1] if len(sys.argv) > 1 else "/dev/shm"
    for write_kib in WRITES_KIB:
        trio.run(measure_random, root, write_kib)
    for write_kib in WRITES_KIB:
        for choice in (OFF, LZ4):
            turns = Turns()
            trio.run(measure_text, root, choice, write_kib, turns, instruments=[turns])


if __name__ == "__main__":
    end_by_sigterm()
    main()
