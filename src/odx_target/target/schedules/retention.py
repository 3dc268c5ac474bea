"""The decision which snapshots of a schedule are deleted. A snapshot with a hold is never deleted."""

from collections.abc import Sequence
from typing import NamedTuple

from odx_target.store.api import Snapshot
from odx_target.target.schedules.schedule import Retention

NEWEST = "it is the newest snapshot of the schedule"
CLOCK_JUMPED = "the clock has jumped forward by an unknown cause"


class Kept(NamedTuple):
    """A snapshot that is kept although the retention no longer covers it, and the reason."""

    snapshot: Snapshot
    reason: str


class Judgement(NamedTuple):
    """The snapshots of one volume that a schedule deletes, and the snapshots that it keeps although its retention no longer
    covers them.
    """

    deleted: Sequence[Snapshot]
    kept: Sequence[Kept]


def judge(retention: Retention, snapshots: Sequence[Snapshot], now_s: float, *, clock_jumped: bool = False) -> Judgement:
    """Decide about the snapshots that one schedule has made of one volume.

    The snapshots are ordered by identifier, because their times depend on the clock. The newest snapshot is never deleted.
    After a jump of the clock (`clock_jumped`), no snapshot is deleted for its age.
    """
    ordered = sorted(snapshots, key=_identifier)
    newest = ordered[-1:]
    if retention.count is not None:
        beyond = ordered[: -retention.count]
    else:
        assert retention.age_s is not None
        beyond = [each for each in ordered if each.created_s < now_s - retention.age_s]
    deleted, kept = [], []
    for each in beyond:
        if each.holds:
            kept.append(Kept(each, f"held by {', '.join(each.holds)}"))
        elif each in newest:
            kept.append(Kept(each, NEWEST))
        elif clock_jumped and retention.age_s is not None:
            kept.append(Kept(each, CLOCK_JUMPED))
        else:
            deleted.append(each)
    return Judgement(deleted, kept)


def _identifier(snapshot: Snapshot) -> int:
    return snapshot.identifier
