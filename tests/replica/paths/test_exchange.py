"""Tests of an exchange without a link."""

from typing import Any

from odx_target.replica.paths.exchange import Exchange
from tests.sim.virtual_environment import VirtualEnvironment


class NarrowSession:
    """A session in which a channel has room for one frame at a time."""

    def __init__(self) -> None:
        self.waiting = 0

    def has_room(self, _number: int) -> bool:
        return self.waiting == 0

    def send(self, *_: object) -> None:
        self.waiting += 1


def test_all_tasks_that_wait_for_room_send_in_the_end() -> None:
    environment, narrow = VirtualEnvironment(), NarrowSession()
    session: Any = narrow
    exchange = Exchange(1, session, environment, lambda: None, lambda _: None, {})

    async def send() -> None:
        await exchange.room()
        exchange.send(0x33)  # type: ignore[arg-type]

    tasks = [environment.spawn(send()) for _ in range(3)]
    environment.settle()
    for count in range(1, 4):
        assert sum(task.done for task in tasks) == count
        narrow.waiting = 0
        exchange.note_sent()
        environment.settle()
