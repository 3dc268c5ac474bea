"""The hub of an array: one loop that serves all connections whose sockets have received bytes.

The hub waits for all sockets with one epoll object. On systems without epoll, `readiness` finds the readable sockets. When
some sockets are readable, the hub makes a *pass*. First, each of these connections receives its bytes and executes its
commands. Then the store's open batch is committed once for all of them. Then each connection sends its responses. So all
connections that are ready share the cost of one wake-up and of one commit. A connection may send at once if nothing has to be
committed.

Before the hub waits, it polls the sockets for a short time (see `readiness/polling`). A host with a low queue depth sends its
next command soon after a response, and the wake-up of a waiting process takes longer than such a gap. The hub does not poll
while a command of a connection runs as a task, or if the process has only one processor.

A connection whose output the socket does not accept, or whose commands have to wait for a turn, leaves the hub. The task of the
connection does the remaining work, and then adds the connection again.
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVarTuple

import trio

from odx_target.store.api import Pool, PoolFailed, Scarcity
from odx_target.target.readiness.poller import READABLE, open_poller
from odx_target.target.readiness.polling import MAX_EVENTS, Polling
from odx_target.target.readiness.processors import count_processors

Ts = TypeVarTuple("Ts")

MAX_PASS_S = 0.001
"""Time after which a pass ends. Connections that the pass has not reached are served first in the next pass."""

MAX_HOLD_S = 0.0002
"""Time after which the hub lets the other tasks of the event loop run. If a connection has started a task, they run at once."""

MAX_QUIET_HOLD_S = 0.001
"""The same time if the other tasks had nothing to do when they last ran. The event loop alone takes about 20 microseconds, as
much as several commands.
"""

QUIET_TURN_S = 0.00005
"""If the other tasks took less than this time, twice in a row, they had nothing to do. Once is not enough, because trio changes
the order of the tasks: a task may run before the hub in one round and after it in the next.
"""

MAX_PASSES = 8
MAX_QUIET_PASSES = 40
"""Number of passes after which the hub lets the other tasks run, even if they took less time than `MAX_HOLD_S`, or than
`MAX_QUIET_HOLD_S`. A pass with one command takes about 25 microseconds.
"""


class Member(Protocol):
    """A connection that the hub serves. None of these methods waits."""

    def receive_now(self) -> bool:
        """Receive bytes and execute their commands. Returns True if the hub must call `send_now`. Raises PoolFailed."""

    def send_now(self) -> None:
        """Send the responses. The changes of the commands have been committed, unless the store lacks resources.

        Raises PoolFailed.
        """

    def fail(self, error: Exception) -> None:
        """End the connection because of an error. The connection must not send any response."""


class Hub:
    """Serves connections. The hub owns an epoll object, which `run` closes.

    If changes of any connection are lost, the hub calls `on_pool_failure` before another task runs. `clock` returns the present
    time in seconds. If `polls` is False, the hub never polls before it waits. `polling_clock` returns the time of the machine,
    if `clock` does not: polling then ends on a busy machine even if a test has stopped `clock`.
    """

    def __init__(
        self,
        pool: Pool,
        on_pool_failure: Callable[[PoolFailed], None],
        clock: Callable[[], float],
        *,
        polls: bool = True,
        polling_clock: Callable[[], float] | None = None,
    ) -> None:
        self._pool = pool
        self._on_pool_failure = on_pool_failure
        self._clock = clock
        self._epoll, self._wait = open_poller()
        self._polling = Polling(self._epoll, polling_clock or clock)
        self.set_polling(polls=polls)
        self._members: dict[int, Member] = {}
        self._ready: deque[tuple[int, int]] = deque()  # descriptors, with their events
        self._count_tasks = 0
        self._count_starting = 0
        self._must_yield = False
        self._quiet_turns = 0
        self._running = trio.CancelScope()
        self._ended = trio.Event()

    def set_polling(self, *, polls: bool) -> None:
        """Poll before each wait from now on, or no longer. With only one processor, the hub never polls."""
        self.polls = polls and count_processors() > 1

    def add(self, descriptor: int, member: Member) -> None:
        """Serve a connection whenever its socket is readable.

        Raises OSError if the kernel has no memory, or if the hub has ended.
        """
        if self._epoll.closed:
            raise ConnectionAbortedError("the array has ended")
        self._epoll.register(descriptor, READABLE)
        self._members[descriptor] = member

    def remove(self, descriptor: int) -> None:
        """Stop serving a connection. Call this before the socket is closed. A second call does nothing."""
        if self._members.pop(descriptor, None) is not None:
            self._must_yield = True  # The task of the connection has to run.
            with suppress(OSError, ValueError):
                self._epoll.unregister(descriptor)

    def start_task(self, nursery: trio.Nursery, function: Callable[[*Ts], Awaitable[object]], *arguments: *Ts) -> None:
        """Start a task in the nursery of a connection. The hub does not poll while such tasks run."""
        nursery.start_soon(self._run_task, function, *arguments)
        self._count_starting += 1

    async def _run_task(self, function: Callable[[*Ts], Awaitable[object]], *arguments: *Ts) -> None:
        self._count_starting -= 1
        self._count_tasks += 1
        try:
            await function(*arguments)
        finally:
            self._count_tasks -= 1

    async def run(self) -> None:
        """Serve the connections until `stop` is called."""
        try:
            with self._running:
                await self._serve()
        finally:
            self._epoll.close()
            self._ended.set()

    def serve_now(self) -> bool:
        """Serve the connections whose sockets are readable now, without polling. Tasks call this before they do long work.

        Returns False if changes of any connection were lost.
        """
        if self._epoll.closed:
            return True
        if not self._ready:
            self._ready.extend(self._epoll.poll(0, MAX_EVENTS))
        return not self._ready or self._make_pass()

    async def stop(self) -> None:
        """End `run`. No connection is served afterwards."""
        self._running.cancel()
        await self._ended.wait()

    async def _serve(self) -> None:
        began_s, hold_s, max_passes = self._clock(), MAX_HOLD_S, MAX_PASSES
        passes = 0
        while True:
            if not self._ready:
                self._ready.extend(self._readable())
            if self._ready:
                self._make_pass()
                passes += 1
                must_yield = self._must_yield or self._count_starting
                if not must_yield and passes < max_passes and self._clock() - began_s < hold_s:
                    continue
                self._must_yield = False
                is_quiet = await self._let_others_run()
                hold_s, max_passes = (MAX_QUIET_HOLD_S, MAX_QUIET_PASSES) if is_quiet else (MAX_HOLD_S, MAX_PASSES)
            else:
                await self._wait()
                self._polling.has_waited()
                hold_s, max_passes = MAX_HOLD_S, MAX_PASSES
            began_s = self._clock()
            passes = 0

    async def _let_others_run(self) -> bool:
        """Run the other tasks. Returns True if they had nothing to do, and may wait longer until they run again."""
        began_s = self._clock()
        await trio.lowlevel.checkpoint()
        is_quiet = not self._count_tasks and self._clock() - began_s < QUIET_TURN_S
        self._quiet_turns = self._quiet_turns + 1 if is_quiet else 0
        return self._quiet_turns > 1

    def _make_pass(self) -> bool:
        """Make the ready connections receive, commit their changes together, and make the connections send. Returns False if
        changes were lost.
        """
        received: list[Member] = []
        ready, turns = self._ready, self._pool.turns
        turns.hosts_were_served(ready[0][0])
        if len(ready) > 1:  # Two connections are enough: each other connection is then beside at least one of them.
            turns.hosts_were_served(ready[-1][0])
        try:
            self._receive(received)
            try:  # noqa: SIM105 - this is the hot path, and `suppress` takes as long as a system call
                self._pool.commit()
            except Scarcity:
                pass  # Each connection then waits until the batch can be committed.
            for member in received:
                member.send_now()
        except PoolFailed as error:  # Changes of all these connections may be lost, and the pool reports this only once.
            self._on_pool_failure(error)
            for member in received:
                member.fail(error)
            return False
        return True

    def _receive(self, received: list[Member]) -> None:
        """Make the ready connections receive, until the time of the pass is over. Add those that have received to `received`.

        Raises PoolFailed. `received` then also has the connection that has raised the exception.
        """
        ready, members = self._ready, self._members
        until_s = self._clock() + MAX_PASS_S if len(ready) > 1 else 0.0
        while ready:
            member = members.get(ready.popleft()[0])
            if member is None:
                continue
            received.append(member)
            if not member.receive_now():
                received.pop()
            if ready and self._clock() >= until_s:
                break

    def _readable(self) -> Sequence[tuple[int, int]]:
        """Return the readable sockets, and poll for a short time if there are none."""
        found = self._epoll.poll(0, MAX_EVENTS)
        if not found and self.polls and not self._count_tasks:
            found = self._polling.poll()
        return found
