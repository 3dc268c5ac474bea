"""Measures the steps of a copy between two arrays one by one, in one process. Prints one line of JSON.

    python -m bench.copy_steps STEP     microseconds of the processor for each MiB of data

The data is that of `bench.remote_copies`: half of each block is random, and the other half is zero. A part has 256 blocks, as
those of tokens. The medians of many parts are printed. In a copy, the steps take longer, because they share the caches of the
processor with everything else.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import trio
from bench.link_arrays import MEMORY, BenchArray, bench_array, write

from odx_target.native.checksum import checksums_of_blocks
from odx_target.replica.blocks.compression import LinkCompression, compress, decompress
from odx_target.replica.blocks.fingerprints import fingerprints_of
from odx_target.replica.blocks.formats import (
    BlockState,
    Offer,
    decode_data,
    decode_offer,
    encode_data_head,
    encode_offer,
)
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.limits import DEFAULT_HINTS, RAW_DATA_BLOCKS
from odx_target.replica.link.frame import Frame, FrameReader, encode_header
from odx_target.replica.link.kinds import Kind
from odx_target.store.api import BLOCK_BYTES, PoolBusy, Volume

PARTS = 64
PART_BLOCKS = (1 << 20) // BLOCK_BYTES
KEY = bytes(32)
COPIED = PARTS * PART_BLOCKS
"""First block of the second half of the volume, to which blocks are linked and written."""

Step = Callable[[int], object]
"""A step on the part with this number. It is called for all parts in turn."""


class Parts:
    """The data of some parts, which are the first half of a volume, and what the arrays make of it."""

    def __init__(self, array: BenchArray) -> None:
        self.array = array
        self.volume: Volume = array.pool.create_volume("data", 2 * COPIED, {})
        self.contents = [memoryview(_content()) for _ in range(PARTS)]
        self.fingerprints = [fingerprints_of(KEY, content) for content in self.contents]
        self.checksums = [tuple(checksums_of_blocks(content, BLOCK_BYTES)) for content in self.contents]
        states = bytes([BlockState.FINGERPRINT]) * PART_BLOCKS
        self.offers = [Offer(states, *each) for each in zip(self.fingerprints, self.checksums, strict=True)]
        self.encoded_offers = [encode_offer(each) for each in self.offers]
        self.pieces = [_pieces(content) for content in self.contents]
        self.compressed = [[compress(LinkCompression.LAN, piece) for piece in pieces] for pieces in self.pieces]
        self.hints = Hints(DEFAULT_HINTS)
        self.reader = FrameReader()

    async def write(self) -> None:
        """Write all parts, and note their places."""
        for number, content in enumerate(self.contents):
            await write(self.volume, number * PART_BLOCKS, [bytes(content)])
            await self.array.pool.committed()
            self.hints.note(self.fingerprints[number], self.places(number))

    def places(self, number: int) -> list[int]:
        return list(self.volume.places_now(number * PART_BLOCKS, PART_BLOCKS))

    def store(self, number: int) -> None:
        self.volume.write(COPIED + number * PART_BLOCKS, [self.contents[number]])
        self.array.pool.commit()

    def link(self, number: int) -> None:
        linked = self.volume.link_run(COPIED + number * PART_BLOCKS, self.places(number), self.checksums[number])
        assert len(linked) == PART_BLOCKS
        self.array.pool.commit()

    def frame(self, number: int) -> None:
        """Make and read the frames of a part."""
        for data, flag in self.compressed[number]:
            frame = Frame(Kind.DATA, 2, 0, data, flag)
            self.reader.feed(b"".join([encode_header(frame), data]))

    def head(self, number: int) -> None:
        """Encode and decode the tables of the DATA frames of a part."""
        for at in range(0, PART_BLOCKS, RAW_DATA_BLOCKS):
            checksums = self.checksums[number][at : at + RAW_DATA_BLOCKS]
            decode_data(encode_data_head(range(at, at + RAW_DATA_BLOCKS), checksums))


def _content() -> bytes:
    return b"".join(os.urandom(BLOCK_BYTES // 2).ljust(BLOCK_BYTES, b"\0") for _ in range(PART_BLOCKS))


def _pieces(content: memoryview) -> list[memoryview]:
    size_bytes = RAW_DATA_BLOCKS * BLOCK_BYTES
    return [content[at : at + size_bytes] for at in range(0, len(content), size_bytes)]


STEPS: dict[str, Callable[[Parts], Step]] = {
    "read": lambda parts: lambda number: parts.volume.read_now(number * PART_BLOCKS, PART_BLOCKS),
    "checksums": lambda parts: lambda number: checksums_of_blocks(parts.contents[number], BLOCK_BYTES),
    "fingerprints": lambda parts: lambda number: fingerprints_of(KEY, parts.contents[number]),
    "offer": lambda parts: lambda number: encode_offer(parts.offers[number]),
    "compress": lambda parts: lambda number: [compress(LinkCompression.LAN, each) for each in parts.pieces[number]],
    "head": lambda parts: parts.head,
    "frame": lambda parts: parts.frame,
    "take offer": lambda parts: lambda number: decode_offer(parts.encoded_offers[number]),
    "find hints": lambda parts: lambda number: parts.hints.find(parts.fingerprints[number]),
    "link": lambda parts: parts.link,
    "decompress": lambda parts: (
        lambda number: [decompress(flag, data, RAW_DATA_BLOCKS * BLOCK_BYTES) for data, flag in parts.compressed[number]]
    ),
    "store": lambda parts: parts.store,
    "note hints": lambda parts: lambda number: parts.hints.note(parts.fingerprints[number], parts.places(number)),
}


async def measure(name: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with bench_array(Path(folder) / "pool") as array:
            parts = Parts(array)
            await parts.write()
            step, times = STEPS[name](parts), list[float]()
            for number in range(PARTS):
                times.append(await _time_s(parts, step, number))
            return {"us per MiB": median(times) * 1e6}


async def _time_s(parts: Parts, step: Step, number: int) -> float:
    """Return the processor time of a step on a part. If the pool makes room first, the step is begun again."""
    while True:
        began_s = time.thread_time()
        try:
            step(number)
        except PoolBusy:
            await parts.volume.room_made()
        else:
            return time.thread_time() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.copy_steps", description="Measure the steps of a copy.")
    parser.add_argument("step", choices=list(STEPS))
    print(json.dumps(trio.run(measure, parser.parse_args().step)))


if __name__ == "__main__":
    main()
