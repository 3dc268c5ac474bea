"""Two arrays of the simulated world, of which one fills a volume with a snapshot of the other."""

from collections.abc import Mapping
from random import Random

from odx_target.replica.blocks.fill import Fill
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.receiver import ReceiveTotals
from odx_target.store.api import BLOCK_BYTES, PoolBusy, Snapshot, Volume
from tests.replica.paths.arrays import Arrays
from tests.sim.scenarios.fills import serve
from tests.sim.simulated_array import SimulatedArray

SIZE = 2500
"""Size of the volumes in blocks: three parts, the last of which is short."""

BLOCKS = 300
"""Number of blocks that are no holes."""


def content_of(random: Random) -> dict[int, bytes]:
    """Blocks with holes, repeated blocks, and blocks that can and cannot be compressed."""
    repeated = [random.randbytes(BLOCK_BYTES) for _ in range(5)]
    kinds = [lambda: random.randbytes(BLOCK_BYTES), lambda: random.randbytes(16) * 256, lambda: random.choice(repeated)]
    return {block: random.choice(kinds)() for block in random.sample(range(SIZE), BLOCKS)}


class Filling:
    """Two arrays: `one` fills its volume with a snapshot of `other`."""

    def __init__(self, seed: int) -> None:
        self.arrays = Arrays(seed, (True, False))
        self.one, self.other = self.arrays.one, self.arrays.other
        self.world = self.arrays.world
        self.one.serve = self.other.serve = serve
        self.hints = Hints(10_000)
        self.content = content_of(self.world.random)
        self.snapshot = self.snapshot_of("source", self.content)

    def snapshot_of(self, name: str, content: Mapping[int, bytes]) -> Snapshot:
        """Write a volume of the other array, and take a snapshot of it."""
        volume = self.other.pool.create_volume(name, SIZE, {})
        self.write(self.other, volume, content)
        snapshot = volume.snapshot("s")
        self.world.run(self.other.environment, self.other.pool.committed())
        self.world.run(self.other.environment, self.other.pool.flush())
        return snapshot

    def write(self, array: SimulatedArray, volume: Volume, content: Mapping[int, bytes]) -> None:
        """Write blocks, and wait for room."""
        for block, data in content.items():
            while True:
                try:
                    volume.write(block, [data])
                    break
                except PoolBusy:
                    self.world.run(array.environment, volume.room_made())

    def volume(self, name: str = "copy") -> Volume:
        volumes = self.one.pool.volumes
        return volumes[name] if name in volumes else self.one.pool.create_volume(name, SIZE, {})

    def fill(self, snapshot: Snapshot | None = None, name: str = "copy") -> Fill:
        snapshot, volume = snapshot or self.snapshot, self.volume(name)
        return Fill(self.one.pool, self.arrays.ours, volume, snapshot.guid, self.hints, self.one.environment)

    def run(self, fill: Fill) -> list[ReceiveTotals]:
        return self.world.run(self.one.environment, fill.run(0, SIZE))

    def assert_equal(self, fill: Fill) -> None:
        """Compare the digests of the snapshot and of the volume, as the peer sees its own."""
        frozen = fill.volume.freeze()
        ours = self.world.run(self.one.environment, frozen.digest())
        assert ours == self.world.run(self.one.environment, fill.peer_digest())
        frozen.release()
        assert self.one.errors == self.other.errors == []
