"""Tests of the pauses that the cleaner makes between two pieces of gentle work."""

import pytest
from tests.store.cleaning.cleaned_pools import machine_with

from odx_target.store.cleaning import cycle
from odx_target.store.cleaning.cleaner import MAX_PAUSE_S, MAX_SLEEP_S, Cleaner
from odx_target.store.cleaning.jobs import Stopped
from odx_target.store.cleaning.live_marking import Marks
from odx_target.turns import STEPS_OF_A_TURN


def test_a_pause_has_a_limit_however_long_the_last_piece_of_work_took() -> None:
    machine = machine_with(None)
    cleaner = machine.pool.cleaner
    began_at = machine.environment.monotonic()
    cleaner._resumed_at = began_at - 1_000
    machine.environment.run(cleaner._pause())
    assert 0 < machine.environment.monotonic() - began_at <= MAX_PAUSE_S


def test_a_cleaner_that_is_stopped_ends_its_pause() -> None:
    machine = machine_with(None)
    cleaner = machine.pool.cleaner
    cleaner._resumed_at = machine.environment.monotonic() - 1_000
    pausing = machine.environment.spawn(_stopped(cleaner))
    machine.environment.settle()
    assert not pausing.done
    machine.environment.run(cleaner.stop())
    machine.environment.advance(MAX_SLEEP_S)
    assert pausing.value()


async def _stopped(cleaner: Cleaner) -> bool:
    with pytest.raises(Stopped):
        await cleaner._pause()
    return True


@pytest.mark.parametrize("left", [0, 99, 100])
def test_segments_are_chosen_in_a_turn_that_has_steps_for_them(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_with(None)
    turns, found = machine.environment.turns, list[int]()
    monkeypatch.setattr(cycle, "victims", lambda *_: (found.append(turns.left), [])[1])
    turns.left = left
    live = dict.fromkeys(range(1, 201), 1)
    assert not machine.environment.run(machine.pool.cleaner.cycles._move(Marks(live), live))
    assert found == [0 if left == 100 else STEPS_OF_A_TURN - 100]
