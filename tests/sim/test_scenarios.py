"""A short form of `make sim`: some seeds of each scenario, their replay, and the sums of runs."""

import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from odx_target.replica.blocks.fill import Fill
from odx_target.replica.blocks.limits import MAX_OFFER_BLOCKS
from odx_target.replica.snapshots.failover import Failover
from odx_target.replica.snapshots.holds import Holds
from odx_target.store.api import Snapshot
from tests.sim import counting, playing
from tests.sim.counting import Played, Sums
from tests.sim.playing import Run, play, rounds
from tests.sim.scenarios.faults import DISK_FAULTS, FAULTS, Fault
from tests.sim.scenarios.stage import Stage
from tests.sim.scenarios.table import SCENARIOS
from tests.sim.world import World

AUTHOR = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")

SEEDS = {"links": 25, "pairings": 12, "fills": 25, "hub": 3, "remote copies": 2, "cuts": 8, "replication": 4, "groups": 4}
"""Number of seeds of each scenario that the tests play."""


def test_each_scenario_has_seeds_here() -> None:
    assert set(SEEDS) == set(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_wrong_in_some_seeds(scenario: str) -> None:
    faults: Counter[str] = Counter()
    for seed in range(1, SEEDS[scenario] + 1):
        played = play(scenario, seed)
        assert played.error == "", f"python -m tests.sim replay {scenario} {seed}"
        faults += played.faults
    assert len(faults) >= (1 if scenario == "cuts" else 2), "too few kinds of faults have happened"


def test_seeds_have_the_same_traces_in_another_process() -> None:
    """The other process has other hashes of texts, so the order of sets differs there."""
    names = list(SCENARIOS)
    program = f"from tests.sim.playing import play, quiet; quiet(); print([play(name, 7).digest for name in {names!r}])"
    environment = {**os.environ, "PYTHONHASHSEED": "1234"}
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    assert ended.stdout.strip() == repr([play(name, 7).digest for name in names])


@pytest.mark.parametrize("fault", [*FAULTS, *DISK_FAULTS], ids=lambda fault: fault.name)
def test_arrays_are_connected_again_after_each_kind_of_fault(fault: Fault) -> None:
    stage = Stage(World(5), ["one", "other"])
    stage.pair(*stage.arrays)
    stage.flush()
    stage.world.advance(1.0)
    assert fault.cause(stage)
    stage.pass_time(1.0)
    stage.end()


def test_a_violation_is_reported_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(world: World) -> None:
        world.note(f"begins {world.random.random()}")
        raise AssertionError("data is lost")

    monkeypatch.setitem(SCENARIOS, "wrong", (wrong, 1))
    played = play("wrong", 3)
    assert played.error.startswith("AssertionError: data is lost (test_scenarios.py:")
    assert played.digest == play("wrong", 3).digest != play("wrong", 4).digest


def test_the_sums_of_runs_add_up(tmp_path: Path) -> None:
    path = tmp_path / "sim.json"
    for seed in (1, 2):
        run = Run(path)
        run.note(
            Played("links", seed, "digest", Counter({"cut": 3}), Counter({"hub": 1}), 5.0, "" if seed == 1 else "a violation")
        )
        run.sums.save(path)
    sums = Sums.load(path)
    assert (sums.all_seeds, sums.next_seeds, sums.faults, sums.virtual_s) == (2, {"links": 3}, {"cut": 6}, 10.0)
    assert [(found.seed, found.error) for found in sums.found] == [(2, "a violation")]
    assert "2 seeds (2 links), 6 faults" in sums.line()
    assert "1 violations" in sums.line()
    assert f"{'hub':50} {2:>9}" in list(sums.table())


def test_seeds_of_each_revision_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sim.json"
    for revision, error in (("first", "a violation"), ("second", "")):
        monkeypatch.setattr(counting, "present_revision", lambda _, revision=revision: revision)
        run = Run(path)
        run.note(Played("links", run.sums.next_seeds.get("links", 1), "digest", Counter(), Counter(), 5.0, error))
        run.sums.save(path)
    assert run.sums.all_seeds == 2
    assert [line.split()[:2] for line in run.sums.table()] == [["first", "1"], ["second", "1"]]
    assert [each.revision for each in run.sums.found] == ["first"]
    assert run.sums.found_now == [], "a violation of a former revision does not fail the runs of this one"


def test_seeds_that_were_counted_without_a_revision_stay(tmp_path: Path) -> None:
    path = tmp_path / "sim.json"
    path.write_text('{"seeds": {"links": 5}, "next_seeds": {"links": 6}, "found": []}')
    sums = Sums.load(path)
    assert (sums.all_seeds, sums.revisions) == (5, {counting.UNKNOWN: {"links": 5}})


def test_the_revision_is_that_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    for command in (["init", "-q"], ["add", "."], [*AUTHOR, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True, timeout=30)
    clean = counting.present_revision(tmp_path)
    assert len(clean) == 12
    (tmp_path / "file").write_text("other text")
    assert counting.present_revision(tmp_path) == f"{clean}-dirty"
    assert counting.present_revision(tmp_path / "absent") == counting.UNKNOWN


def test_two_processes_that_differ_are_a_violation(tmp_path: Path) -> None:
    run = Run(tmp_path / "sim.json")
    for seed, digests in ((1, "aa"), (2, "ab")):
        for digest in digests:
            run.note(Played("links", seed, digest, Counter(), Counter(), 1.0, "", is_repeated=True))
    assert (run.sums.all_seeds, run.sums.replays) == (2, 2)
    assert [(found.seed, found.error) for found in run.sums.found] == [(2, "two processes had different traces")]


def test_rounds_go_on_with_the_seeds_that_were_not_played() -> None:
    first = next(rounds({"links": 40}))
    assert ("links", 40) in first
    assert ("fills", 1) in first
    assert len(first) == sum(count for _, count in SCENARIOS.values())
    assert next(rounds({"hub": 3}, ["hub", "links"])) == [("hub", 3), *(("links", seed) for seed in range(1, 5))]


def test_a_fill_that_marks_blocks_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a cut, it leaves out a part."""
    remember = Fill._remember

    def too_far(self: Fill, filled: Any) -> None:
        remember(self, filled._replace(end=min(filled.end + MAX_OFFER_BLOCKS, self.volume.size_blocks)))

    monkeypatch.setattr(Fill, "_remember", too_far)
    assert any("wrong data" in play("fills", seed).error for seed in range(1, 100))


def test_a_reversal_that_drops_changes_of_hosts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep_nothing(*_: object) -> list[Snapshot]:
        return []

    monkeypatch.setattr(Failover, "_keep_changes", keep_nothing)
    assert any("changes of hosts are lost" in play("replication", seed).error for seed in range(1, 100))


def test_a_hold_that_is_never_released_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def release_nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(Holds, "release_unneeded", release_nothing)
    assert play("replication", 1).error.startswith("AssertionError: ('a', ")


@pytest.mark.parametrize(("is_alive", "ends"), [(True, False), (False, True)])
def test_workers_end_if_the_run_is_killed(monkeypatch: pytest.MonkeyPatch, is_alive: bool, ends: bool) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: SimpleNamespace(is_alive=lambda: is_alive))
    assert playing.is_over(float("inf")) is ends
    assert playing.is_over(0.0)
