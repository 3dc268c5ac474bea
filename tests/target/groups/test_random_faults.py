"""Hosts write and read at two members, while lines are cut and the members change places. Each seed plays other faults.

Each block has one writer, which writes ascending numbers and repeats a number until it is acknowledged at any member. So a read
returns at least what was acknowledged or read before it began, and at most what was sent before it has ended.
"""

from random import Random

import pytest
import trio
from trio.testing import MockClock

from odx_target.initiator.session.session import InitiatorSession
from odx_target.replica.sync.group_states import GroupState, NotServing
from tests.target.groups.members import Members, host_at, members, read, write

LINES = ("ab", "aw", "bw")
WRITERS = 4
PLAYED_S = 30.0
HEALING_S = 120.0


class Play:
    """The numbers of each block, and the hosts that write and read them through `paths`."""

    def __init__(self, seed: int, pair: Members, paths: list[InitiatorSession]) -> None:
        self.random = Random(seed)
        self.faults = Random(seed)
        """Only for the faults, so that the order in which hosts run does not choose others."""
        self.pair = pair
        self.paths = paths
        self.sent = [0] * WRITERS
        self.known = [0] * WRITERS
        self.is_over = False
        self.acknowledged = self.read = 0

    async def write(self, block: int) -> None:
        path = 0
        while not self.is_over:
            self.sent[block] += 1
            while await write(self.paths[path], block, self.sent[block]) != "good":
                path = self.random.randrange(2)
                await trio.sleep(self.random.uniform(0.01, 0.3))
            self.known[block] = max(self.known[block], self.sent[block])
            self.acknowledged += 1
            await trio.sleep(self.random.uniform(0.0, 0.3))

    async def look(self, path: int) -> None:
        while not self.is_over:
            block = self.random.randrange(WRITERS)
            least = self.known[block]
            found = await read(self.paths[path], block)
            if isinstance(found, list):
                assert least <= found[0] <= self.sent[block], f"block {block} has {found[0]}, not {least} to {self.sent[block]}"
                self.known[block] = max(self.known[block], found[0])
                self.read += 1
            await trio.sleep(self.random.uniform(0.01, 0.5))

    async def watch(self) -> None:
        """Check that at most one member serves at a time."""
        while not self.is_over:
            assert sum(self.pair.state(each) is GroupState.SERVING for each in (self.pair.a, self.pair.b)) < 2
            await trio.sleep(0.05)

    async def disturb(self) -> None:
        until_s = trio.current_time() + PLAYED_S
        while trio.current_time() < until_s:
            await trio.sleep(self.faults.uniform(0.5, 8.0))
            line = self.faults.choice(LINES)
            fault = self.faults.randrange(5)
            if fault < 2:
                self.pair.network.cut(*line)
            elif fault < 4:
                self.pair.network.mend(*line)
            else:
                await self._change_places()
        for line in LINES:
            self.pair.network.mend(*line)
        with trio.fail_after(HEALING_S):
            while not self._is_healed():
                await trio.sleep(0.1)
        self.is_over = True

    async def _change_places(self) -> None:
        for array in (self.pair.a, self.pair.b):
            with trio.move_on_after(self.faults.uniform(0.0, 20.0)):
                try:
                    await self.pair.group(array).switchover()
                    return
                except NotServing:
                    pass

    def _is_healed(self) -> bool:
        states = {self.pair.state(array) for array in (self.pair.a, self.pair.b)}
        return states == {GroupState.SERVING, GroupState.STANDBY}


@pytest.mark.parametrize("seed", [1])
async def test_no_acknowledged_write_is_lost_and_no_read_goes_back(autojump_clock: MockClock, seed: int) -> None:
    async with members() as pair, host_at(pair.a) as first, host_at(pair.b) as second:
        play = Play(seed, pair, [first, second])
        async with trio.open_nursery() as nursery:
            for block in range(WRITERS):
                nursery.start_soon(play.write, block)
            for path in range(2):
                nursery.start_soon(play.look, path)
            nursery.start_soon(play.watch)
            await play.disturb()
        assert min(play.acknowledged, play.read) > 20
        await pair.until(lambda: pair.state(pair.a) in (GroupState.SERVING, GroupState.STANDBY))
        serving = first if pair.state(pair.a) is GroupState.SERVING else second
        while isinstance(found := await read(serving, 0, WRITERS), str):
            assert found.startswith("6/")
        assert all(least <= value <= most for least, value, most in zip(play.known, found, play.sent, strict=True))
        assert all(pair.group(each).is_idle() for each in (pair.a, pair.b))
        assert [each.memory_budget.used_bytes for each in (pair.a, pair.b)] == [0, 0]
