"""The short form of the crash at every operation of the disk: one in 20 operations of a short run."""

from itertools import islice
from pathlib import Path

import pytest

from tests.torture import boundaries
from tests.torture.boundaries import crash_everywhere, crashes
from tests.torture.forms import CRASHES, OPENINGS, STEPS_OF_A_WORKLOAD
from tests.torture.progress import Progress
from tests.torture.run import Difference
from tests.torture.workers import crash_for


@pytest.mark.parametrize("seed", [1, 3])
def test_a_crash_at_many_operations(seed: int) -> None:
    counts = crash_everywhere(seed, count_steps=300, one_in=20)
    assert counts.steps == 300
    assert counts.boundaries > 10
    assert counts.states == 4 * counts.boundaries
    assert counts.boundaries < counts.openings <= counts.states


def test_a_workload_goes_on_from_a_step() -> None:
    whole = [(counts.operations, counts.states) for counts in crashes(2, 30)]
    later = [(counts.operations, counts.states) for counts in crashes(2, 30, first_step=20)]
    assert [(operations - whole[19][0], states - whole[19][1]) for operations, states in whole[20:]] == later


def test_the_numbers_in_the_file_go_on(tmp_path: Path) -> None:
    path = tmp_path / "torture.json"
    *_, whole = ((counts.states, counts.openings) for counts in islice(crashes(2, STEPS_OF_A_WORKLOAD), 10))
    assert crash_for(0.0, path, 2)
    for step in range(1, 11):
        progress = Progress.load(path)
        assert (progress.workload_seed, progress.workload_step) == (2, step)
        assert crash_for(0.0, path, None)
    assert progress.forms[CRASHES] == whole[0] > 0
    assert whole[1] <= progress.forms[OPENINGS] <= progress.forms[CRASHES]


def test_a_difference_is_kept_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Difference("the pool is empty")

    monkeypatch.setattr(boundaries, "verify", fail)
    assert not crash_for(60.0, tmp_path / "torture.json", 2)
    (found,) = Progress.load(tmp_path / "torture.json").found
    assert "of workload 2: Difference: the pool is empty" in found.error
