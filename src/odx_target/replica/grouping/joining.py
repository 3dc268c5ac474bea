"""A volume that comes to a group, or leaves it, on request of an operator of the primary."""

from odx_target.environment import Environment
from odx_target.replica.grouping.asking import AskedInVain, ask
from odx_target.replica.grouping.founding import GroupVolume
from odx_target.replica.grouping.messages import CHECK_JOIN, CHECK_LEAVE, LUN_REQUEST, NO_LUN, NOT_YET, PRESENT
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.paths.path import Path
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_table import GroupRefused, GroupTable
from odx_target.store.api import BLOCK_BYTES, Pool, Volume

RETRY_S = 0.1
"""Pause before the other member is asked again to present a LUN whose volume has not come to it yet."""

PRESENT_TIMEOUT_S = 30.0
"""Maximum time for the volume to come to the other member. The resync begins with the list of the volumes."""


class Joining:
    """Changes the volumes of groups whose primary is this array, together with their LUNs at the other member."""

    def __init__(self, pool: Pool, environment: Environment, groups: GroupTable) -> None:
        self._pool = pool
        self._environment = environment
        self._groups = groups

    async def add(self, group: Group, member: GroupVolume) -> str:
        """Take a volume with its content into a group. Returns a line if the other member does not present it to hosts yet.

        The other member must be connected. It is out of sync until it has the content. Raises GroupRefused, NotServing,
        ChangeRefused and those of `Volume.write`; the volume is then not in the group.
        """
        group.require_service()
        for other in self._groups.groups.values():
            if other is not group and member.volume.identity in other.settings.volumes:
                raise GroupRefused(f"the volume {member.volume.name} is in the group {other.settings.name} already")
        path = self._path(group)
        document = self._document(group, member)
        await ask(path, LUN_REQUEST, {**document, "step": CHECK_JOIN})
        if reason := member.refusal():
            raise GroupRefused(reason)
        await self._groups.operations[group.settings.name].add_volume(member.volume)
        return "" if member.lun is None else await self._present(path, {**document, "step": PRESENT})

    async def _present(self, path: Path, document: dict[str, Json]) -> str:
        give_up_s = self._environment.monotonic() + PRESENT_TIMEOUT_S
        while True:
            try:
                await ask(path, LUN_REQUEST, document)
            except AskedInVain as error:
                if error.code not in ("", NOT_YET) or self._environment.monotonic() >= give_up_s:
                    return f"the other array does not present the volume to hosts: {error}; use `odx-target lun add` there"
                await self._environment.sleep(RETRY_S)
            else:
                return ""

    async def remove(self, group: Group, volume: Volume) -> None:
        """Take a volume out of a group. It stays at this array with its LUN, and the other member deletes its copy as soon as
        it hears of it.

        Raises GroupRefused, NotServing, ChangeRefused and those of `Volume.write`.
        """
        group.require_service()
        path = group.path_to_peer()
        if path is not None and path.link is not None:
            member = GroupVolume(volume, volume.size_blocks * BLOCK_BYTES, BLOCK_BYTES, None)
            try:
                await ask(path, LUN_REQUEST, {**self._document(group, member), "step": CHECK_LEAVE})
            except AskedInVain as error:
                if error.code:
                    raise
        await self._groups.operations[group.settings.name].remove_volume(volume)
        await group.progress.until(
            lambda: group.records.departure is None, "the other member does not know yet that the volume has left the group"
        )

    def _path(self, group: Group) -> Path:
        path = group.path_to_peer()
        if path is None:
            raise GroupRefused("there is no path to the other member")
        return path

    def _document(self, group: Group, member: GroupVolume) -> dict[str, Json]:
        return {
            "group": group.settings.name,
            "volume": self._pool.public_identity(member.volume).hex(),
            "name": member.volume.name,
            "size_bytes": member.size_bytes,
            "block_bytes": member.block_bytes,
            "lun": NO_LUN if member.lun is None else member.lun,
        }
