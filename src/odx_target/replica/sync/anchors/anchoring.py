"""The anchors that a primary takes, and the comparison of their digests with those of the other member."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from odx_target.environment import Environment
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.sync.anchors.anchors import GUID_BYTES, Anchors
from odx_target.replica.sync.limits import ANCHOR_INTERVAL_S
from odx_target.store.api import Pool, StoreError, Volume

DIGEST_BYTES = 16


class Comparison:
    """A comparison of both members that was requested. `guid` is the anchor of the result, `is_equal` is None until then."""

    def __init__(self) -> None:
        self.guid = b""
        self.is_equal: bool | None = None


class Anchoring:
    """Takes an anchor at intervals or on request, and releases the one before when both members have the new one durably.

    `on_mismatch` is called with the reason if the digests of an anchor differ. Both anchors then stay. `on_result` is called
    after each comparison.
    """

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        anchors: Anchors,
        on_mismatch: Callable[[str], None],
        on_result: Callable[[], None],
    ) -> None:
        self.mismatches = 0
        """Number of anchors at which the members had different contents."""
        self.verified = 0
        """Number of anchors whose digests were equal."""
        self._pool = pool
        self._environment = environment
        self._anchors = anchors
        self._on_mismatch = on_mismatch
        self._on_result = on_result
        self._requested: list[Comparison] = []
        self._waiting: list[Comparison] = []
        self._taken = b""
        self._taken_at_s = float("-inf")
        self._at_osn = -1

    def request(self) -> Comparison:
        """Take an anchor soon, also if nothing has changed since the last one. Returns where the result will be."""
        comparison = Comparison()
        self._requested.append(comparison)
        return comparison

    def take_if_due(self, shipped_osn: int, volumes: Callable[[], Sequence[Volume]]) -> None:
        """Take an anchor if one is requested and none is awaited, or if the last one is old and something has changed since.

        It is tried again if that fails.
        """
        now_s = self._environment.monotonic()
        is_old = now_s - self._taken_at_s >= ANCHOR_INTERVAL_S and shipped_osn != self._at_osn
        is_awaited = bool(self._taken) and now_s - self._taken_at_s < ANCHOR_INTERVAL_S
        if not is_old and (is_awaited or not self._requested):
            return
        guid = self._environment.entropy(GUID_BYTES)
        confirmed = [each for each in self._anchors.guids if each not in (self._taken, *self._anchors.pinned)]
        try:
            self._anchors.take(guid, volumes(), [*self._anchors.pinned, *confirmed[-1:]], self._environment.time())
        except StoreError:
            return
        self._taken, self._taken_at_s, self._at_osn = guid, now_s, shipped_osn
        self._waiting, self._requested = [*self._waiting, *self._requested], []
        for comparison in self._waiting:
            comparison.guid = guid
        self._environment.start_soon(self._commit)

    def reported(self, body: bytes) -> None:
        """Note that the other member has an anchor durably, and compare the digests in the background. Raises PeerFault."""
        guid, digests = body[:GUID_BYTES], body[GUID_BYTES:]
        if not digests or len(digests) % DIGEST_BYTES:
            raise PeerFault("an ANCHORED has an impossible length")
        if guid == self._taken:
            self._taken = b""
            self._environment.start_soon(self._compare, guid, digests)

    async def _commit(self) -> None:
        with suppress(StoreError):  # The pool has failed, and the next commit of another caller reports it too.
            await self._pool.committed()

    async def _compare(self, guid: bytes, digests: bytes) -> None:
        maps = self._anchors.maps(guid)
        if maps is None:
            return
        try:
            own = b"".join([await each.digest() for each in maps])
            if own == digests:
                await self._pool.flush()
                self._anchors.keep_only([guid, *self._anchors.pinned])
                self.verified += 1
                self._end_waiting(guid, is_equal=True)
                await self._commit()
                return
        except StoreError:
            return  # The anchor before stays, and the next one is compared.
        self.mismatches += 1
        self._end_waiting(guid, is_equal=False)
        with suppress(StoreError):
            self._anchors.suspect()
        await self._commit()
        self._on_mismatch("both members had different contents at an anchor")

    def _end_waiting(self, guid: bytes, *, is_equal: bool) -> None:
        for comparison in self._waiting:
            if comparison.guid == guid:
                comparison.is_equal = is_equal
        self._waiting = [each for each in self._waiting if each.is_equal is None]
        self._on_result()
