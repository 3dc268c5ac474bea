"""A connection of a host to a recorded array: its bytes pass as inputs, and what the array sends is recorded and sent on."""

import socket
from collections import deque
from contextlib import suppress
from typing import Protocol

import trio

from odx_target.target.inputs.edge_socket import EdgeSocket
from odx_target.target.inputs.input_clock import InputClock
from odx_target.target.session_file.frames import FrameFlag, FrameKind
from odx_target.target.trace.tap import Address

MAX_INPUT_BYTES = 256 << 10
"""Maximum number of bytes of one input of a host. More bytes are several inputs."""

MAX_UNREAD_BYTES = 1 << 20
"""Number of delivered bytes that the array has not received yet, at which it takes no further input of this host. So a host
that sends more than the array receives has to wait, as it does without a recording."""

MAX_WAITING_OUTPUT_BYTES = 1 << 20
"""Number of unsent bytes of a connection at which the array takes no further input of this host."""

MAX_UNSENT_OUTPUT_BYTES = 256 << 20
"""Number of unsent bytes of a connection at which the connection is cut. The array hands over its answers at once, so that a
slow host does not change their order."""

LAST_OUTPUT_S = 1.0
"""Maximum time in which a host can receive the last output after the array has closed the connection."""


class Recorder(Protocol):
    """The part of a recorder that its connections use."""

    clock: InputClock

    def input(self, kind: FrameKind, connection: int, content: bytes, *, is_settled: bool) -> None:
        """Feed the clock, and record an input of a host."""

    def record(self, kind: FrameKind, connection: int, content: bytes = b"", flags: FrameFlag = FrameFlag.NONE) -> None:
        """Record a frame with the present times."""

    async def keep_up(self) -> None:
        """Wait until the file has taken most of the recorded bytes."""


class LiveConnection:
    """A connection of a host. `ended` is set when the real socket is no longer needed."""

    def __init__(self, number: int, connected: socket.socket, recorder: Recorder) -> None:
        self.number = number
        self.ended = trio.Event()
        self._real = connected
        self._recorder = recorder
        self._edge: EdgeSocket
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._is_last = self._is_shut_down = self._is_closed = False
        self._changed = trio.Event()
        self._has_room = trio.Event()
        self._was_read = trio.Event()
        self._sending = trio.CancelScope()

    def open(self, peer: Address, local: Address) -> EdgeSocket:
        """Return the socket that the array uses. Raises OSError."""
        self._edge = EdgeSocket(peer, local, self._sent, self._closed)
        self._edge.on_read = self._read
        return self._edge

    async def run(self) -> None:
        """Pass bytes in both directions until the array has closed its socket."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive)
            with self._sending:
                await self._send()
            nursery.cancel_scope.cancel()

    async def _receive(self) -> None:
        gate = self._recorder.clock.gate
        while True:
            await trio.lowlevel.wait_readable(self._real)
            while self._unsent_bytes > MAX_WAITING_OUTPUT_BYTES:
                self._has_room = trio.Event()
                await self._has_room.wait()
            while self._edge.unread_bytes > MAX_UNREAD_BYTES:
                self._was_read = trio.Event()
                await self._was_read.wait()
            await self._recorder.keep_up()
            async with gate.turn() as is_settled:
                if self._is_closed:
                    return
                try:
                    data = self._real.recv(MAX_INPUT_BYTES)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                kind = FrameKind.RECEIVED if data else FrameKind.PEER_CLOSED
                self._recorder.input(kind, self.number, data, is_settled=is_settled)
                if not data:
                    self._edge.end()
                    return
                self._edge.deliver(data)

    async def _send(self) -> None:
        while True:
            while self._unsent:
                try:
                    sent_bytes = self._real.send(self._unsent[0])
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._real)
                    continue
                except OSError:  # the peer has gone, which is found when its bytes are received
                    self._drop_all()
                    break
                self._drop(sent_bytes)
            if self._is_last and not self._is_shut_down:
                self._is_shut_down = True
                with suppress(OSError):
                    self._real.shutdown(socket.SHUT_WR)
            if self._is_closed:
                return
            self._changed = trio.Event()
            await self._changed.wait()

    def _sent(self, data: bytes, is_last: bool) -> None:
        if not self._is_closed:
            flags = FrameFlag.END_OF_OUTPUT if is_last else FrameFlag.NONE
            self._recorder.record(FrameKind.SENT, self.number, data, flags)
        self._is_last |= is_last
        if data and not self._is_last:
            self._unsent.append(memoryview(data))
            self._unsent_bytes += len(data)
        if self._unsent_bytes > MAX_UNSENT_OUTPUT_BYTES:
            self._drop_all()
            with suppress(OSError):
                self._real.shutdown(socket.SHUT_RDWR)
        self._changed.set()

    def _read(self) -> None:
        self._was_read.set()

    def _closed(self) -> None:
        self._recorder.record(FrameKind.CLOSED, self.number)
        self._is_closed = True
        self._sending.deadline = trio.current_time() + LAST_OUTPUT_S
        self._changed.set()

    def _drop(self, sent_bytes: int) -> None:
        self._unsent_bytes -= sent_bytes
        if sent_bytes == len(self._unsent[0]):
            self._unsent.popleft()
        else:
            self._unsent[0] = self._unsent[0][sent_bytes:]
        if self._unsent_bytes <= MAX_WAITING_OUTPUT_BYTES:
            self._has_room.set()

    def _drop_all(self) -> None:
        self._unsent.clear()
        self._unsent_bytes = 0
        self._has_room.set()
