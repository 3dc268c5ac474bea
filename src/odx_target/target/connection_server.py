"""One connection: a socket, the iSCSI protocol, and the device server between them.

A wake-up takes all that the socket has, lets the protocol cut every whole PDU out of it, executes every command that can
complete now, commits the store's open batch once, and sends all answers in one call. Only a command that must wait becomes
a task, in this connection's nursery; it has the same way out: commit, then send.
"""

import socket
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import structlog
import trio

from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.task import Reply, Task
from odx_target.store.api import Pool, PoolFailed
from odx_target.target.directory import Directory
from odx_target.target.iscsi.connection import (
    CommandReady,
    Event,
    PduRejected,
    SessionClosed,
    SessionOpened,
    TargetConnection,
    TaskManagement,
)
from odx_target.target.receive_buffer import ReceiveBuffer
from odx_target.target.send_queue import SendQueue
from odx_target.target.task_management import perform_task_management
from odx_target.target.trace.tap import Tap, tap_of

log = structlog.get_logger()

# The protocol's timers (login, ping) count in seconds; looking once a second is close enough.
TIMER_INTERVAL_S = 1.0
# So much read data leaves before the rest of the batch is executed: the initiator works on it meanwhile, and it is still in
# the processor's cache.
EARLY_SEND_BYTES = 1 << 18
# What a connection says last is worth this much waiting for a peer that does not read.
LAST_WORDS_TIMEOUT_S = 1.0


class ConnectionServer:
    """Serves one connected socket until it closes. `ended` is set when nothing of it is left."""

    def __init__(
        self, connected: socket.socket, directory: Directory, device_server: DeviceServer, pool: Pool, tap: Tap | None = None
    ) -> None:
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._directory = directory
        self._device_server = device_server
        self._pool = pool
        self._received = ReceiveBuffer()
        self._tap = tap_of(tap, connected)
        self._to_send = SendQueue(connected, self._tap)
        self._protocol = TargetConnection(directory, trio.current_time())
        self._nexus: Nexus | None = None
        self._has_turn = True  # one wake-up's worth of work without letting other connections run
        self._receiving = trio.CancelScope()
        self._nursery: trio.Nursery
        self.ended = trio.Event()
        self.peer = _peer_name(connected)
        self._protocol.on_wake = self._superseded

    async def serve(self) -> None:
        """Run the connection; whatever goes wrong ends it, and nothing else."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._run_timers)
                await self._receive_until_closed()
                await self._finish()
                self._nursery.cancel_scope.cancel()
        except Exception as error:
            log.error("a connection failed inside the array", peer=self.peer, error=repr(error), exc_info=error)
        finally:
            self._lose_nexus()
            self._socket.close()
            if self._tap is not None:
                self._tap.closed()
            self.ended.set()

    async def stop(self) -> None:
        """Ask the initiator to log out and wait until it has."""
        self._protocol.request_logout(trio.current_time())
        await self._send()
        await self.ended.wait()

    def cut(self) -> None:
        """End the connection without asking."""
        self._nursery.cancel_scope.cancel()

    async def _receive_until_closed(self) -> None:
        with self._receiving:
            try:
                while not self._protocol.closed:
                    await self._receive_once()
            except (OSError, PoolFailed) as error:
                self._protocol.connection_lost(f"{type(error).__name__}: {error}", trio.current_time())

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
        self._pool.commit()
        if not self._to_send.send_now(self._protocol.take_output()):
            await self._to_send.drain()

    def _handle_events(self) -> None:
        """Execute what the protocol has ready; the loop is per command, so commands come first."""
        execute = self._device_server.execute
        send_reply = self._protocol.send_reply
        unsent_bytes = 0
        for event in self._protocol.take_events():
            if type(event) is CommandReady:
                assert self._nexus is not None
                task, outcome = execute(
                    self._nexus, event.lun, event.cdb, event.data_out, event.attribute, event.initiator_task_tag
                )
                if type(outcome) is Reply:
                    send_reply(event, outcome.status, outcome.data_in, outcome.transfer_bytes, outcome.sense)
                    if outcome.data_in:
                        unsent_bytes += outcome.transfer_bytes
                        if unsent_bytes >= EARLY_SEND_BYTES:
                            unsent_bytes = 0
                            self._pool.commit()
                            self._to_send.send_now(self._protocol.take_output())
                else:
                    assert not isinstance(outcome, Reply)
                    self._nursery.start_soon(self._complete, event, task, outcome)
            else:
                self._handle_rare_event(event)

    def _handle_rare_event(self, event: Event) -> None:
        if isinstance(event, SessionOpened):
            self._nexus = self._directory.nexus_of(event.session)
            self._device_server.attach(self._nexus)
            log.info("logged in", peer=self.peer, initiator=self._nexus.initiator_name)
        elif isinstance(event, TaskManagement):
            assert self._nexus is not None
            response = perform_task_management(self._device_server, self._nexus, event)
            self._protocol.send_task_management_response(event, response)
        elif isinstance(event, SessionClosed):
            self._lose_nexus()
        elif isinstance(event, PduRejected):
            log.warning("PDU rejected", peer=self.peer, reason=event.reason.name, detail=event.detail)

    async def _complete(self, command: CommandReady, task: Task | None, outcome: Coroutine[Any, Any, Reply]) -> None:
        reply = await outcome
        if task is not None and task.aborted:
            self._protocol.abandon(command)
        else:
            self._protocol.send_reply(command, reply.status, reply.data_in, reply.transfer_bytes, reply.sense)
        await self._send()

    def _superseded(self) -> None:
        """Another connection has ended this one; its tasks end before that one goes on."""
        self._handle_events()
        self._receiving.cancel()

    async def _send(self) -> None:
        """Commit, then send what the protocol has to say; a connection that cannot be written to ends."""
        try:
            self._pool.commit()
            if not self._to_send.send_now(self._protocol.take_output()):
                await self._to_send.drain()
        except (OSError, PoolFailed) as error:
            self._protocol.connection_lost(f"{type(error).__name__}: {error}", trio.current_time())
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
                    await self._send()

    async def _finish(self) -> None:
        """Say what is left to say, and let commands under way see that their nexus is gone."""
        log.info("connection closed", peer=self.peer, reason=str(self._protocol.close_reason))
        self._handle_events()
        self._lose_nexus()
        with trio.move_on_after(LAST_WORDS_TIMEOUT_S):
            await self._send()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

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
