"""Arrays of the simulated world that replicate snapshots to each other."""

from collections.abc import Mapping
from random import Random

from odx_target.replica.blocks.hint_tables import HintTables
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path
from odx_target.replica.request_table import RequestTable
from odx_target.replica.snapshots.protection import Copy, Protection, Trigger
from odx_target.replica.snapshots.replication import Replication
from odx_target.replica.snapshots.sending import SnapshotClass
from odx_target.store.api import BLOCK_BYTES, PoolBusy, Snapshot, Volume
from odx_target.store.open import PoolOptions
from tests.sim.network import Network
from tests.sim.simulated_array import OPTIONS, SimulatedArray, pair
from tests.sim.world import World, WorldEnvironment

SIZE = 2500
"""Size of the volumes in blocks: three parts, the last of which is short."""

HOURLY = "hourly"


class ReplicatingArray(SimulatedArray):
    """An array with the replication. Snapshots whose names begin with `h` are of the class `hourly`."""

    def __init__(self, world: World, network: Network, name: str, options: PoolOptions = OPTIONS) -> None:
        self.replication: Replication
        self.requests: RequestTable
        self.reports: list[tuple[str, str, Mapping[str, object]]] = []
        self.keep_hourly = 0
        super().__init__(world, network, name, _serve, options)

    def start(self, drift: float = 1.0) -> None:
        super().start(drift)
        self.requests = RequestTable(self.pool, self.environment)
        self.replication = Replication(
            self.pool, self.environment, lambda: self.paths.values(), self._class_of, self._report, HintTables(2000)
        )
        self.replication.add_to(self.requests)
        self.environment.start_soon(self.replication.run)

    def _class_of(self, snapshot: Snapshot) -> SnapshotClass | None:
        return SnapshotClass(HOURLY, self.keep_hourly) if snapshot.name.startswith("h") else None

    def _report(self, level: str, event: str, /, *, cause: object = None, lines: int = 1, **fields: object) -> None:
        assert "exc_info" not in fields, fields
        self.reports.append((level, event, fields))
        self.world.note(f"{self.name} {level} {event}")

    def _path_changed(self, path: Path, line: str) -> None:
        super()._path_changed(path, line)
        self.replication.path_changed(path)


async def _serve(array: SimulatedArray, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
    assert isinstance(array, ReplicatingArray)
    await array.requests.serve(path, exchange, document)


class Arrays:
    """Two or more arrays. Each is paired with the first one, and all dial."""

    def __init__(self, seed: int, names: str = "ab", options: PoolOptions = OPTIONS, world: World | None = None) -> None:
        self.world = world or World(seed)
        self.network = Network(self.world)
        self.arrays = {name: ReplicatingArray(self.world, self.network, name, options) for name in names}
        first = next(iter(self.arrays.values()))
        for other in list(self.arrays.values())[1:]:
            pair(first, other)
        for array in self.arrays.values():
            self.run(array, array.pool.flush())

    @property
    def random(self) -> Random:
        return self.world.random

    def __getitem__(self, name: str) -> ReplicatingArray:
        return self.arrays[name]

    def run(self, array: ReplicatingArray, coroutine: object) -> object:
        environment: WorldEnvironment = array.environment
        return self.world.run(environment, coroutine)  # type: ignore[arg-type]

    def volume(self, array: str, name: str = "v", size_blocks: int = SIZE) -> Volume:
        """Return a volume, and create it if it does not exist."""
        pool = self[array].pool
        if name not in pool.volumes:
            pool.create_volume(name, size_blocks, {"size_bytes": str(size_blocks * BLOCK_BYTES), "block_bytes": "4096"})
            pool.commit()
        return pool.volumes[name]

    def write(self, array: str, content: Mapping[int, bytes], name: str = "v") -> None:
        volume = self.volume(array, name)
        for block, data in content.items():
            while True:
                try:
                    volume.write(block, [data]) if data else volume.unmap(block, 1)
                    break
                except PoolBusy:
                    self.run(self[array], volume.room_made())

    def change(self, array: str, count: int = 20, name: str = "v") -> None:
        """Write some random blocks, and unmap some."""
        volume = self.volume(array, name)
        blocks = self.random.sample(range(volume.size_blocks), count)
        kinds = [lambda: self.random.randbytes(BLOCK_BYTES), lambda: self.random.randbytes(8) * 512, lambda: b""]
        self.write(array, {block: self.random.choice(kinds)() for block in blocks}, name)

    def snapshot(self, array: str, snapshot: str, name: str = "v") -> Snapshot:
        volume = self.volume(array, name)
        size_bytes = str(volume.size_blocks * BLOCK_BYTES)
        found = volume.snapshot(snapshot, {"size_bytes": size_bytes, "block_bytes": "4096", "k": "v"})
        self[array].pool.commit()
        return found

    def protect(self, array: str = "a", to: str = "b", *names: str, group: str = "", **values: object) -> Protection:
        """Protect volumes, by default the volume `v`."""
        replication = self[array].replication
        volumes = [self.volume(array, each) for each in names or ("v",)]
        name = group or volumes[0].name
        return self.run(  # type: ignore[return-value]
            self[array],
            replication.protect(name, self[array].paths[to], volumes, is_group=bool(group), **values),  # type: ignore[arg-type]
        )

    def copy(self, array: str = "b") -> tuple[Copy, Volume]:
        (found,) = self[array].replication.copies()
        return found

    def has(self, array: str, guid: bytes) -> bool:
        return self[array].is_running and guid in self[array].pool.snapshots

    def until(self, array: str, guid: bytes, limit_s: float = 300.0) -> Snapshot:
        """Wait until an array has a snapshot, and return it."""
        self.world.run_until(lambda: self.has(array, guid), limit_s)
        return self[array].pool.snapshots[guid]

    def settle(self, array: str = "a", name: str = "v", limit_s: float = 300.0) -> None:
        """Wait until a protection has sent all its snapshots, and both sides hold only the newest one."""

        def is_settled() -> bool:
            if not all(each.is_running for each in self.arrays.values()):
                return False
            sender = self[array].replication.sender
            return not sender._due and not sender._running

        self.world.run_until(is_settled, limit_s)

    def assert_equal(self, one: str, other: str, guid: bytes) -> None:
        """Compare the content of a snapshot at two arrays, block by block and by digest."""
        found = [self[name].pool.snapshots[guid] for name in (one, other)]
        digests = [self.run(self[name], each.digest()) for name, each in zip((one, other), found, strict=True)]
        assert digests[0] == digests[1]
        assert found[0].size_blocks == found[1].size_blocks
        contents = [
            b"".join(bytes(part) for part in self.run(self[name], each.read(0, each.size_blocks)))  # type: ignore[attr-defined]
            for name, each in zip((one, other), found, strict=True)
        ]
        assert contents[0] == contents[1]

    def held(self, array: str) -> dict[str, list[str]]:
        """Return the holds of the replication by the names of the snapshots."""
        return {
            each.name: [hold for hold in each.holds if hold.startswith("replica:")]
            for each in self[array].pool.snapshots.values()
            if any(hold.startswith("replica:") for hold in each.holds)
        }

    def check_errors(self) -> None:
        for array in self.arrays.values():
            assert array.errors == []


TRIGGERS = tuple(Trigger)
