"""A pool whose volumes and snapshots are managed, and the array that serves the pool, if there is one."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from odx_target.environment import Environment
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import Pool, Volume, change_when_ready
from odx_target.target.schedules.runner import ScheduleRunner
from odx_target.target.schedules.templates import open_schedules

if TYPE_CHECKING:
    from odx_target.target.array import Array

T = TypeVar("T")


class Storage:
    """A pool, and the array that serves it. `array` is None if the pool was opened only for an operation."""

    def __init__(self, pool: Pool, environment: Environment, array: "Array | None" = None) -> None:
        self.pool = pool
        self.environment = environment
        self.array = array
        self._schedules: ScheduleRunner | None = None

    def unit_of(self, volume: Volume) -> LogicalUnit | None:
        """Return the logical unit that presents a volume to hosts. Return None if hosts cannot use the volume."""
        return None if self.array is None else self.array.lun_changes.of_volume(volume)

    async def schedules(self) -> ScheduleRunner:
        """Return the schedules of the pool. If no array serves the pool, no schedule runs at its planned times."""
        if self.array is not None:
            return self.array.schedules
        if self._schedules is None:
            self._schedules = await open_schedules(self.pool, self.environment, _log_nothing, self.make_durable)
        return self._schedules

    async def make_durable(self) -> None:
        """Commit and flush all changes."""
        if self.array is not None:
            await self.array.make_durable()
        else:
            await self.pool.committed()
            await self.pool.flush()

    async def when_ready(self, change: Callable[[], T]) -> T:
        """Make a change and return the result of `change`. If the pool must make room for the change, wait and try again.

        Raises StoreError.
        """
        return await change_when_ready(self.pool, self.environment, change)

    async def set_attributes(self, volume: Volume, values: Mapping[str, str | None]) -> None:
        """Set some attributes of a volume, and remove those whose value is None. Raises StoreError.

        The other attributes stay, although a host may change some of them until the pool is ready.
        """

        def change() -> None:
            attributes = {**volume.attributes, **values}
            volume.change_attributes({name: value for name, value in attributes.items() if value is not None})

        await self.when_ready(change)


def _log_nothing(_level: str, _event: str, /, **_fields: object) -> None:
    """Drop a report, because the command itself shows the result."""
