"""An array of a simulated world: a pool on a simulated disk, its paths, and its process, which can die and start again."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from random import Random

from odx_target.copymgr.tokens.issuer import maker_identity
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.paths.connection import Connection, DialFailed
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.paths.path import Path, PathCallbacks
from odx_target.replica.paths.path_table import PathTable
from odx_target.replica.paths.settings import Address, PathSettings
from odx_target.store.open import LogPool, PoolOptions, open_pool
from tests.sim.network import Network
from tests.sim.simulated_disk import Crash, SimulatedDisk
from tests.sim.world import World, WorldEnvironment

OPTIONS = PoolOptions(segment_blocks=256, cleaning=False)
PORT = 3261

Serve = Callable[["SimulatedArray", Path, Exchange, Mapping[str, Json]], Awaitable[None]]


async def refuse_all(_array: "SimulatedArray", _path: Path, exchange: Exchange, _document: Mapping[str, Json]) -> None:
    exchange.refuse("unknown", "this array serves nothing")


class SimulatedArray:
    """An array that is running, until `kill` or `lose_power`."""

    def __init__(
        self, world: World, network: Network, name: str, serve: Serve = refuse_all, options: PoolOptions = OPTIONS
    ) -> None:
        self.world = world
        self.network = network
        self.name = name
        self.serve = serve
        self.options = options
        self.disk = SimulatedDisk(Random(world.random.getrandbits(64)))
        self.environment: WorldEnvironment
        self.pool: LogPool
        self.paths: PathTable
        self.errors: list[Exception] = []
        """Exceptions that would be internal errors of the array."""
        self.is_running = False
        self.starts = 0
        network.arrays[name] = self
        self.start()

    def start(self, drift: float = 1.0) -> None:
        """Start the process: open the pool, and the paths that it remembers."""
        self.starts += 1
        environment = self.environment = self.world.environment(self.name, drift)
        self.pool = self.world.run(environment, open_pool(self.disk.parts(), environment, self.options))
        callbacks = PathCallbacks(self._serve, self._path_changed, self.errors.append, self._new_key_found)
        self.paths = PathTable(self.pool, environment, _Dialler(self), callbacks)
        self.paths.start()
        self.is_running = True
        self.world.note(f"{self.name} starts")

    def kill(self) -> None:
        """End the process at once."""
        self.world.fault("kill", self.name)
        self._end()
        self.disk.process_death()

    def lose_power(self) -> None:
        """Turn the machine off. Data that was not synced may be lost, and no peer notices it."""
        self.world.fault("power", self.name)
        self._end()
        self.disk.power_loss()

    def _end(self) -> None:
        self.is_running = False
        self.network.break_all_of(self.environment)
        self.world.forget(self.environment)

    def path_to(self, other: "SimulatedArray") -> Path:
        return self.paths[other.name]

    def accept(self, connection: Connection, peer_pool: bytes) -> None:
        """Take a connection that a peer has dialled. The certificate of the peer names its path."""
        path = next((each for each in self.paths.values() if each.settings.peer_pool == peer_pool), None)
        if path is None:
            connection.close()
        else:
            self.environment.start_soon(path.accept, connection)

    async def _serve(self, path: Path, exchange: Exchange, document: Mapping[str, Json]) -> None:
        await self.serve(self, path, exchange, document)

    def _path_changed(self, path: Path, line: str) -> None:
        self.world.note(f"{self.name} path {path.settings.name}: {line}")
        assert "\n" not in line

    def _new_key_found(self, path: Path) -> None:
        self.environment.start_soon(self._take_new_key, path)

    async def _take_new_key(self, path: Path) -> None:
        self.paths.take_next_secret(path)
        await self.pool.committed()


class _Dialler:
    """Connects to other arrays of the world."""

    def __init__(self, array: SimulatedArray) -> None:
        self._array = array

    async def dial(self, settings: PathSettings) -> Connection:
        array, network = self._array, self._array.network
        assert settings.address is not None
        line = network.line(array.name, settings.address.host)
        await array.environment.sleep(array.world.random.uniform(2 * line.min_delay_s, 2 * line.max_delay_s))
        peer = network.arrays[settings.address.host]
        if line.is_down or not peer.is_running:
            raise DialFailed("the peer does not answer")
        ours, theirs = network.connect(array.environment, peer.environment)
        peer.accept(theirs, array.pool.identity)
        return ours


def pair(one: SimulatedArray, other: SimulatedArray, dials: tuple[bool, bool] = (True, True)) -> None:
    """Pair two arrays. `dials` says which of them knows the address of the other."""
    secret = one.environment.entropy(32)
    for ours, theirs, does_dial in ((one, other, dials[0]), (other, one, dials[1])):
        address = Address(theirs.name, PORT) if does_dial else None
        identity = theirs.pool.identity
        ours.paths.add(PathSettings(theirs.name, address, identity, maker_identity(identity), identity, secret))
        ours.pool.commit()


def crash_of(array: SimulatedArray) -> bool:
    """True if the machine of the array has turned off in the middle of an operation of its disk. The array is then ended."""
    with suppress(Crash):
        array.disk.check_on()
        return False
    return True
