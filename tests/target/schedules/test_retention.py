"""Retention compared with a naive rule, with holds and clocks that went back."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from odx_target.target.schedules.retention import judge
from odx_target.target.schedules.schedule import Retention
from tests.settings import searching

NOW = 1000.0


@dataclass(frozen=True)
class NaiveSnapshot:
    identifier: int
    created_s: float
    holds: tuple[str, ...]


RETENTIONS = st.builds(Retention, st.integers(1, 6)) | st.builds(Retention, st.none(), st.integers(1, 1500))
ROWS = st.lists(st.tuples(st.integers(-2000, 2000), st.sampled_from([(), (), ("backup",)])), max_size=10)


@given(RETENTIONS, ROWS, st.booleans(), st.randoms())
@searching(300)
def test_only_snapshots_beyond_the_retention_go(retention: Retention, rows: Any, clock_jumped: bool, random: Any) -> None:
    snapshots: list[Any] = [NaiveSnapshot(number, created, holds) for number, (created, holds) in enumerate(rows)]
    shuffled = snapshots.copy()
    random.shuffle(shuffled)
    judgement = judge(retention, shuffled, NOW, clock_jumped=clock_jumped)
    deleted = {each.identifier for each in judgement.deleted}
    kept = {each.snapshot.identifier: each.reason for each in judgement.kept}
    for place, each in enumerate(reversed(snapshots)):
        age_s = NOW - each.created_s
        is_beyond = age_s > retention.age_s if retention.age_s is not None else place >= (retention.count or 0)
        is_deleted = is_beyond and not each.holds and place > 0 and not (clock_jumped and retention.age_s is not None)
        assert (each.identifier in deleted) == is_deleted
        assert (each.identifier in kept) == (is_beyond and not is_deleted)
        if each.holds and is_beyond:
            assert "backup" in kept[each.identifier]
