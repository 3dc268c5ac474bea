"""The clock of an array: its advances, and the work that they cause."""

import threading
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from odx_target.environment import Work
from odx_target.target.clock.array_clock import EXACT_STEPS, MAX_ADVANCE_S, MAX_STEP_S, ArrayClock
from odx_target.target.clock.mode import ClockMode
from odx_target.target.clock.steered_environment import SteeredEnvironment, StoreEnvironment, environments_of


async def test_tasks_that_repeat_their_work_run_at_each_of_their_times() -> None:
    clock, times_s = ArrayClock(ClockMode.VIRTUAL), list[float]()
    began_s = clock.array.now()

    async def repeat() -> None:
        while True:
            await clock.array.sleep(1)
            times_s.append(round(clock.array.now() - began_s, 6))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(repeat)
        await clock.advance(121.5)
        assert times_s == [float(second) for second in range(1, 122)]
        nursery.cancel_scope.cancel()


ROUNDING_S = 1e-6
"""The difference of two times of a machine that has run for long is not exact."""


async def test_a_long_advance_takes_few_steps_but_none_longer_than_half_a_minute() -> None:
    clock, times_s = ArrayClock(ClockMode.VIRTUAL), list[float]()

    async def repeat() -> None:
        while True:
            await clock.array.sleep(1)
            times_s.append(clock.array.now())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(repeat)
        await clock.advance(EXACT_STEPS * MAX_STEP_S)
        assert len(times_s) <= EXACT_STEPS + 1
        assert max(later - earlier for earlier, later in pairwise(times_s)) <= MAX_STEP_S + ROUNDING_S
        nursery.cancel_scope.cancel()


async def test_an_advance_waits_for_threads_of_the_array() -> None:
    clock, done, go_on = ArrayClock(ClockMode.SHIFTED), list[str](), threading.Event()

    async def work(environment: SteeredEnvironment) -> None:
        await environment.sleep(5)
        await environment.in_thread(go_on.wait, work=Work.FLUSHES)
        done.append("flushed")

    async with trio.open_nursery() as nursery:
        environment, _ = environments_of(nursery, bytes, float, clock)
        assert isinstance(environment, SteeredEnvironment)
        nursery.start_soon(work, environment)
        nursery.start_soon(trio.to_thread.run_sync, lambda: go_on.set())
        await clock.advance(5)
        assert done == ["flushed"]


async def test_connections_have_a_time_of_their_own(mock_clock: MockClock) -> None:
    clock = ArrayClock(ClockMode.VIRTUAL)
    began_s = clock.connections.now()
    await clock.advance(60)
    assert clock.connections.now() == began_s
    await clock.advance(60, connections=True)
    assert clock.connections.now() == began_s + 60
    mock_clock.jump(1)
    assert clock.connections.now() == began_s + 61


async def test_dates_advance_too() -> None:
    clock = ArrayClock(ClockMode.VIRTUAL, lambda: 1_700_000_000.0)
    await clock.advance(3600)
    assert clock.time() == 1_700_003_600


async def test_a_shifted_clock_goes_on_with_the_clock_of_the_machine() -> None:
    now = [1_700_000_000.0]
    clock = ArrayClock(ClockMode.SHIFTED, lambda: now[0])
    await clock.advance(10)
    now[0] += 5
    assert clock.time() == 1_700_000_015


@pytest.mark.parametrize("delay_s", [-1, MAX_ADVANCE_S + 1, float("nan"), float("inf")])
async def test_impossible_advances_are_refused(delay_s: float) -> None:
    clock = ArrayClock(ClockMode.VIRTUAL)
    began_s = clock.time()
    with pytest.raises(ValueError, match="the clock can be advanced by 0 to"):
        await clock.advance(delay_s)
    assert clock.time() == began_s


async def test_the_store_waits_in_real_time(mock_clock: MockClock) -> None:
    clock = ArrayClock(ClockMode.VIRTUAL)
    async with trio.open_nursery() as nursery:
        environment, of_store = environments_of(nursery, bytes, float, clock)
        assert type(of_store) is StoreEnvironment
        assert of_store.turns is environment.turns
        began_s, real_s = environment.monotonic(), of_store.monotonic()
        mock_clock.jump(5)
        assert (environment.monotonic(), of_store.monotonic()) == (began_s, real_s + 5)
        assert environment.time() == of_store.time() == clock.time()


async def test_advances_at_the_same_time_add_up_and_no_clock_goes_back() -> None:
    clock, times_s = ArrayClock(ClockMode.VIRTUAL), list[float]()

    async def repeat() -> None:
        while True:
            await clock.connections.sleep(1)
            times_s.append(clock.array.shift_s)

    async def advance_both() -> None:
        await clock.array.sleep(500)
        await clock.advance(10, connections=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(repeat)
        async with trio.open_nursery() as advances:
            advances.start_soon(advance_both)
            advances.start_soon(clock.advance, 1000)
        assert (clock.array.shift_s, clock.connections.shift_s) == (1010, 10)
        assert times_s == sorted(times_s)
        nursery.cancel_scope.cancel()
