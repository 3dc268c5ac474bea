"""The hub of connections: the order of its passes, its failures, its fairness, and its polling."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

import pytest
import trio
import trio.testing

from odx_target.store.api import OutOfResources, Pool, PoolFailed
from odx_target.target.file_descriptors import count_open
from odx_target.target.readiness.polling import MAX_POLLS, MAX_VAIN_POLLS
from odx_target.target.server.hub import MAX_HOLD_S, MAX_PASSES, MAX_QUIET_HOLD_S, MAX_QUIET_PASSES, QUIET_TURN_S, Hub
from odx_target.turns import Turns

FAILED = ["fail a: the disk is gone", "fail b: the disk is gone"]


class FakePool:
    def __init__(self, log: list[str]) -> None:
        self._log = log
        self.error: Exception | None = None
        self.turns = Turns(trio.Event, trio.lowlevel.checkpoint)

    def commit(self) -> None:
        self._log.append("commit")
        if self.error is not None:
            raise self.error


class FakeMember:
    """A connection that notes its calls. It receives all bytes, unless `keeps_bytes` is True."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.here, self.peer = socket.socketpair()
        self.here.setblocking(False)
        self._log = log
        self.keeps_bytes = self.has_nothing = False
        self.error: Exception | None = None
        self.send_error: Exception | None = None
        self.on_receive: Callable[[], None] = lambda: None

    def receive_now(self) -> bool:
        self._log.append(f"receive {self.name}")
        self.on_receive()
        if self.error is not None:
            raise self.error
        return not self.has_nothing and (self.keeps_bytes or bool(self.here.recv(100)))

    def send_now(self) -> None:
        self._log.append(f"send {self.name}")
        if self.send_error is not None:
            raise self.send_error

    def fail(self, error: Exception) -> None:
        self._log.append(f"fail {self.name}: {error}")


class Stage:
    """A hub with a fake pool and a clock that the test moves."""

    def __init__(self, polling_clock: Callable[[], float] | None = None) -> None:
        self.log: list[str] = []
        self.now_s = 0.0
        self.pool = FakePool(self.log)
        self.hub = Hub(
            cast(Pool, self.pool),
            lambda error: self.log.append(f"pool: {error}"),
            lambda: self.now_s,
            polling_clock=polling_clock,
        )
        self.members: list[FakeMember] = []

    def member(self, name: str, **attributes: Any) -> FakeMember:
        member = FakeMember(name, self.log)
        for attribute, value in attributes.items():
            setattr(member, attribute, value)
        self.members.append(member)
        member.peer.send(b"x")
        self.hub.add(member.here.fileno(), member)
        return member


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    try:
        yield made
    finally:
        for member in made.members:
            made.hub.remove(member.here.fileno())
            member.here.close()
            member.peer.close()


async def until_idle(hub: Hub) -> None:
    """Run the hub until all its tasks wait."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await hub.stop()


async def test_all_receive_then_one_commit_then_all_send() -> None:
    async with stage() as at:
        at.member("a")
        at.member("b")
        await until_idle(at.hub)
        assert at.log == ["receive a", "receive b", "commit", "send a", "send b"]


async def test_a_connection_that_received_nothing_sends_nothing() -> None:
    async with stage() as at:
        member = at.member("a", has_nothing=True)
        member.on_receive = lambda: at.hub.remove(member.here.fileno())
        await until_idle(at.hub)
        assert at.log == ["receive a", "commit"]


async def test_before_long_work_the_ready_connections_are_served_at_once() -> None:
    async with stage() as at:
        at.member("a")
        at.pool.turns.serve_hosts = at.hub.serve_now
        await at.pool.turns.next()
        assert at.log == ["receive a", "commit", "send a"]
        assert at.pool.turns.is_short
        at.hub.serve_now()
        assert len(at.log) == 3
        await until_idle(at.hub)
        at.hub.serve_now()  # The hub has ended.
        assert len(at.log) == 3


async def test_turns_of_a_connection_are_short_only_beside_the_commands_of_others() -> None:
    async with stage() as at:
        turns = at.pool.turns
        first = at.member("a").here.fileno()
        at.hub.serve_now()
        assert (turns.hosts_are_near(first), turns.hosts_are_near(first + 1)) == (False, True)
        at.members[0].peer.send(b"x")
        others = [at.member(name).here.fileno() for name in "bc"]
        at.hub.serve_now()
        assert all(turns.hosts_are_near(number) for number in (first, *others))


async def test_a_task_that_a_lost_batch_cuts_gets_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task could otherwise report the success of a change that was in the batch."""
    async with stage() as at:
        at.member("a")
        at.pool.error = PoolFailed("the disk is gone")
        at.pool.turns.serve_hosts = at.hub.serve_now
        with trio.CancelScope() as connection:
            monkeypatch.setattr(at.hub, "_on_pool_failure", lambda _: connection.cancel())
            await at.pool.turns.next()
            pytest.fail("the task got a turn")
        assert at.log == ["receive a", "commit", FAILED[0]]


async def test_after_a_lost_batch_no_connection_of_the_pass_sends() -> None:
    async with stage() as at:
        for name in "ab":
            at.member(name)
        at.pool.error = PoolFailed("the disk is gone")
        await until_idle(at.hub)
        assert at.log == ["receive a", "receive b", "commit", "pool: the disk is gone", *FAILED]


async def test_a_batch_that_is_lost_while_a_connection_executes_fails_the_earlier_ones_too() -> None:
    async with stage() as at:
        at.member("a")
        failing = at.member("b", error=PoolFailed("the disk is gone"))
        failing.on_receive = lambda: at.hub.remove(failing.here.fileno())
        await until_idle(at.hub)
        assert at.log == ["receive a", "receive b", "pool: the disk is gone", *FAILED]


async def test_a_batch_that_is_lost_after_a_lack_of_resources_fails_all_connections() -> None:
    async with stage() as at:
        at.member("a").send_error = PoolFailed("the disk is gone")
        at.member("b")
        at.pool.error = OutOfResources("no memory")
        await until_idle(at.hub)
        assert at.log == ["receive a", "receive b", "commit", "send a", "pool: the disk is gone", *FAILED]


async def test_a_loss_is_reported_although_no_connection_has_received_anything() -> None:
    async with stage() as at:
        member = at.member("a", has_nothing=True)
        member.on_receive = lambda: at.hub.remove(member.here.fileno())
        at.pool.error = PoolFailed("the disk is gone")
        await until_idle(at.hub)
        assert at.log == ["receive a", "commit", "pool: the disk is gone"]


async def test_a_hub_that_has_ended_serves_no_further_connection() -> None:
    async with stage() as at:
        await until_idle(at.hub)
        with pytest.raises(OSError, match="the array has ended"):
            at.member("a")


async def test_each_connection_deals_with_a_lack_of_resources_itself() -> None:
    async with stage() as at:
        at.member("a")
        at.pool.error = OutOfResources("no memory")
        await until_idle(at.hub)
        assert at.log == ["receive a", "commit", "send a"]


async def test_a_long_pass_ends_and_the_next_one_begins_with_the_rest() -> None:
    async with stage() as at:
        for name in "abc":
            at.member(name).on_receive = lambda: setattr(at, "now_s", at.now_s + 0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(at.hub.run)
            nursery.start_soon(note_turns, at)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        passes = "\n".join(entry for entry in at.log if entry != "others").split("commit")
        assert [each.split("receive ")[-1].strip() for each in passes[:3]] == ["a", "b", "c"]
        assert "others" in at.log[at.log.index("send a") : at.log.index("receive c")]


async def note_turns(at: Stage, turn_s: float = 0.0) -> None:
    for _ in range(20):
        at.log.append("others")
        at.now_s += turn_s
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(("turn_s", "max_passes"), [(2 * QUIET_TURN_S, MAX_PASSES), (0.0, MAX_QUIET_PASSES)])
async def test_a_connection_that_is_always_readable_leaves_others_their_turns(turn_s: float, max_passes: int) -> None:
    async with stage() as at:
        at.member("a", keeps_bytes=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(at.hub.run)
            await note_turns(at, turn_s)
            nursery.cancel_scope.cancel()
        assert 15 * max_passes <= at.log.count("send a") <= 21 * max_passes


@pytest.mark.parametrize(("turn_s", "runs_task", "passes"), [(0.0, False, 4), (0.0, True, 1), (2 * QUIET_TURN_S, False, 1)])
async def test_other_tasks_wait_longer_if_they_have_nothing_to_do(turn_s: float, runs_task: bool, passes: int) -> None:
    pass_s, count_turns = 0.3 * MAX_QUIET_HOLD_S, 40
    assert pass_s > MAX_HOLD_S
    async with stage() as at, trio.open_nursery() as nursery:
        at.member("a", keeps_bytes=True).on_receive = lambda: setattr(at, "now_s", at.now_s + pass_s)
        if runs_task:
            at.hub.start_task(nursery, trio.sleep_forever)
        nursery.start_soon(at.hub.run)
        for _ in range(count_turns):
            at.now_s += turn_s
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert abs(at.log.count("send a") - count_turns * passes) <= 4 * passes


async def test_tasks_of_connections_run_after_the_pass_that_starts_them() -> None:
    async with stage() as at, trio.open_nursery() as nursery:
        member = at.member("a", keeps_bytes=True)

        async def task() -> None:
            at.log.append("task")

        member.on_receive = lambda: at.hub.start_task(nursery, task) if "task" not in at.log else None
        nursery.start_soon(at.hub.run)
        while "task" not in at.log:
            await trio.lowlevel.checkpoint()
        assert at.log[: at.log.index("task")].count("send a") <= 2
        nursery.cancel_scope.cancel()


async def test_a_connection_that_was_removed_in_the_same_pass_is_not_served() -> None:
    async with stage() as at:
        first = at.member("a")
        second = at.member("b")
        first.on_receive = lambda: at.hub.remove(second.here.fileno())
        await until_idle(at.hub)
        assert at.log == ["receive a", "commit", "send a"]


async def test_a_hub_that_has_ended_has_no_descriptor() -> None:
    before = count_open()
    async with stage() as at:
        at.member("a")
        await until_idle(at.hub)
    assert count_open() == before


class TestPolling:
    @pytest.fixture
    def polls(self, monkeypatch: pytest.MonkeyPatch) -> list[None]:
        """A list with an entry for each poll of a hub."""
        polls: list[None] = []
        monkeypatch.setattr(os, "sched_yield", lambda: polls.append(None))
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
        return polls

    async def test_the_end_of_a_short_wait_makes_polling_usual_again(self, polls: list[None]) -> None:
        async with stage() as at:
            for _ in range(MAX_VAIN_POLLS + 1):
                polls.clear()
                assert not at.hub._readable()
            assert not polls
            async with trio.open_nursery() as nursery:
                nursery.start_soon(at.hub.run)
                await trio.testing.wait_all_tasks_blocked(0.01)
                at.member("a")
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert polls
                nursery.cancel_scope.cancel()

    async def test_polling_ends_on_a_busy_machine_if_only_the_clock_of_the_machine_moves(self, polls: list[None]) -> None:
        ticks = count()
        await until_idle(Stage(polling_clock=lambda: float(next(ticks))).hub)
        assert len(polls) == 1

    async def test_no_polling_while_a_command_runs_as_a_task(self, polls: list[None]) -> None:
        async with stage() as at, trio.open_nursery() as nursery:
            at.hub.start_task(nursery, trio.sleep_forever)
            await trio.testing.wait_all_tasks_blocked()
            assert not at.hub._readable()
            assert not polls
            nursery.cancel_scope.cancel()
        async with stage() as at:
            assert not at.hub._readable()
            assert len(polls) == MAX_POLLS

    @pytest.mark.parametrize("reason", ["one processor", "setting"])
    async def test_no_polling_if_it_cannot_help(self, reason: str, polls: list[None], monkeypatch: pytest.MonkeyPatch) -> None:
        if reason == "one processor":
            monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
        hub = Hub(cast(Pool, FakePool([])), pytest.fail, lambda: 0.0, polls=reason != "setting")
        assert not hub._readable()
        assert not polls
        hub._epoll.close()
