"""The short form of the torture: some seeds, and the parts of the torture itself."""

import errno
from collections import deque
from pathlib import Path

import pytest

from odx_target.scsi.commands.blocks import sanitize_job
from odx_target.scsi.commands.blocks.sanitize_job import continue_sanitize
from odx_target.scsi.unit.logical_unit import LogicalUnit
from tests.torture import array
from tests.torture.array import Stuck
from tests.torture.model import Change, History, Moment, Torn, VolumeContent, cells_of_data, data_of_cells, numbered, zeros
from tests.torture.progress import Found, Progress
from tests.torture.run import Difference, Run
from tests.torture.searching import read_script, shortest, write_script
from tests.torture.seeds import new_run, replay, run_seed
from tests.torture.setup import Counts, Setup
from tests.torture.shrink import shrunk
from tests.torture.steps import FAILING, KINDS, Step, steps_of

SEEDS = range(16)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_of_a_seed(seed: int) -> None:
    counts = run_seed(seed, 250)
    assert counts.steps == 251
    assert counts.commands > 50


def test_the_same_seed_gives_the_same_run() -> None:
    assert steps_of(7, 300) == steps_of(7, 300)
    assert run_seed(7, 200) == run_seed(7, 200)


def test_all_kinds_of_steps_are_chosen() -> None:
    assert {step[0] for step in steps_of(1, 20_000)} == set(KINDS)


def test_a_lost_write_is_found() -> None:
    def forget(run: Run, lun: int, place: int) -> None:
        content = run.now.volumes[f"v{lun}"]
        cells = content.cells.copy()
        cells[place] += 1
        run.now.volumes[f"v{lun}"] = content._replace(cells=cells)

    Run.ACTIONS["forget"] = forget
    try:
        with pytest.raises(Difference, match="cell 3 is 0 instead of 1"):
            replay(0, [["forget", 0, 3], ["read", 0, 0, 8]])
        with pytest.raises(Difference, match="none of the states"):
            replay(0, [["forget", 0, 3], ["flush", 0], ["write", 1, 8, 8, 0, 1], ["flush", 0], ["crash", 1, 0, [], 0]])
    finally:
        del Run.ACTIONS["forget"]


BEFORE_SANITIZE: list[Step] = [["write", 0, 0, 256, 0, 1], ["flush", 0]]


def crashing_sanitize(operations: int) -> list[Step]:
    """Return steps that crash after some operations of the disk since the beginning of an OVERWRITE."""
    return [*BEFORE_SANITIZE, ["crash_in", operations], ["sanitize", 0, 2, 0], ["look_at_all"], ["read", 0, 0, 256]]


def test_a_sanitize_operation_goes_on_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    continued = []

    def note(unit: LogicalUnit) -> None:
        continued.append(unit.sanitize_operation is not None)
        continue_sanitize(unit)

    monkeypatch.setattr(array, "continue_sanitize", note)
    for operations in range(8):
        replay(0, crashing_sanitize(operations))
    assert any(continued)


def test_an_operation_that_does_not_go_on_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array, "continue_sanitize", lambda unit: None)
    runs = (replay(0, crashing_sanitize(operations)) for operations in range(8))
    with pytest.raises(Stuck, match="sanitize operation of LUN 0"):
        deque(runs, maxlen=0)


def test_data_that_is_not_sanitized_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def deallocate_nothing(*_arguments: object) -> None:
        pass

    monkeypatch.setattr(sanitize_job, "deallocate_all", deallocate_nothing)
    with pytest.raises(Difference, match="other data"):
        replay(0, [*BEFORE_SANITIZE, ["sanitize", 0, 0, 0], ["look_at_all"]])


def test_a_token_of_a_deleted_volume_outlives_sanitize_of_its_successor() -> None:
    token: list[Step] = [["snapshot_all", 0], ["populate", 2, [[288, 8]], 0, 0]]
    replay(0, [*token, ["clone", 2, 0, 0, 0], ["sanitize", 2, 0, 0], ["redeem", 0, 0, [[66, 8]], 0, 0, 0], ["look_at_all"]])


@pytest.mark.parametrize("has_capacity", [False, True])
@pytest.mark.parametrize("operation", FAILING)
def test_only_a_fault_that_can_happen_excuses_failed_commands(operation: str, has_capacity: bool) -> None:
    run = new_run(Setup(1, 100, None, 60, 20, has_capacity=has_capacity))
    try:
        run.do(["disk_fails", operation, errno.EIO, 4])
        assert run.may_fail == (has_capacity or not operation.startswith("capacity-"))
    finally:
        run.array.abandon()


def test_torn_cells_are_found() -> None:
    data = bytearray(data_of_cells(numbered(5, 3)))
    assert cells_of_data(bytes(data)).tolist() == [5, 6, 7]
    data[600] ^= 1
    with pytest.raises(Torn, match="cell 1 is torn"):
        cells_of_data(bytes(data))


def test_cells_under_way_have_either_content() -> None:
    cells = zeros(16)
    moment = Moment({"a": VolumeContent(cells, 1)}, changes=(Change("a", numbered(4, 4).astype("int64"), numbered(1, 4)),))
    found = cells.copy()
    found[5] = 2
    assert moment.difference(Moment({"a": VolumeContent(found, 1)})) is None
    found[6] = 9
    assert "cell 6 of 16 is 9 instead of 0" in str(moment.difference(Moment({"a": VolumeContent(found, 1)})))


def test_a_recovery_must_not_be_older_than_the_last_flush() -> None:
    now = Moment({"a": VolumeContent(zeros(2), 1)})
    history = History(now)
    for number in range(1, 4):
        now.volumes["a"] = VolumeContent(numbered(number, 2), 1)
        history.mark(now)
    history.note_flushed(2)
    assert history.find(Moment({"a": VolumeContent(numbered(3, 2), 1)}), history.flushed) == (3, "")
    assert history.find(Moment({"a": VolumeContent(numbered(1, 2), 1)}), history.flushed)[0] is None


def test_a_list_of_steps_is_shortened() -> None:
    steps = [["a", 5], ["b", [1, 2]], ["c", 100], ["d", 1]]

    def fails(some: list[list[object]]) -> bool:
        return any(step[0] == "c" and step[1] >= 30 for step in some)  # type: ignore[operator]

    assert shrunk(steps, fails) == [["c", 30]]


def test_the_numbers_add_up_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "var" / "torture.json"
    progress = Progress.load(path)
    progress.add(Counts(steps=5, crashes=2))
    progress.found.append(Found(1, "an error", "a file"))
    progress.save(path)
    again = Progress.load(path)
    again.add(Counts(steps=7))
    assert (again.seeds, again.counts.steps, again.counts.crashes) == (2, 12, 2)
    assert again.found == progress.found
    assert "12 steps" in again.line(1.0, 7)


def test_a_script_replays_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: Run, lun: int) -> None:
        if run.counts.commands > 2:
            raise Difference("refused")

    monkeypatch.setitem(Run.ACTIONS, "refuse", refuse)
    steps: list[Step] = [["read", 0, place, 8] for place in range(12)]
    error, short = shortest(0, [*steps, ["refuse", 1]])
    assert error == "Difference: refused"
    assert short == [["read", 0, 0, 0]] * 3 + [["refuse", 0]]
    write_script(tmp_path / "script.json", 0, error, short)
    seed, again = read_script(tmp_path / "script.json")
    with pytest.raises(Difference, match="refused"):
        replay(seed, again)
