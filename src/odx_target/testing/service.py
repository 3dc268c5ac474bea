"""The array of a test, inside the event loop that serves it: its start, its stop and its restart on an empty pool."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import trio

from odx_target.configured_pool import open_pool
from odx_target.target.array import Array
from odx_target.target.clock.array_clock import ArrayClock
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.settings import Config, Portal
from odx_target.target.control.operations import perform
from odx_target.target.file_descriptors import Descriptors
from odx_target.target.recording.recorder import CommandRecorder

DESCRIPTORS = Descriptors(sockets=64, segments=64)
"""File descriptors of one array. 100 arrays of one process then fit into a limit of 16,384, and those in memory need fewer."""


class Service:
    """Serves one array. `array`, `clock` and `recorder` are replaced when the array is reset."""

    def __init__(self, config: Config, mode: ClockMode, *, records: bool) -> None:
        self._config = config
        self._mode = mode
        self._records = records
        self.array: Array
        self.clock: ArrayClock
        self.recorder: CommandRecorder | None = None
        self._stop = trio.Event()
        self._stopped = trio.Event()

    async def start(self, nursery: trio.Nursery) -> None:
        """Start the array in a nursery. Raises the exceptions of `Array`."""
        await nursery.start(self._serve)

    async def stop(self) -> None:
        """Stop the array, and wait until it has released its resources. A second call does nothing."""
        self._stop.set()
        await self._stopped.wait()

    async def reset(self, nursery: trio.Nursery) -> None:
        """Stop the array, delete all its data, and start it again at the same portals."""
        self._config = replace(self._config, portals=self.array.portals)
        await self.stop()
        directory = self._config.pool_dir
        if directory is not None:
            await trio.to_thread.run_sync(partial(shutil.rmtree, directory, ignore_errors=True))
        self._stop, self._stopped = trio.Event(), trio.Event()
        await self.start(nursery)

    async def perform(self, operation: str, arguments: Mapping[str, object]) -> dict[str, object]:
        """Perform a management operation. Raises ManagementError."""
        return await perform(self.array, operation, arguments)

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        self.clock = ArrayClock(self._mode)
        self.recorder = CommandRecorder(self.clock.time) if self._records else None
        pool = partial(open_pool, descriptors=DESCRIPTORS.segments)
        try:
            async with Array(
                self._config, open_pool=pool, recorder=self.recorder, max_sockets=DESCRIPTORS.sockets, clock=self.clock
            ) as self.array:
                task_status.started()
                await self._stop.wait()
        finally:
            self._stopped.set()


def config_at_free_port(config: Config, host: str) -> Config:
    """Return the settings with one portal, for which the system chooses a free port."""
    return replace(config, portals=(Portal(host, 0),))
