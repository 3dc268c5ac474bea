"""The comparison of two revisions, with figures that were not measured."""

from pathlib import Path

import pytest
from bench import compare
from bench.cells import Cell
from bench.rounds import (
    Measured,
)

from odx_target.native.choice import NATIVE
from tests.bench_samples import NaiveLoad, sample


def compared(old: float, new: float, peer: float = 100.0) -> Measured:
    samples = {("a", name): [sample(rate)] * 3 for name, rate in ((compare.OLD, old), (compare.NEW, new), ("tgt", peer))}
    return Measured(samples=samples)


CELL = Cell("g", "a", NaiveLoad([]))


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        ((100, 100), None, "as fast"),
        ((100, 85), None, "as fast"),
        ((100, 84), (100, 84), "slower"),
        ((100, 84), (100, 85), "as fast"),
        ((100, 200), None, "as fast"),
    ],
)
def test_a_cell_is_red_if_it_is_slower_in_both_runs(
    first: tuple[float, float], second: tuple[float, float] | None, word: str
) -> None:
    one = compared(*first)
    assert bool(compare.suspects([CELL], one)) == (second is not None)
    (verdict,) = compare.verdicts([CELL], one, None if second is None else compared(*second))
    assert verdict.word == word
    assert verdict.is_red == (word == "slower")
    (row,) = compare.table([verdict], "v1", "v2").rows
    assert row[-1] == word


def test_the_peer_takes_the_speed_of_the_machine_out_of_the_comparison() -> None:
    measured = compared(100, 50)
    measured.samples["a", compare.OLD] = [sample(100.0), sample(100.0), sample(10.0)]
    measured.samples["a", compare.NEW] = [sample(90.0), sample(90.0), sample(9.0)]
    measured.samples["a", "tgt"] = [sample(100.0), sample(50.0), sample(10.0)]
    change = compare.change_of("a", measured)
    assert change is not None
    assert change.factor == pytest.approx(0.9)


def test_a_cell_that_fails_is_red() -> None:
    failed = compared(100, 100)
    failed.failures["a", compare.NEW] = "it broke"
    (verdict,) = compare.verdicts([CELL], failed, None)
    assert (verdict.word, verdict.is_red) == ("failed", True)
    slow_then_failed = compare.verdicts([CELL], compared(100, 50), failed)
    assert slow_then_failed[0].is_red
    assert compare.table([verdict], "v1", "v2").rows[0][1:] == ["-", "-", "-", "failed"]


@pytest.mark.skipif(NATIVE is None, reason="there is no compiler, or the native module is switched off")
def test_a_revision_is_compared_with_its_native_module(tmp_path: Path) -> None:
    source = compare.source_of("HEAD", tmp_path)
    assert list((source / "odx_target" / "native").glob("compiled.*.so"))


def test_sources_of_a_revision_that_is_not_there(tmp_path: Path) -> None:
    assert (compare.source_of(".", tmp_path) / "odx_target").is_dir()
    with pytest.raises(compare.NoRevision, match="no sources of nonsense"):
        compare.source_of("nonsense", tmp_path)
