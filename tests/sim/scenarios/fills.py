"""Two arrays copy snapshots from each other, while hosts write the sources and faults happen.

Each copy must have the content of its snapshot, and a digest equal to that of the peer. A snapshot may be deleted while it is
copied; its copy then ends with a named error. Writers never wait for a copy.
"""

from collections.abc import Mapping

from odx_target.replica.blocks.fill import Fill
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import LinkError
from odx_target.replica.paths.exchange import Exchange, RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.request_table import RequestTable
from odx_target.store.api import BLOCK_BYTES, BlockSource, PoolBusy, StoreError, Volume
from tests.sim.scenarios.faults import DISK_FAULTS, FAULTS, LINE_FAULTS
from tests.sim.scenarios.stage import Stage
from tests.sim.simulated_array import SimulatedArray
from tests.sim.world import World

SOURCE, COPY = "source", "copy"
SIZES = (7, 200, 1024, 1300, 2500)
"""Sizes of volumes in blocks: parts have 1024 blocks."""

SPEEDS = (None, 100_000.0, 500_000.0)
"""Speeds of the line in bytes per second. On a slow line, most faults happen while blocks are moved."""

MAX_WRITER_WAIT_S = 0.5
"""Longest time in which a write of a host must end, if no fault of a disk happens."""

HINTS = 2_000


async def serve(array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
    await RequestTable(array.pool, array.environment).serve(path, exchange, document)


def play(world: World) -> None:
    """Copy one or two generations of snapshots in both directions."""
    kinds = ((*FAULTS, *DISK_FAULTS), FAULTS, LINE_FAULTS)
    faults = kinds[world.seed % len(kinds)]
    stage = Stage(world, ["one", "other"], serve, faults=faults)
    one, other = stage.arrays
    stage.network.line("one", "other").bytes_per_s = stage.random.choice(SPEEDS)
    stage.pair(one, other)
    copies = [Copying(stage, array, peer) for array, peer in ((one, other), (other, one))]
    copies = copies[: stage.random.choice([1, 2, 2])]
    for generation in range(stage.random.choice([1, 1, 2])):
        for copy in copies:
            copy.take_snapshot(generation)
        stage.flush()
        for copy in copies:
            copy.begin(writes_source=faults is LINE_FAULTS)
        stage.play(lambda: all(copy.is_done for copy in copies), stage.random.randint(0, 8))
        for copy in copies:
            copy.compare()
    stage.end()


class Copying:
    """Copies snapshots of a volume of `peer` to a volume of `array`."""

    def __init__(self, stage: Stage, array: SimulatedArray, peer: SimulatedArray, name: str = "") -> None:
        self.is_done = False
        self._stage = stage
        self._array = array
        self._peer = peer
        self._size = stage.random.choice(SIZES)
        self._known = [self._new_block() for _ in range(3)]
        self._hints = Hints(HINTS)
        self._source, self._copy = f"{SOURCE} {name}", f"{COPY} {name}"
        self._guid = b""
        self._volume = ""
        self._may_vanish = False
        self._expected: list[bytes] = []
        peer.pool.create_volume(self._source, self._size, {})
        stage.on_start.append(self._started)

    def _new_block(self) -> bytes:
        random = self._stage.random
        return random.randbytes(BLOCK_BYTES) if random.randrange(2) else random.randbytes(8) * (BLOCK_BYTES // 8)

    def _block(self) -> bytes:
        return self._stage.random.choice(self._known) if self._stage.random.randrange(3) == 0 else self._new_block()

    def take_snapshot(self, generation: int) -> None:
        """Change the source, and take a snapshot of it."""
        random, world = self._stage.random, self._stage.world
        environment, pool = self._peer.environment, self._peer.pool
        source = pool.volumes[self._source]
        for _ in range(random.randint(1, 30)):
            block = random.randrange(self._size)
            count = min(random.choice([1, 1, 4]), self._size - block)
            data = [self._block() for _ in range(count)]
            world.run(environment, write(source, block, data))
        if random.randrange(3) == 0:
            block = random.randrange(self._size)
            source.unmap(block, min(random.randint(1, 900), self._size - block))
        snapshot = source.snapshot(f"s{generation}")
        world.run(environment, pool.committed())
        self._guid = snapshot.guid
        self._expected = world.run(environment, read_all(snapshot))
        self._volume = random.choice([self._copy, f"{self._copy} {generation} "])
        if self._volume not in self._array.pool.volumes:
            self._array.pool.create_volume(self._volume, self._size, {})
        self._may_vanish = random.randrange(12) == 0

    def begin(self, *, writes_source: bool) -> None:
        """Begin to copy, and to write the source meanwhile. If no disk fails, the writes must not wait."""
        self.is_done = False
        self._started(self._array)
        self._peer.environment.start_soon(self._write_source, writes_source)
        if self._may_vanish:
            self._peer.environment.start_soon(self._delete_later, self._guid)

    def _started(self, array: SimulatedArray) -> None:
        if array is self._array and not self.is_done and self._guid:
            array.environment.start_soon(self._fill)

    async def _fill(self) -> None:
        array = self._array
        while not self.is_done:
            fill = self._fill_of()
            try:
                await fill.run(0, self._size)
                await array.pool.flush()
                self.is_done = True
            except RequestDenied as denied:
                self._was_denied(denied.code)
            except (LinkError, StoreError):
                pass
            await array.environment.sleep(0.1)

    def _was_denied(self, code: str) -> None:
        """A fill is denied only if its snapshot was deleted, or if the disk of the peer fails; then it is tried again."""
        assert code in ("storage", "absent"), f"a fill was denied: {code}"
        if code == "absent":
            assert self._may_vanish, "a snapshot is gone that nobody has deleted"
            self.is_done = True
            self._guid = b""

    def _fill_of(self) -> Fill:
        array = self._array
        volume = array.pool.volumes[self._volume]
        return Fill(array.pool, array.path_to(self._peer), volume, self._guid, self._hints, array.environment)

    async def _write_source(self, must_not_wait: bool) -> None:
        environment, source = self._peer.environment, self._peer.pool.volumes[self._source]
        while not self.is_done:
            began_s = environment.monotonic()
            try:
                await write(source, self._stage.random.randrange(self._size), [self._block()])
            except StoreError:
                assert not must_not_wait
            assert not must_not_wait or environment.monotonic() - began_s < MAX_WRITER_WAIT_S, "a writer waits for a copy"
            await environment.sleep(self._stage.random.uniform(0.0, 0.2))

    async def _delete_later(self, guid: bytes) -> None:
        await self._peer.environment.sleep(self._stage.random.uniform(0.0, 1.0))
        snapshot = self._peer.pool.snapshots.get(guid)
        if snapshot is not None:
            snapshot.delete()

    def compare(self) -> None:
        """Compare the copy with its snapshot."""
        if not self._guid:
            return
        world, array = self._stage.world, self._array
        fill = self._fill_of()
        assert fill.lost_blocks == 0
        frozen = fill.volume.freeze()
        assert world.run(array.environment, read_all(frozen)) == self._expected, "the copy has wrong data"
        digest = world.run(array.environment, frozen.digest())
        frozen.release()
        snapshot = self._peer.pool.snapshots.get(self._guid)
        if snapshot is not None:
            assert digest == world.run(self._peer.environment, snapshot.digest()), "the digests differ"
        fill.forget()


async def write(volume: Volume, block: int, data: list[bytes]) -> None:
    """Write blocks, and wait while the pool makes room. Raises StoreError."""
    while True:
        try:
            volume.write(block, data)
            return
        except PoolBusy:
            await volume.room_made()


async def read_all(source: BlockSource) -> list[bytes]:
    """Return all blocks of a snapshot or frozen map."""
    content = b"".join(bytes(each) for each in await source.read(0, source.size_blocks))
    return [content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES)]
