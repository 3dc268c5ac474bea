"""A person who changes the volumes of a group, isolates the other member and compares both, while faults happen.

The person knows which changes were reported as made. A change that was refused has not been made, and one that was never
answered may have been made.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_states import ChangeRefused, GroupState, NotServing
from odx_target.replica.sync.maintenance import Maintenance
from odx_target.replica.sync.volume_operations import VolumeOperations
from odx_target.store.api import StoreError, Volume
from tests.sim.group_array import NAME, GroupArray
from tests.sim.simulated_disk import Crash
from tests.sim.virtual_environment import VirtualTask

if TYPE_CHECKING:
    from tests.sim.scenarios.groups import Play

MAX_EXTRA = 3
"""Number of volumes of the person, besides those of the hosts."""


class Person:
    """Makes one change after the other at the member that serves."""

    def __init__(self, play: "Play") -> None:
        self.present: dict[bytes, bool | None] = {}
        """For the identity of each volume that was ever made: whether it is in the group. None if nobody knows."""
        self.is_stopped = False
        self._play = play
        self._random = play.random
        self._array: GroupArray | None = None
        self._life = 0
        self._task: VirtualTask | None = None
        self._unsure: bytes | None = None
        self._count = 0

    @property
    def is_busy(self) -> bool:
        return self._task is not None

    def go_on(self) -> None:
        """Begin the next change, if the last one has ended, or its array."""
        if self._task is not None:
            assert self._array is not None
            if self._array.is_running and self._array.starts == self._life and not self._task.done:
                return
            error = self._task.error if self._array.starts == self._life else None
            assert error is None or isinstance(error, NotServing | StoreError | ChangeRefused | Crash), repr(error)
            self._task = None
            if self._unsure is not None:
                self.present[self._unsure] = None
                self._unsure = None
        for array in () if self.is_stopped else self._play.members:
            group = array.group
            if group is not None and group.state is GroupState.SERVING and self._random.randrange(3) == 0:
                self._array, self._life = array, array.starts
                self._task = array.environment.spawn(self._change(array, group))
                return

    def forget(self) -> None:
        """Note that the last copy has lost its power, and perhaps the last changes."""
        self.present = dict.fromkeys(self.present)

    def end(self) -> None:
        """End an isolation, so that both members can be in sync."""
        for array in self._play.members:
            if array.group is not None and array.group.outgoing.is_isolated and array.group.driver.member.is_primary:
                array.environment.start_soon(_resynchronised, array.table.maintenance[NAME])

    def check(self) -> None:
        """Check that both members have the volumes of which the person knows that they are in the group, and no others."""
        groups = [array.group for array in self._play.members]
        lists = [() if group is None else group.list.identities for group in groups]
        assert lists[0] == lists[1], "the members have different lists of volumes"
        for identity, is_present in self.present.items():
            assert is_present in (None, identity in lists[0]), f"volume {identity.hex()} is present or not: {is_present}"
        for array, group in zip(self._play.members, groups, strict=True):
            assert group is not None
            assert not group.records.prepared
            assert group.records.departure is None
            for volume in group.volumes():
                frozen = volume.freeze()
                self._play.digests.setdefault(volume.identity, set()).add(
                    self._play.world.run(array.environment, frozen.digest())
                )
                frozen.release()
        assert all(len(found) == 1 for found in self._play.digests.values()), "a volume differs"

    async def _change(self, array: GroupArray, group: Group) -> None:
        operations, maintenance = array.table.operations[NAME], array.table.maintenance[NAME]
        extra = group.volumes()[len(self._play.histories) :]
        changes: list[Callable[[], Awaitable[object]]] = [
            maintenance.verify,
            maintenance.read_and_verify,
            lambda: self._isolated(array, maintenance),
            lambda: operations.take_snapshot(f"of-person-{self._count}"),
        ]
        if len(extra) < MAX_EXTRA:
            changes += [lambda: self._create(operations), lambda: self._add(array, operations)] * 2
        if extra:
            volume = self._random.choice(extra)
            changes += [
                lambda: operations.resize(volume, self._random.randint(1, 60)),
                lambda: group.write(volume, 0, [self._play.new_value()]),
                lambda: self._leave(volume, operations.delete_volume),
                lambda: self._leave(volume, operations.remove_volume),
            ]
        self._count += 1
        self._play.world.note(f"the person changes {self._count}")
        await self._random.choice(changes)()
        self._play.world.fault("change by a person")

    async def _create(self, operations: VolumeOperations) -> None:
        volume = await operations.create_volume(f"extra-{self._count}", self._random.randint(1, 60), {})
        self.present[volume.identity] = True

    async def _add(self, array: GroupArray, operations: VolumeOperations) -> None:
        volume = array.pool.create_volume(f"added-{self._count}", self._random.randint(1, 60), {})
        volume.write(0, [self._play.new_value()])
        self._unsure = volume.identity
        try:
            await operations.add_volume(volume)
        except ChangeRefused:
            self.present[volume.identity] = False
        else:
            self.present[volume.identity] = True
        self._unsure = None

    async def _leave(self, volume: Volume, leave: Callable[[Volume], Awaitable[None]]) -> None:
        self._unsure = volume.identity
        try:
            await leave(volume)
        except ChangeRefused:
            pass
        else:
            self.present[volume.identity] = False
        self._unsure = None

    async def _isolated(self, array: GroupArray, maintenance: Maintenance) -> None:
        await maintenance.isolate()
        await array.environment.sleep(self._random.random() * 3.0)
        await maintenance.resync()


async def _resynchronised(maintenance: Maintenance) -> None:
    with suppress(NotServing, StoreError):
        await maintenance.resync()
