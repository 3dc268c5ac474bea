"""The replication of snapshots of one array: its protections, and the copies that it receives."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from odx_target.environment import Environment
from odx_target.replica.blocks.hint_tables import HintTables
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.settings import Right
from odx_target.replica.request_table import RequestTable, Row
from odx_target.replica.snapshots.failover import Failover
from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.limits import MAX_GROUP_VOLUMES
from odx_target.replica.snapshots.messages import REVERSE_REQUEST
from odx_target.replica.snapshots.protection import Copy, Protection, Role, Trigger
from odx_target.replica.snapshots.publisher import SnapshotPublisher
from odx_target.replica.snapshots.received_copies import REPLICATION, ReceivedCopies
from odx_target.replica.snapshots.receiver import SnapshotReceiver
from odx_target.replica.snapshots.records import ReplicationRecords, ReplicationRefused
from odx_target.replica.snapshots.reporting import Report
from odx_target.replica.snapshots.rings import Rings
from odx_target.replica.snapshots.sender import NOT_RELEASED, SnapshotSender
from odx_target.replica.snapshots.sending import ClassOf
from odx_target.store.api import Pool, Snapshot, StoreError, Volume

SAMPLE_S = 1.0
"""Time between two samples of the progress."""


class Replication:
    """Both sides of the replication. The owner runs `run` in the background, and adds `add_to` to its requests.

    `paths` returns the present paths. `class_of` returns the class of a snapshot that a schedule has taken, and else None.
    """

    def __init__(
        self,
        pool: Pool,
        environment: Environment,
        paths: Callable[[], Iterable[Path]],
        class_of: ClassOf,
        report: Report,
        hints: HintTables,
    ) -> None:
        self._pool = pool
        self._environment = environment
        self._paths = paths
        self._report = report
        self.rings: dict[bytes, Rings] = {}
        """The time series of each path, by the pool of its peer."""
        self.records = ReplicationRecords(pool)
        self.holds = Holds(pool, environment, self.records)
        self.sender = SnapshotSender(pool, environment, self.records, self.holds, self.path_to, class_of, report)
        self.received = ReceivedCopies(pool, self.records, self.holds, report)
        self._receiver = SnapshotReceiver(pool, environment, self.records, self.holds, self.received, hints)
        self._publisher = SnapshotPublisher(pool, environment, self.records, self.holds, self.received, report)
        self.failover = Failover(pool, environment, self.records, self.holds, self.sender, self.received)

    def add_to(self, requests: RequestTable) -> None:
        """Serve the requests of the peers."""
        requests.add(self._receiver.rows())
        requests.add(self._publisher.rows())
        requests.add({REVERSE_REQUEST: Row(Right.REPLICATE, self.failover.serve_reverse, REPLICATION)})
        requests.snapshots.on_sender = self.sender.follow

    async def run(self) -> None:
        """Send snapshots until the task is cancelled."""
        self._environment.start_soon(self._sample)
        try:
            await self.holds.reconcile()
        except StoreError as error:
            # The next start tries it again. Until then, the retention keeps a few snapshots more.
            self._report("warning", NOT_RELEASED, error=str(error))
        await self.sender.run()

    async def _sample(self) -> None:
        """Note the progress of all transfers each second, until the task is cancelled."""
        while True:
            await self._environment.sleep(SAMPLE_S)
            now_s = self._environment.monotonic()
            for activity in (*self.sender.activities(), *self.received.activities.values()):
                activity.sample(now_s)
            self._sample_paths(now_s)

    def _sample_paths(self, now_s: float) -> None:
        """Note the transferred bytes of each path. A path that was removed is forgotten."""
        sent, received = Counter[bytes](), Counter[bytes]()
        for protection in self.records.protections.values():
            sent[protection.peer_pool] += self.sender.activity(protection.name).total_logical_bytes
        for copy in self.records.copies.values():
            received[copy.peer_pool] += self.received.activity(copy.volume).total_logical_bytes
        present = {path.settings.peer_pool: path for path in self._paths()}
        self.rings = {peer_pool: self.rings.get(peer_pool) or Rings() for peer_pool in present}
        for peer_pool, path in present.items():
            status = path.status
            totals = sent[peer_pool], status.sent_bytes, received[peer_pool], status.received_bytes
            self.rings[peer_pool].add_totals(now_s, totals)

    def path_changed(self, _path: Path) -> None:
        """Note that a path is connected, or is not connected any more."""
        self.sender.path_changed()

    def rights_changed(self, path: Path) -> None:
        """Note that a path has other settings, for example the right to replicate."""
        self.sender.try_again(path.settings.peer_pool)

    def path_to(self, peer_pool: bytes) -> Path | None:
        """Return the path to an array."""
        return next((each for each in self._paths() if each.settings.peer_pool == peer_pool), None)

    async def protect(
        self,
        name: str,
        path: Path,
        volumes: Sequence[Volume],
        *,
        is_group: bool = False,
        trigger: Trigger = Trigger.EACH,
        keep_there: Mapping[str, int] | None = None,
    ) -> Protection:
        """Send the snapshots of volumes to the peer of a path from now on, or change how this is done.

        Raises ReplicationRefused. May raise the exceptions of `Volume.write`.
        """
        former = self.records.protections.get(name)
        self._check_new(name, volumes, is_group=is_group)
        peer_pool, identities = path.settings.peer_pool, tuple(each.identity for each in volumes)
        copies = self.records.sent_back(identities, peer_pool)
        common = {each.volume: each.held[-1] for each in copies}
        if former is not None and former.peer_pool == peer_pool:
            common |= {volume: guid for volume, guid in former.common.items() if volume in identities}
        protection = Protection(
            name, path.settings.name, peer_pool, identities, is_group, trigger, dict(keep_there or {}), common
        )
        await self.holds.change(lambda: self.records.put_protection(protection))
        for each in copies:
            await self.holds.release_unneeded(each.path, each.held)
        if former is not None:
            await self.holds.release_unneeded(former.path, former.common.values())
        await self.holds.durable()
        self.sender.retry(name)
        return protection

    async def unprotect(self, name: str) -> Protection:
        """Send no further snapshots. The copies of the peer stay. Raises ReplicationRefused."""
        protection = self.protection_named(name)
        self.records.remove_protection(name)
        await self.holds.release_unneeded(protection.path, [*protection.common.values(), *self.sender.forget(name)])
        await self.holds.durable()
        return protection

    def protection_named(self, name: str) -> Protection:
        """Return a protection. Raises ReplicationRefused if there is none."""
        found = self.records.protections.get(name)
        if found is None:
            raise ReplicationRefused(f"{name} is not protected")
        return found

    async def forget_copy(self, volume: bytes) -> None:
        """Forget a copy whose volume was deleted, and remove the holds on its snapshots."""
        copy = self.records.copies.get(volume)
        if copy is not None:
            self.records.remove_copy(volume)
            await self.holds.release_unneeded(copy.path, copy.held)

    def copies(self) -> list[tuple[Copy, Volume]]:
        """Return the copies whose volumes exist, in the order of the names of the volumes."""
        volumes = {volume.identity: volume for volume in self._pool.volumes.values()}
        found = [(copy, volumes.get(copy.volume)) for copy in self.records.copies.values()]
        return sorted(((copy, volume) for copy, volume in found if volume is not None), key=lambda each: each[1].name)

    def newest_of(self, copy: Copy) -> Snapshot | None:
        """Return the newest received snapshot of a copy."""
        return self._pool.snapshots.get(copy.held[-1]) if copy.held else None

    def _check_new(self, name: str, volumes: Sequence[Volume], *, is_group: bool) -> None:
        if len(volumes) > MAX_GROUP_VOLUMES:
            raise ReplicationRefused(f"a group has at most {MAX_GROUP_VOLUMES} volumes")
        if len({each.identity for each in volumes}) < len(volumes) or not volumes:
            raise ReplicationRefused("want one or more different volumes")
        if not is_group and len(volumes) > 1:
            raise ReplicationRefused("several volumes need the name of a group")
        for volume in volumes:
            other = self.records.protection_of(volume.identity)
            if other is not None and other.name != name:
                raise ReplicationRefused(f"volume {volume.name} belongs to the protection {other.name} already")
            copy = self.records.copies.get(volume.identity)
            if copy is not None and copy.role is Role.RECEIVING:
                raise ReplicationRefused(f"volume {volume.name} is a copy of a volume of another array; promote it first")
