# ruff: noqa: SLF001 - the hub and the connections of an array have no public names
"""Microseconds and calls of Python of a read of 4 KiB at depth 1, and of its system calls alone, in one process.

    python -m bench.small_read [PASSES]     default: 2000, with a pool in /dev/shm

Three ways are measured: with the native module, with the receive loop in Python, and only the three system calls that each way
makes: epoll_wait, recvfrom and sendmsg. `bench/why_reads.py` writes a page with these figures.
"""

import argparse
import select
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import trio
from bench.one_read import KIB, LUN_BYTES, MAX_DATA_IN_BYTES, POOL_BYTES, Reads, commands, fill
from bench.options import count as number_of
from tests.target.raw_peer import logged_in
from tests.target.running import running

from odx_target.cli.serving.garbage_collector import spared_collector
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.store.api import BLOCK_BYTES
from odx_target.target.config.settings import Config, LunConfig

PASSES = 2000
PASSES_OF_A_HOLD = 4
READS = Reads(4 * KIB)
COUNTED_PASSES = 100


@dataclass(frozen=True)
class Way:
    """A way to execute a read: its median time, and the calls of functions of Python."""

    name: str
    taken_us: float
    python_calls: float


class Stage:
    """An array with one host in the same process. `serve` is called for each command, after it was sent."""

    def __init__(self, array: Any, peer: Any) -> None:
        self.hub = array._listener._hub
        (server,) = array._listener._connections
        self.loop = server._loop
        self._host = peer.stream.socket._sock
        self._peer = peer
        self._random = Random(1)
        self._sent = 0

    def serve(self) -> None:
        """Make a pass, as the hub does after it has polled."""
        self.hub._ready.extend(self.hub._readable())
        while self.hub._ready:
            self.hub._make_pass()

    def _send(self) -> None:
        self._host.send(commands(READS, self._random, self._sent, self._peer))
        self._sent += 1

    async def _receive(self) -> None:
        left = READS.reply_bytes
        while left > 0:
            left -= len(self._host.recv(left))
        if self._sent % PASSES_OF_A_HOLD == 0:
            await trio.lowlevel.checkpoint()

    async def way(self, name: str, serve: Callable[[], None], passes: int) -> Way:
        """Measure a way of serving a command."""
        taken_ns, calls = [], 0

        def count(_frame: FrameType, event: str, _: object) -> None:
            nonlocal calls
            calls += event == "call"

        for number in range(passes + COUNTED_PASSES):
            self._send()
            if number >= passes:
                sys.setprofile(count)
            began_ns = time.perf_counter_ns()
            serve()
            taken_ns.append(time.perf_counter_ns() - began_ns)
            sys.setprofile(None)
            await self._receive()
        return Way(name, statistics.median(taken_ns[:passes]) / 1e3, calls / COUNTED_PASSES - 1)


async def measure(passes: int, folder: Path) -> list[Way]:
    """Measure all ways."""
    config = Config(pool_dir=folder / "pool", luns=(LunConfig("bench", LUN_BYTES, BLOCK_BYTES),), pool_limit_bytes=POOL_BYTES)
    async with running(config) as array:
        await fill(array, is_scattered=False)
        async with logged_in(array, keys={"MaxRecvDataSegmentLength": str(MAX_DATA_IN_BYTES)}) as peer, spared_collector():
            stage = Stage(array, peer)
            loop, hub = stage.loop, stage.hub
            ways = [await stage.way("with the native module", stage.serve, passes)]
            hub._members[loop._descriptor] = loop
            ways.append(await stage.way("with the receive loop in Python", stage.serve, passes))
            ways.append(await _system_calls(stage, passes))
            return ways


async def _system_calls(stage: Stage, passes: int) -> Way:
    """Measure the system calls alone. The array does not see these commands, so nothing can be measured afterwards."""
    connected, reply = stage.loop._socket, [bytes(HEADER_BYTES), bytes(READS.size_bytes)]
    room = memoryview(bytearray(HEADER_BYTES))
    with select.epoll() as poller:
        poller.register(connected.fileno(), select.EPOLLIN)

        def serve() -> None:
            poller.poll(0, 1)
            connected.recv_into(room)
            connected.sendmsg(reply)

        return await stage.way("the system calls alone", serve, passes)


def figures(passes: int = PASSES) -> list[Way]:
    """Return the cost of a read in each way."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return trio.run(measure, passes, Path(folder))


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.small_read", description="Time a read of 4 KiB at depth 1.")
    parser.add_argument("passes", nargs="?", type=number_of, default=PASSES)
    for way in figures(parser.parse_args(words).passes):
        print(f"{way.name:40} {way.taken_us:8.1f} us {way.python_calls:8.1f} calls of Python")


if __name__ == "__main__":
    main(sys.argv[1:])
