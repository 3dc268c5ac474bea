"""The thread in which the array of a test runs."""

import threading

import pytest
import trio

from odx_target.testing.loop_thread import LoopEnded, LoopThread


async def _thread_name(suffix: str) -> str:
    return threading.current_thread().name + suffix


async def _fail() -> None:
    raise ZeroDivisionError("wrong")


@pytest.fixture
def loop():  # type: ignore[no-untyped-def]
    loop = LoopThread("loop")
    loop.start()
    yield loop
    loop.stop()


def test_a_call_runs_in_the_thread_and_returns_its_result(loop: LoopThread) -> None:
    assert loop.call(_thread_name, "!") == "loop!"


def test_the_exception_of_a_call_is_raised_by_the_call_and_ends_nothing(loop: LoopThread) -> None:
    with pytest.raises(ZeroDivisionError, match="wrong"):
        loop.call(_fail)
    assert loop.call(_thread_name, "") == "loop"


def test_a_call_from_a_trio_loop_works(loop: LoopThread) -> None:
    async def main() -> str:
        return loop.call(_thread_name, "")

    assert trio.run(main) == "loop"


def test_a_call_from_the_loop_itself_is_refused_because_it_would_wait_forever(loop: LoopThread) -> None:
    async def call_again() -> None:
        loop.call(_thread_name, "")

    with pytest.raises(RuntimeError, match="call it from another thread"):
        loop.call(call_again)


def test_calls_after_the_end_are_refused() -> None:
    loop = LoopThread("loop")
    assert not loop.is_running
    loop.start()
    assert loop.is_running
    loop.stop()
    loop.stop()
    assert not loop.is_running
    with pytest.raises(LoopEnded, match="the array has been stopped"):
        loop.call(_thread_name, "")


def test_a_call_that_waits_at_the_end_is_ended() -> None:
    loop, outcomes = LoopThread("loop"), list[object]()
    loop.start()
    waits = threading.Event()

    async def wait() -> None:
        waits.set()
        await trio.sleep_forever()

    def call() -> None:
        try:
            loop.call(wait)
        except LoopEnded as error:
            outcomes.append(str(error))

    caller = threading.Thread(target=call)
    caller.start()
    waits.wait()
    loop.stop()
    caller.join()
    assert outcomes == ["the array has been stopped"]


def test_the_error_that_ends_the_loop_is_raised_by_stop_and_named_by_calls() -> None:
    loop = LoopThread("loop")
    loop.start()

    async def break_it() -> None:
        loop.nursery.start_soon(_fail)
        await trio.sleep_forever()

    with pytest.raises(LoopEnded, match="wrong"):
        loop.call(break_it)
    with pytest.raises(LoopEnded, match="wrong"):
        loop.call(_thread_name, "")
    with pytest.raises(ExceptionGroup):
        loop.stop()
    loop.stop()
