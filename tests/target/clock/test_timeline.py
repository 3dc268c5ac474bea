"""A clock that a test moves, and the tasks that sleep by it."""

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from odx_target.target.clock.timeline import ROUNDING_S, Timeline


async def test_a_standing_clock_moves_only_by_shifts(mock_clock: MockClock) -> None:
    timeline = Timeline(passes=False)
    began_s = timeline.now()
    mock_clock.jump(10)
    assert timeline.now() == began_s
    timeline.shift(3)
    assert timeline.now() == began_s + 3


async def test_a_passing_clock_moves_with_the_event_loop_and_by_shifts(mock_clock: MockClock) -> None:
    timeline = Timeline(passes=True)
    began_s = timeline.now()
    mock_clock.jump(10)
    timeline.shift(3)
    assert timeline.now() == began_s + 13


async def test_a_sleeper_of_a_standing_clock_sleeps_through_real_time(mock_clock: MockClock) -> None:
    timeline, woken = Timeline(passes=False), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_sleep, timeline, 5.0, woken)
        await wait_all_tasks_blocked()
        mock_clock.jump(100)
        await wait_all_tasks_blocked()
        assert woken == []
        timeline.shift(4.5)
        await wait_all_tasks_blocked()
        assert woken == []
        timeline.shift(5)
        await wait_all_tasks_blocked()
        assert woken == [5.0]


async def test_a_sleeper_of_a_passing_clock_wakes_by_time_and_shift_together(mock_clock: MockClock) -> None:
    timeline, woken = Timeline(passes=True), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_sleep, timeline, 5.0, woken)
        await wait_all_tasks_blocked()
        timeline.shift(3)
        await wait_all_tasks_blocked()
        mock_clock.jump(1.5)
        await wait_all_tasks_blocked()
        assert woken == []
        timeline.shift(3.5)
        await wait_all_tasks_blocked()
        assert woken == [5.0]


async def test_a_sleep_of_no_time_lets_other_tasks_run() -> None:
    timeline, ran = Timeline(passes=False), []

    async def other() -> None:
        ran.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await timeline.sleep(0)
        await timeline.sleep(-1)
        assert ran == [True]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    timeline = Timeline(passes=False)
    with trio.move_on_after(0):
        await timeline.sleep(5)
    assert timeline.next_deadline_s() == float("inf")


@given(st.lists(st.floats(0.01, 100), max_size=8), st.lists(st.floats(0.01, 50), max_size=8))
def test_sleepers_wake_as_in_a_naive_model(delays_s: list[float], steps_s: list[float]) -> None:
    async def run() -> None:
        timeline, woken = Timeline(passes=False), list[float]()
        began_s = timeline.now()
        async with trio.open_nursery() as nursery:
            for delay_s in delays_s:
                nursery.start_soon(_sleep, timeline, delay_s, woken)
            await wait_all_tasks_blocked()
            for step_s in steps_s:
                timeline.shift(timeline.shift_s + step_s)
                await wait_all_tasks_blocked()
                due = [delay_s for delay_s in delays_s if began_s + delay_s <= timeline.now() + ROUNDING_S]
                assert sorted(woken) == sorted(due)
                left = [began_s + delay_s for delay_s in delays_s if delay_s not in due]
                assert timeline.next_deadline_s() == min(left, default=float("inf"))
            nursery.cancel_scope.cancel()

    trio.run(run)


async def _sleep(timeline: Timeline, delay_s: float, woken: list[float]) -> None:
    await timeline.sleep(delay_s)
    woken.append(delay_s)
