"""The maintenance of a group by a person: isolation, resync, verification, and promotion by force."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from odx_target.environment import Environment
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.membership.messages import Action
from odx_target.replica.paths.exchange import Exchange
from odx_target.replica.sync.anchors.anchoring import Comparison
from odx_target.replica.sync.anchors.forced_promotion import ForcedPromotion, NoContent, PossibleLoss
from odx_target.replica.sync.anchors.reading import AnchorReading, Source, serve_reading
from odx_target.replica.sync.group import Group
from odx_target.replica.sync.group_states import ChangeRefused, NotServing
from odx_target.replica.sync.limits import MIN_READ_RATE_BYTES, READ_RATE_BYTES
from odx_target.store.api import Pool, StoreError


class Maintenance:
    """The maintenance of one group at one of its members."""

    def __init__(self, group: Group, pool: Pool, environment: Environment) -> None:
        self.reading: AnchorReading | None = None
        """The last reading that `read_and_verify` has begun."""
        self._group = group
        self._pool = pool
        self._environment = environment
        self._name = group.settings.name
        self._outgoing = group.outgoing
        self._anchors = group.anchors
        self._source = Source(pool, environment, group.anchors)
        self._forced = ForcedPromotion(pool, environment, group.anchors, group.volumes, lambda: group.driver.position)

    def stop(self) -> None:
        """End the reading soon."""
        if self.reading is not None:
            self.reading.stop()

    async def serve_reading(self, exchange: Exchange, document: Mapping[str, Json]) -> None:
        """Serve a reading of an anchor by the other member. Raises LinkError."""
        await serve_reading(self._source, exchange, document)

    async def isolate(self) -> None:
        """Go on without the other member, until `resync` is called. Raises NotServing, and the exceptions of `Volume.write`.

        If the witness does not answer, the other member is dropped when it does.
        """
        self._group.require_service()
        self._group.keep_isolation(is_isolated=True)
        await self._pool.committed()
        await self._group.until_alone()

    async def resync(self) -> None:
        """End an isolation, and begin a resync again that is under way. Raises NotServing, and those of `Volume.write`."""
        if not self._group.driver.member.is_primary:
            raise NotServing(f"the group {self._name} is {self._group.state.value} here: begin the resync at the primary")
        self._group.keep_isolation(is_isolated=False)
        await self._pool.committed()
        if not self._outgoing.is_peer_in_sync:
            self._outgoing.close()

    async def verify(self) -> bool:
        """Compare both members at an anchor that is taken now, by digests. Returns True if they are equal. If they are not, the
        other member is dropped, and both members keep the anchor. Raises NotServing.
        """
        return bool((await self._compare()).is_equal)

    async def read_and_verify(self, rate_bytes: int = READ_RATE_BYTES) -> AnchorReading:
        """Verify, and then begin to read and compare all data of both members in the background, as it is at an anchor.

        Each member reads at most `rate_bytes` in a second. If data differs, the other member is dropped at the end. Raises
        ChangeRefused if the rate is too low. Raises NotServing, also if the digests differ or another reading is under way.
        """
        if rate_bytes < MIN_READ_RATE_BYTES:
            raise ChangeRefused(f"the data of a group is read with at least {MIN_READ_RATE_BYTES} bytes in a second")
        if self.reading is not None and not self.reading.is_over:
            raise NotServing(f"the data of the group {self._name} is being read already")
        comparison = await self._compare()
        path = self._group.path_to_peer()
        link = None if path is None else path.link
        if not comparison.is_equal or link is None:
            raise NotServing(f"the members of the group {self._name} are not connected, or have different maps")
        if self.reading is not None and not self.reading.is_over:
            raise NotServing(f"the data of the group {self._name} is being read already")
        self._anchors.pinned = [comparison.guid]
        self.reading = AnchorReading(self._source, comparison.guid, rate_bytes, self._reading_ended)
        self._environment.start_soon(self.reading.run, link, self._name)
        return self.reading

    def _reading_ended(self, reading: AnchorReading) -> None:
        self._anchors.pinned = []
        if reading.count_different:
            with suppress(StoreError):
                self._anchors.suspect()
            self._outgoing.fail_peer("both members read different data at an anchor")
        self._group.progress.wake()

    async def _compare(self) -> Comparison:
        self._group.require_service()
        if not self._outgoing.is_peer_in_sync:
            raise NotServing(f"the other member of the group {self._name} is not in sync")
        comparison = self._outgoing.anchoring.request()
        await self._group.progress.until(lambda: comparison.is_equal is not None, "the other member has reported no digests")
        return comparison

    def _way_without_force(self) -> str:
        """Return what a person does while both members are connected. A switchover needs a primary that serves: there is none
        if this member is a primary that waits, or a secondary that has asked to take over.
        """
        if self._group.driver.member.is_primary or self._group.driver.member.request is not None:
            return "bring the witness back, give the group another witness, or stop the other member first"
        return "use a switchover, or stop it first"

    def possible_loss(self) -> PossibleLoss:
        """Return what hosts may lose if this member is promoted by force now. Raises NotServing if it cannot be."""
        name, member = self._name, self._group.driver.member
        path, now_s = self._group.path_to_peer(), self._environment.monotonic()
        if member.is_primary and not member.may_be_forced(now_s):
            raise NotServing(f"this member is the primary of the group {name} already")
        if path is not None and path.link is not None:
            raise NotServing(f"the other member of the group {name} is connected: {self._way_without_force()}")
        if not member.may_be_forced(now_s):
            raise NotServing(f"the primary of the group {name} may serve for some seconds more")
        if member.is_primary:
            return PossibleLoss(is_anchor_restored=False, anchor=None, anchor_age_s=None, is_primary=True)
        try:
            return self._forced.possible_loss()
        except NoContent as error:
            raise NotServing(f"the group {name} cannot be promoted here: {error}") from error

    async def promote_by_force(self) -> PossibleLoss:
        """Become the primary although neither the other member nor the witness may agree, or go on without both. Returns what
        hosts may lose.

        A person has made sure that the other member does not serve any more. When that one comes back, it learns the new epoch,
        keeps its own changes in snapshots `diverged-TIME`, and is resynchronised. Raises NotServing, and the exceptions of
        `Volume.write`.
        """
        loss, driver = self.possible_loss(), self._group.driver
        was_allowed: list[bool] = []

        def force(now_s: float) -> Sequence[Action]:
            was_allowed.append(driver.member.may_be_forced(now_s))  # A lease may have come since the check.
            return driver.member.force(now_s)

        self._group.incoming.close()
        self._group.incoming.is_refusing = True
        try:
            if not loss.is_primary:
                await self._forced.restore()
            driver.post(force)
            await self._group.progress.until(
                lambda: was_allowed == [False] or (bool(was_allowed) and driver.serves),
                "this member has not become the primary",
            )
            if not was_allowed[0]:
                raise NotServing(f"the primary of the group {self._name} may serve again: nobody was promoted by force")
        except NoContent as error:
            raise NotServing(f"the group {self._name} cannot be promoted here: {error}") from error
        finally:
            self._group.incoming.is_refusing = False
        return loss
