"""The volumes of a group at its other member: found, deleted, and kept as volumes of their own."""

from collections.abc import Callable, Iterable, Mapping

from odx_target.environment import Environment
from odx_target.replica.grouping.luns import MemberLuns
from odx_target.store.api import Pool, Volume, change_when_ready

GROUP_ATTRIBUTE = "group"
"""Name of an attribute of a volume that was made for a group: the identity of the primary's pool, and the name of the group."""

LUN_ATTRIBUTE = "lun"

KEPT_SUFFIX = "-copy"
"""End of the name of a copy that is kept when its group is deleted."""


def member_attribute(group: str, primary: bytes) -> dict[str, str]:
    """Return the attribute of the volumes that a member makes for a group of another primary."""
    return {GROUP_ATTRIBUTE: f"{primary.hex()} {group}"}


class CopiesOfGroups:
    """The volumes that this array has made for groups of other primaries."""

    def __init__(self, pool: Pool, environment: Environment, luns: MemberLuns) -> None:
        self._pool = pool
        self._environment = environment
        self._luns = luns

    def present(self, identities: Iterable[bytes]) -> list[Volume]:
        """Return those volumes with these identities that exist."""
        by_identity = {volume.identity: volume for volume in self._pool.volumes.values()}
        return [by_identity[each] for each in identities if each in by_identity]

    async def delete_left_over(self, mark: Mapping[str, str]) -> None:
        """Delete the volumes with an attribute of `member_attribute`. Raises StoreError."""
        for volume in list(self._pool.volumes.values()):
            if mark.items() <= volume.attributes.items():
                await self.delete(volume, with_snapshots=True)

    async def delete(self, volume: Volume, *, with_snapshots: bool) -> None:
        """Delete a volume, and its snapshots that nobody holds. Raises StoreError."""
        for snapshot in list(volume.snapshots.values()) if with_snapshots else ():
            if not snapshot.holds:
                await self._change(snapshot.delete)
        await self._change(lambda: self._pool.delete_volume(volume.name))
        await self._luns.forget(volume)

    async def keep(self, volume: Volume) -> Volume:
        """Make a volume with the content of a copy and a new identity, which is no LUN. Raises StoreError.

        The copy itself has the identity of the primary's volume, so hosts would take both for the same disk.
        """
        dropped = (GROUP_ATTRIBUTE, LUN_ATTRIBUTE)
        attributes = {name: value for name, value in volume.attributes.items() if name not in dropped}
        name = f"{volume.name}{KEPT_SUFFIX}"
        if name in self._pool.volumes:
            name = f"{name}-{self._environment.entropy(4).hex()}"
        made: list[Volume] = []
        await self._change(lambda: made.append(self._pool.create_volume(name, volume.size_blocks, attributes, volume)))
        return made[0]

    async def _change(self, change: Callable[[], object]) -> None:
        await change_when_ready(self._pool, self._environment, change)
