"""The anchors that a primary takes, and the comparison of their digests with those of the other member."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from odx_target.environment import Environment
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.sync.anchors import GUID_BYTES, Anchors
from odx_target.replica.sync.limits import ANCHOR_INTERVAL_S
from odx_target.store.api import Pool, StoreError, Volume

DIGEST_BYTES = 16


class Anchoring:
    """Takes an anchor at intervals, and releases the one before when both members have the new one durably.

    `on_mismatch` is called with the reason if the digests of an anchor differ. Both anchors then stay.
    """

    def __init__(self, pool: Pool, environment: Environment, anchors: Anchors, on_mismatch: Callable[[str], None]) -> None:
        self.mismatches = 0
        """Number of anchors at which the members had different contents."""
        self.verified = 0
        """Number of anchors whose digests were equal."""
        self._pool = pool
        self._environment = environment
        self._anchors = anchors
        self._on_mismatch = on_mismatch
        self._taken = b""
        self._taken_at_s = float("-inf")
        self._at_osn = -1

    def take_if_due(self, shipped_osn: int, volumes: Callable[[], Sequence[Volume]]) -> None:
        """Take an anchor if the last one is old, and if something has changed since. It is tried again if that fails."""
        now_s = self._environment.monotonic()
        if now_s - self._taken_at_s < ANCHOR_INTERVAL_S or shipped_osn == self._at_osn:
            return
        guid = self._environment.entropy(GUID_BYTES)
        confirmed = [each for each in self._anchors.guids if each != self._taken]
        try:
            self._anchors.take(guid, volumes(), confirmed[-1:])
        except StoreError:
            return
        self._taken, self._taken_at_s, self._at_osn = guid, now_s, shipped_osn
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
                self._anchors.keep_only([guid])
                self.verified += 1
                await self._commit()
                return
        except StoreError:
            return  # The anchor before stays, and the next one is compared.
        self.mismatches += 1
        with suppress(StoreError):
            self._anchors.suspect()
        await self._commit()
        self._on_mismatch("both members had different contents at an anchor")
