"""Making and removing the groups of one array, on request of its operator or of another array."""

from collections.abc import Sequence

from odx_target.environment import Environment
from odx_target.replica.grouping.founding import Founding, GroupVolume
from odx_target.replica.grouping.joining import Joining
from odx_target.replica.grouping.lun_server import LunServer
from odx_target.replica.grouping.luns import MemberLuns
from odx_target.replica.grouping.removal import Removal
from odx_target.replica.grouping.server import GroupServer
from odx_target.replica.grouping.witness_change import WitnessChange
from odx_target.replica.paths.path_table import PathTable
from odx_target.replica.request_table import RequestTable
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_table import GroupRefused, GroupTable
from odx_target.store.api import Pool, Volume


class Grouping:
    """Makes and removes groups. `luns` are the LUNs of the array. The owner adds `add_to` to its requests."""

    def __init__(self, pool: Pool, environment: Environment, groups: GroupTable, paths: PathTable, luns: MemberLuns) -> None:
        self._pool = pool
        self._environment = environment
        self._groups = groups
        self._paths = paths
        self._server = GroupServer(pool, environment, groups, luns)
        self._lun_server = LunServer(pool, environment, groups, luns)
        self._joining = Joining(pool, environment, groups)
        self._witness_change = WitnessChange(pool, environment, groups)

    def add_to(self, requests: RequestTable) -> None:
        """Serve the requests of other arrays."""
        self._server.add_to(requests)
        self._lun_server.add_to(requests)
        self._witness_change.add_to(requests)

    async def create(self, name: str, volumes: Sequence[GroupVolume], path: str, witness: str, out_of_sync_s: float) -> Group:
        """Make a group whose primary is this array; see `Founding`. `path` and `witness` are names of paths.

        Raises LinkError and StoreError.
        """
        with self._server.changing(name):
            existing = self._paths.existing
            founding = Founding(
                self._pool,
                self._environment,
                self._groups,
                name,
                volumes,
                existing(path),
                existing(witness),
                out_of_sync_s,
            )
            return await founding.run()

    async def change_witness(self, group: Group, witness: str) -> None:
        """Use another witness for a group whose primary is this array; see `WitnessChange`."""
        with self._server.changing(group.settings.name):
            await self._witness_change.run(group, self._paths.existing(witness))

    async def add_volume(self, group: Group, member: GroupVolume) -> str:
        """Take a volume into a group whose primary is this array; see `Joining`."""
        with self._server.changing(group.settings.name):
            return await self._joining.add(group, member)

    async def remove_volume(self, group: Group, volume: Volume) -> None:
        """Take a volume out of a group whose primary is this array; see `Joining`."""
        with self._server.changing(group.settings.name):
            await self._joining.remove(group, volume)

    async def delete(self, name: str, *, keeps_copies: bool, is_forced: bool) -> list[str]:
        """Delete a group at its primary; see `Removal`. If `is_forced` is True, delete it at this array in any case.

        Returns a line about each array that still has it. Raises LinkError and StoreError.
        """
        groups = self._groups
        with self._server.changing(name):
            group = groups.groups.get(name)
            if group is not None and (group.driver.member.is_primary or not is_forced):
                removal = Removal(self._pool, self._environment, groups, groups.path_to)
                return await removal.remove(group, keeps_copies=keeps_copies, is_forced=is_forced)
            if group is not None:
                await self._server.forget(group, keeps_copies=keeps_copies)
            elif not is_forced:
                raise GroupRefused(f"this array is not a member of a group {name}; --force deletes the record of a witness")
            else:
                await self._forget_records(name)
            return []

    async def _forget_records(self, name: str) -> None:
        """Forget a group for which this array is the witness, or whose records cannot be read."""
        desk, is_known = self._groups.witness_desk, False
        if name in desk.members or name in desk.unreadable:
            desk.remove(name)
            is_known = True
        if name in self._groups.unreadable:
            self._groups.remove(name)
            is_known = True
        if not is_known:
            raise GroupRefused(f"there is no group {name}")
        await self._pool.committed()
        await self._pool.flush()
