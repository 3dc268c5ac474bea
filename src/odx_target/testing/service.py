"""The array of a test, inside the event loop that serves it: its start, its restarts and its stop."""

import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import trio

from odx_target.configured_pool import PoolParts, memory_parts, open_pool
from odx_target.target.array import Array
from odx_target.target.clock.array_clock import ArrayClock
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.settings import Config, Portal
from odx_target.target.control.operations import perform
from odx_target.target.faults.rules import FaultRules
from odx_target.target.file_descriptors import Descriptors
from odx_target.target.inputs.input_clock import InputClock
from odx_target.target.inputs.recorder import SessionRecorder, is_new_pool, opened_recorder
from odx_target.target.recording.recorder import CommandRecorder
from odx_target.target.session_file.recording_limits import DEFAULT_RECORDING_BYTES
from odx_target.testing.loop_thread import NOT_STARTED, LoopEnded

DESCRIPTORS = Descriptors(sockets=64, segments=64)
"""File descriptors of one array. 100 arrays of one process then fit into a limit of 16,384, and those in memory need fewer."""

T = TypeVar("T")
P = ParamSpec("P")


class Service:
    """Serves one array. `array` is replaced when the array restarts; `clock` and `recorder` only when it is reset.

    If `record_to` names a file, the sessions are recorded there. A reset begins the file anew. Other arrays can connect at
    `link_port`, unless it is None.
    """

    def __init__(
        self,
        config: Config,
        mode: ClockMode,
        *,
        records: bool,
        record_to: Path | None = None,
        link_port: Portal | None = None,
    ) -> None:
        self._config = config
        self._mode = mode
        self._records = records
        self._record_to = record_to
        self.link_port = link_port
        """The link port. After the start, it has the actual port number."""
        self._array: Array | None = None
        self._clock: ArrayClock | None = None
        self.recorder: CommandRecorder | None = None
        self._memory: PoolParts
        self._serves = trio.Event()
        self._must_stop = trio.Event()
        self._must_restart = trio.Event()
        self._stopped = trio.Event()

    @property
    def array(self) -> Array:
        """The present array. Raises LoopEnded if it was not started."""
        return _started(self._array)

    @property
    def clock(self) -> ArrayClock:
        """The clock of the array. Raises LoopEnded if the array was not started."""
        return _started(self._clock)

    async def start(self, nursery: trio.Nursery) -> None:
        """Start the array in a nursery. Raises the exceptions of `Array`."""
        self._must_stop, self._stopped, self._serves = trio.Event(), trio.Event(), trio.Event()
        self._clock = ArrayClock(self._mode) if self._record_to is None else InputClock(self._mode)
        self.recorder = CommandRecorder(self.clock.time) if self._records else None
        self._memory = memory_parts()
        await nursery.start(self._serve)

    async def stop(self) -> None:
        """Stop the array, and wait until it has released its resources. A second call does nothing."""
        self._must_stop.set()
        await self._stopped.wait()

    async def restart(self) -> None:
        """Stop the array, and start it again at the same portals with the same data. All sessions end."""
        self._serves = trio.Event()
        self._must_restart.set()
        await self.wait_until_served()

    async def reset(self, nursery: trio.Nursery) -> None:
        """Stop the array, delete all its data, and start it again at the same portals."""
        await self.stop()
        directory = self._config.pool_dir
        if directory is not None:
            await trio.to_thread.run_sync(partial(shutil.rmtree, directory, ignore_errors=True))
        await self.start(nursery)

    async def use(self, function: Callable[Concatenate[Array, P], Awaitable[T]], *arguments: P.args, **named: P.kwargs) -> T:
        """Call a function with the array. If the array restarts, wait until it has started again."""
        await self.wait_until_served()
        return await function(self.array, *arguments, **named)

    async def perform(self, operation: str, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Perform a management operation. Raises ManagementError."""
        return await self.use(perform, operation, arguments)

    async def wait_until_served(self) -> None:
        """Wait until hosts can connect. Return at once unless the array restarts."""
        await self._serves.wait()
        while self.array.restart_wanted.is_set():  # A fault has just cut all connections.
            await trio.lowlevel.checkpoint()
            await self._serves.wait()

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        try:
            with self._opened_recorder() as edge:
                await self._serve_until_stopped(edge, task_status)
        finally:
            self._stopped.set()

    async def _serve_until_stopped(self, edge: SessionRecorder | None, task_status: trio.TaskStatus[None]) -> None:
        faults: FaultRules | None = None
        while not self._must_stop.is_set():
            self._must_restart = trio.Event()
            async with self._new_array(faults, edge) as self._array, self._linked(self._array) as self.link_port:
                self._config = replace(self._config, portals=self.array.portals[:1])
                self._serves.set()
                if faults is None:
                    task_status.started()
                await _wait_for_one(self._must_stop, self._must_restart, self.array.restart_wanted)
                if self._serves.is_set():
                    self._serves = trio.Event()
            faults = self.array.faults

    @asynccontextmanager
    async def _linked(self, array: Array) -> AsyncIterator[Portal | None]:
        """Open the link port while the body runs. Yields its address, or None if the array has none."""
        if self.link_port is None:
            yield None
            return
        from odx_target.target.peers.serving import serve_peers  # An array without links does not load it.

        async with serve_peers(self.link_port, array) as portal:
            yield portal

    def _opened_recorder(self) -> AbstractContextManager[SessionRecorder | None]:
        if self._record_to is None:
            return nullcontext()
        assert isinstance(self.clock, InputClock)
        return opened_recorder(
            self._record_to, self.clock, DEFAULT_RECORDING_BYTES, is_new_pool=is_new_pool(self._config.pool_dir)
        )

    def _new_array(self, faults: FaultRules | None, edge: SessionRecorder | None) -> Array:
        return Array(
            self._config,
            open_pool=partial(open_pool, descriptors=DESCRIPTORS.segments, memory=self._memory),
            entropy=secrets.token_bytes if edge is None else edge.entropy,
            recorder=self.recorder,
            max_sockets=DESCRIPTORS.sockets,
            clock=self.clock,
            faults=faults,
            edge=edge,
        )


def config_at_free_ports(config: Config, host: str, portals: int) -> Config:
    """Return the settings with this number of portals, for which the system chooses free ports."""
    return replace(config, portals=(Portal(host, 0),) * portals)


async def _wait_for_one(*events: trio.Event) -> None:
    """Wait until one of the events has happened."""

    async def wait(event: trio.Event) -> None:
        await event.wait()
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for event in events:
            nursery.start_soon(wait, event)


def _started(part: T | None) -> T:
    """Return a part of the array. Raises LoopEnded if the array was not started."""
    if part is None:
        raise LoopEnded(NOT_STARTED)
    return part
