"""The table of cells: every load that is measured."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.clients import Generated, IscsiPerf, Load, QemuBench
from bench.load.shape import Shape

KIB = 1024
SMALL = 4 * KIB
SCATTERED_STEP_BYTES = SMALL * 1009
"""A prime number of blocks, so that a load visits every place once before it visits a place again."""
UNALIGNED_STEP_BYTES = 2 * SCATTERED_STEP_BYTES
"""An even number of blocks, so that a load never visits the last block of the LUN, after which its command would end."""
DEPTHS = (1, 8, 32)
LARGE_KIB = (64, 256, 1024)
LARGE_DEPTHS = (1, 8)
SESSIONS = ((1, 1), (4, 1), (16, 1), (16, 8))
"""Numbers of sessions with the depth of each session."""
SESSIONS_OF_PROCESSES = (4, 16)
QUICK = frozenset(
    {
        "read 4 KiB random unaligned, depth 32",
        "read 4 KiB random unaligned, depth 1",
        "read 256 KiB, depth 1",
        "read 256 KiB, depth 8",
        "write 4 KiB scattered aligned, depth 32",
        "write 4 KiB scattered aligned, depth 1",
        "write 4 KiB sequential, depth 32",
        "write 256 KiB, depth 1",
        "write 256 KiB, depth 8",
    }
)
"""Names of the cells of a quick run."""


@dataclass(frozen=True)
class Cell:
    """A load with its name, and the group of cells to which it belongs. If there is a load `before`, it runs once in each
    round, before the first of the cells that have it. It is not measured.
    """

    group: str
    name: str
    load: Load
    before: Load | None = None

    @property
    def is_quick(self) -> bool:
        return self.name in QUICK


SCATTER = QemuBench(SMALL, 32, SCATTERED_STEP_BYTES, writes=True)
"""Writes of single blocks. A store that does not write in place then has the blocks of the LUN in another order."""


def _small_reads() -> Iterator[Cell]:
    """Reads of 4 KiB. Aligned commands begin at a multiple of 4 KiB; the others do not."""
    group = "4 KiB, random"
    for depth in DEPTHS:
        yield Cell(group, f"read 4 KiB scattered aligned, depth {depth}", QemuBench(SMALL, depth, SCATTERED_STEP_BYTES))
    for depth in DEPTHS:
        yield Cell(group, f"read 4 KiB random unaligned, depth {depth}", IscsiPerf(SMALL, depth, random=True))


def _small_writes() -> Iterator[Cell]:
    group = "4 KiB, random"
    for alignment, first_byte, step_bytes in (("aligned", 0, SCATTERED_STEP_BYTES), ("unaligned", 512, UNALIGNED_STEP_BYTES)):
        for depth in DEPTHS:
            load = QemuBench(SMALL, depth, step_bytes, writes=True, first_byte=first_byte)
            yield Cell(group, f"write 4 KiB scattered {alignment}, depth {depth}", load)


def _large_reads(words: str = "", before: Load | None = None) -> Iterator[Cell]:
    for size_kib in LARGE_KIB:
        for depth in LARGE_DEPTHS:
            yield Cell("sequential", f"read {size_kib} KiB{words}, depth {depth}", IscsiPerf(size_kib * KIB, depth), before)


def _sequential_writes() -> Iterator[Cell]:
    group = "sequential"
    yield Cell(group, "write 4 KiB sequential, depth 32", QemuBench(SMALL, 32, SMALL, writes=True))
    for size_kib in LARGE_KIB:
        for depth in LARGE_DEPTHS:
            size_bytes = size_kib * KIB
            yield Cell(group, f"write {size_kib} KiB, depth {depth}", QemuBench(size_bytes, depth, size_bytes, writes=True))


def _sessions() -> Iterator[Cell]:
    for sessions, depth in SESSIONS:
        name = f"read 4 KiB random, depth {depth}, {sessions} session{'s' if sessions > 1 else ''}"
        yield Cell("sessions", name, Generated(Shape(SMALL, depth, sessions)))
    for sessions in SESSIONS_OF_PROCESSES:
        name = f"read 4 KiB random unaligned, depth 1, {sessions} processes"
        yield Cell("sessions", name, IscsiPerf(SMALL, 1, random=True, sessions=sessions))


def _digests() -> Iterator[Cell]:
    """The same loads without and with CRC32C of headers and data."""
    for kind, write_percent in (("read", 0), ("write", 100)):
        for size_bytes, depth in ((SMALL, 32), (256 * KIB, 8)):
            for words, digests in (("no digests", False), ("digests", True)):
                shape = Shape(size_bytes, depth, write_percent=write_percent, is_random=size_bytes == SMALL, digests=digests)
                yield Cell("digests", f"{kind} {size_bytes // KIB} KiB, depth {depth}, {words}", Generated(shape))


def _durable() -> Iterator[Cell]:
    group = "durable writes"
    for depth in (1, 32):
        shape = Shape(SMALL, depth, write_percent=100, fua=True)
        yield Cell(group, f"write 4 KiB random with FUA, depth {depth}", Generated(shape))
    flushed = QemuBench(SMALL, 32, SCATTERED_STEP_BYTES, writes=True, flush_interval=32)
    yield Cell(group, "write 4 KiB scattered, depth 32, flush after every 32", flushed)


def _mixed() -> Iterator[Cell]:
    group = "latency and mix"
    yield Cell(group, "write 4 KiB random, depth 1", Generated(Shape(SMALL, 1, write_percent=100)))
    for depth in (1, 32):
        yield Cell(
            group, f"70 % reads, 30 % writes 4 KiB random, depth {depth}", Generated(Shape(SMALL, depth, write_percent=30))
        )


CELLS = (
    *_small_reads(),
    *_large_reads(),
    *_sessions(),
    *_small_writes(),
    *_sequential_writes(),
    *_digests(),
    *_durable(),
    *_mixed(),
    *_large_reads(" of scattered blocks", SCATTER),
)
"""All cells, in the order in which they run. The first reads meet LUNs that were written from the first to the last block."""


def chosen(words: list[str], *, quick: bool) -> list[Cell]:
    """Return the cells whose names contain all words."""
    return [cell for cell in CELLS if all(word in cell.name for word in words) and (cell.is_quick or not quick)]
