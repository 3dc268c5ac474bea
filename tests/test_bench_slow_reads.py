"""The wait of reads for steps of the event loop: notes of steps, gaps between two looks for commands, and the tables."""

from collections.abc import Sequence
from itertools import count

import numpy as np
import pytest
import trio
from bench.copy_pages import CopyDocument, tables
from bench.loop_steps import COLLECTOR, LOOP, PASS, WAIT, StepNotes, Steps
from bench.slow_reads import OTHERS, STEPS, WAITS, Window, row_of_waits, rows_of_steps, wait_s
from hypothesis import given
from hypothesis import strategies as st

from odx_target.turns import Turns

TASK = "write_job.py: WriteJob.work"


def steps_of(pairs: Sequence[tuple[str, float]]) -> Steps:
    """Return steps of given kinds and lengths, with a last one that does not end."""
    names = sorted({kind for kind, _ in pairs})
    starts_s = np.concatenate([[0.0], np.cumsum([length_s for _, length_s in pairs])])
    return Steps(names, [names.index(kind) for kind, _ in pairs] + [0], starts_s.tolist())


def names(notes: StepNotes) -> list[str]:
    steps = notes.steps()
    return [steps.names[kind] for kind in steps.kinds]


@given(st.lists(st.floats(1e-6, 1e-2), min_size=1, max_size=30), st.floats(1e-6, 1e-3), st.floats(0.01, 5))
def test_as_many_reads_as_asked_for_wait_longer(gaps_s: list[float], interval_s: float, asked: float) -> None:
    found_s = wait_s(np.array(gaps_s), interval_s, asked)

    def count_waiting(time_s: float) -> float:
        return sum((gap_s - time_s) / gap_s * min(1.0, gap_s / interval_s) for gap_s in gaps_s if gap_s > time_s)

    assert 0 <= found_s <= max(gaps_s)
    assert count_waiting(found_s + 1e-9) <= asked + 1e-6
    assert found_s < 1e-9 or count_waiting(found_s - 1e-9) >= asked - 1e-6


def test_no_read_waits_without_gaps_and_one_read_waits_in_a_long_gap() -> None:
    assert wait_s(np.array([]), 1e-4, 1) == 0
    assert wait_s(np.array([0.05]), 1e-4, 0.5) == pytest.approx(0.025)
    assert wait_s(np.array([0.05]), 1e-4, 1) == pytest.approx(0, abs=1e-9)


def test_a_gap_lasts_until_the_hub_looks_for_commands() -> None:
    cycle = [(WAIT, 1e-4), (PASS, 2e-5), (LOOP, 1e-5), (TASK, 3e-5), (WAIT, 0.0), (TASK, 1e-5)]
    window = Window(steps_of(cycle * 100), 0, 0.017)
    assert window.seconds == 0.017
    whole = window.wait_p99_s(1e-5)
    assert 0 < whole < 6e-5
    assert window.wait_p99_s(1e-5, TASK) < window.wait_p99_s(1e-5, LOOP) < whole
    assert window.wait_p99_s(1e-5, "no such kind") == whole


def test_rare_kinds_are_counted_together() -> None:
    window = Window(steps_of([(WAIT, 0.5), (TASK, 0.4), (PASS, 0.09), (LOOP, 0.004), (COLLECTOR, 0.006)]), 0, 1)
    found = window.by_kind()
    assert list(found) == [TASK, PASS, OTHERS]
    assert sum(each.sum() for each in found.values()) == pytest.approx(0.5)


def test_a_window_has_the_steps_that_begin_in_it() -> None:
    window = Window(steps_of([(TASK, 1.0), (PASS, 1.0), (TASK, 1.0), (PASS, 1.0)]), 0.5, 2.5)
    assert {kind: len(each) for kind, each in window.by_kind().items()} == {PASS: 1, TASK: 1}


@pytest.mark.parametrize("p99_us", [1e-3, 300.0, 1e9])
def test_the_tables_take_any_figures(p99_us: float) -> None:
    window = Window(steps_of([(WAIT, 1e-3), (TASK, 1e-3)] * 5), 0, 0.01)
    latencies: dict[str, float | str] = {"copies": "aligned", "p50, us": 50.0, "p99, us": p99_us}
    found = {WAITS: [row_of_waits(latencies, window)], STEPS: rows_of_steps(latencies, window)}
    waits, steps = tables(CopyDocument(command="", machine={}, tables=found))
    assert waits.title == WAITS
    assert waits.rows[0][0] == "aligned"
    assert [row[1] for row in steps.rows] == [TASK]
    assert all(len(row) == len(each.headings) for each in (waits, steps) for row in each.rows)


def test_calls_within_a_step_are_steps_of_their_own() -> None:
    notes = StepNotes(count().__next__)
    make_pass = notes.noted(PASS, lambda found: f"pass {found}")
    look = notes.noted(WAIT, lambda: make_pass(2))
    notes.begin(TASK)
    assert make_pass(1) == "pass 1"
    assert look() == "pass 2"
    notes.collects("start", {})
    notes.collects("stop", {})
    assert names(notes) == [TASK, PASS, TASK, WAIT, PASS, TASK, COLLECTOR, TASK]
    assert notes.steps().starts_s == list(range(8))


def test_the_steps_of_tasks_have_the_function_that_goes_on() -> None:
    notes = StepNotes()

    async def main() -> None:
        turns = Turns(trio.Event, trio.lowlevel.checkpoint)
        await turns.next()
        await trio.testing.wait_all_tasks_blocked()

    trio.run(main, instruments=[notes])
    assert set(names(notes)) <= {LOOP, WAIT}, "functions of tests and of `turns` have no kind of their own"
