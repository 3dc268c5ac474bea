"""The choice of the next snapshots to send, and of the snapshots that may be their base.

All loops over snapshots run in turns of the event loop, because a volume may have many thousands of snapshots.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import aclosing

import numpy as np

from odx_target.environment import Environment
from odx_target.replica.snapshots.limits import MAX_GUIDS
from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE, Protection, Trigger
from odx_target.replica.snapshots.records import volume_with
from odx_target.store.api import Pool, Snapshot, Volume

STEPS_OF_A_SNAPSHOT = 1


async def next_snapshots(pool: Pool, protection: Protection, failed: Collection[bytes]) -> list[Snapshot]:
    """Return the next snapshot to send of each volume, in the order of the volumes. Empty if there is nothing to send.

    The snapshots of a group were taken together. Snapshots in `failed` are left out.
    """
    volumes = [volume_with(pool, each) for each in protection.volumes]
    newer = [await _newer(pool, protection, volume, failed) for volume in volumes if volume is not None]
    if len(newer) < len(volumes) or not newer or not all(newer):
        return []
    if not protection.is_group:
        return [_choose(protection, newer[0])]
    by_group = [{each.group: each for each in found if any(each.group)} for found in newer]
    common = [each for each in newer[0] if any(each.group) and all(each.group in found for found in by_group)]
    if not common:
        return []
    group = _choose(protection, common).group
    return [found[group] for found in by_group]


def _choose(protection: Protection, snapshots: Sequence[Snapshot]) -> Snapshot:
    """Return the snapshot that is sent next. The first one that is sent at all is the newest."""
    is_first = not protection.common
    if is_first or protection.trigger is Trigger.LATEST:
        return max(snapshots, key=_identifier)
    return min(snapshots, key=_identifier)


async def _newer(pool: Pool, protection: Protection, volume: Volume, failed: Collection[bytes]) -> list[Snapshot]:
    """Return the snapshots of a volume that are newer than the newest common one."""
    common = pool.snapshots.get(protection.common.get(volume.identity, b""))
    after = -1 if common is None else common.identifier
    return [
        each
        async for each in _each(pool, volume.snapshots.values())
        if each.identifier > after and each.guid not in failed and KEPT_ATTRIBUTE not in each.attributes
    ]


async def base_questions(pool: Pool, target: Snapshot, environment: Environment) -> AsyncIterator[list[bytes]]:
    """Yield the guids of the snapshots that may be the base of a target, best first, in questions to the peer.

    These are the older snapshots of the same volume, and then all snapshots of the same lineage.
    """
    own, related = [], []
    async for each in _each(pool, pool.snapshots.values()):
        if each.guid == target.guid or each.identifier > target.identifier:
            continue
        if each.volume_identity == target.volume_identity:
            own.append((each.identifier, each.guid))
        elif each.lineage == target.lineage:
            related.append((each.identifier, each.guid))
    for found in (own, related):
        ordered = await environment.in_thread(_newest_first, found)
        for first in range(0, len(ordered), MAX_GUIDS):
            yield ordered[first : first + MAX_GUIDS]


async def count_changes(pool: Pool, base: Snapshot | None, target: Snapshot) -> int:
    """Count the blocks that must be sent to a receiver that has the base, or has holes if the base is None.

    Raises the exceptions of `Pool.changed_ranges`.
    """
    changed = 0
    async with aclosing(pool.changed_ranges(base, target)) as stream:
        async for part in stream:
            ends = np.minimum(part.blocks + part.counts, target.size_blocks)
            changed += int(np.maximum(ends - part.blocks, 0).sum())
            if part.end >= target.size_blocks:
                break
    return changed


async def _each(pool: Pool, snapshots: Iterable[Snapshot]) -> AsyncIterator[Snapshot]:
    """Yield snapshots in turns. Snapshots that are deleted meanwhile are left out."""
    for snapshot in list(snapshots):
        await pool.turns.next_if_spent()
        pool.turns.take(STEPS_OF_A_SNAPSHOT)
        if snapshot.guid in pool.snapshots:
            yield snapshot


def _newest_first(found: list[tuple[int, bytes]]) -> list[bytes]:
    return [guid for _, guid in sorted(found, reverse=True)]


def _identifier(snapshot: Snapshot) -> int:
    return snapshot.identifier
