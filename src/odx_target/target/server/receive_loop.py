"""The part of a connection that receives bytes, executes their commands, and sends the responses.

Whenever the socket is readable, the hub calls `receive_now`. The loop then receives the bytes that the socket has, and the
protocol divides the bytes into PDUs. The loop executes all commands that can complete now. The hub then commits the open batch
of the store, and calls `send_now`, which sends all responses with one call. If the native module is in use, the hub calls
`native/passes/direct_member.c` instead, which does both with one call for usual reads, and calls this loop for all else.

If the socket does not accept all output, or if commands have to wait for a turn, the loop leaves the hub. The task of the
connection sends the output and executes these commands. After that, the hub serves the connection again.
"""

import socket
from collections.abc import Callable

import trio

from odx_target.iscsi.session.connection import TargetConnection
from odx_target.native.choice import NATIVE
from odx_target.store.api import PoolFailed
from odx_target.store.error_kinds import passes
from odx_target.target.server.command_executor import CommandExecutor
from odx_target.target.server.hub import Hub, Member
from odx_target.target.server.pdu_filters import Receive
from odx_target.target.server.receive_buffer import DISCOVERY_BUFFER_BYTES, RECEIVE_BUFFER_BYTES, ReceiveBuffer
from odx_target.target.server.response_sender import EARLY_SEND_BYTES, ResponseSender
from odx_target.target.trace.tap import ConnectionTap
from odx_target.turns import Turns

SCARCITY_PAUSE_S = 0.05
"""Pause before the next attempt to receive, if the kernel lacks memory."""


class ReceiveLoop:
    """Receives the bytes of one socket until the connection is closed. `clock` returns the present time in seconds."""

    def __init__(
        self,
        connected: socket.socket,
        hub: Hub,
        protocol: TargetConnection,
        sender: ResponseSender,
        executor: CommandExecutor,
        turns: Turns,
        tap: ConnectionTap | None,
        clock: Callable[[], float],
    ) -> None:
        self._socket = connected
        self._descriptor = connected.fileno()
        self._hub = hub
        self._protocol = protocol
        self._sender = sender
        self._executor = executor
        self._tally = executor.tally
        self._turns = turns
        self._tap = tap
        self._clock = clock
        self._receive: Receive = protocol.receive
        self._uses_lane = tap is None
        self._received = ReceiveBuffer()
        self._is_stopped = False
        self._is_paused = False  # True if received PDUs must wait until output has been sent
        self._error: Exception | None = None  # for the task of the connection
        self._has_left_hub = trio.Event()
        self._member = self._direct_member() or self

    def _direct_member(self) -> Member | None:
        """Return the object of the native module that does the work of this one for usual bytes. Return None if there is no
        such module, or if other code must see what is received or sent.
        """
        if NATIVE is None or self._tap is not None or type(self._socket) is not socket.socket:
            return None
        protocol, executor, sender = self._protocol, self._executor, self._sender
        return NATIVE.direct_member(
            self,
            self._received,
            protocol,
            protocol.timers,
            protocol.writer,
            executor,
            executor.unhandled,
            executor.tally,
            sender,
            sender.queue.unsent,
            sender.pool,
            self._clock,
            self._descriptor,
            DISCOVERY_BUFFER_BYTES,
            EARLY_SEND_BYTES,
        )

    async def run(self) -> None:
        """Receive until the connection is closed. Raises OSError, PoolFailed."""
        try:
            while not self._protocol.closed:
                try:
                    self._hub.add(self._descriptor, self._member)
                    await self._has_left_hub.wait()
                    self._has_left_hub = trio.Event()
                    await self._go_on()
                except OSError as error:
                    if not passes(error):
                        raise
                    await trio.sleep(SCARCITY_PAUSE_S)
        finally:
            self._hub.remove(self._descriptor)

    def filter_input(self, filtered: Receive) -> None:
        """Pass received bytes to another function than that of the protocol. All commands then go the general way."""
        self._receive, self._uses_lane = filtered, False

    def stop(self) -> None:
        """Receive nothing more, although the hub may still call `receive_now`."""
        self._is_stopped = True

    def close(self) -> None:
        """Release the memory of the received bytes."""
        self._received.close()

    def receive_now(self) -> bool:
        """Receive the bytes that the socket has, and execute their commands. The hub calls this method.

        Returns True if the hub must call `send_now`. Raises PoolFailed.
        """
        if self._is_stopped:
            return False
        try:
            room = self._received.free()
            if not len(room):  # An earlier attempt to enlarge the buffer has failed.
                self._enlarge()
                room = self._received.free()
            try:
                size_bytes = self._socket.recv_into(room)
            except BlockingIOError:
                return False
            if size_bytes:
                self._received.filled(size_bytes)
                self._begin_batch()
                self._is_paused = self._execute_received()
                return True
            self.peer_has_closed()
        except Exception as error:
            self.failed(error)
        return False

    def peer_has_closed(self) -> None:
        """Leave the hub, because the peer sends nothing more."""
        self._protocol.connection_lost("the peer closed the connection", trio.current_time())
        self._leave_hub()

    def execute_rest(self, start: int, end: int, unsent_bytes: int) -> None:
        """Execute the received bytes of the buffer from `start` to `end`, which the native module has left. They belong to the
        batch that it has begun. `unsent_bytes` is the size of the read data in the present output.
        """
        self._received.start, self._received.end = start, end
        self._is_paused = self._execute_received(unsent_bytes)

    def send_now(self) -> None:
        """Send the responses. The hub calls this method. If work remains, leave the hub. Raises PoolFailed."""
        try:
            if self._is_paused or not self._sender.send_now() or self._executor.has_unhandled or self._protocol.closed:
                self._leave_hub()
            else:
                self._end_batch()
        except Exception as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """End the connection because of an error. Raises PoolFailed, because it concerns all connections."""
        if isinstance(error, PoolFailed):
            raise error
        self.fail(error)

    def fail(self, error: Exception) -> None:
        """Leave the hub, and raise an error in the task of the connection."""
        self._error = error
        self._leave_hub()

    def _leave_hub(self) -> None:
        """Leave the hub, and wake the task of the connection."""
        self._hub.remove(self._descriptor)
        self._has_left_hub.set()

    async def _go_on(self) -> None:
        """Do the work because of which the connection has left the hub. Raises OSError, PoolFailed."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        while self._is_paused:
            await self._send_and_go_on()
            self._tally.end()
            await trio.lowlevel.checkpoint()
            self._begin_batch()
            self._is_paused = self._execute_received()
        await self._send_and_go_on()
        self._end_batch()

    async def _send_and_go_on(self) -> None:
        """Send the output, and then execute the commands that have waited. Continue until no command waits."""
        await self._sender.send()
        while self._executor.has_unhandled:
            await self._turns.next_if_spent()
            self._executor.handle_events()
            await self._sender.send()

    def _execute_received(self, unsent_bytes: int = 0) -> bool:
        """Execute the whole PDUs in the buffer. Return True if the remaining PDUs must wait until output has been sent.
        `unsent_bytes` is the size of the read data in the present output.
        """
        view, now_s = self._received.view(), self._tally.began_s
        lane = self._executor.lane
        if lane is not None and self._uses_lane:
            consumed_bytes = lane.run(view, unsent_bytes)
            if lane.is_paused or consumed_bytes == len(view):
                self._protocol.peer_is_alive(now_s)
                self._received.consumed(consumed_bytes)
                return lane.is_paused
            self._received.consumed(consumed_bytes)
            view = view[consumed_bytes:]
        self._executor.holder.before_general_way(view)
        consumed_bytes = self._receive(view, now_s)
        is_paused = self._protocol.is_paused_by_output
        if self._tap is not None:
            self._tap.received(view[:consumed_bytes])
        self._received.consumed(consumed_bytes)
        self._executor.handle_events()
        return is_paused

    def _begin_batch(self) -> None:
        self._tally.began_s = self._clock()

    def _end_batch(self) -> None:
        self._tally.end()
        if self._received.size_bytes < DISCOVERY_BUFFER_BYTES and self._protocol.session is not None:
            self._enlarge()

    def _enlarge(self) -> None:
        """Enlarge the buffer, because a session may send larger PDUs than a login. Raises OSError if there is no memory."""
        session = self._protocol.session
        self._received.grow(DISCOVERY_BUFFER_BYTES if session is None or session.is_discovery else RECEIVE_BUFFER_BYTES)
