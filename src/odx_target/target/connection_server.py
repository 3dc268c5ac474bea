"""One connection: a socket, the iSCSI protocol, and the device server between them.

A wake-up takes all that the socket has, lets the protocol cut every whole PDU out of it, executes every command that can
complete now, commits the store's open batch once, and sends all answers in one call. Only a command that must wait becomes
a task, in this connection's nursery; it has the same way out: commit, then send.
"""

import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVarTuple

import structlog
import trio

from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.outcome import Pending
from odx_target.scsi.task import Reply, Task
from odx_target.store.api import Pool, PoolFailed, Scarcity
from odx_target.target.directory import Directory
from odx_target.target.iscsi.connection import (
    CloseCode,
    CommandReady,
    Event,
    PduRejected,
    SessionClosed,
    SessionOpened,
    TargetConnection,
    TaskManagement,
)
from odx_target.target.iscsi.session import Session
from odx_target.target.receive_buffer import ReceiveBuffer
from odx_target.target.reporter import Reporter
from odx_target.target.send_queue import SendQueue
from odx_target.target.task_management import perform_task_management
from odx_target.target.trace.tap import Tap, tap_of
from odx_target.target.troubles import REFUSED_LOGIN

log = structlog.get_logger()

Ts = TypeVarTuple("Ts")

# The protocol's timers (login, ping) count in seconds; looking once a second is close enough.
TIMER_INTERVAL_S = 1.0
# So much read data leaves before the rest of the batch is executed: the initiator works on it meanwhile, and it is still in
# the processor's cache.
EARLY_SEND_BYTES = 1 << 18
# Read data that a peer has not taken, or that is on its way from a disk: past either, its commands wait. Two of the largest
# commands each, so that a peer that does not read costs no more than that, and one that does never notices.
MOST_UNSENT_BYTES = 32 << 20
MOST_READING_BYTES = 32 << 20
# What a connection says last is worth this much waiting for a peer that does not read.
LAST_WORDS_TIMEOUT_S = 1.0
# Ends at which the peer may still be sending. To close with its bytes unread would reset the connection, and some hosts then
# throw away the Reject or the login status before anybody has seen it.
ENDS_WITH_UNREAD_BYTES = {CloseCode.PROTOCOL_ERROR, CloseCode.HEADER_DIGEST, CloseCode.LOGIN_FAILED}
DISCARD_BYTES = 1 << 16
# Lines of the log for what the connections of one host do in a minute, of each kind; it may cause thousands a second.
MAX_LINES_OF_HOST = 20


class ConnectionServer:
    """Serves one connected socket until it closes. `ended` is set when nothing of it is left."""

    def __init__(
        self,
        connected: socket.socket,
        directory: Directory,
        device_server: DeviceServer,
        pool: Pool,
        on_pool_failure: Callable[[PoolFailed], None],
        tap: Tap | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        seen_directory = directory.seen_from(connected)  # raises OSError before anything else knows of the connection
        self._socket = connected
        self._directory = directory
        self._device_server = device_server
        self._pool = pool
        self._on_pool_failure = on_pool_failure
        self._received = ReceiveBuffer()
        self._tap = tap_of(tap, connected)
        self._to_send = SendQueue(connected, self._tap, self._peer_reads)
        self._protocol = TargetConnection(seen_directory, trio.current_time())
        self._nexus: Nexus | None = None
        self._unhandled: deque[Event] = deque()
        self._unsent_bytes = 0  # read data handed over since nothing was left to send
        self._reading_bytes = 0  # read data that tasks are getting
        self._has_room = trio.lowlevel.ParkingLot()
        self._has_turn = True  # one wake-up's worth of work without letting other connections run
        self._serving = trio.CancelScope()
        self._receiving = trio.CancelScope()
        self._nursery: trio.Nursery
        self.ended = trio.Event()
        self.peer = _peer_name(connected)
        self._reporter = reporter or Reporter(trio.current_time)
        self._protocol.on_wake = self._superseded

    async def serve(self) -> None:
        """Run the connection; whatever goes wrong ends it, and nothing else."""
        try:
            with self._serving:
                async with trio.open_nursery() as self._nursery:
                    self._nursery.start_soon(self._run_timers)
                    await self._receive_until_closed()
                    await self._finish()
                    self._nursery.cancel_scope.cancel()
        except Exception as error:
            log.error("a connection failed inside the array", peer=self.peer, error=repr(error), exc_info=error)
        finally:
            self._protocol.on_wake = None
            self._protocol.connection_lost("cut by the array", trio.current_time())
            self._lose_nexus()
            self._socket.close()
            if self._tap is not None:
                self._tap.closed()
            self.ended.set()

    @property
    def is_logged_in(self) -> bool:
        return self.session is not None

    @property
    def session(self) -> Session | None:
        """The session that is open through it."""
        return None if self._protocol.closed else self._protocol.session

    async def stop(self) -> None:
        """Ask the initiator to log out and wait until it has."""
        self._protocol.request_logout(trio.current_time())
        await self._send()
        await self.ended.wait()

    def cut(self) -> None:
        """End the connection without asking; one that is not served yet ends as soon as it is."""
        self._serving.cancel()

    async def _receive_until_closed(self) -> None:
        with self._receiving:
            try:
                while not self._protocol.closed:
                    await self._receive_once()
            except (OSError, PoolFailed) as error:
                self._lose_connection(error)

    def _lose_connection(self, error: OSError | PoolFailed) -> None:
        """The socket broke, or the pool: then what any connection has done since may be lost, and none may be answered."""
        self._protocol.connection_lost(f"{type(error).__name__}: {error}", trio.current_time())
        if isinstance(error, PoolFailed):
            self._protocol.take_output()
            self._on_pool_failure(error)

    async def _receive_once(self) -> None:
        try:
            size_bytes = self._socket.recv_into(self._received.free())
        except BlockingIOError:
            await trio.lowlevel.wait_readable(self._socket)
            self._has_turn = True
            return
        if not self._has_turn:
            await trio.lowlevel.checkpoint()
        self._has_turn = False
        if not size_bytes:
            self._protocol.connection_lost("the peer closed the connection", trio.current_time())
            return
        self._received.filled(size_bytes)
        view = self._received.view()
        consumed_bytes = self._protocol.receive(view, trio.current_time())
        if self._tap is not None:
            self._tap.received(view[:consumed_bytes])
        self._received.consumed(consumed_bytes)
        self._handle_events()
        await self._commit_and_send()
        while self._unhandled:
            while self._reading_bytes > MOST_READING_BYTES:
                await self._has_room.park()
            self._handle_events()
            await self._commit_and_send()

    async def _commit_and_send(self) -> None:
        try:
            self._pool.commit()
        except Scarcity:  # until it is done nothing may be answered
            await self._pool.committed()
        if not self._to_send.send_now(self._protocol.take_output()):
            await self._to_send.drain()
        self._unsent_bytes = 0

    def _handle_events(self) -> None:
        """Execute what the protocol has ready, unless the peer has too much to read already.

        The loop is per command, so commands come first. Handling an event may end this connection, and so call this again.
        """
        execute = self._device_server.execute
        send_reply = self._protocol.send_reply
        early_bytes = 0
        unhandled = self._unhandled
        unhandled.extend(self._protocol.take_events())
        while unhandled:
            event = unhandled.popleft()
            if type(event) is CommandReady:
                if event.aborted:
                    continue
                assert self._nexus is not None
                task, outcome = execute(
                    self._nexus, event.lun, event.cdb, event.data_out, event.attribute, event.initiator_task_tag
                )
                if type(outcome) is Reply:
                    send_reply(event, outcome.status, outcome.data_in, outcome.transfer_bytes, outcome.sense)
                    if outcome.data_in:
                        early_bytes += outcome.transfer_bytes
                        if early_bytes >= EARLY_SEND_BYTES:
                            if not self._send_early(early_bytes):
                                return
                            early_bytes = 0
                else:
                    assert not isinstance(outcome, Reply)
                    if not self._start_soon(self._complete, event, task, outcome):
                        outcome.abandon()
                        continue
                    self._reading_bytes += event.expected_data_transfer_length if event.reads else 0
                    if self._reading_bytes > MOST_READING_BYTES:
                        return
            else:
                self._handle_rare_event(event)

    def _send_early(self, size_bytes: int) -> bool:
        """Send what there is by now; False if it has become too much for the peer, or cannot be committed yet."""
        try:
            self._pool.commit()
        except Scarcity:
            return False
        self._unsent_bytes += size_bytes
        if self._to_send.send_now(self._protocol.take_output()):
            self._unsent_bytes = 0
        return self._unsent_bytes <= MOST_UNSENT_BYTES

    def _handle_rare_event(self, event: Event) -> None:
        if isinstance(event, SessionOpened):
            self._nexus = self._directory.nexus_of(event.session)
            self._nexus.end_undelivered = self._end_undelivered
            self._device_server.attach(self._nexus)
            self._report("info", "logged in", initiator=self._nexus.initiator_name)
        elif isinstance(event, TaskManagement):
            assert self._nexus is not None
            response = perform_task_management(self._device_server, self._nexus, event)
            self._protocol.send_task_management_response(event, response)
        elif isinstance(event, SessionClosed):
            self._lose_nexus()
        elif isinstance(event, PduRejected):
            self._report("warning", "PDU rejected", reason=event.reason.name, detail=event.detail)

    def _start_soon(self, function: Callable[[*Ts], Awaitable[object]], *arguments: *Ts) -> bool:
        """Begin a task of this connection, whatever happens to it afterwards; False if it is too late for that.

        Other connections call in here until `serve` has returned, and the nursery takes nothing more a little earlier.
        """
        try:
            self._nursery.start_soon(function, *arguments)
        except RuntimeError:
            return False
        return True

    async def _complete(self, command: CommandReady, task: Task | None, pending: Pending) -> None:
        try:
            reply = await pending.run()
            if task is not None and task.aborted:
                self._protocol.abandon(command)
            else:
                self._protocol.send_reply(command, reply.status, reply.data_in, reply.transfer_bytes, reply.sense)
            del reply
            await self._send()
        finally:
            self._reading_bytes -= command.expected_data_transfer_length if command.reads else 0
            self._has_room.unpark_all()

    def _end_undelivered(self, lun: int) -> bool:
        """Another nexus ends the tasks of a LUN: those whose data is still on its way as well."""
        ended = self._protocol.abort_collecting(lun)
        if ended:
            self._start_soon(self._send)
        return ended

    def _peer_reads(self) -> None:
        """A peer that takes what it is sent is alive, however slow it is."""
        self._protocol.data_taken(trio.current_time())

    def _superseded(self) -> None:
        """Another connection has ended this one; its tasks end before that one goes on."""
        self._handle_events()
        self._receiving.cancel()

    async def _send(self) -> None:
        """Commit, then send what the protocol has to say; a connection that cannot be written to ends."""
        try:
            await self._commit_and_send()
        except (OSError, PoolFailed) as error:
            self._lose_connection(error)
        if self._protocol.closed:
            self._receiving.cancel()

    async def _run_timers(self) -> None:
        while True:
            await trio.sleep(TIMER_INTERVAL_S)
            deadline = self._protocol.next_timer()
            if deadline is not None and trio.current_time() >= deadline:
                self._protocol.handle_timer(trio.current_time())
                if self._protocol.closed:
                    self._receiving.cancel()
                else:
                    # Not from here: a peer that does not read would hold up the timer that ends it.
                    self._start_soon(self._send)

    async def _finish(self) -> None:
        """Say what is left to say, and let commands under way see that their nexus is gone."""
        self._report_close()
        self._handle_events()
        self._lose_nexus()
        with trio.move_on_after(LAST_WORDS_TIMEOUT_S), suppress(OSError):
            await self._send()
            self._socket.shutdown(socket.SHUT_WR)
            reason = self._protocol.close_reason
            if reason is not None and reason.code in ENDS_WITH_UNREAD_BYTES:
                await self._discard_received()

    async def _discard_received(self) -> None:
        """Wait until the peer has closed its side."""
        room = memoryview(bytearray(DISCARD_BYTES))
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            if not self._socket.recv_into(room):
                return

    def _report(self, level: str, event: str, **fields: object) -> None:
        host = self.peer.rpartition(":")[0]
        self._reporter.report(level, event, cause=host, lines=MAX_LINES_OF_HOST, peer=self.peer, **fields)

    def _report_close(self) -> None:
        reason = self._protocol.close_reason
        is_refusal = reason is not None and reason.code is CloseCode.LOGIN_FAILED
        level, event = ("warning", REFUSED_LOGIN) if is_refusal else ("info", "connection closed")
        self._report(level, event, reason=str(reason))

    def _lose_nexus(self) -> None:
        if self._nexus is not None:
            self._device_server.detach(self._nexus)
            self._nexus = None


def _peer_name(connected: socket.socket) -> str:
    try:
        host, port = connected.getpeername()[:2]
    except OSError:
        return "unknown"
    return f"{host}:{port}"
