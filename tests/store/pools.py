"""Pools for tests, on a simulated disk or in a directory, which can be killed and opened again."""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from tests.sim.simulated_disk import SimulatedDisk
from tests.sim.virtual_environment import VirtualEnvironment

from odx_target.environment import Buffer
from odx_target.store.api import BLOCK_BYTES, BlockSource, PoolBusy, Volume
from odx_target.store.checking.pool_check import PoolReport, check_pool
from odx_target.store.open import LogPool, PoolOptions, open_directory_pool, open_pool
from odx_target.store.opening.format_head import decode_head

SMALL = PoolOptions(segment_blocks=32, cleaning=False)


def check_simulated_pool(disk: SimulatedDisk) -> PoolReport:
    """Check the closed pool of a simulated disk, as `pool check` does."""
    document = disk.head.document
    assert document is not None
    parts = disk.parts()
    head = decode_head(document, "the head")
    VirtualEnvironment.is_in_thread = True
    try:
        segments, _ = parts.add_capacity(parts.segments, head)
        return check_pool(segments, parts.catalogue, head, lambda _: None)
    finally:
        VirtualEnvironment.is_in_thread = False


class Machine:
    """A machine with one pool on a simulated disk."""

    def __init__(self, options: PoolOptions = SMALL, seed: int = 0, *, has_capacity: bool = False) -> None:
        self.options = options
        self.disk = SimulatedDisk(Random(7), has_capacity=has_capacity)
        self.environment = VirtualEnvironment(seed)
        self.pool = self.open()

    def open(self) -> LogPool:
        self.environment = VirtualEnvironment(seed=self.environment._seed + 1)
        self.pool = self.environment.run(open_pool(self.disk.parts(), self.environment, self.options))
        return self.pool

    def kill(self) -> LogPool:
        """End the process, and open the pool in a new one."""
        self._abandon()
        self.disk.process_death()
        return self.open()

    def lose_power(self) -> LogPool:
        self._abandon()
        self.disk.power_loss()
        return self.open()

    def close(self) -> None:
        self.environment.run(self.pool.close())

    def reopen(self) -> LogPool:
        self.close()
        return self.open()

    def flush(self) -> None:
        self.environment.run(self.pool.flush())

    def checkpoint(self) -> None:
        self.environment.run(self.pool.checkpoint())

    def _abandon(self) -> None:
        self.environment.die()


class Directory:
    """A pool in a directory, with an environment that has no event loop."""

    def __init__(self, path: Path, options: PoolOptions = SMALL) -> None:
        self.path = path
        self.options = options
        self.environment = VirtualEnvironment()
        self.open()

    def open(self) -> LogPool:
        self.pool = self.environment.run(open_directory_pool(self.path, self.environment, self.options))
        return self.pool

    def close(self) -> None:
        self.environment.run(self.pool.close())

    def kill(self) -> None:
        """Close the descriptors and release the lock, as the end of a process does."""
        self.environment.settle()
        self.pool._catalogue.close()
        self.pool._store.close()
        self.pool._release_lock()

    def segment_paths(self) -> list[Path]:
        return sorted((self.path / "segments").iterdir())


def flip_bit(pool: Path, content: bytes, offset: int = 0) -> tuple[int, int]:
    """Flip a bit of the first block of a pool directory that has this content. Returns its segment and its block."""
    for path in sorted((pool / "segments").iterdir()):
        data = bytearray(path.read_bytes())
        at = data.find(content)
        if at >= 0:
            data[at + offset] ^= 1
            path.write_bytes(data)
            return int(path.stem), at // BLOCK_BYTES
    raise AssertionError("no segment has this content")


def block(value: int) -> bytes:
    return value.to_bytes(8, "little") * (BLOCK_BYTES // 8)


def blocks(*values: int) -> bytes:
    return b"".join(map(block, values))


def write(machine: Machine | Directory, volume: Volume, at: int, data: Sequence[Buffer]) -> None:
    """Write, and wait for room if the pool is busy."""
    when_ready(machine.environment, lambda: volume.write(at, data))


def when_ready(environment: VirtualEnvironment, change: Callable[[], None]) -> None:
    """Change a pool, and wait for room if the pool is busy."""
    while True:
        try:
            return change()
        except PoolBusy:
            environment.settle()


def read(machine: Machine | Directory, source: BlockSource, at: int, count: int) -> bytes:
    """Read by `read_now` and by `read`; asserts that both return the same data if `read_now` returns any."""
    now = source.read_now(at, count)
    waited = b"".join(machine.environment.run(source.read(at, count)))
    assert now is None or b"".join(now) == waited
    return waited
