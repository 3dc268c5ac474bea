"""The server of one connection. The server connects a socket, the iSCSI protocol and the device server.

The receive loop receives commands, executes them and sends their responses (see `receive_loop`). A command that must wait
becomes a task in the nursery of the connection. The changes of this command are committed before its response is sent. This
module starts and ends these parts, and runs the timers of the protocol.
"""

import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import TypeVarTuple

import trio

from odx_target.iscsi.session.close_reason import CloseCode
from odx_target.iscsi.session.connection import TargetConnection
from odx_target.iscsi.session.session_registry import Session
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.store.api import Pool, PoolFailed
from odx_target.target.config.settings import Portal
from odx_target.target.reporter import Reporter
from odx_target.target.server.command_executor import CommandExecutor
from odx_target.target.server.congestion_control import avoid_pacing
from odx_target.target.server.connection_clock import ConnectionClock, trio_clock
from odx_target.target.server.connection_log import ConnectionLog, peer_name
from odx_target.target.server.hub import Hub
from odx_target.target.server.memory_division import MemoryBudget, SessionShares
from odx_target.target.server.pdu_filters import InputFilter, OutputFilter
from odx_target.target.server.receive_loop import ReceiveLoop
from odx_target.target.server.response_sender import ResponseSender
from odx_target.target.server.send_queue import SendQueue
from odx_target.target.server.target_directory import TargetDirectory
from odx_target.target.trace.tap import Tap, tap_of

Ts = TypeVarTuple("Ts")

TIMER_INTERVAL_S = 1.0
"""Time between two checks of the timers of the protocol (login, ping). The timeouts of these timers are whole seconds."""

LAST_WORDS_TIMEOUT_S = 1.0
"""Maximum time for a peer to receive the last PDUs of a connection that ends."""
# After a connection is closed for these reasons, the peer may still be sending. If a socket is closed with unread bytes, the
# connection is reset, and some hosts discard the Reject or the login status before they have read it.
ENDS_WITH_UNREAD_BYTES = {CloseCode.PROTOCOL_ERROR, CloseCode.HEADER_DIGEST, CloseCode.LOGIN_FAILED}
DISCARD_BYTES = 1 << 16


class ConnectionServer:
    """Serves one connected socket until it is closed.

    `accepted_at` is the portal through which the connection came in. `ended` is set when all resources of the connection have
    been released. `clock` is the clock of the timers; None means that
    of the event loop.
    """

    def __init__(
        self,
        connected: socket.socket,
        directory: TargetDirectory,
        accepted_at: Portal,
        device_server: DeviceServer,
        pool: Pool,
        budget: MemoryBudget,
        hub: Hub,
        on_pool_failure: Callable[[PoolFailed], None],
        tap: Tap | None = None,
        reporter: Reporter | None = None,
        clock: ConnectionClock | None = None,
    ) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        avoid_pacing(connected)
        seen_directory = directory.seen_from(connected, accepted_at)  # first, because it may raise OSError
        self.accepted_at = accepted_at
        self._socket = connected
        self._directory = directory
        self._hub = hub
        self._turns = pool.turns
        self._budget = budget
        self._memory: SessionShares | None = None
        self._on_pool_failure = on_pool_failure
        self._tap = tap_of(tap, connected)
        self._now, self._sleep = clock = clock or trio_clock()
        self._protocol = TargetConnection(
            seen_directory,
            clock.now(),
            portal_group_tag=seen_directory.portal_group_tag,
            open_memory=self._open_memory,
        )
        self._sender = ResponseSender(pool, SendQueue(connected, self._tap, self._peer_reads), self._protocol.take_output)
        self._serving = trio.CancelScope()
        self._receiving = trio.CancelScope()
        self._nursery: trio.Nursery
        self.ended = trio.Event()
        self._log = ConnectionLog(peer_name(connected), reporter or Reporter(trio.current_time))
        self._executor = CommandExecutor(
            self._protocol,
            self._sender,
            device_server,
            pool.turns,
            self._nexus_of,
            self._start_soon,
            self._send,
            self._log.report,
            trio_clock().now,
            self._send_now,
        )
        self._loop = ReceiveLoop(connected, hub, self._protocol, self._sender, self._executor, pool.turns, self._tap, clock.now)
        self.tally = self._executor.tally
        self._protocol.on_wake = self._superseded
        self._protocol.on_output = self._has_output

    async def serve(self) -> None:
        """Run the connection. An error ends only this connection."""
        try:
            with self._serving:
                async with trio.open_nursery() as self._nursery:
                    self._nursery.start_soon(self._run_timers)
                    await self._receive_until_closed()
                    await self._finish()
                    self._nursery.cancel_scope.cancel()
        except Exception as error:
            self._log.failed(error)
        finally:
            self._end()
            self._take_apart()

    def _end(self) -> None:
        """Release all resources of the connection now.

        The objects of the connection refer to each other, so Python may free them much later.
        """
        self.tally.end()
        try:
            with ExitStack() as last_first:  # calls all of them, even if one fails
                last_first.callback(self.ended.set)
                if self._tap is not None:
                    last_first.callback(self._tap.closed)
                last_first.callback(self._socket.close)
                if self._memory is not None:
                    last_first.callback(self._memory.close)
                last_first.callback(self._loop.close)
                last_first.callback(self._sender.close)
                last_first.callback(self._protocol.take_output)
                last_first.callback(self._executor.close)
                self._protocol.on_wake = self._protocol.on_output = None
                self._protocol.connection_lost("cut by the array", self._now())
        except Exception as error:
            self._log.failed(error)

    def _take_apart(self) -> None:
        """Break the reference cycles between the connection's objects, so that no garbage collection is needed."""
        self._protocol.take_apart()
        self._executor.holder.take_apart()
        vars(self._executor).clear()
        vars(self._sender).clear()
        vars(self._loop).clear()

    @property
    def peer(self) -> str:
        """Address and port of the peer."""
        return self._log.peer

    @property
    def is_logged_in(self) -> bool:
        return self.session is not None

    @property
    def session(self) -> Session | None:
        """The session of this connection, or None if the connection has no session."""
        return None if self.ended.is_set() or self._protocol.closed else self._protocol.session

    async def stop(self) -> None:
        """Ask the initiator to log out, and wait until the connection has ended."""
        if not self.ended.is_set():
            self._protocol.request_logout(self._now())
            await self._send()
        await self.ended.wait()

    @property
    def digests(self) -> tuple[bool, bool]:
        """True for each digest of the connection, of headers and of data, that is in use."""
        return self._protocol.digests

    def filter_pdus(self, output: OutputFilter, received: InputFilter) -> None:
        """Pass all PDUs that are sent or received through two filters."""
        self._sender.take_output = partial(output, self._protocol.take_output)
        self._loop.filter_input(partial(received, self._protocol.receive))

    def note(self, text: str) -> None:
        """Write a line to the trace of the connection, if there is one."""
        if self._tap is not None:
            self._tap.noted(text)

    def start_soon(self, function: Callable[[], Awaitable[None]]) -> bool:
        """Start a task of the connection. Returns False if the connection has ended."""
        return self._start_soon(function)

    async def go_on(self) -> None:
        """Execute the commands of PDUs that a filter has passed on, and send the output."""
        if not self.ended.is_set() and not self._protocol.closed:
            self._executor.handle_events()
            await self._send()

    def end_after_output(self) -> None:
        """End the connection after the present output has been sent."""
        self._start_soon(self._send_and_cut)

    async def _send_and_cut(self) -> None:
        await self._send()
        self.cut()

    def cut(self) -> None:
        """End the connection without a logout.

        If `serve` has not been called yet, the connection ends when `serve` is called.
        """
        self._loop.stop()
        self._serving.cancel()

    async def _receive_until_closed(self) -> None:
        with self._receiving:
            try:
                await self._loop.run()
            except (OSError, PoolFailed) as error:
                self._lose_connection(error)

    def _lose_connection(self, error: OSError | PoolFailed) -> None:
        """Handle a failure of the socket or of the pool.

        After a failure of the pool, no connection may send a response, because recent changes may be lost.
        """
        self._protocol.connection_lost(f"{type(error).__name__}: {error}", self._now())
        if isinstance(error, PoolFailed):
            self._protocol.take_output()
            self._on_pool_failure(error)

    def _nexus_of(self, session: Session) -> Nexus:
        """Make the nexus of a new session, with the number by which the hub counts the commands of this connection."""
        nexus = self._directory.nexus_of(session)
        nexus.connection = self._socket.fileno()
        return nexus

    def _open_memory(self, session: Session) -> SessionShares:
        """Open the memory of a new session.

        If too many old sessions are still ending, this connection is cut, and the returned memory grants no claims.
        """
        memory = self._budget.open_session(session.target_name)
        if memory is None:
            self._log.report("warning", "too many sessions are ending, a new one is cut")
            self.cut()
            memory = self._budget.no_memory()
        self._memory = self._executor.memory = memory
        return memory

    def _start_soon(self, function: Callable[[*Ts], Awaitable[object]], *arguments: *Ts) -> bool:
        """Start a task of this connection. Return False if the connection does not accept tasks any more.

        Another connection may call this method after the nursery has closed and before `serve` returns.
        """
        try:
            self._hub.start_task(self._nursery, function, *arguments)
        except RuntimeError:
            return False
        return True

    def _has_output(self) -> None:
        """Send the R2T PDUs that became possible because memory was granted."""
        self._start_soon(self._send)

    def _peer_reads(self) -> None:
        """Note that the peer receives data. Even a slow peer is alive if it receives data."""
        self._protocol.peer_is_alive(self._now())

    def _superseded(self) -> None:
        """End this connection because another connection replaces it.

        The tasks of this connection end before the new connection continues.
        """
        self._executor.handle_events()
        self._executor.lose_nexus()  # because the end of the session may have to wait for a target reset
        self._receiving.cancel()

    async def _send(self) -> None:
        """Commit the open batch, and send the output of the protocol. If the socket cannot be written, the connection ends."""
        try:
            await self._sender.send()
        except (OSError, PoolFailed) as error:
            self._lose_connection(error)
        if self._protocol.closed:
            self._receiving.cancel()

    def _send_now(self) -> None:
        """Commit the open batch, and send the output as far as possible without waiting."""
        try:
            has_sent = self._sender.send_now()
        except Exception as error:
            if isinstance(error, PoolFailed):  # The pool reports it only once.
                self._on_pool_failure(error)
            self._loop.fail(error)
        else:
            if not has_sent:
                self._start_soon(self._send)

    async def _run_timers(self) -> None:
        while True:
            await self._sleep(TIMER_INTERVAL_S)
            deadline = self._protocol.next_timer()
            if deadline is not None and self._now() >= deadline:
                self._protocol.handle_timer(self._now())
                if self._protocol.closed:
                    self._receiving.cancel()
                else:
                    # A separate task sends. Otherwise, if the peer does not read, this timer would wait and could not end the
                    # connection.
                    self._start_soon(self._send)

    async def _finish(self) -> None:
        """Send the remaining output. End the running commands, because their nexus is lost."""
        self._log.closed(self._protocol.close_reason)
        self._executor.handle_events()
        while self._executor.is_resetting:
            await self._turns.next()
            self._executor.handle_events()
        self._executor.lose_nexus()
        with trio.move_on_after(LAST_WORDS_TIMEOUT_S), suppress(OSError):
            await self._send()
            self._socket.shutdown(socket.SHUT_WR)
            reason = self._protocol.close_reason
            if reason is not None and reason.code in ENDS_WITH_UNREAD_BYTES:
                await self._discard_received()

    async def _discard_received(self) -> None:
        """Discard received bytes until the peer has closed its side of the connection."""
        room = memoryview(bytearray(DISCARD_BYTES))
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            if not self._socket.recv_into(room):
                return
