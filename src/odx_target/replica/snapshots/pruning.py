"""Deletion of received snapshots that the retention of their class does not keep."""

from collections.abc import Mapping
from typing import NamedTuple

from odx_target.replica.snapshots.holds import Holds
from odx_target.replica.snapshots.protection import CLASS_ATTRIBUTE, KEPT_ATTRIBUTE, KEPT_REJECTED
from odx_target.store.api import Held, Pool, Snapshot, Volume


def rejected(volume: Volume) -> list[Snapshot]:
    """Return the rejected snapshots of a copy that nobody holds, the oldest one first."""
    found = (
        each for each in volume.snapshots.values() if each.attributes.get(KEPT_ATTRIBUTE) == KEPT_REJECTED and not each.holds
    )
    return sorted(found, key=lambda each: each.identifier)


class Kept(NamedTuple):
    """A snapshot that is kept because of a hold, although the retention does not cover it any more."""

    snapshot: Snapshot
    reason: str


async def prune(pool: Pool, holds: Holds, volume: Volume, keep: Mapping[str, int]) -> list[Kept]:
    """Delete the received snapshots of a volume beyond the number of their class. Returns those that a hold keeps.

    The newest snapshot of the volume is never deleted. The caller commits the pool. May raise the exceptions of
    `Volume.write`.
    """
    by_class: dict[str, list[Snapshot]] = {}
    newest = -1
    for snapshot in list(volume.snapshots.values()):
        await pool.turns.next_if_spent()
        pool.turns.take()
        newest = max(newest, snapshot.identifier)
        found = snapshot.attributes.get(CLASS_ATTRIBUTE)
        if found is not None and keep.get(found, 0) and KEPT_ATTRIBUTE not in snapshot.attributes:
            by_class.setdefault(found, []).append(snapshot)
    kept = []
    for found, snapshots in by_class.items():
        for snapshot in sorted(snapshots, key=lambda each: each.identifier)[: -keep[found]]:
            await pool.turns.next_if_spent()
            if snapshot.holds:
                kept.append(Kept(snapshot, f"held by {', '.join(snapshot.holds)}"))
            elif snapshot.identifier != newest and snapshot.guid in pool.snapshots:
                try:
                    await holds.change(snapshot.delete)
                except Held as error:
                    kept.append(Kept(snapshot, str(error)))
    return kept
