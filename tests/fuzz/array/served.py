"""A whole array in this process for attacks: real tasks, a clock that stands still, and connections without a network.

The array accepts no connections by itself. Each connection of an attack is one end of a pair of sockets, whose bytes arrive at
once. Functions that usually run in threads run in the task that calls them. So a script always has the same result.
"""

import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar, TypeVarTuple

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from odx_target.environment import Work
from odx_target.store.api import Pool
from odx_target.store.open import open_memory_pool
from odx_target.target.array import Array
from odx_target.target.config.access_settings import AccessRule, MappedLun
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.server.connection_server import ConnectionServer
from odx_target.target.trio_environment import TrioEnvironment
from tests.fuzz.places import innermost_place
from tests.fuzz.surface import Finding

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

ATTACKER = "iqn.2026-11.example:attacker"
WITNESS = "iqn.2026-11.example:witness"
LUN_BYTES = 256 << 10
KEPT = b"kept" * 1024
LUNS = (
    LunConfig("first", LUN_BYTES),
    LunConfig("second", LUN_BYTES, 4096),
    LunConfig("kept", 64 << 10),
    LunConfig("witness", 64 << 10),
)
RULES = (
    AccessRule((WITNESS,), (MappedLun(0, "witness"),)),
    AccessRule((f"{ATTACKER}*",), (MappedLun(0, "first"), MappedLun(1, "second"), MappedLun(2, "kept", read_only=True))),
)
CONFIG = Config(luns=LUNS, access=RULES, portals=(Portal(port=0),), polling=False)
MAX_JUMP_S = 20.0
"""Time that passes at once. A host must answer a ping within 30 seconds, so others can answer in time."""
MAX_TASK_STEPS = 20_000
"""Number of steps of tasks after which a step of a script is regarded as endless. Usual steps need less than a hundred."""


class MemorySocket(socket.socket):
    """One end of a pair of sockets that claims to be a TCP connection."""

    def setsockopt(self, level: int, *options: Any) -> None:  # type: ignore[override]
        if level != socket.IPPROTO_TCP:
            super().setsockopt(level, *options)

    def getsockopt(self, level: int, *options: Any) -> Any:  # type: ignore[override]
        return b"reno" if level == socket.IPPROTO_TCP else super().getsockopt(level, *options)

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 3260

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 40000


class _StepCounter(trio.abc.Instrument):
    """Cancels `scope` if tasks have run more often than allowed."""

    def __init__(self) -> None:
        self.scope: trio.CancelScope | None = None
        self.left = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0 and self.scope is not None:
            self.scope.cancel()


async def _at_once(function: Callable[[*Ts], T], *arguments: *Ts, work: Work = Work.READS) -> T:
    await trio.lowlevel.checkpoint()
    return function(*arguments)


class ServedArray:
    """An array that serves inside `trio.run`. `logs` has the log lines of the array."""

    def __init__(self, array: Array, nursery: trio.Nursery, logs: list[Any], counter: _StepCounter) -> None:
        self.array = array
        self.logs = logs
        self.on_time: list[Callable[[], Awaitable[None]]] = []
        """Functions that are called when time has passed."""
        self.has_cold_reset = False
        """True if an attack may have requested TARGET COLD RESET."""
        self._initiators: list[socket.socket] = []
        self._nursery = nursery
        self._counter = counter

    def connect(self) -> socket.socket:
        """Return the end of the initiator of a new connection. The array serves the other end from now on."""
        listener = self.array._listener
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._initiators.append(ours)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        connected = MemorySocket(fileno=theirs.detach())
        if not listener._limit.make_room():
            connected.close()
            return ours
        server = ConnectionServer(
            connected,
            listener._directory,
            listener.portals[0],
            listener._device_server,
            listener._pool,
            listener._budget,
            listener._hub,
            listener.pool_failed,
            None,
            listener._reporter,
        )
        listener._connections[server] = None
        self._nursery.start_soon(listener._serve, server)
        return ours

    def close(self) -> None:
        """Close all connections at the end of the initiators."""
        for each in self._initiators:
            each.close()

    async def settle(self) -> None:
        """Wait until no task of the array can run. Raises Finding if this never happens."""
        with trio.CancelScope() as scope:
            self._counter.scope, self._counter.left = scope, MAX_TASK_STEPS
            await wait_all_tasks_blocked()
        self._counter.scope = None
        if scope.cancelled_caught:
            raise Finding("the array computes without an end")

    async def advance(self, delay_s: float) -> None:
        for _ in range(math.ceil(delay_s / MAX_JUMP_S)):
            _clock().jump(min(MAX_JUMP_S, delay_s))
            await self.settle()
            for passed in self.on_time:
                await passed()

    def content(self, name: str) -> bytes:
        """Return all bytes of a volume."""
        volume = self.array.pool.volumes[name]
        found = volume.read_now(0, volume.size_blocks)
        assert found is not None, "a pool in memory has all its data at hand"
        return b"".join(map(bytes, found))

    def has_failed(self) -> str | None:
        """Return the error line of the log, if there is one."""
        for entry in self.logs:
            if entry["log_level"] == "error":
                return _line_of(entry)
        return None


def _clock() -> MockClock:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    return clock


def _line_of(entry: Any) -> str:
    error = entry.get("exc_info")
    if not error:
        return str(entry)
    place = innermost_place(error)
    where = f"{place.file}:{place.line}" if place else "an unknown place"
    return f"{entry['event']}: {type(error).__name__} at {where}: {error}"


@asynccontextmanager
async def served_array(seed: int = 0, config: Config = CONFIG) -> AsyncIterator[ServedArray]:
    """Start an array, and stop it after the body. The seed decides the random bytes of the array."""
    random = Random(seed)

    async def open_pool(environment: TrioEnvironment, _: Config) -> Pool:
        environment.in_thread = _at_once  # type: ignore[method-assign]
        return await open_memory_pool(environment)

    counter = _StepCounter()
    trio.lowlevel.add_instrument(counter)
    try:
        with capture_logs() as logs:
            async with (
                Array(config, open_pool=open_pool, entropy=random.randbytes, wall_clock=trio.current_time) as array,
                trio.open_nursery() as nursery,
            ):
                volume = array.pool.volumes["kept"]
                for block in range(volume.size_blocks):
                    volume.write(block, [memoryview(KEPT)])
                array.commit()
                served = ServedArray(array, nursery, logs, counter)
                try:
                    yield served
                finally:
                    served.close()
                    _clock().autojump_threshold = 0  # The stop waits for the last words of connections.
                    nursery.cancel_scope.cancel()
    finally:
        trio.lowlevel.remove_instrument(counter)
