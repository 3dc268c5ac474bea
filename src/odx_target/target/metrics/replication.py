"""Metrics of paths and of the replication of snapshots for Prometheus."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from odx_target.target.metrics.exposition import COUNTER, GAUGE, Family

if TYPE_CHECKING:
    from odx_target.replica.snapshots.transfer import Activity
    from odx_target.target.array import Array

MAX_LABELS = 256
"""Maximum number of protections, and of copies, that have samples of their own. The others have none."""

STEPS_OF_A_ROW = 10


async def replication_families(array: "Array") -> list[Family]:
    """Return the metrics of the paths, protections and copies. There are none without a link port."""
    if array.peering is None:
        return []
    replication, turns = array.peering.replication, array.environment.turns
    connected = Family("odx_path_connected", GAUGE, "1 if a path is connected, else 0.")
    transferred = Family("odx_path_bytes_total", COUNTER, "Bytes on the network.")
    for name, path in sorted(array.peering.paths.items()):
        connected.add(int(path.link is not None), ("path", name))
        transferred.add(path.status.sent_bytes, ("path", name), ("direction", "sent"))
        transferred.add(path.status.received_bytes, ("path", name), ("direction", "received"))
    families = _Families()
    for name, protection in sorted(replication.records.protections.items())[:MAX_LABELS]:
        turns.take(STEPS_OF_A_ROW)
        await turns.next_if_spent()
        snapshots = (array.pool.snapshots.get(guid) for guid in protection.common.values())
        times = [each.created_s for each in snapshots if each is not None]
        problem = replication.sender.problem_of(protection)
        families.add("sent", name, replication.sender.activity(name), problem, times)
    for copy, volume in replication.copies()[:MAX_LABELS]:
        turns.take(STEPS_OF_A_ROW)
        await turns.next_if_spent()
        newest = replication.newest_of(copy)
        activity = replication.received.activity(copy.volume)
        families.add("received", volume.name, activity, activity.problem, [] if newest is None else [newest.created_s])
    return [connected, transferred, *families.all]


class _Families:
    def __init__(self) -> None:
        self._time = Family(
            "odx_replication_snapshot_time_seconds", GAUGE, "Time of the newest snapshot that both arrays have."
        )
        self._remaining = Family("odx_replication_remaining_bytes", GAUGE, "Changed bytes that are still to be transferred.")
        self._problem = Family("odx_replication_failing", GAUGE, "1 if snapshots cannot be transferred at present, else 0.")
        self._snapshots = Family("odx_replication_snapshots_total", COUNTER, "Number of transferred snapshots.")
        self._logical = Family("odx_replication_logical_bytes_total", COUNTER, "Changed bytes of transferred snapshots.")
        self._network = Family("odx_replication_network_bytes_total", COUNTER, "Bytes on the network for them.")

    @property
    def all(self) -> list[Family]:
        return [self._time, self._remaining, self._problem, self._snapshots, self._logical, self._network]

    def add(self, direction: str, name: str, activity: "Activity", problem: str, times: Iterable[float]) -> None:
        labels = ("direction", direction), ("name", name)
        results, transfer = activity.results, activity.transfer
        newest_s = min(times, default=None)
        if newest_s is not None:
            self._time.add(newest_s, *labels)
        self._remaining.add(0 if transfer is None else transfer.bytes_remaining, *labels)
        self._problem.add(int(bool(problem)), *labels)
        self._snapshots.add(results.snapshots, *labels)
        self._logical.add(results.logical_bytes, *labels)
        self._network.add(results.network_bytes, *labels)
