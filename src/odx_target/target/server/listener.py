"""The portals of an array: listening sockets, and a server for each accepted connection."""

import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import trio

from odx_target.iscsi.host_names import look_up_error
from odx_target.iscsi.session.session_registry import Session
from odx_target.scsi.device_server import DeviceServer
from odx_target.store.api import Pool, PoolFailed
from odx_target.store.error_kinds import passes, reason
from odx_target.target.accepting_clients import ACCEPT_PAUSE_S
from odx_target.target.access.addresses import Addresses
from odx_target.target.access.targets import Target
from odx_target.target.config.settings import Portal
from odx_target.target.file_descriptors import DEFAULT_SOCKETS
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

LISTEN_BACKLOG = 64


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
        sockets: Sequence[socket.socket],
        device_server: DeviceServer,
        pool: Pool,
        budget: MemoryBudget,
        tap: Tap | None = None,
        reporter: Reporter | None = None,
        max_sockets: int = DEFAULT_SOCKETS,
        *,
        polls: bool = True,
        connection_clock: ConnectionClock | None = None,
    ) -> None:
        self._sockets = sockets
        self._device_server = device_server
        self._pool = pool
        self._budget = budget
        self._hub = Hub(pool, self.pool_failed, trio.lowlevel.current_clock().current_time, polls=polls)
        self._tap = tap
        self._connection_clock = connection_clock
        self._reporter = reporter or Reporter(trio.current_time)
        self._directory = TargetDirectory(targets, addresses=addresses)
        self._connections: dict[ConnectionServer, None] = {}  # the oldest first
        self._limit = ConnectionLimit(self._connections, max_sockets, self._reporter)
        self._accepting = trio.CancelScope()
        self._accepted_last = trio.Event()
        self.portals = tuple(address_of(listening) for listening in sockets)

    def start(self, nursery: trio.Nursery) -> None:
        """Accept connections in the nursery. After this call, the listener owns the listening sockets and closes them."""
        nursery.start_soon(self._hub.run)
        nursery.start_soon(self._accept_all, nursery)

    async def stop(self, timeout_s: float) -> None:
        """Stop accepting connections, and ask the initiators to log out. Cut connections that remain after `timeout_s`."""
        self._accepting.cancel()
        await self._accepted_last.wait()
        with trio.move_on_after(timeout_s):
            async with trio.open_nursery() as nursery:
                for connection in list(self._connections):
                    nursery.start_soon(connection.stop)
        for connection in list(self._connections):
            connection.cut()
            await connection.ended.wait()
        await self._hub.stop()

    async def _accept_all(self, connection_nursery: trio.Nursery) -> None:
        try:
            with self._accepting:
                async with trio.open_nursery() as nursery:
                    for listening in self._sockets:
                        nursery.start_soon(self._accept, listening, connection_nursery)
        finally:
            close_sockets(self._sockets)
            self._accepted_last.set()

    async def _accept(self, listening: socket.socket, connection_nursery: trio.Nursery) -> None:
        portal = address_of(listening)
        while True:
            await trio.lowlevel.wait_readable(listening)
            try:
                connected, _ = listening.accept()
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
            if not self._limit.make_room():
                self._reporter.report("warning", CONNECTION_REFUSED, limit=self._limit.max_sockets)
                connected.close()
                continue
            try:
                server = ConnectionServer(
                    connected,
                    self._directory,
                    portal,
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
                continue
            except BaseException:
                connected.close()
                raise
            self._connections[server] = None
            connection_nursery.start_soon(self._serve, server)

    def sessions(self) -> list[ConnectedSession]:
        """Return the open sessions, oldest first."""
        found = [(connection.peer, connection.session, connection.tally) for connection in self._connections]
        return [ConnectedSession(peer, session, tally) for peer, session, tally in found if session is not None]

    def limit_sessions(self, limits: Mapping[str, int]) -> None:
        """Set the maximum number of sessions of targets, by the name of the target. Open sessions continue."""
        self._directory.sessions.target_limits = limits

    def cut_sessions(self, initiator_name: str, target_name: str) -> None:
        """End the sessions of an initiator with a target."""
        for connection in list(self._connections):
            session = connection.session
            if session is not None and (session.initiator_name, session.target_name) == (initiator_name, target_name):
                connection.cut()

    def pool_failed(self, error: PoolFailed) -> None:
        """Close all connections, because each connection may have made changes that are now lost.

        Hosts log in again after their connections have been closed.
        """
        self._reporter.report("error", "the pool has failed, every connection is closed", error=str(error))
        for connection in list(self._connections):
            connection.cut()

    async def _serve(self, server: ConnectionServer) -> None:
        try:
            await server.serve()
        finally:
            self._connections.pop(server, None)


async def bind_portals(portals: Sequence[Portal]) -> list[socket.socket]:
    """Return listening sockets for all portals. The caller must close the sockets.

    Raises OSError if a portal cannot be bound. The message names the portal.
    """
    sockets: list[socket.socket] = []
    try:
        for portal in portals:
            sockets.append(await _bind(portal))
    except BaseException:
        close_sockets(sockets)
        raise
    return sockets


def address_of(listening: socket.socket) -> Portal:
    """Return the address at which a socket listens, with its actual port number."""
    return Portal(*listening.getsockname()[:2])


def close_sockets(sockets: Sequence[socket.socket]) -> None:
    for listening in sockets:
        listening.close()


async def _bind(portal: Portal) -> socket.socket:
    try:
        found = await _addresses_of(portal)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(LISTEN_BACKLOG)
        except BaseException:
            listening.close()
            raise
    except OSError as error:
        raise OSError(error.errno, f"cannot listen there: {error.strerror or error}", str(portal)) from error
    return listening


async def _addresses_of(portal: Portal) -> list[Any]:
    """Return the addresses of a portal, best first. Raises OSError if the name of the portal cannot be resolved."""
    try:
        return list(await trio.socket.getaddrinfo(portal.host, portal.port, type=socket.SOCK_STREAM))
    except UnicodeError as error:
        raise look_up_error(portal.host, error) from error
