"""The copies that an array receives: which of them are in use, what they do, and the deletion of their old snapshots."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from odx_target.replica.blocks.requests import BUSY
from odx_target.replica.paths.exchange import RequestDenied
from odx_target.replica.request_table import Group
from odx_target.replica.snapshots import messages
from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.limits import MAX_SERVED_REPLICATIONS
from odx_target.replica.snapshots.protection import Copy, Role
from odx_target.replica.snapshots.pruning import prune
from odx_target.replica.snapshots.records import ReplicationRecords, volume_with
from odx_target.replica.snapshots.reporting import Report
from odx_target.replica.snapshots.transfer import Activity
from odx_target.store.api import Pool, StoreError

REPLICATION = Group("replication", MAX_SERVED_REPLICATIONS)
"""The requests of the replication, which are counted together."""

KEPT = "received snapshots are kept beyond their retention"


class ReceivedCopies:
    """The copies of all peers. The receiver fills them, the publisher publishes their snapshots, and operators promote them."""

    def __init__(self, pool: Pool, records: ReplicationRecords, holds: Holds, report: Report) -> None:
        self._pool = pool
        self._records = records
        self._holds = holds
        self._report = report
        self._busy: set[bytes] = set()
        """Identities of the volumes that are filled or published now."""
        self.activities: dict[bytes, Activity] = {}
        """The activity of each copy, by the identity of its volume."""

    @contextmanager
    def changing(self, volumes: Iterable[bytes]) -> Iterator[None]:
        """Reserve copies for one change. Raises RequestDenied if one of them is filled, published or changed now."""
        wanted = set(volumes)
        if wanted & self._busy:
            raise RequestDenied(BUSY, "the copy is in use")
        self._busy |= wanted
        try:
            yield
        finally:
            self._busy -= wanted

    def is_busy(self, volume: bytes) -> bool:
        """True if a copy is filled, published or changed now."""
        return volume in self._busy

    def activity(self, volume: bytes) -> Activity:
        """Return what a copy does now, and what it has done since the start of the array."""
        return self.activities.get(volume) or Activity()

    def begin_activity(self, volume: bytes) -> Activity:
        """Return the activity of a copy, to note what it does."""
        return self.activities.setdefault(volume, Activity())

    def check_receiving(self, volume: bytes) -> Copy:
        """Return the present record of a copy. Raises RequestDenied if the copy receives no more."""
        copy = self._records.copies.get(volume)
        if copy is None or copy.role is Role.PROMOTED:
            raise RequestDenied(messages.PROMOTED, "the peer has promoted its copy of the volume")
        return copy

    async def prune(self, volumes: Sequence[bytes], *, are_settled: bool) -> None:
        """Delete received snapshots that the retention does not keep. A failure only delays it.

        Until they are settled, the former common snapshots are still held, so it is not reported that they are kept.
        """
        for identity in volumes:
            volume, copy = volume_with(self._pool, identity), self._records.copies.get(identity)
            if volume is None or copy is None:
                continue
            try:
                kept = await prune(self._pool, self._holds, volume, copy.keep)
                self._pool.commit()
            except StoreError as error:
                self._report("warning", "old received snapshots cannot be deleted now", cause=volume.name, error=str(error))
                continue
            if kept and are_settled:
                first = kept[0]
                self._report(
                    "info", KEPT, cause=volume.name, volume=volume.name, count=len(kept), first=first.snapshot.name,
                    reason=first.reason,
                )  # fmt: skip
