"""The promotion of a member because a person says that the primary is lost: which content it has, and what hosts may lose."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from odx_target.environment import Environment
from odx_target.replica.sync.anchors.anchors import Anchors
from odx_target.replica.sync.positions import NO_POSITION, StreamPosition
from odx_target.store.api import FrozenMap, Pool, Volume, change_when_ready


class NoContent(Exception):
    """The member has no content of one moment, so it cannot be promoted. The message is one line."""


class PossibleLoss(NamedTuple):
    """The changes that hosts may lose if a member is promoted by force: all of them after a moment.

    If `is_anchor_restored` is False, the moment is the one at which the members were last connected and in sync. Otherwise, a
    resync has replaced a part of the content, and the volumes get the content of the last anchor. It is named by `anchor`, and
    was taken `anchor_age_s` ago. Both are None if there is no anchor.

    If `is_primary` is True, this member is the primary already, and only waits. Lost is what hosts have written at the other
    member, if that one has taken over.
    """

    is_anchor_restored: bool
    anchor: bytes | None
    anchor_age_s: float | None
    is_primary: bool = False


class ForcedPromotion:
    """Finds a content of one moment in a member, and restores it. `position` returns the position of the member's stream."""

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        anchors: Anchors,
        volumes: Callable[[], Sequence[Volume]],
        position: Callable[[], StreamPosition],
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._anchors = anchors
        self._volumes = volumes
        self._position = position

    def possible_loss(self) -> PossibleLoss:
        """Return what hosts may lose. Raises NoContent."""
        anchor = self._anchors.newest
        age_s = None if anchor is None else max(0.0, self._environment.time() - anchor.taken_s)
        is_whole = self._position() != NO_POSITION
        if anchor is None and not is_whole:
            raise NoContent("a resync was interrupted here, and there is no anchor to return to")
        return PossibleLoss(not is_whole, None if anchor is None else anchor.guid, age_s)

    async def restore(self) -> None:
        """Give the volumes the content of the last anchor, if they have no content of one moment.

        After an interruption, the member can be promoted again. Raises NoContent, StoreError.
        """
        loss = self.possible_loss()
        if not loss.is_anchor_restored or loss.anchor is None:
            return
        maps, volumes = self._anchors.maps(loss.anchor), self._volumes()
        if maps is None or len(maps) != len(volumes):
            raise NoContent("the group had other volumes at its last anchor")
        for volume, frozen in zip(volumes, maps, strict=True):
            await self._restore_volume(volume, frozen)
        await self._pool.committed()

    async def _restore_volume(self, volume: Volume, frozen: FrozenMap) -> None:
        if volume.size_blocks != frozen.size_blocks:
            await change_when_ready(self._pool, self._environment, lambda: volume.resize(frozen.size_blocks))
        block = 0
        while block < frozen.size_blocks:
            left = frozen.size_blocks - block
            at = block
            block += await change_when_ready(
                self._pool,
                self._environment,
                lambda at=at, left=left: volume.copy_from(frozen, at, at, left),  # type: ignore[misc]
            )
