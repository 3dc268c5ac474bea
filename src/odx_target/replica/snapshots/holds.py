"""Holds on the snapshots that both arrays of a path need, so that no retention breaks the chain of differences.

A hold belongs to a path, because several protections on a path may need one snapshot. It is removed only when none of them
needs the snapshot.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from odx_target.environment import Environment
from odx_target.replica.snapshots.protection import HOLD_PREFIX, hold_owner
from odx_target.replica.snapshots.records import ReplicationRecords
from odx_target.store.api import Pool, Snapshot, change_when_ready


class Holds:
    """The holds of all paths. The caller commits the pool after a change."""

    def __init__(self, pool: Pool, environment: Environment, records: ReplicationRecords) -> None:
        self._pool = pool
        self._environment = environment
        self._records = records
        self._in_flight: Counter[tuple[str, bytes]] = Counter()

    @contextmanager
    def in_flight(self, path: str, guids: Iterable[bytes]) -> Iterator[None]:
        """Need snapshots while the body runs."""
        keys = [(path, guid) for guid in guids]
        self._in_flight.update(keys)
        try:
            yield
        finally:
            self._in_flight.subtract(keys)
            self._in_flight += Counter()

    async def hold(self, path: str, snapshots: Iterable[Snapshot]) -> None:
        """Add the hold of a path to snapshots. Raises Absent, and the exceptions of `Volume.write` except PoolBusy."""
        for snapshot in snapshots:
            await self.change(lambda snapshot=snapshot: snapshot.hold(hold_owner(path)))  # type: ignore[misc]

    async def release_unneeded(self, path: str, guids: Iterable[bytes]) -> None:
        """Remove the holds of a path on those of these snapshots that it no longer needs."""
        needed, owner = self._needed(path), hold_owner(path)
        for guid in guids:
            snapshot = self._pool.snapshots.get(guid)
            if guid not in needed and snapshot is not None and owner in snapshot.holds:
                await self.change(lambda snapshot=snapshot: snapshot.unhold(owner))  # type: ignore[misc]

    async def reconcile(self) -> None:
        """Remove the holds of former protections and of transfers that a restart has ended."""
        needed: dict[str, set[bytes]] = {}
        for snapshot in list(self._pool.snapshots.values()):
            await self._pool.turns.next_if_spent()
            self._pool.turns.take()
            for owner in [each for each in snapshot.holds if each.startswith(HOLD_PREFIX)]:
                path = owner.removeprefix(HOLD_PREFIX)
                if path not in needed:
                    needed[path] = self._needed(path)
                if snapshot.guid not in needed[path]:
                    await self.release_unneeded(path, [snapshot.guid])

    async def change(self, change: Callable[[], object]) -> None:
        """Change the pool, and wait while it makes room. May raise the exceptions of `Volume.write` except PoolBusy."""
        await change_when_ready(self._pool, self._environment, change)

    async def durable(self) -> None:
        """Commit and flush the pool. Raises PoolFailed and Scarcity."""
        await self._pool.committed()
        await self._pool.flush()

    def _needed(self, path: str) -> set[bytes]:
        needed = {guid for (name, guid), count in self._in_flight.items() if name == path and count}
        for protection in self._records.protections.values():
            if protection.path == path:
                needed.update(protection.common.values())
        sent_back = {(each.peer_pool, volume) for each in self._records.protections.values() for volume in each.volumes}
        for copy in self._records.copies.values():
            # A promoted volume that is sent back to the peer needs only what its protection needs.
            if copy.path == path and (copy.peer_pool, copy.volume) not in sent_back:
                needed.update(copy.held)
        return needed
