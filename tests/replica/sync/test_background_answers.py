"""Tests of the answers that take a while: one task makes them all, and only so many wait."""

from odx_target.environment import Event
from odx_target.replica.sync.stream.background_answers import BackgroundAnswers
from tests.sim.virtual_environment import VirtualEnvironment

MAX_WAITING = 3


class Disk:
    """Answers whose flushes end one by one."""

    def __init__(self) -> None:
        self.environment = VirtualEnvironment()
        self.began: list[list[int]] = []
        self.flush: Event = self.environment.event()
        self.answers = BackgroundAnswers(self.environment, self.answer, MAX_WAITING)

    async def answer(self, arguments: list[int]) -> None:
        self.began.append(arguments)
        self.flush = self.environment.event()
        await self.flush.wait()

    def add(self, *arguments: int) -> list[bool]:
        """Add arguments, each in a task of its own. Returns which of these tasks have ended."""
        tasks = [self.environment.spawn(self.answers.add(each)) for each in arguments]
        self.environment.settle()
        return [task.done for task in tasks]

    def end_flush(self) -> None:
        self.flush.set()
        self.environment.settle()


def test_one_flush_answers_all_that_came_before_it_began() -> None:
    disk = Disk()
    disk.add(1)
    disk.add(2, 3)
    assert disk.began == [[1]]
    disk.end_flush()
    assert disk.began == [[1], [2, 3]]
    disk.end_flush()
    disk.add(4)
    assert disk.began == [[1], [2, 3], [4]]


def test_only_so_many_wait() -> None:
    disk = Disk()
    disk.add(0)
    assert disk.add(*range(1, MAX_WAITING + 1)) == [True] * MAX_WAITING
    assert disk.add(8, 9) == [False, False]
    disk.end_flush()
    assert disk.began == [[0], [1, 2, 3]]
    disk.end_flush()
    assert disk.began[2] == [8, 9]
