"""The order of tasks: repeatable while it is wished, and refused in one line with a trio that has no known source of it."""

import pytest
import trio
from trio._core import _run

from odx_target.target.inputs.task_order import TaskOrderUnknown, ordered_tasks

TASKS = 20


async def order_of_tasks() -> list[int]:
    found: list[int] = []

    async def run(number: int) -> None:
        await trio.lowlevel.checkpoint()
        found.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(TASKS):
            nursery.start_soon(run, number)
    return found


def test_tasks_run_in_their_order() -> None:
    with ordered_tasks():
        assert trio.run(order_of_tasks) == list(range(TASKS))


def test_a_trio_without_the_source_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_run, "_r")
    with pytest.raises(TaskOrderUnknown, match="order") as refused, ordered_tasks():
        pass
    assert "\n" not in str(refused.value)
