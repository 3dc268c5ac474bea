"""The targets that are compared. Each has one LUN on new storage in a folder, and is a process of its own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.istgt import istgt_process
from bench.tgt import tgt_process
from tests.interop.serving import serve

MIB = 1 << 20
POOL_LIMIT_TIMES = 2
"""Size of the pool as a multiple of the LUN. The LUN is full, so half of the pool is live data and the other half is free."""
SUSTAINED_TIMES = 4
"""A sustained write cell writes at least this multiple of the free segments of the pool. So making, cleaning and recycling of
segments is inside the window."""


@dataclass(frozen=True)
class Running:
    """A running target. A sustained write cell writes `free_bytes` SUSTAINED_TIMES; targets without segments have none."""

    url: str
    pid: int
    free_bytes: int = 0


Start = Callable[[Path, int], AbstractContextManager[Running]]
"""Starts a target in an empty folder, with a LUN of a size in bytes."""


@contextmanager
def _tgt(folder: Path, size_bytes: int) -> Iterator[Running]:
    with tgt_process(folder / "tgt.raw", size_bytes, digests=True) as (url, pid):
        yield Running(url, pid)


@contextmanager
def _istgt(folder: Path, size_bytes: int) -> Iterator[Running]:
    with istgt_process(folder / "istgt.raw", size_bytes) as (url, pid):
        yield Running(url, pid)


def array(source: Path | None = None) -> Start:
    """Return the start of an array of this project, with the package in the folder `source` if there is one."""

    @contextmanager
    def start(folder: Path, size_bytes: int) -> Iterator[Running]:
        limit = ["--pool-limit", f"{POOL_LIMIT_TIMES * size_bytes // MIB}M"]
        luns = [f"bench={size_bytes // MIB}M"]
        served = serve(folder / "pool", luns, log_path=folder / "serve.log", options=limit, source=source)
        try:
            yield Running(served.url(0), served.process.pid, (POOL_LIMIT_TIMES - 1) * size_bytes)
        finally:
            served.kill()

    return start


OWN, TGT, ISTGT = "odx-target", "tgt", "istgt"
PEERS: dict[str, Start] = {TGT: _tgt, ISTGT: _istgt}
"""LIO is not here, because it needs root and a kernel module. The guests of tests/interop/guest have it."""

PROGRAMS = {
    TGT: ("tgtd", "tgtadm"),
    ISTGT: ("istgt",),
    "clients": ("iscsi-perf", "qemu-img"),
}
"""Programs that are needed, by their users."""
PACKAGES = "tgt istgt libiscsi-bin qemu-utils qemu-block-extra"
