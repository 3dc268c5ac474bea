"""Two arrays that get the same bytes: one uses the short lane, and all commands of the other array go the general way."""

import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import trio
from trio.testing import wait_all_tasks_blocked

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.framing import FrameReader
from odx_target.store.api import BLOCK_BYTES
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.server.connection_server import ConnectionServer
from odx_target.target.server.send_queue import SendQueue
from tests.target.raw_peer import KEYS, RawPeer, logged_in
from tests.target.running import running

CAPACITY_BYTES = 256 << 10
CONFIG = Config(luns=(LunConfig("first", CAPACITY_BYTES), LunConfig("second", CAPACITY_BYTES, 4096)))


class KeptOutput(SendQueue):
    """A send queue that keeps all bytes. The peer receives nothing.

    If `accepts` is False, the bytes are unsent until `drain` is called.
    """

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self.accepts = True
        self._kept = bytearray()
        self.has_output = trio.Event()

    def send_now(self, buffers: Sequence[Buffer]) -> bool:
        for buffer in buffers:
            self._kept += buffer
            self.has_output.set()
        if self.accepts:
            self._small_bytes = 0
        return self.accepts

    async def drain(self) -> None:
        self._small_bytes = 0

    def take(self) -> bytes:
        kept, self._kept = bytes(self._kept), bytearray()
        self.has_output = trio.Event()
        return kept


class Side:
    """An array with one session, which gets bytes without a socket, or through its socket if `has_socket` is True."""

    def __init__(self, array: Array, peer: RawPeer, *, with_lane: bool, has_socket: bool = False) -> None:
        self.array = array
        self.peer = peer
        (self.server,) = array._listener._connections
        self.executor = self.server._executor
        assert self.executor.lane is not None
        self.lane = self.executor.lane
        if not with_lane:
            self.executor.lane = None
        self.output = KeptOutput(self.server._sender.queue._socket)
        if not has_socket:
            self.server._sender.queue = self.output

    def put(self, received: bytes) -> None:
        """Execute bytes as the hub does after it has received them at once."""
        loop = self.server._loop
        loop._received.free()[: len(received)] = received
        loop._received.filled(len(received))
        loop._begin_batch()
        loop._is_paused = loop._execute_received()
        self.array.pool.commit()
        loop.send_now()

    async def feed(self, *parts: bytes, waits: bool = False) -> list[tuple[bytes, bytes]]:
        """Execute some bytes, part by part. Return the header and the data of each PDU that answers them.

        `waits` is True if the answer needs work in a thread. This method does not wait for the answer to a command that itself
        waits for a missing CmdSN.
        """
        for part in parts:
            self.put(part)
        if waits and not self.lane._state.window.held:
            await self.output.has_output.wait()
        await wait_all_tasks_blocked()
        return pdus(self.output.take(), self.peer)

    async def exchange(self, *parts: bytes, waits: bool = False) -> list[tuple[bytes, bytes]]:
        """Do the same as `feed` through the socket, so that the hub serves the connection."""
        received = b""
        for part in filter(None, parts):
            with suppress(trio.BrokenResourceError):  # The array has closed the connection.
                await self.peer.stream.send_all(part)
            received += await self._arrived()
        if waits and not received and not self.lane._state.window.held:
            await trio.lowlevel.wait_readable(self.peer.stream.socket)
            received += await self._arrived()
        return pdus(received, self.peer)

    async def _arrived(self) -> bytes:
        """Return all bytes that the array sends until it waits."""
        found = b""
        while True:
            await wait_all_tasks_blocked()
            try:
                more = os.read(self.peer.stream.socket.fileno(), 1 << 20)
            except BlockingIOError:
                return found
            if not more:
                return found
            found += more

    @property
    def is_closed(self) -> bool:
        """True if the array has ended the connection."""
        return self.server.session is None

    @property
    def content(self) -> list[bytes]:
        """The content of all volumes."""
        blocks = CAPACITY_BYTES // BLOCK_BYTES
        return [b"".join(volume.read_now(0, blocks) or ()) for volume in self.array.pool.volumes.values()]

    @property
    def counted(self) -> tuple[list[int], list[int]]:
        """The commands and bytes that were counted, by kind of command."""
        self.server.tally.end()
        return self.server.tally.commands, self.server.tally.size_bytes


def pdus(output: bytes, peer: RawPeer) -> list[tuple[bytes, bytes]]:
    """Return the header and the data of each PDU, and check the digests that a peer uses."""
    view, at, reader = memoryview(output), 0, FrameReader((1 << 24) - 1)
    reader.header_digest, reader.data_digest = peer.reader.header_digest, peer.reader.data_digest
    found = []
    while at < len(view):
        frame = reader.cut(view, at)
        assert frame is not None
        assert frame[3]
        found.append((bytes(view[at : at + 48]), bytes(frame[2])))
        at = frame[0]
    return found


def server_of(array: Array) -> ConnectionServer:
    (server,) = array._listener._connections
    return server


@asynccontextmanager
async def side(
    *, with_lane: bool = True, has_socket: bool = False, config: Config = CONFIG, keys: Mapping[str, str] = KEYS
) -> AsyncIterator[Side]:
    async with running(config) as array, logged_in(array, keys=keys) as peer:
        await peer.settle(1)
        await wait_all_tasks_blocked()
        yield Side(array, peer, with_lane=with_lane, has_socket=has_socket)


@asynccontextmanager
async def sides(keys: Mapping[str, str] = KEYS, *, has_socket: bool = False) -> AsyncIterator[tuple[Side, Side]]:
    """Run both arrays. If `has_socket` is True, the one with the short lane gets its bytes through its socket."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(side(with_lane=True, has_socket=has_socket, keys=keys)),
            await stack.enter_async_context(side(with_lane=False, keys=keys)),
        )
