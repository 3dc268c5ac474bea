"""The copies that `bench.copies` measures."""

import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio
from bench.clients import execute
from bench.load.shape import Shape
from bench.one_token import copy_by_one_token
from bench.rounds import write_random
from tests.interop.serving import IQN

from odx_target.initiator.copying.copy_job import CopyJob, Method
from odx_target.initiator.copying.copy_plan import plan_copy
from odx_target.initiator.disk import Disk
from odx_target.initiator.list_identifiers import ListIdentifiers
from odx_target.initiator.session.opening import open_session
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.session.session import InitiatorSession
from odx_target.initiator.session.together import run_together
from odx_target.initiator.url import parse_url

MIB = 1 << 20
BLOCK_BYTES = 512
SHIFT_BLOCKS = 1
FOREGROUND_MIB = 64
"""Size of the LUN whose latency is measured; less if the copies are smaller."""
REPEATS = 5
HOST_REPEATS = 3
TIMEOUT_S = 300.0
SCATTERED_WRITES = 20_000
SCATTERED_STEP_BYTES = 4096 * 1009
BENCH, FOREGROUND, LARGE, LARGE_COPY = range(4)
"""LUNs of the array."""
WATCHED_COPY_MIB = 256
"""Size of the copies beside which the latency is measured; less if the copies are smaller."""
WATCHED_S = 3.0
"""Seconds for which the latency of the foreground is measured in each case."""

Row = dict[str, float | str]


@dataclass(frozen=True)
class CopyBench:
    """An array whose first LUN has a source at 0, a fragmented source at `max_mib` and room for copies at `destination_mib`."""

    portal: str
    max_mib: int
    folder: Path

    @property
    def destination_mib(self) -> int:
        return 2 * self.max_mib

    @property
    def url(self) -> str:
        return self.url_of(BENCH)

    @property
    def image(self) -> Path:
        """A file of random data of `max_mib`."""
        return self.folder / "image.raw"

    def url_of(self, lun: int) -> str:
        return f"iscsi://{self.portal}/{IQN}/{lun}"

    def fill(self) -> None:
        """Write random data to both sources, and then scattered blocks to the second source."""
        write_random(self.image, self.max_mib * MIB)
        for start_mib in (0, self.max_mib):
            self._fill_part(self.url, start_mib, self.max_mib)
        self._fill_part(self.url_of(FOREGROUND), 0, min(FOREGROUND_MIB, self.max_mib))
        words = ["qemu-img", "bench", "-w", "-t", "none", "-c", str(SCATTERED_WRITES), "-d", "32", "-s", "4096"]
        place = part_of(self.url, self.max_mib * MIB, self.max_mib * MIB)
        execute([*words, "-S", str(SCATTERED_STEP_BYTES), "--image-opts", place], TIMEOUT_S)

    def fill_peer(self, url: str) -> None:
        """Write random data to the source of another target."""
        self._fill_part(url, 0, self.max_mib)

    @property
    def watched_copy_mib(self) -> int:
        return min(WATCHED_COPY_MIB, self.max_mib)

    def other_array(self, portal: str) -> "CopyBench":
        """Fill the source of copies of another array, and return it."""
        other = CopyBench(portal, self.watched_copy_mib, self.folder)
        self._fill_part(other.url, 0, other.max_mib)
        return other

    def _fill_part(self, url: str, start_mib: int, size_mib: int) -> None:
        source = f"driver=raw,size={size_mib * MIB},file.driver=file,file.filename={self.image}"
        _convert(source, url, start_mib * MIB, size_mib * MIB)


def part_of(url: str, start_bytes: int, size_bytes: int) -> str:
    """Return a part of a LUN as a node of QEMU."""
    place = parse_url(url)
    disk = (
        f"file.driver=iscsi,file.transport=tcp,file.portal={place.portal},file.target={place.target_name},file.lun={place.lun}"
    )
    return f"driver=raw,offset={start_bytes},size={size_bytes},{disk}"


def host_copy(url: str, size_mib: int, destination_mib: int) -> float:
    """Copy the start of a LUN to another place of the LUN through the host. Returns the median of the seconds."""
    source = part_of(url, 0, size_mib * MIB)
    times_s = []
    for _ in range(HOST_REPEATS):
        began_s = time.perf_counter()
        _convert(source, url, destination_mib * MIB, size_mib * MIB)
        times_s.append(time.perf_counter() - began_s)
    return round(statistics.median(times_s), 4)


def _convert(source: str, url: str, start_bytes: int, size_bytes: int) -> None:
    """Copy a source to a part of a LUN by `qemu-img convert`. Zeros are written too."""
    words = ["qemu-img", "convert", "-n", "-S", "0", "--image-opts", "--target-image-opts"]
    execute([*words, source, part_of(url, start_bytes, size_bytes)], TIMEOUT_S)


async def token_copies(bench: CopyBench, sizes_mib: Sequence[int]) -> list[Row]:
    """Copy by token: aligned, shifted by one logical block, and from the fragmented source. Returns a row for each size."""
    rows = []
    async with _session(bench, 1) as session:
        disk = await _disk(session, BENCH)
        for size_mib in sizes_mib:
            cases = {"aligned": (0, 0), "shifted by a block": (0, SHIFT_BLOCKS), "fragmented": (bench.max_mib, 0)}
            row: Row = {"MiB": size_mib}
            for name, (source_mib, shift) in cases.items():
                copy = partial(_copy, disk, disk, source_mib, bench.destination_mib, size_mib, shift)
                row[f"{name}, s"] = round(statistics.median([await copy() for _ in range(REPEATS)]), 5)
            rows.append(row)
    return rows


async def large_lun(bench: CopyBench) -> Row:
    """Fill a LUN of 1 TiB by copies of copies, so that its whole map is in use, and then copy it to another LUN."""
    async with _session(bench, 2) as session:
        small, large, other = [await _disk(session, lun) for lun in (BENCH, LARGE, LARGE_COPY)]
        filled_mib = bench.max_mib
        await _copy(small, large, 0, 0, filled_mib, 0)
        began_s = time.perf_counter()
        while filled_mib * MIB < large.capacity_blocks * BLOCK_BYTES:
            await _copy(large, large, 0, filled_mib, filled_mib, 0)
            filled_mib *= 2
        row: Row = {"fill by copies of copies, s": round(time.perf_counter() - began_s, 2)}
        seconds, writes = await copy_by_one_token(large, other, large.capacity_blocks)
        row |= {"copy by one token, s": round(seconds, 3), "its WRITE USING TOKEN commands": writes}
        row["copy by tokens of 256 MiB, s"] = round(await _copy(large, other, 0, 0, filled_mib, 0), 2)
    return row


async def interference(bench: CopyBench, other: CopyBench, on_end: Callable[[], None] = lambda: None) -> list[Row]:
    """Measure reads of 4 KiB at depth 1 on another LUN, while nothing else runs and while copies run one after the other.

    In the last row, the copies run on the array `other`, so the reads wait only for the processors of the machine. `on_end` is
    called at the end of each measurement.
    """
    rows: list[Row] = []
    async with _session(bench, 3) as session, _session(other, 3) as other_session:
        disk, other_disk = await _disk(session, BENCH), await _disk(other_session, BENCH)
        for name, where, at, shift in (
            ("none", disk, bench, None),
            ("aligned", disk, bench, 0),
            ("shifted by a block", disk, bench, SHIFT_BLOCKS),
            ("aligned, on another array", other_disk, other, 0),
        ):
            copy = None
            if shift is not None:
                copy = partial(_copy, where, where, 0, at.destination_mib, bench.watched_copy_mib, shift)
            rows.append({"copies": name} | await _latency_beside(bench, copy))
            on_end()
            p99, idle = (float(row["p99, us"]) for row in (rows[-1], rows[0]))
            rows[-1]["p99, times that of none"] = round(p99 / idle, 1)
    return rows


async def _latency_beside(bench: CopyBench, copy: Callable[[], Awaitable[float]] | None) -> Row:
    """Measure reads, in a process of their own, while a copy is repeated. None means no copies."""
    count = [0]
    async with trio.open_nursery() as nursery:
        if copy is not None:
            nursery.start_soon(_repeat, copy, count)
        words = [sys.executable, "-m", "bench.load", bench.url_of(FOREGROUND), Shape(4096, 1).as_json()]
        printed = await trio.to_thread.run_sync(execute, [*words, "--seconds", str(WATCHED_S)], TIMEOUT_S)
        nursery.cancel_scope.cancel()
    ran = json.loads(printed.splitlines()[-1])
    row: Row = {"copies/s": round(count[0] / ran["seconds"], 2)}
    return row | {f"{percentile}, us": round(value, 1) for percentile, value in ran["reads_us"].items()}


async def _repeat(copy: Callable[[], Awaitable[float]], count: list[int]) -> None:
    while True:
        await copy()
        count[0] += 1


def _session(bench: CopyBench, number: int) -> AbstractAsyncContextManager[InitiatorSession]:
    place = parse_url(bench.url)
    options = SessionOptions(random_isid(bytes([0xC0, number])), command_timeout_s=TIMEOUT_S)
    return open_session(place.portal, place.target_name, options)


async def _disk(session: InitiatorSession, lun: int) -> Disk:
    return await Disk.probe(session.logical_unit(lun), trio.sleep, f"LUN {lun}")


async def _copy(source: Disk, destination: Disk, source_mib: int, destination_mib: int, size_mib: int, shift: int) -> float:
    """Copy by token only, and flush. Returns the seconds. Raises InitiatorError if the array does not copy all by token."""
    plan = plan_copy(
        source,
        destination,
        source_lba=source_mib * MIB // BLOCK_BYTES,
        destination_lba=destination_mib * MIB // BLOCK_BYTES + shift,
        count_blocks=size_mib * MIB // BLOCK_BYTES,
    )
    began_s = time.perf_counter()
    await CopyJob(source, destination, plan, run_together, _ignore_progress, ListIdentifiers()).run(Method.ODX)
    return time.perf_counter() - began_s


def _ignore_progress(count_bytes: int, is_offloaded: bool) -> None:
    """Take the progress of a copy."""
