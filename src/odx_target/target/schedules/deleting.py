"""Deletion of the snapshots that the retention of their schedule does not keep. A snapshot is deleted only if a schedule has
made it and its volume still exists.
"""

from collections.abc import Iterable, Mapping, Sequence

from odx_target.replica.snapshots.protection import KEPT_ATTRIBUTE
from odx_target.store.api import Held, Pool, Snapshot, Volume
from odx_target.target.schedules.retention import Judgement, Kept, judge
from odx_target.target.schedules.schedule import Schedule
from odx_target.target.schedules.taking import SCHEDULE_ATTRIBUTE, delete_if_present

STEPS_OF_A_SNAPSHOT = 2
"""Number of steps for looking at the attributes of one snapshot."""


async def judge_all(
    pool: Pool, schedules: Iterable[Schedule], volumes: Sequence[Volume], now_s: float, *, clock_jumped: bool
) -> list[tuple[Schedule, Judgement]]:
    """Decide about the snapshots that the schedules have made of these volumes. Deletes nothing. Other tasks may run
    meanwhile.
    """
    by_identifier = {each.identifier: each for each in schedules}
    judgements = []
    for volume in volumes:
        made: dict[str, list[Snapshot]] = {}
        for snapshot in list(volume.snapshots.values()):
            await pool.turns.next_if_spent()
            pool.turns.take(STEPS_OF_A_SNAPSHOT)
            identifier = snapshot.attributes.get(SCHEDULE_ATTRIBUTE)
            if identifier in by_identifier and KEPT_ATTRIBUTE not in snapshot.attributes:
                made.setdefault(identifier, []).append(snapshot)
        for identifier, snapshots in made.items():
            schedule = by_identifier[identifier]
            judgements.append((schedule, judge(schedule.retention, snapshots, now_s, clock_jumped=clock_jumped)))
    return judgements


async def tidy(
    pool: Pool, schedules: Iterable[Schedule], volumes: Sequence[Volume], now_s: float, *, clock_jumped: bool
) -> Mapping[str, list[Kept]]:
    """Delete the snapshots that the retention of their schedule no longer covers. Returns the snapshots that are kept
    nevertheless, by the name of their schedule.

    The caller must commit the pool after this call. Raises PoolFailed.
    """
    kept: dict[str, list[Kept]] = {}
    for schedule, judgement in await judge_all(pool, schedules, volumes, now_s, clock_jumped=clock_jumped):
        kept.setdefault(schedule.name, []).extend(judgement.kept)
        for snapshot in judgement.deleted:
            await pool.turns.next_if_spent()
            try:
                delete_if_present(pool, snapshot)
            except Held as error:  # the hold was set during the waits of this function
                kept[schedule.name].append(Kept(snapshot, str(error)))
    return kept
