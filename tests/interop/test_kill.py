"""Kills a server under load with SIGKILL, repeatedly on one pool. Acknowledged and flushed data must survive undamaged."""

import itertools
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.interop import token_bytes as raw
from tests.interop.blocks import pattern, read_blocks, synchronize_cache, write_blocks
from tests.interop.conftest import Login, Start
from tests.interop.libiscsi import Initiator, LibiscsiError
from tests.interop.programs import need, run
from tests.interop.serving import END_TIMEOUT_S, Served

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-kill")]

LUN_BYTES = 64 << 20
LUNS = ("first=64M", "second=64M", "third=64M,block=4096")
LOAD_TIMEOUT_S = 60
ROUNDS = 4
WRITES_PER_FLUSH = 16
LONGEST_WRITE_BLOCKS = 200
REGION_BLOCKS = 4096


@dataclass
class Writer:
    """Writes to random places of one region, one command at a time, and keeps the expected content of the region.

    A block must contain the number of the last acknowledged write to it, or of the write that was running at the end.
    """

    lun: int
    lba: int
    seed: int
    acknowledged: list[int] = field(default_factory=lambda: [0] * REGION_BLOCKS)
    in_flight: tuple[int, int, int] | None = None
    number: int = 0

    def run(self, session: Initiator, on_acknowledge: Callable[[], None]) -> None:
        """Write until the connection is lost."""
        source = random.Random(f"{self.seed}/{self.number}")
        try:
            while True:
                self._write(session, source)
                on_acknowledge()
                if self.number % WRITES_PER_FLUSH == 0:
                    synchronize_cache(session, self.lun)
        except LibiscsiError:
            return

    def _write(self, session: Initiator, source: random.Random) -> None:
        self.number += 1
        first = source.randrange(REGION_BLOCKS)
        count = source.randint(1, min(LONGEST_WRITE_BLOCKS, REGION_BLOCKS - first))
        self.in_flight = (first, count, self.number)
        write_blocks(
            session, self.lun, self.lba + first, pattern(self.number, self.lba + first, count), fua=source.random() < 0.1
        )
        self.acknowledged[first : first + count] = [self.number] * count
        self.in_flight = None

    def check(self, session: Initiator) -> None:
        """Compare the region with the expected content, and take its present content as the new state."""
        data = read_blocks(session, self.lun, self.lba, REGION_BLOCKS)
        for block, number in enumerate(self.acknowledged):
            found = int.from_bytes(data[512 * block : 512 * block + 8], "big")
            assert found in self._allowed(block, number), f"block {self.lba + block} holds write {found}, not {number}"
            expected = pattern(found, self.lba + block, 1) if found else bytes(512)
            assert data[512 * block : 512 * (block + 1)] == expected, f"block {self.lba + block} is torn"
            self.acknowledged[block] = found
        self.in_flight = None

    def _allowed(self, block: int, number: int) -> set[int]:
        if self.in_flight is not None:
            first, count, later = self.in_flight
            if first <= block < first + count:
                return {number, later}
        return {number}


@contextmanager
def load(jobs: list[Callable[[Callable[[], None]], None]], count: int) -> Iterator[threading.Event]:
    """Run the jobs in threads. The event is set when they have called back `count` times; the jobs must end by themselves."""
    reached = threading.Event()
    calls = 0
    lock = threading.Lock()

    def called() -> None:
        nonlocal calls
        with lock:
            calls += 1
            if calls >= count:
                reached.set()

    threads = [threading.Thread(target=job, args=(called,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield reached
    finally:
        for thread in threads:
            thread.join(LOAD_TIMEOUT_S)
    assert not any(thread.is_alive() for thread in threads)


@contextmanager
def bench_writes(served: Served, lun: int) -> Iterator[None]:
    """Run `qemu-img bench -w` during the context. It is killed at the end, because it tries to reconnect forever."""
    need("qemu-img")
    words = [
        "qemu-img",
        "bench",
        "-w",
        "-c",
        "1000000",
        "-d",
        "16",
        "-s",
        "8192",
        "-S",
        "12288",
        "--pattern",
        "90",
        "-t",
        "none",
    ]
    process = subprocess.Popen(
        [*words, "-f", "raw", served.url(lun)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait(END_TIMEOUT_S)


def check_all_readable(session: Initiator) -> None:
    """Read every block of every LUN, and assert that each read succeeds."""
    for lun, block_bytes in ((0, 512), (1, 512), (2, 4096)):
        read_blocks(session, lun, 0, LUN_BYTES // block_bytes, block_bytes)


def test_acknowledged_writes_outlive_the_process(start: Start, login: Login, record_property: Callable[..., None]) -> None:
    source = random.Random(7)
    writers = [Writer(0, 0, 1), Writer(0, 3 * REGION_BLOCKS + 5, 2), Writer(1, LUN_BYTES // 512 - REGION_BLOCKS, 3)]
    served = start(LUNS)
    for round_number in range(ROUNDS):
        run("qemu-io", "-f", "raw", "-t", "none", "-c", f"write -P {round_number + 1} 1M 4M", "-c", "flush", served.url(2))
        sessions = [login(served, writer.lun) for writer in writers]
        jobs = [
            lambda called, writer=writer, session=session: writer.run(session, called)
            for writer, session in zip(writers, sessions, strict=True)
        ]
        with bench_writes(served, 2), load(jobs, source.randint(50, 600)) as reached:
            try:
                assert reached.wait(LOAD_TIMEOUT_S)
            finally:
                served.kill()
        served = start()
        record_property("seconds_to_ready", round(served.seconds_to_ready, 2))
        session = login(served, 0, 1, 2)
        for writer in writers:
            writer.check(session)
        _check_bench(read_blocks(session, 2, 256, 1024, 4096), round_number + 1)
        check_all_readable(session)
    assert served.stop() == 0
    session = login(start(), 0, 1, 2)
    for writer in writers:
        writer.check(session)
    check_all_readable(session)


def _check_bench(data: bytes, flushed: int) -> None:
    """Assert that each block has the data that qemu-io flushed, or the data that qemu-img bench wrote over it."""
    allowed = {bytes([flushed]) * 4096, bytes([90]) * 4096}
    assert {data[start : start + 4096] for start in range(0, len(data), 4096)} <= allowed


COPY_BLOCKS = 16_384
COPY_LBA = 65_536
SOURCES = (0, COPY_BLOCKS)


@dataclass
class Copier:
    """Copies one token after the other to the same range, and remembers the last token."""

    tokens: list[bytes]
    shift: int
    acknowledged: int | None = None
    in_flight: int | None = None

    def run(self, session: Initiator, on_acknowledge: Callable[[], None]) -> None:
        """Copy until the connection is lost."""
        number = 0
        try:
            while True:
                choice = number % len(self.tokens)
                self.in_flight = choice
                result = raw.write_using(
                    session, 1, number, self.tokens[choice], [(COPY_LBA * self.shift + self.shift, COPY_BLOCKS)]
                )
                assert result.outcome == "good"
                self.acknowledged, self.in_flight = choice, None
                number += 1
                on_acknowledge()
        except LibiscsiError:
            return

    def check(self, session: Initiator) -> None:
        """Assert that a copy that was running at the end has replaced no block, or some blocks from the first one on."""
        data = read_blocks(session, 1, COPY_LBA * self.shift + self.shift, COPY_BLOCKS)
        allowed = {choice for choice in (self.acknowledged, self.in_flight) if choice is not None}
        found = [self._origin(data[512 * block : 512 * (block + 1)], block) for block in range(COPY_BLOCKS)]
        assert set(found) <= allowed | ({None} if self.acknowledged is None else set())
        assert sum(one != other for one, other in itertools.pairwise(found)) <= 1

    def _origin(self, block: bytes, number: int) -> int | None:
        for choice, lba in enumerate(SOURCES):
            if block == pattern(choice + 1, lba + number, 1):
                return choice
        assert block == bytes(512)
        return None


@pytest.mark.parametrize("shift", [0, 1], ids=["aligned", "unaligned"])
@pytest.mark.parametrize("copies", [1, 5])
def test_a_copy_by_token_is_whole_or_a_beginning(start: Start, login: Login, shift: int, copies: int) -> None:
    served = start(LUNS)
    session = login(served, 0, 1)
    for choice, lba in enumerate(SOURCES):
        write_blocks(session, 0, lba, pattern(choice + 1, lba, COPY_BLOCKS))
    options = {"flags": raw.RTV_OR_DEL_TKN, "rod_type": raw.PERSISTENT, "timeout_s": 300}
    persistent = raw.make_token(session, 0, 100, [(SOURCES[0], COPY_BLOCKS)], **options)
    fleeting = raw.make_token(session, 0, 101, [(SOURCES[1], COPY_BLOCKS)])
    copier = Copier([persistent, fleeting], shift)
    with load([lambda called: copier.run(session, called)], copies) as reached:
        try:
            assert reached.wait(LOAD_TIMEOUT_S)
        finally:
            served.kill()
    session = login(start(), 0, 1, 2)
    copier.check(session)
    for choice, lba in enumerate(SOURCES):
        assert read_blocks(session, 0, lba, COPY_BLOCKS) == pattern(choice + 1, lba, COPY_BLOCKS)
    assert raw.write_using(session, 1, 1, fleeting, [(0, 8)]).outcome.startswith("5/23/")
    assert raw.write_using(session, 1, 2, persistent, [(0, COPY_BLOCKS)]).outcome == "good"
    assert read_blocks(session, 1, 0, COPY_BLOCKS) == pattern(1, 0, COPY_BLOCKS)
    check_all_readable(session)
