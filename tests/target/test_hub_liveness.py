"""Property test of the hub: whatever the connections do, the hub never waits while a connection has bytes to read."""

import itertools
import socket
from collections.abc import Iterator
from typing import cast

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.store.api import Pool
from odx_target.target.server.hub import Hub
from odx_target.turns import Turns

STAYS, IS_REPLACED = 0, -1

ACTIONS = st.lists(st.integers(IS_REPLACED, 4), min_size=1, max_size=6)
"""Actions of a connection after each receive, which are repeated: it stays in the hub, it is replaced by a new connection with
the same descriptor, or it leaves the hub and comes back after this number of turns of the event loop."""

SENDS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(0, 3)), max_size=20)
"""Number of a connection, number of bytes that its peer sends, and number of turns of the event loop after that."""


class PoolWithoutChanges:
    def __init__(self) -> None:
        self.turns = Turns(trio.Event, trio.lowlevel.checkpoint)

    def commit(self) -> None:
        pass


class Connection:
    """A connection that receives a few bytes at a time, and then does its next action."""

    def __init__(self, hub: Hub, nursery: trio.Nursery, actions: Iterator[int]) -> None:
        self._hub = hub
        self._nursery = nursery
        self._actions = actions
        self._open()

    def _open(self) -> None:
        self.unread_bytes = 0
        self.here, self.peer = socket.socketpair()
        self.here.setblocking(False)
        self._hub.add(self.here.fileno(), self)

    def send(self, size_bytes: int) -> None:
        self.unread_bytes += self.peer.send(bytes(size_bytes))

    def receive_now(self) -> bool:
        self.unread_bytes -= len(self.here.recv(3))
        return True

    def send_now(self) -> None:
        action = next(self._actions)
        if action == IS_REPLACED:
            self.close()
            self._open()
        elif action != STAYS:
            self._hub.remove(self.here.fileno())
            self._hub.start_task(self._nursery, self._come_back, action)

    async def _come_back(self, turns: int) -> None:
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        self._hub.add(self.here.fileno(), self)

    def fail(self, error: Exception) -> None:
        raise error

    def close(self) -> None:
        self._hub.remove(self.here.fileno())
        self.here.close()
        self.peer.close()


@settings(max_examples=50)
@given(actions=st.lists(ACTIONS, min_size=3, max_size=3), sends=SENDS, polls=st.booleans())
def test_the_hub_never_waits_while_bytes_are_unread(
    actions: list[list[int]], sends: list[tuple[int, int, int]], polls: bool
) -> None:
    async def serve() -> None:
        hub = Hub(cast(Pool, PoolWithoutChanges()), pytest.fail, trio.current_time, polls=polls)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hub.run)
            connections = [Connection(hub, nursery, itertools.cycle(each)) for each in actions]
            for number, size_bytes, turns in sends:
                connections[number].send(size_bytes)
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked(0.001)
            unread = [connection.unread_bytes for connection in connections]
            for connection in connections:
                connection.close()
            nursery.cancel_scope.cancel()
        assert unread == [0, 0, 0]

    trio.run(serve)
