# ruff: noqa: SLF001 - the parts of the path have no public names
"""Microseconds that an array takes for one write of 4 KiB at depth 1, and for the parts of its path.

    python -m bench.one_write [COMMANDS] [--unaligned]     default: 40000, with a pool in /dev/shm

The whole pass is timed as the array makes it. Its parts are timed in a second run, in which Python calls them one by one,
because one call of the native module makes several of them. The array and its host are in one process, and take turns. So no
time for the wake-up of another process is included, but all system calls are real. The LUN is full, and the cleaner works
between the commands, as soon as they have filled the free room of the pool. `bench/small_writes.py` writes a page with these
figures.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import trio
from bench.full_volume import when_ready
from bench.options import count as number_of
from tests.target.raw_peer import RawPeer, logged_in
from tests.target.running import running

from odx_target.cli.serving.garbage_collector import spared_collector
from odx_target.iscsi.pdu.headers import ScsiCommand
from odx_target.store.api import BLOCK_BYTES
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.readiness.poller import READABLE
from odx_target.target.server.hub import QUIET_TURN_S

MIB = 1 << 20
LUN_MIB, POOL_MIB = 256, 512
PIECE_BLOCKS = 256
COMMANDS = 40_000
FIRST_COMMANDS = 2 * LUN_MIB * MIB // BLOCK_BYTES
"""Number of commands before the measured ones. They fill the free room of the pool, so the cleaner must work afterwards."""
COUNTED_COMMANDS = 200
"""Number of commands after the measured ones whose functions are counted."""
COMMANDS_OF_A_HOLD, COMMANDS_OF_A_QUIET_HOLD = 4, 20
"""Number of commands after which other tasks run, such as the cleaner: usually, and if these tasks had nothing to do twice in a
row. In a running array, the hub lets them run after `MAX_HOLD_S` or `MAX_QUIET_HOLD_S`, and a command takes about 50 us."""

SECTOR_BYTES = 512
"""Size of the logical blocks. An unaligned write begins at the second one of a block of the store."""

WRITE_10 = 0x2A
STATUS = 3
MAX_ATTENTIONS = 1
"""Number of writes that end with a unit attention, because a threshold of the room of the pool is reached."""

PASS = "pass of the hub"
PARTS = {
    "pass": "the same with its parts in Python",
    "receive": "- receive and execute",
    "recv": "- - recv, a system call",
    "lane": "- - short lane: checks, checksum, open batch, map, reply",
    "commit": "- commit: header of the batch, copy to the segment, counters",
    "send": "- send and count",
    "sendmsg": "- - sendmsg, a system call",
    "tally": "- - counters and histogram of latencies",
}
"""The parts by their names in the code below. A part with more dashes is inside the part above it."""

OTHERS = "other tasks of the event loop: the cleaner, rounds of the loop"


@dataclass
class Cost:
    """The cost of a write. `parts_us` has the medians of the pass (PASS) and of its parts by their names in PARTS.

    `others_us` is the processor time in the event loop, outside of the passes, for each write: the cleaner and the rounds of
    the event loop. `moved_blocks` and `header_blocks` are blocks of the log for each write, and `python_calls` is the number of
    functions of Python that a pass calls.
    """

    parts_us: Mapping[str, float]
    others_us: float
    moved_blocks: float
    header_blocks: float
    python_calls: float


class Stopwatch:
    """Collects the times of wrapped functions."""

    def __init__(self) -> None:
        self.taken_ns: dict[str, list[int]] = defaultdict(list)
        self.others_ns = self.python_calls = 0
        self._quiet_turns = 0

    async def let_others_run(self) -> bool:
        """Run the other tasks. Returns True if they had nothing to do, as the hub finds it."""
        began_ns = time.thread_time_ns()
        await trio.lowlevel.checkpoint()
        taken_ns = time.thread_time_ns() - began_ns
        self.others_ns += taken_ns
        self._quiet_turns = self._quiet_turns + 1 if taken_ns < QUIET_TURN_S * 1e9 else 0
        return self._quiet_turns > 1

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        taken, clock = self.taken_ns[name], time.perf_counter_ns

        def timed(*arguments: object) -> Any:
            began = clock()
            try:
                return function(*arguments)
            finally:
                taken.append(clock() - began)

        return timed

    def forget(self) -> None:
        for taken in self.taken_ns.values():
            taken.clear()
        self.others_ns = 0

    def count_calls(self, serve: Callable[[], None]) -> None:
        """Count the functions of Python that `serve` calls, without those of the stopwatch."""

        def count(frame: FrameType, event: str, _: object) -> None:
            self.python_calls += event == "call" and frame.f_code.co_filename != __file__

        sys.setprofile(count)
        try:
            serve()
        finally:
            sys.setprofile(None)

    def cost(self, count: int, moved_blocks: int, header_blocks: int) -> Cost:
        """Return the cost of a write after `count` writes, without the number of calls."""
        medians_us = {PARTS[name]: statistics.median(taken) / 1e3 for name, taken in self.taken_ns.items() if taken}
        parts_us = {text: medians_us[text] for text in PARTS.values() if text in medians_us}
        return Cost(parts_us, self.others_ns / count / 1e3, moved_blocks / count, header_blocks / count, 0)


class TimedSocket:
    def __init__(self, connected: Any, watch: Stopwatch) -> None:
        self.recv_into = watch.around("recv", connected.recv_into)
        self.sendmsg = watch.around("sendmsg", connected.sendmsg)


class TimedPool:
    """A pool as the hub uses it."""

    def __init__(self, pool: Any, watch: Stopwatch) -> None:
        self.turns = pool.turns
        self.commit = watch.around("commit", pool.commit)


def watched(array: Array, watch: Stopwatch, *, splits: bool) -> Callable[[], None]:
    """Time the passes of the hub for the only connection, and their parts if `splits` is True. Returns a function that makes a
    pass.
    """
    (server,) = array._listener._connections  # type: ignore[union-attr]
    loop: Any = server._loop
    hub: Any = server._hub
    queue: Any = server._sender.queue
    lane: Any = server._executor.lane
    if splits:
        queue._socket = loop._socket = TimedSocket(loop._socket, watch)
        lane.run = watch.around("lane", lane.run)
        hub._members[loop._descriptor] = loop
        loop.receive_now = watch.around("receive", loop.receive_now)
        loop.send_now = watch.around("send", loop.send_now)
        loop._tally.end = watch.around("tally", loop._tally.end)
        hub._pool = TimedPool(array.pool, watch)
    make_pass = watch.around("pass", hub._make_pass)

    def serve() -> None:
        hub._ready.append((loop._descriptor, READABLE))
        make_pass()

    return serve


async def fill(array: Array, data: bytes) -> None:
    volume = array.logical_units[0].volume
    for block in range(0, LUN_MIB * MIB // BLOCK_BYTES, PIECE_BLOCKS):
        await when_ready(volume, partial(volume.write, block, [data * PIECE_BLOCKS]))
        array.pool.commit()
        await trio.lowlevel.checkpoint()


def command_to(lba: int, number: int, peer: RawPeer) -> ScsiCommand:
    command = ScsiCommand(write=True, attribute=1, initiator_task_tag=number, cmd_sn=peer.cmd_sn + number)
    command.expected_data_transfer_length = BLOCK_BYTES
    command.cdb = bytes([WRITE_10, 0, *lba.to_bytes(4), 0, 0, BLOCK_BYTES // SECTOR_BYTES]) + bytes(6)
    return command


async def measure(count: int, folder: Path, *, is_aligned: bool, splits: bool) -> Cost:
    """Make `count` writes at random places of a full LUN, after FIRST_COMMANDS others. If `splits` is True, time the parts of
    the path.
    """
    luns = (LunConfig("bench", LUN_MIB * MIB, SECTOR_BYTES),)
    config = Config(pool_dir=folder / "pool", luns=luns, pool_limit_bytes=POOL_MIB * MIB)
    watch, random = Stopwatch(), Random(1)
    async with running(config) as array, logged_in(array) as peer, spared_collector():
        data = Random(2).randbytes(BLOCK_BYTES)
        await fill(array, data)
        serve, connected = watched(array, watch, splits=splits), peer.stream.socket._sock
        failed, log = 0, array.pool.log  # type: ignore[attr-defined]
        rest_of_hold, skip = 0, 0 if is_aligned else 1
        for number in range(-FIRST_COMMANDS, count + COUNTED_COMMANDS):
            if number == 0:
                watch.forget()
                before = log.moved_blocks, log.header_blocks
            if number == count:
                moved_blocks, header_blocks = log.moved_blocks - before[0], log.header_blocks - before[1]
                cost = watch.cost(count, moved_blocks, header_blocks)
            lba = random.randrange(LUN_MIB * MIB // BLOCK_BYTES - 1) * (BLOCK_BYTES // SECTOR_BYTES) + skip
            connected.send(peer.encode(command_to(lba, number + FIRST_COMMANDS, peer), data))
            if number < count:
                serve()
            else:
                watch.count_calls(serve)
            while not (reply := received(connected)):  # The write waits for room, or the connection has left the hub.
                await watch.let_others_run()
            failed += reply[STATUS] != 0
            rest_of_hold -= 1
            if rest_of_hold <= 0:
                is_quiet = await watch.let_others_run()
                rest_of_hold = COMMANDS_OF_A_QUIET_HOLD if is_quiet else COMMANDS_OF_A_HOLD
        assert failed <= MAX_ATTENTIONS, f"{failed} writes have failed"
    return replace(cost, python_calls=watch.python_calls / COUNTED_COMMANDS)


def received(connected: Any) -> bytes:
    try:
        return bytes(connected.recv(1024))
    except BlockingIOError:
        return b""


def cost_of_a_write(count: int = COMMANDS, *, is_aligned: bool = True) -> Cost:
    costs = []
    for splits in (False, True):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            costs.append(trio.run(partial(measure, is_aligned=is_aligned, splits=splits), count, Path(folder)))
    whole, split = costs
    return replace(whole, parts_us={PASS: whole.parts_us[PARTS["pass"]], **split.parts_us})


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.one_write", description="Time the parts of a write of 4 KiB.")
    parser.add_argument("commands", nargs="?", type=number_of, default=COMMANDS)
    parser.add_argument("--unaligned", action="store_true", help="begin each write inside a block of the store")
    asked = parser.parse_args(words)
    cost = cost_of_a_write(asked.commands, is_aligned=not asked.unaligned)
    for part, taken_us in (*cost.parts_us.items(), (OTHERS, cost.others_us)):
        print(f"{part:58} {taken_us:6.1f} us")
    print(f"{cost.moved_blocks:.2f} moved blocks and {cost.header_blocks:.2f} header blocks for each write")
    print(f"{cost.python_calls:.0f} functions of Python for each pass")


if __name__ == "__main__":
    main(sys.argv[1:])
