"""Measures how long the event loop of an array computes without a pause, under the load of large fragmented LUNs.

    python bench/longest_turn.py                   runs all scenarios, each in its own process
    python bench/longest_turn.py lba-status 10000  runs one scenario with 10,000 scattered blocks

A turn is the time between two polls of the network; all other work waits for its end. The output has the longest turn in
milliseconds of processor time and of the clock, the number of turns over 5 ms, and the total time. On a busy machine the
processor time is the better measure; the clock also includes time taken by other threads. Hosts are nexuses in the process, so
that only the array is measured. `gc` is the longest pause of Python's garbage collector; it is part of a turn.
"""

import gc
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio
import trio.testing

from odx_target.cli.serving.garbage_collector import spared_collector
from odx_target.cli.serving.serve import open_pool
from odx_target.copymgr.commands.parameter_lists import ServiceAction
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply, Status
from odx_target.scsi.target_port import iscsi_port
from odx_target.scsi.tasks.outcome import Pending
from odx_target.store.api import PoolBusy
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.control.operations import perform

PIB = 1 << 50
BLOCK = 4096
HUGE, DENSE, OTHER = 0, 1, 2
LUNS = (LunConfig("huge", PIB, BLOCK), LunConfig("dense", 1 << 40, BLOCK), LunConfig("other", PIB, BLOCK))
DATA = bytes(BLOCK - 1) + b"x"
LIMIT_MS = 5.0
DENSE_BLOCKS = 1 << 18
TOKENS = 65_536
"""Number of tokens that an array can keep."""

STATUS_COMMANDS = 64
PLACED_BLOCKS = 1 << 16
PIECE_BLOCKS = 64
TASKS = 2048
POPULATE_HEADER_BYTES = 16
WRITE_HEADER_BYTES = 536


@dataclass(eq=False)
class Turns(trio.abc.Instrument):
    """Measures every turn of the loop while measuring is switched on."""

    is_on: bool = False
    began: tuple[float, float] = (0.0, 0.0)
    turns_ms: list[tuple[float, float]] = field(default_factory=list)

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        self.began = time.thread_time(), time.perf_counter()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        if self.is_on:
            cpu_s, clock_s = self.began
            self.turns_ms.append(((time.thread_time() - cpu_s) * 1e3, (time.perf_counter() - clock_s) * 1e3))


class Collector:
    """Measures the pauses of Python's garbage collector."""

    def __init__(self) -> None:
        self.pauses_ms: list[float] = [0.0]
        self._began = 0.0
        gc.callbacks.append(self._hear)

    def _hear(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.thread_time()
        else:
            self.pauses_ms.append((time.thread_time() - self._began) * 1e3)


@dataclass(eq=False)
class Bench:
    """An array with huge LUNs and a host."""

    array: Array
    clock: trio.testing.MockClock
    nexus: Nexus
    blocks: list[int]
    random: Random = field(default_factory=lambda: Random(5))
    figures: dict[str, float] = field(default_factory=dict)
    """Figures that only this scenario reports, by name."""

    async def write(self, lun: int, block: int, data: bytes = DATA) -> None:
        """Write from a block on, and wait for room if necessary."""
        volume = self.array.logical_units[lun].volume
        while True:
            try:
                volume.write(block, [data])
                return
            except PoolBusy:
                self.array.pool.commit()
                await volume.room_made()

    async def fragment(self) -> None:
        """Write scattered blocks to the huge LUN, and every second block of a GiB to the dense LUN."""
        for lun, blocks in ((HUGE, self.blocks), (DENSE, range(0, DENSE_BLOCKS, 2))):
            for count, block in enumerate(blocks):
                await self.write(lun, block)
                if not count % 256:
                    self.array.pool.commit()
                    await trio.lowlevel.checkpoint()
        self.array.pool.commit()

    async def start(self, nursery: trio.Nursery, lun: int, cdb: bytes, data: bytes = b"", *, tag: int = 0) -> None:
        """Execute a command as a connection does, at once or as a task. Waits if the command took a whole turn."""
        _, outcome = self.array.device_server.execute(self.nexus, lun, cdb.ljust(16, b"\0"), [data] if data else [], 0, tag)
        if not isinstance(outcome, Reply):
            nursery.start_soon(self.finish, outcome)
            await self.array.environment.turns.next_if_spent()

    async def command(self, lun: int, cdb: bytes, data: bytes = b"") -> Reply:
        _, outcome = self.array.device_server.execute(self.nexus, lun, cdb.ljust(16, b"\0"), [data] if data else [], 0, 0)
        if not isinstance(outcome, Reply):
            return await self.finish(outcome)
        self.array.pool.commit()
        return outcome

    async def finish(self, pending: Pending) -> Reply:
        """Finish pending work as a connection does: commit its changes, then return the reply."""
        reply = await pending.run()
        self.array.pool.commit()
        return reply


async def lba_status(bench: Bench) -> None:
    cdb = b"\x9e\x12" + bytes(8) + (1 << 16).to_bytes(4, "big")
    async with trio.open_nursery() as nursery:
        for lun in (HUGE, DENSE):
            for tag in range(STATUS_COMMANDS):
                await bench.start(nursery, lun, cdb, tag=tag)
            await trio.lowlevel.checkpoint()


async def unmap(bench: Bench) -> None:
    """Send 64 UNMAPs of 255 ranges each, then unmap the whole dense part."""
    body = b"".join((at * 4096).to_bytes(8, "big") + (3000).to_bytes(4, "big") + bytes(4) for at in range(255))
    data = (len(body) + 6).to_bytes(2, "big") + len(body).to_bytes(2, "big") + bytes(4) + body
    async with trio.open_nursery() as nursery:
        for tag in range(STATUS_COMMANDS):
            await bench.start(nursery, HUGE, b"\x42" + bytes(6) + len(data).to_bytes(2, "big"), data, tag=tag)
        await trio.lowlevel.checkpoint()
        for tag in range(STATUS_COMMANDS):
            await bench.start(nursery, DENSE, b"\x93\x01" + bytes(8) + DENSE_BLOCKS.to_bytes(4, "big"), tag=tag)


async def shrink(bench: Bench) -> None:
    """Shrink a LUN from a PiB to a GiB, and wait until the cut part of its map is freed."""
    await perform(bench.array, "resize", {"name": "huge", "size": "1G", "shrink": True})
    await _quiet()


async def snapshot(bench: Bench) -> None:
    """Freeze all volumes, overwrite a part, unmap everything, then release the frozen maps."""
    volumes = [bench.array.logical_units[lun].volume for lun in (HUGE, DENSE)]
    frozen = [volume.freeze() for volume in volumes]
    for count, block in enumerate(bench.blocks[:500]):
        await bench.write(HUGE, block)
        if not count % 50:
            bench.array.pool.commit()
            await trio.lowlevel.checkpoint()
    for volume in volumes:
        volume.unmap(0, volume.size_blocks)
        await trio.lowlevel.checkpoint()
    for each in frozen:
        each.release()
        await trio.lowlevel.checkpoint()
    await _quiet()


async def checkpoint(bench: Bench) -> None:
    """Overwrite all blocks while a checkpoint is saved, then free the nodes that only the checkpoint refers to."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.array.pool.checkpoint)  # type: ignore[attr-defined]
        await trio.sleep(0.05)
        bench.array.logical_units[HUGE].volume.unmap(0, PIB // BLOCK)
        bench.array.pool.commit()
    await _quiet()


async def copy(bench: Bench) -> None:
    """Copy fragmented data by token to a range that is not aligned with the source, so that no leaf can be shared."""
    source = b"".join(
        (at * (DENSE_BLOCKS // 64)).to_bytes(8, "big") + (DENSE_BLOCKS // 64).to_bytes(4, "big") + bytes(4) for at in range(64)
    )
    async with trio.open_nursery() as nursery:
        for copy_number in range(16):
            token = await _populate(bench, DENSE, source, copy_number)
            target = (copy_number * 8 * DENSE_BLOCKS + 77).to_bytes(8, "big") + DENSE_BLOCKS.to_bytes(4, "big") + bytes(4)
            head = (WRITE_HEADER_BYTES + len(target) - 2).to_bytes(2, "big") + bytes(14) + token + bytes(6)
            data = head + len(target).to_bytes(2, "big") + target
            cdb = bytes((0x83, ServiceAction.WRITE_USING_TOKEN)) + bytes(4) + (1000 + copy_number).to_bytes(4, "big")
            await bench.start(nursery, OTHER, cdb + len(data).to_bytes(4, "big"), data, tag=copy_number)


async def _populate(bench: Bench, lun: int, ranges: bytes, list_identifier: int) -> bytes:
    data = (POPULATE_HEADER_BYTES + len(ranges) - 2).to_bytes(2, "big") + bytes(12) + len(ranges).to_bytes(2, "big") + ranges
    numbers = list_identifier.to_bytes(4, "big")
    reply = await bench.command(
        lun, bytes((0x83, ServiceAction.POPULATE_TOKEN)) + bytes(4) + numbers + len(data).to_bytes(4, "big"), data
    )
    assert reply.status == Status.GOOD, reply.sense.hex()
    cdb = bytes((0x84, ServiceAction.RECEIVE_ROD_TOKEN_INFORMATION)) + numbers + bytes(4) + (1 << 12).to_bytes(4, "big")
    return b"".join((await bench.command(lun, cdb)).data_in)[-512:]


async def make_tokens(bench: Bench) -> None:
    one = bytes(8) + (1 << 20).to_bytes(4, "big") + bytes(4)
    for number in range(TOKENS):
        if not number % 16:
            await bench.write(HUGE, bench.random.choice(bench.blocks))
        await _populate(bench, HUGE, one, number % 200)
        if not number % 100:
            await trio.lowlevel.checkpoint()


async def expiry(bench: Bench) -> None:
    """Jump ahead so that all tokens expire in the same second."""
    bench.clock.jump(1000.0)
    while bench.array.copy_manager.copies.tokens.live:
        await trio.lowlevel.checkpoint()
    await _quiet()


async def listings(bench: Bench) -> None:
    """Send REPORT ALL ROD TOKENS, and request the list of all tokens from management."""
    cdb = bytes((0x84, ServiceAction.REPORT_ALL_ROD_TOKENS)) + bytes(8) + (1 << 24).to_bytes(4, "big")
    reply = await bench.command(HUGE, cdb)
    assert reply.transfer_bytes > TOKENS
    after: object = "0"
    while after is not None:
        page = await perform(bench.array, "tokens", {"after": after})
        json.dumps(page)
        after = page["next"]
        await trio.lowlevel.checkpoint()
    await bench.array.pool.checkpoint()  # type: ignore[attr-defined]


async def resets(bench: Bench) -> None:
    """Send a LOGICAL UNIT RESET, a target reset and the end of a session, each with as many tasks as a LUN accepts."""
    for end in (
        lambda: bench.array.device_server.reset_logical_unit(bench.array.logical_units[HUGE], bench.nexus),
        lambda: bench.array.device_server.reset_target(bench.nexus),
        lambda: bench.array.device_server.detach(bench.nexus),
    ):
        async with trio.open_nursery() as nursery:
            for tag in range(TASKS):
                await bench.start(nursery, HUGE, b"\x93\0" + bytes(8) + (256).to_bytes(4, "big"), b"x" * BLOCK, tag=tag)
            end()
        bench.nexus.unit_attentions.clear()


async def fill_for_placement(bench: Bench) -> None:
    """Fill a part of the dense LUN with data that compression makes about half as large."""
    for block in range(0, PLACED_BLOCKS, PIECE_BLOCKS):
        data = b"".join(bench.random.randbytes(BLOCK // 2) + bytes(BLOCK // 2) for _ in range(PIECE_BLOCKS))
        await bench.write(DENSE, block, data)
        bench.array.pool.commit()
        await trio.lowlevel.checkpoint()


async def placement(bench: Bench) -> None:
    """Move a LUN to the capacity tier and back. The cleaner may work all the time."""
    pool = bench.array.pool
    for tier in ("capacity", "fast"):
        await perform(bench.array, "volume-set", {"name": "dense", "tier": tier})
        await trio.sleep(0.1)
        began, before, last = 0.0, moved_blocks(pool), moved_blocks(pool)
        taken_s = 0.0
        while True:
            await trio.sleep(0.02)
            now = moved_blocks(pool)
            began = began or (time.perf_counter() if now > before else 0.0)
            if now > last:
                taken_s, last = time.perf_counter() - began, now
            status = pool.cleaner.placement.status()  # type: ignore[attr-defined]
            if began and not (status.to_capacity_blocks or status.to_fast_blocks or pool.cleaner._is_at_work):  # type: ignore[attr-defined] # noqa: SLF001
                break
        moved = moved_blocks(pool) - before
        bench.figures[f"mib_per_s_to_{tier}"] = moved * BLOCK / (1 << 20) / taken_s
        bench.figures[f"mib_to_{tier}"] = moved * BLOCK / (1 << 20)


def moved_blocks(pool: object) -> int:
    """Return the number of blocks that the cleaner has moved to either tier or within a tier."""
    cleaner = pool.cleaner  # type: ignore[attr-defined]
    return int(cleaner.placement.capacity_writer.moved_blocks + cleaner.mover.moved_blocks)


async def nothing(_bench: Bench) -> None:
    pass


async def _quiet() -> None:
    """Wait until all background work has ended."""
    for _ in range(3):
        await trio.testing.wait_all_tasks_blocked(0.02)


Step = Callable[[Bench], Awaitable[None]]

SCENARIOS: dict[str, tuple[Step, Step]] = {
    # name: (preparation, measured function)
    "lba-status": (nothing, lba_status),
    "unmap": (nothing, unmap),
    "shrink": (nothing, shrink),
    "snapshot": (nothing, snapshot),
    "checkpoint": (nothing, checkpoint),
    "copy": (nothing, copy),
    "expiry": (make_tokens, expiry),
    "listings": (make_tokens, listings),
    "resets": (nothing, resets),
    "placement": (fill_for_placement, placement),
}


async def measure(name: str, scattered: int, folder: Path, turns: Turns, clock: trio.testing.MockClock) -> dict[str, float]:
    prepare, torture = SCENARIOS[name]
    tier = {"capacity_tier": folder / "tier", "cleaning_share": 1.0} if name == "placement" else {}
    config = Config(pool_dir=folder / "pool", luns=LUNS, portals=(Portal(port=0),), **tier)  # type: ignore[arg-type]
    async with Array(config, open_pool=open_pool) as array, spared_collector():
        nexus = Nexus("iqn.bench", "iqn.bench,i,0x1", iscsi_port(config.iqn), array.logical_units)
        array.device_server.attach(nexus)
        nexus.unit_attentions.clear()
        random = Random(3)
        bench = Bench(array, clock, nexus, random.sample(range(PIB // BLOCK), scattered))
        await bench.fragment()
        await prepare(bench)
        await _quiet()
        gc.collect()
        await trio.lowlevel.checkpoint()
        collector = Collector()
        began = time.perf_counter()
        turns.is_on = True
        await torture(bench)
        await trio.lowlevel.checkpoint()
        turns.is_on = False
        gc_ms = max(collector.pauses_ms)
        longest = [max(each) for each in zip(*turns.turns_ms, strict=True)]
        return {
            "cpu_ms": longest[0],
            "clock_ms": longest[1],
            "turns_over_5_ms": sum(cpu_ms > LIMIT_MS for cpu_ms, _ in turns.turns_ms),
            "gc_ms": gc_ms,
            "whole_s": time.perf_counter() - began,
            **bench.figures,
        }


def run(name: str, scattered: int) -> dict[str, float]:
    turns, clock = Turns(), trio.testing.MockClock(rate=1.0, autojump_threshold=math.inf)
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(measure, name, scattered, Path(folder), turns, clock, instruments=[turns], clock=clock)


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(run(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)))
        return
    print(f"{'scenario':12} {'longest turn, cpu':>18} {'by the clock':>14} {'over 5 ms':>10} {'gc':>10} {'whole':>10}")
    for name in SCENARIOS:
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        print(
            f"{name:12} {found['cpu_ms']:15.1f} ms {found['clock_ms']:11.1f} ms {found['turns_over_5_ms']:10} "
            f"{found['gc_ms']:7.1f} ms {found['whole_s']:8.1f} s"
        )
        for figure, value in found.items():
            if figure.startswith("mib"):
                print(f"    {figure}: {value:.0f}")


if __name__ == "__main__":
    main()
