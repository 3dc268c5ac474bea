"""The end of a group, at its primary."""

from collections.abc import Callable
from functools import partial

from odx_target.environment import Environment
from odx_target.replica.grouping import messages
from odx_target.replica.grouping.asking import AskedInVain, ask
from odx_target.replica.grouping.copies import GROUP_ATTRIBUTE
from odx_target.replica.grouping.messages import IN_USE
from odx_target.replica.membership.register import Change
from odx_target.replica.paths.path import Path
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_table import GroupRefused, GroupTable
from odx_target.store.api import Pool, change_when_ready

WAIT_S = 0.1
"""Time between two looks if the other member is dropped."""

MAX_WAITS = 100
"""Number of these looks: 10 s. The witness answers at once, or cannot be reached."""


MAX_ATTEMPTS = 5
"""Number of attempts to have the other member forget the group. A short resync may add it again meanwhile."""


class WitnessSilent(GroupRefused):
    """The witness does not answer."""


class Removal:
    """Removes groups whose primary is this array. `path_to` returns the path to the array with a pool identity."""

    def __init__(
        self, pool: Pool, environment: Environment, groups: GroupTable, path_to: Callable[[bytes], Path | None]
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._groups = groups
        self._path_to = path_to

    async def remove(self, group: Group, *, keeps_copies: bool, is_forced: bool) -> list[str]:
        """Remove a group. Its volumes become volumes of this array only, with their LUNs.

        The copies of the other member are deleted, or become volumes with new identities. If `is_forced` is True, arrays that
        cannot be reached are left as they are; returns a line about each of them. Another call continues after an exception.
        Raises GroupRefused, and those of `Volume.write`.
        """
        settings, member = group.settings, group.driver.member
        if not member.is_primary:
            raise GroupRefused(f"this array is not the primary of the group {settings.name}: delete it there")
        left = []
        try:
            await self._have_peer_forget(group, keeps_copies=keeps_copies, resigns=is_forced)
        except GroupRefused as error:
            if member.needs_peer or not is_forced:
                raise
            left.append(f"the other member still has the group: {error}")
        try:
            await self._ask(settings.witness_pool, "the witness", self._document(group, keeps_copies=keeps_copies))
        except GroupRefused as error:
            if not is_forced:
                raise
            left.append(f"the witness still has the group: {error}")
        await self._release(group)
        return left

    async def _have_peer_forget(self, group: Group, *, keeps_copies: bool, resigns: bool) -> None:
        """Drop the other member, and have it forget the group before a resync makes it a member in sync again.

        If `resigns` is True and the witness does not answer, the other member is asked to forget the group although it is in
        sync.
        """
        for attempt in range(MAX_ATTEMPTS):
            document = self._document(group, keeps_copies=keeps_copies)
            try:
                await self._drop(group)
                document = self._document(group, keeps_copies=keeps_copies)
            except WitnessSilent:
                if not resigns:
                    raise
                document["resigns"] = 1
            try:
                await self._ask(group.settings.peer_pool, "the other member", document)
            except AskedInVain as refusal:
                if refusal.code != IN_USE or attempt == MAX_ATTEMPTS - 1:
                    raise
            else:
                return

    def _document(self, group: Group, *, keeps_copies: bool) -> dict[str, str | int]:
        epoch = group.driver.member.register.epoch
        return {"group": group.settings.name, "epoch": epoch, "keeps_copies": int(keeps_copies)}

    async def _ask(self, pool: bytes, role: str, document: dict[str, str | int]) -> None:
        path = self._path_to(pool)
        if path is None:
            raise GroupRefused(f"there is no path to {role}")
        await ask(path, messages.FORGET_REQUEST, document)

    async def _drop(self, group: Group) -> None:
        """Continue without the other member, so that it never takes over. Raises GroupRefused if the witness does not agree."""
        member = group.driver.member
        for _ in range(MAX_WAITS):
            if not member.is_primary:
                raise GroupRefused("the other member has become the primary")
            if not member.needs_peer:
                return
            group.driver.post(lambda now_s: member.change(Change.DROP, now_s))
            await self._environment.sleep(WAIT_S)
        raise WitnessSilent("the witness does not answer, so the other member could still take over")

    async def _release(self, group: Group) -> None:
        """Make the volumes those of this array alone."""
        own = set(group.settings.volumes)
        for volume in list(self._pool.volumes.values()):
            if volume.identity in own and GROUP_ATTRIBUTE in volume.attributes:
                kept = {name: value for name, value in volume.attributes.items() if name != GROUP_ATTRIBUTE}
                await change_when_ready(self._pool, self._environment, partial(volume.change_attributes, kept))
        self._groups.remove(group.settings.name)
        await self._pool.committed()
        await self._pool.flush()
