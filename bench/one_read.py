# ruff: noqa: SLF001 - the hub of an array has no public name
"""Microseconds that an array takes for one read in one process, without the wake-ups of another process.

    python -m bench.one_read [PASSES]     default: 1000, with a pool in /dev/shm

The array and its host are in one process, and take turns: the host sends commands, and the hub makes passes until all are
executed. All system calls are real. `bench/why_reads.py` writes a page with these figures.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import trio
from bench.full_volume import when_ready
from bench.options import count as number_of
from crc32c import crc32c
from tests.target.raw_peer import RawPeer, logged_in
from tests.target.running import running

from odx_target.cli.serving.garbage_collector import spared_collector
from odx_target.iscsi.pdu.headers import ScsiCommand
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.store.api import BLOCK_BYTES
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig

KIB, MIB = 1 << 10, 1 << 20
LUN_BYTES, POOL_BYTES = 128 * MIB, 512 * MIB
LUN_BLOCKS = LUN_BYTES // BLOCK_BYTES
PIECE_BLOCKS = 64
SCATTERED_STEP_BLOCKS = 1009
PASSES = 1000
PASSES_OF_A_HOLD = 4
"""Number of passes after which other tasks run."""

READ_10 = 0x28
DIGESTS = {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}
MAX_DATA_IN_BYTES = 256 * KIB
DIGEST_BYTES = 4
RECEIVE_BYTES = 1 << 20


@dataclass(frozen=True)
class Reads:
    """Reads of one size at random places. All `depth` commands arrive together."""

    size_bytes: int
    depth: int = 1
    digests: bool = False
    is_scattered: bool = False

    def __str__(self) -> str:
        words = [f"{self.size_bytes // KIB} KiB, depth {self.depth}"]
        return ", ".join(words + ["scattered blocks"] * self.is_scattered + ["digests"] * self.digests)

    @property
    def reply_bytes(self) -> int:
        """Number of bytes of the replies to all commands."""
        around_bytes = HEADER_BYTES + (2 * DIGEST_BYTES if self.digests else 0)
        return self.depth * (self.size_bytes + -(-self.size_bytes // MAX_DATA_IN_BYTES) * around_bytes)


MEASURED = (
    Reads(4 * KIB),
    Reads(4 * KIB, depth=32),
    Reads(4 * KIB, depth=32, digests=True),
    Reads(256 * KIB),
    Reads(256 * KIB, digests=True),
    Reads(256 * KIB, is_scattered=True),
    Reads(1024 * KIB),
    Reads(1024 * KIB, is_scattered=True),
)


async def fill(array: Array, *, is_scattered: bool) -> None:
    """Write the whole LUN in order, and then, if its blocks shall be scattered, all blocks again in another order."""
    volume, data = array.logical_units[0].volume, Random(1).randbytes(PIECE_BLOCKS * BLOCK_BYTES)
    for block in range(0, LUN_BLOCKS, PIECE_BLOCKS):
        await when_ready(volume, partial(volume.write, block, [data]))
        array.pool.commit()
        await trio.lowlevel.checkpoint()
    for number in range(LUN_BLOCKS if is_scattered else 0):
        await when_ready(volume, partial(volume.write, number * SCATTERED_STEP_BLOCKS % LUN_BLOCKS, [data[:BLOCK_BYTES]]))
        if number % PIECE_BLOCKS == 0:
            array.pool.commit()
            await trio.lowlevel.checkpoint()
    array.pool.commit()


def commands(reads: Reads, random: Random, first: int, peer: RawPeer) -> bytes:
    """Return the PDUs of the next commands. `first` is the number of commands before them."""
    blocks = reads.size_bytes // BLOCK_BYTES
    found = bytearray()
    for number in range(first, first + reads.depth):
        command = ScsiCommand(read=True, attribute=1, initiator_task_tag=number, cmd_sn=peer.cmd_sn + number)
        command.expected_data_transfer_length = reads.size_bytes
        lba = random.randrange(LUN_BLOCKS - blocks)
        command.cdb = bytes([READ_10, 0, *lba.to_bytes(4), 0, *blocks.to_bytes(2), 0]) + bytes(6)
        header = bytes(command.encode_header())
        found += header + (crc32c(header).to_bytes(DIGEST_BYTES, "little") if reads.digests else b"")
    return bytes(found)


async def _receive(connected: Any, count: int) -> None:
    while count > 0:
        try:
            count -= len(connected.recv(RECEIVE_BYTES))
        except BlockingIOError:  # The connection has left the hub, so its task has to run.
            await trio.lowlevel.checkpoint()


async def measure(reads: Reads, passes: int, folder: Path) -> float:
    """Return the microseconds of one read. The result is the median of all passes."""
    config = Config(
        pool_dir=folder / str(reads), luns=(LunConfig("bench", LUN_BYTES, BLOCK_BYTES),), pool_limit_bytes=POOL_BYTES
    )
    taken_ns, random = [], Random(1)
    keys = {"MaxRecvDataSegmentLength": str(MAX_DATA_IN_BYTES)} | (DIGESTS if reads.digests else {})
    async with running(config) as array:
        await fill(array, is_scattered=reads.is_scattered)
        async with logged_in(array, keys=keys) as peer, spared_collector():
            hub: Any = array._listener._hub  # type: ignore[union-attr]
            connected: Any = peer.stream.socket._sock
            for number in range(passes):
                connected.send(commands(reads, random, number * reads.depth, peer))
                began_ns = time.perf_counter_ns()
                hub._ready.extend(hub._readable())
                while hub._ready:
                    hub._make_pass()
                taken_ns.append(time.perf_counter_ns() - began_ns)
                await _receive(connected, reads.reply_bytes)
                if number % PASSES_OF_A_HOLD == 0:
                    await trio.lowlevel.checkpoint()
    return statistics.median(taken_ns) / reads.depth / 1e3


def figures(passes: int = PASSES) -> Mapping[str, float]:
    """Return the microseconds of a read of each kind."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return {str(reads): trio.run(measure, reads, passes, Path(folder)) for reads in MEASURED}


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.one_read", description="Time a read of each kind.")
    parser.add_argument("passes", nargs="?", type=number_of, default=PASSES)
    for name, taken_us in figures(parser.parse_args(words).passes).items():
        print(f"{name:40} {taken_us:8.1f} us")


if __name__ == "__main__":
    main(sys.argv[1:])
