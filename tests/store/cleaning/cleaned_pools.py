"""Pools with a small limit for tests of the cleaner, and a naive model of one volume."""

from random import Random

from tests.store.pools import Machine, block, read, write

from odx_target.store.api import BLOCK_BYTES
from odx_target.store.cleaning.cleaner import Cleaner
from odx_target.store.open import PoolOptions

SEGMENT_BLOCKS = 64


def machine_with(limit_segments: int | None, segment_blocks: int = SEGMENT_BLOCKS, **options: int) -> Machine:
    limit_bytes = None if limit_segments is None else limit_segments * segment_blocks * BLOCK_BYTES
    return Machine(PoolOptions(segment_blocks=segment_blocks, limit_bytes=limit_bytes, **options))


class Modelled:
    """A volume, and the value that each of its blocks should have."""

    def __init__(self, machine: Machine, size_blocks: int, name: str = "a") -> None:
        self.machine = machine
        self.name = name
        self.size_blocks = size_blocks
        self.values = [0] * size_blocks
        self.next_value = 1
        machine.pool.create_volume(name, size_blocks, {})

    @property
    def volume(self):  # type: ignore[no-untyped-def]
        return self.machine.pool.volumes[self.name]

    def write(self, at: int, count: int = 1) -> None:
        data = []
        for index in range(at, at + count):
            self.values[index] = self.next_value
            data.append(block(self.next_value))
            self.next_value += 1
        write(self.machine, self.volume, at, [b"".join(data)])

    def unmap(self, at: int, count: int) -> None:
        self.volume.unmap(at, count)
        self.values[at : at + count] = [0] * count

    def fill(self, piece: int = 16) -> None:
        for at in range(0, self.size_blocks, piece):
            self.write(at, min(piece, self.size_blocks - at))
            self.end_turn()

    def write_at_random(self, random: Random, blocks: int) -> None:
        """Write blocks in random pieces of four, and commit after every fourth piece."""
        for count in range(0, blocks, 4):
            self.write(random.randrange(self.size_blocks // 4) * 4, 4)
            if count % 16 == 0:
                self.end_turn()
        self.end_turn()

    def end_turn(self) -> None:
        self.machine.pool.commit()
        self.machine.environment.settle()

    def check(self) -> None:
        found = read(self.machine, self.volume, 0, self.size_blocks)
        assert found == b"".join(map(block, self.values))


def start_cleaner(cleaner: Cleaner) -> None:
    """Start the cleaner if it is not at work, although its last work may have gained nothing."""
    cleaner._need._gained_nothing_at = None
    if not cleaner._is_at_work:
        cleaner._start()
