"""Measures how long the digest of a frozen map takes, without its data.

    python bench/digests.py [GIB [ROUNDS]]

The volume has GIB (default 10) GiB. `random` has every block at a random place of the log, `sequential` has long runs. `again`
is the digest of a second snapshot after the change of one block. `tables on disk` first drops all checksum tables from memory.
The columns are the median and the shortest time of ROUNDS (default 1) digests, the median of the processor time of all threads,
and the longest turn of the event loop. The segments contain only footers.
"""

import sys
import time
from array import array
from random import Random
from statistics import median

import numpy as np
import trio

from odx_target.store.log.footer import capacity_blocks, encode_footer, footer_blocks
from odx_target.store.map.leaf import LEAF_BLOCKS, Leaf
from odx_target.store.open import LogPool, open_memory_pool
from odx_target.store.segments.segment import MAX_SEGMENT_BLOCKS, PLACE_BITS
from odx_target.store.volumes.source_interface import BLOCK_BYTES
from odx_target.store.volumes.volume import LogVolume
from odx_target.target.trio_environment import TrioEnvironment

FIRST_SEGMENT = 100


class FooterSegment:
    """A sealed segment whose data cannot be read."""

    def __init__(self, number: int, table: "array[int]", identity: bytes) -> None:
        self.number = number
        self._used_blocks = len(table)
        self._footer = encode_footer(identity, number, table, range(1, 2))
        self.size_blocks = len(table) + footer_blocks(len(table))

    def read(self, block: int, count_blocks: int) -> bytearray:
        start = (block - self._used_blocks) * BLOCK_BYTES
        assert start >= 0
        return bytearray(self._footer[start : start + count_blocks * BLOCK_BYTES])

    def read_now(self, block: int, count_blocks: int) -> bytearray | None:
        return self.read(block, count_blocks)


class LongestTurn(trio.abc.Instrument):
    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.longest_s = 0.0

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        self.began = time.perf_counter()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        self.longest_s = max(self.longest_s, time.perf_counter() - self.began)


def fill(pool: LogPool, volume: LogVolume, *, is_random: bool) -> None:
    blocks = volume.size_blocks
    used = capacity_blocks(MAX_SEGMENT_BLOCKS)
    count = -(-blocks // used)
    for number in range(FIRST_SEGMENT, FIRST_SEGMENT + count):
        table = array("I", np.random.default_rng(number).integers(1, 1 << 32, used, dtype=np.uint32).tobytes())
        segment = FooterSegment(number, table, pool.identity)
        pool.supply.segments[number] = segment  # type: ignore[assignment]
        pool.supply.size_blocks[number] = segment.size_blocks
        pool.reader._index.keep(number, table)  # noqa: SLF001
    index = np.random.default_rng(1).permutation(blocks) if is_random else np.arange(blocks)
    places = (index // used + FIRST_SEGMENT << PLACE_BITS) + index % used
    live = volume.contents.map
    for start in range(0, blocks, LEAF_BLOCKS):
        leaf = Leaf(array("Q", places[start : start + LEAF_BLOCKS].tobytes()), live._epoch)  # noqa: SLF001
        leaf.pack()
        live._put_leaves(start, [leaf])  # noqa: SLF001


async def measured(name: str, volume: LogVolume, instrument: LongestTurn, rounds: int = 1) -> None:
    """Measure the digest of a new snapshot several times. All digests are dropped between two rounds."""
    frozen = volume.freeze()
    await trio.sleep(0.01)
    taken_s, cpu_s, longest_s = [], [], []
    for number in range(rounds):
        if number:
            forget(volume)
            await trio.sleep(0.01)
        instrument.longest_s, instrument.began = 0.0, time.perf_counter()
        began, cpu_began = time.perf_counter(), time.process_time()
        digest = await frozen.digest()
        taken_s.append(time.perf_counter() - began)
        cpu_s.append(time.process_time() - cpu_began)
        await trio.sleep(0)
        longest_s.append(instrument.longest_s)
    print(
        f"{name:32} {median(taken_s) * 1e3:9.2f} ms, at least {min(taken_s) * 1e3:7.2f} ms"
        f", processor {median(cpu_s) * 1e3:7.2f} ms   longest turn {max(longest_s) * 1e3:6.2f} ms   {digest.hex()[:8]}"
    )


async def main(gib: int, rounds: int) -> None:
    instrument = LongestTurn()
    trio.lowlevel.add_instrument(instrument)
    for kind in ("random", "sequential"):
        async with trio.open_nursery() as nursery:
            environment = TrioEnvironment(nursery)
            pool = await open_memory_pool(environment)
            volume = pool.create_volume(kind, gib << 18, {})
            fill(pool, volume, is_random=kind == "random")
            await measured(kind, volume, instrument, rounds)
            for _ in range(2):
                await trio.sleep(0.2)
                volume.write(Random(1).randrange(gib << 18), [bytes(BLOCK_BYTES)])
                pool.commit()
                await measured(f"{kind}, again", volume, instrument)
            forget(volume)
            pool.reader._index.tables.clear()  # noqa: SLF001
            await measured(f"{kind}, tables on disk", volume, instrument, rounds)
            nursery.cancel_scope.cancel()


def forget(volume: LogVolume) -> None:
    """Drop all digests."""
    root = volume.contents.map.root
    assert root is not None
    for node in [root, *(child for _, child in root.present())]:
        node.digest = None
    for _, leaf in volume.contents.map.leaves():
        leaf.digest = None


trio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 10, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
