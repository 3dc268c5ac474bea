"""Changes of the LUNs of a running array. LUNs are added, restored, renumbered and removed, and hosts are notified."""

from collections.abc import Awaitable, Callable, Iterator, Sequence, Set
from contextlib import contextmanager

import trio

from odx_target.copymgr.manager import CopyManager
from odx_target.environment import Environment
from odx_target.scsi.asymmetric_access.port_groups import NO_ASYMMETRIC_ACCESS, PortGroups
from odx_target.scsi.commands.blocks.sanitize_job import continue_sanitize
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.traffic import Traffic
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import Pool, Snapshot, Volume, change_when_ready
from odx_target.target.access.targets import Target
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config
from odx_target.target.groups.grouped_luns import Change, check_not_in_group
from odx_target.target.logical_units import LUN_ATTRIBUTE, logical_unit_of
from odx_target.target.lun_size import (
    LunResizing,
    restore_logical_unit,
)
from odx_target.target.sanitized_luns import check_not_sanitized

RESTORE_WAIT_S = 2.0
"""Time for running commands to end before a LUN is restored or removed.

Commands that are still running after this time are aborted, because a slow copy could otherwise delay the change for long.
"""

STEPS_OF_A_NEXUS = 2
"""Number of steps (see `turns`) that the notification of one nexus about a new logical unit takes."""

STEPS_OF_A_UNIT = 50
"""Number of steps that a new logical unit takes from a turn of the event loop (see `Turns`)."""


class LunChanges:
    """Adds, restores, renumbers and removes logical units in `logical_units`, which all sessions share. `resizing` changes the
    sizes of LUNs.

    `commit` commits the pool and never raises Scarcity. `config` has the settings for LUNs that are added later. `port_groups`
    returns their target port groups. `bind` gives a new logical unit the gate of the group of its volume, if there is one.
    """

    def __init__(
        self,
        logical_units: dict[int, LogicalUnit],
        pool: Pool,
        device_server: DeviceServer,
        copy_manager: CopyManager,
        environment: Environment,
        config: Config,
        commit: Callable[[], None],
        targets: Sequence[Target] = (),
        port_groups: Callable[[], PortGroups] = lambda: NO_ASYMMETRIC_ACCESS,
        bind: Callable[[LogicalUnit], None] = lambda _: None,
    ) -> None:
        self._logical_units = logical_units
        self._pool = pool
        self._device_server = device_server
        self._copy_manager = copy_manager
        self._environment = environment
        self.config = config
        self._commit = commit
        self._targets = targets
        self._port_groups = port_groups
        self._bind = bind
        self.resizing = LunResizing(pool, device_server, environment, self.of_volume, commit)
        self._changing: set[bytes] = set()
        """Identities of the volumes whose LUNs change now."""
        self._reserved: set[int] = set()
        """LUN numbers of volumes that a request is about to create."""
        self.removed_traffic = Traffic()
        """Sum of the counters of all LUNs that have been removed, so that totals of the array never become smaller."""

    @contextmanager
    def changing(self, volume: Volume) -> Iterator[None]:
        """Reserve the LUN of a volume for one change. Raises ConfigError if another request is changing it."""
        if volume.identity in self._changing:
            raise ConfigError(f"another request is changing the LUN of volume {volume.name}: try again later")
        self._changing.add(volume.identity)
        try:
            yield
        finally:
            self._changing.discard(volume.identity)

    def is_changing(self, volume: Volume) -> bool:
        """True if a request is changing the LUN of a volume."""
        return volume.identity in self._changing

    @contextmanager
    def reserving(self, numbers: Sequence[int]) -> Iterator[None]:
        """Reserve LUN numbers for volumes that are about to be created. The numbers must be unused."""
        self._reserved.update(numbers)
        try:
            yield
        finally:
            self._reserved.difference_update(numbers)

    def numbers_in_use(self) -> Set[int]:
        """Return the LUN numbers that hosts can use, and the reserved numbers.

        A LUN that is being removed keeps its number until its running commands have ended, although its volume has no number
        any more.
        """
        return self._logical_units.keys() | self._reserved

    async def serve(self, volumes: Sequence[Volume]) -> None:
        """Serve volumes that have LUN numbers, and notify hosts once.

        The caller must have committed the pool before this call.
        """
        turns = self._environment.turns
        units = []
        for volume in volumes:
            await turns.next_if_spent()
            turns.take(STEPS_OF_A_UNIT)
            units.append(self._unit_of(volume))
        await self._present(units)

    def _unit_of(self, volume: Volume) -> LogicalUnit:
        """Return a new logical unit that presents a volume, with the settings of the array."""
        config = self.config
        return logical_unit_of(volume, self._pool, self._environment, config.soft_thresholds, config.personality.unit)

    def of_volume(self, volume: Volume) -> LogicalUnit | None:
        """Return the logical unit that presents a volume. Return None if there is none."""
        number = volume.attributes.get(LUN_ATTRIBUTE)
        unit = None if number is None else self._logical_units.get(int(number))
        if volume.identity in self._changing:  # the present number may differ from the number in the attributes
            unit = next((each for each in self._logical_units.values() if each.volume is volume), None)
        return unit

    async def restore(
        self,
        logical_unit: LogicalUnit,
        snapshot: Snapshot,
        follow: Callable[[Callable[[], object]], Awaitable[None]] | None = None,
    ) -> None:
        """Restore the content of a LUN while hosts use it. Hosts are notified that the medium has changed.

        Tokens keep their data. The restore waits for running commands. Commands that take too long are aborted. Raises
        PoolFull, PoolFailed. Raises ConfigError while the LUN is sanitized.

        If the volume belongs to a group, `follow` makes the change at both members. Without it, ConfigError is raised.
        """
        if follow is None:
            check_not_in_group(logical_unit, Change.RESTORE)
        check_not_sanitized(logical_unit)
        await self._settle(logical_unit)
        size_blocks = logical_unit.capacity_blocks

        def restore() -> None:
            check_not_sanitized(logical_unit)
            self._device_server.clear_tasks(logical_unit)
            restore_logical_unit(logical_unit, snapshot, is_followed=follow is not None)

        if follow is None:
            await change_when_ready(self._pool, self._environment, restore)
        else:
            await follow(restore)
        self._commit()
        self._device_server.medium_changed(logical_unit, is_resized=logical_unit.capacity_blocks != size_blocks)

    async def remove(self, logical_unit: LogicalUnit) -> None:
        """Remove a LUN from the array, but keep its volume. Hosts are notified through their other LUNs."""
        await self._settle(logical_unit)
        await self._report_changed_luns(self._withdraw(logical_unit))

    async def renumber(self, logical_unit: LogicalUnit) -> None:
        """Present a logical unit under the LUN number that its volume has now. Hosts see that one LUN is gone and another one
        is new.

        The persistent reservations stay. The caller has committed the pool.
        """
        await self._settle(logical_unit)
        renumbered = self._unit_of(logical_unit.volume)
        self._withdraw(logical_unit)
        renumbered.reservations = logical_unit.reservations
        await self._present([renumbered], logical_unit.settled_port_groups)

    async def set_read_only(self, logical_unit: LogicalUnit, *, read_only: bool) -> None:
        """Refuse or accept writes of hosts from now on, and notify hosts. Writes that are running have some time to end."""
        logical_unit.set_read_only(read_only=read_only)
        self._device_server.mode_parameters_changed(logical_unit)
        if read_only:
            await self._settle(logical_unit)

    async def _settle(self, logical_unit: LogicalUnit) -> None:
        with trio.move_on_after(RESTORE_WAIT_S):
            await logical_unit.tasks.running_ended(0)

    def _withdraw(self, logical_unit: LogicalUnit) -> Sequence[Nexus]:
        """Abort the tasks of a logical unit, and take it away from all hosts. Return the nexuses that had access to it. Another
        unit that already has the same number stays.
        """
        self._device_server.clear_tasks(logical_unit)
        logical_unit.sanitize_operation = None  # its record stays: it goes on when the volume is a LUN again
        self._copy_manager.detach_logical_unit(logical_unit)
        losers = self._device_server.logical_unit_removed(logical_unit)
        for target in self._targets:
            target.lun_maps.remove(logical_unit)
        if self._logical_units.get(logical_unit.number) is logical_unit:
            del self._logical_units[logical_unit.number]
            self.removed_traffic.add_all(logical_unit.traffic)
        return losers

    async def _present(self, units: Sequence[LogicalUnit], port_groups: PortGroups | None = None) -> None:
        turns = self._environment.turns
        for unit in units:
            turns.take(STEPS_OF_A_NEXUS * (1 + len(self._device_server.nexuses)))
            await turns.next_if_spent()
            unit.port_groups = port_groups or self._port_groups()
            self._bind(unit)
            self._copy_manager.attach_logical_unit(unit)
            if unit.volume.name in self.config.remote_luns:
                self._copy_manager.copies.remote_logical_units.add(unit)
            self._logical_units[unit.number] = unit
            for target in self._targets:
                target.lun_maps.add(unit)
            self._device_server.logical_unit_added(unit)
            if unit.group is None:
                continue_sanitize(unit)
        await self._report_changed_luns(self._device_server.nexuses_with(units), units)

    async def _report_changed_luns(self, nexuses: Sequence[Nexus], added: Sequence[LogicalUnit] = ()) -> None:
        turns = self._environment.turns
        for _ in self._device_server.luns_changed(nexuses, set(added)):
            turns.take()
            await turns.next_if_spent()
