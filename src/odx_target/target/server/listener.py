"""The portals of an array: listening sockets, and a server for each accepted connection."""

import socket
import time
from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

import trio

from odx_target.iscsi.session.session_registry import Session
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.store.api import Pool, PoolFailed
from odx_target.store.error_kinds import passes, reason
from odx_target.target.accepting_clients import ACCEPT_PAUSE_S
from odx_target.target.access.addresses import Addresses
from odx_target.target.access.targets import Target, TargetLimits
from odx_target.target.config.settings import Portal
from odx_target.target.file_descriptors import DEFAULT_SOCKETS, MIN_SOCKETS
from odx_target.target.inputs.edge import Edge
from odx_target.target.listening_sockets import Listening, close_sockets
from odx_target.target.pool_trouble_log import CANNOT_ACCEPT, CONNECTION_REFUSED
from odx_target.target.reporter import Reporter
from odx_target.target.server.batch_tally import BatchTally
from odx_target.target.server.connection_clock import ConnectionClock
from odx_target.target.server.connection_limit import ConnectionLimit
from odx_target.target.server.connection_server import ConnectionServer
from odx_target.target.server.hub import Hub
from odx_target.target.server.memory_division import MemoryBudget
from odx_target.target.server.target_directory import TargetDirectory
from odx_target.target.trace.tap import Tap


class ConnectedSession(NamedTuple):
    """A session, the address of its connection, and the tally of its commands."""

    peer: str
    session: Session
    tally: BatchTally


class Listener:
    """The portals of one array, and the connections through them."""

    def __init__(
        self,
        targets: Sequence[Target],
        addresses: Addresses,
        listening: Sequence[Listening],
        device_server: DeviceServer,
        pool: Pool,
        budget: MemoryBudget,
        tap: Tap | None = None,
        reporter: Reporter | None = None,
        max_sockets: int = DEFAULT_SOCKETS,
        *,
        polls: bool = True,
        connection_clock: ConnectionClock | None = None,
        edge: Edge | None = None,
        is_group_offline: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self.listening = tuple(listening)
        self._edge = edge
        self._device_server = device_server
        self._pool = pool
        self._budget = budget
        clock = trio.lowlevel.current_clock().current_time
        self._hub = Hub(pool, self.pool_failed, clock, polls=polls, polling_clock=time.perf_counter)
        pool.turns.serve_hosts = self._hub.serve_now
        self._tap = tap
        self._connection_clock = connection_clock
        self._reporter = reporter or Reporter(trio.current_time)
        self._directory = TargetDirectory(targets, addresses=addresses, is_group_offline=is_group_offline)
        self.login_watch = self._directory.login_watch
        self.on_connected: Callable[[], None] | None = None
        """Function that is called after each accepted connection."""
        self._connections: dict[ConnectionServer, None] = {}  # the oldest first
        self._limit = ConnectionLimit(self._connections, max_sockets, self._reporter)
        self._nursery: trio.Nursery
        self._accepting: dict[Listening, trio.CancelScope] = {}
        self._is_stopping = False
        self._accepted_last = trio.Event()

    @property
    def portals(self) -> tuple[Portal, ...]:
        """The addresses at which the array listens, in the order of its settings."""
        return tuple(each.address for each in self.listening)

    def start(self, nursery: trio.Nursery) -> None:
        """Accept connections in the nursery. After this call, the listener owns the listening sockets and closes them."""
        self._nursery = nursery
        nursery.start_soon(self._hub.run)
        for listening in self.listening:
            self._begin_to_accept(listening)

    def set_polling(self, *, polls: bool) -> None:
        """Poll the sockets of hosts before each wait from now on, or no longer."""
        self._hub.set_polling(polls=polls)

    @property
    def max_portals(self) -> int:
        """The largest number of portals. Each new portal takes the file descriptor of a connection."""
        return len(self.listening) + max(0, self._limit.max_sockets - MIN_SOCKETS)

    def listen_at(self, listening: Sequence[Listening]) -> None:
        """Accept connections at these sockets, and close all other listening sockets. Connections that are open continue.

        After this call, the listener owns the sockets. Does nothing but close new sockets if the array is being stopped.
        """
        before, self.listening = self.listening, tuple(listening)
        self._limit.max_sockets += len(before) - len(self.listening)
        for each in set(before).difference(self.listening):
            self._accepting[each].cancel()
        new = [each for each in self.listening if each not in before]
        if self._is_stopping:
            close_sockets(new)
            return
        for each in new:
            self._begin_to_accept(each)

    async def stop(self, timeout_s: float) -> None:
        """Stop accepting connections, and ask the initiators to log out. Cut connections that remain after `timeout_s`."""
        self.stop_accepting()
        if self._accepting:
            await self._accepted_last.wait()
        with trio.move_on_after(timeout_s):
            async with trio.open_nursery() as nursery:
                for connection in list(self._connections):
                    nursery.start_soon(connection.stop)
        for connection in list(self._connections):
            connection.cut()
            await connection.ended.wait()
        await self._hub.stop()

    def _begin_to_accept(self, listening: Listening) -> None:
        scope = self._accepting[listening] = trio.CancelScope()
        self._nursery.start_soon(self._accept_at, listening, scope)

    async def _accept_at(self, listening: Listening, scope: trio.CancelScope) -> None:
        """Accept connections at a socket until `scope` is cancelled. Then close the socket."""
        try:
            with scope:
                await self._accept(listening)
        finally:
            del self._accepting[listening]
            listening.socket.close()
            if self._is_stopping and not self._accepting:
                self._accepted_last.set()

    async def _accept(self, listening: Listening) -> None:
        while True:
            await trio.lowlevel.wait_readable(listening.socket)
            try:
                connected, _ = listening.socket.accept()
            except BlockingIOError:
                continue
            except ConnectionAbortedError:  # the peer has already closed the connection
                continue
            except OSError as error:
                if passes(error):
                    self._limit.cut_oldest_login()
                self._reporter.report("warning", CANNOT_ACCEPT, error=reason(error))
                await trio.sleep(ACCEPT_PAUSE_S)
                continue
            if self._edge is None:
                self.admit(connected, listening.address)
            else:
                self._edge.accepted(connected, listening.address, self.admit)

    def admit(self, connected: socket.socket, accepted_at: Portal) -> None:
        """Serve a connected socket. It is closed at once if there are too many connections, or if the peer has closed it."""
        if not self._limit.make_room():
            self._reporter.report("warning", CONNECTION_REFUSED, limit=self._limit.max_sockets)
            connected.close()
            return
        try:
            server = ConnectionServer(
                connected,
                self._directory,
                accepted_at,
                self._device_server,
                self._pool,
                self._budget,
                self._hub,
                self.pool_failed,
                self._tap,
                self._reporter,
                self._connection_clock,
            )
        except OSError:  # the peer has already closed the connection
            connected.close()
            return
        except BaseException:
            connected.close()
            raise
        self._connections[server] = None
        if self.on_connected is not None:
            self.on_connected()
        self._nursery.start_soon(self._serve, server)

    def sessions(self) -> list[ConnectedSession]:
        """Return the open sessions, oldest first."""
        found = [(connection.peer, connection.session, connection.tally) for connection in self._connections]
        return [ConnectedSession(peer, session, tally) for peer, session, tally in found if session is not None]

    def set_limits(self, limits: TargetLimits) -> None:
        """Set the limits of targets. Open sessions continue, and keep their command windows."""
        self._directory.sessions.target_limits = limits.sessions
        self._directory.sessions.command_windows = limits.commands
        self._budget.limit_groups(limits.memory_percent)

    def cut_sessions(self, initiator_name: str, target_name: str) -> None:
        """End the sessions of an initiator with a target."""
        for connection in list(self._connections):
            session = connection.session
            if session is not None and (session.initiator_name, session.target_name) == (initiator_name, target_name):
                connection.cut()

    def cut_port_group(self, number: int) -> None:
        """End the sessions through the ports of a target port group."""
        for connection in list(self._connections):
            session = connection.session
            if session is not None and self._directory.port_group_of(session.target_name, session.port) == number:
                connection.cut()

    def cut_at(self, portals: Container[Portal]) -> None:
        """End all connections that came in through these portals, which are given by their actual addresses."""
        for connection in list(self._connections):
            if connection.accepted_at in portals:
                connection.cut()

    def connections(self) -> Iterable[ConnectionServer]:
        """Return all connections, the oldest first."""
        return tuple(self._connections)

    def connection_of(self, nexus: Nexus) -> ConnectionServer | None:
        """Return the connection of a nexus. Return None if it has ended."""
        for connection in self._connections:
            session = connection.session
            if session is None or session.is_discovery:
                continue
            if (session.initiator_port_name, session.target_port_name) == (nexus.initiator_port_name, nexus.target_port.name):
                return connection
        return None

    def stop_accepting(self) -> None:
        """Accept no more connections. The sockets of the portals are closed in the next turn of the event loop."""
        self._is_stopping = True
        for scope in self._accepting.values():
            scope.cancel()

    def cut_all(self) -> None:
        """End all connections without a logout."""
        for connection in list(self._connections):
            connection.cut()

    def pool_failed(self, error: PoolFailed) -> None:
        """Close all connections, because each connection may have made changes that are now lost.

        Hosts log in again after their connections have been closed.
        """
        self._reporter.report("error", "the pool has failed, every connection is closed", error=str(error))
        self.cut_all()

    async def _serve(self, server: ConnectionServer) -> None:
        try:
            await server.serve()
        finally:
            self._connections.pop(server, None)
