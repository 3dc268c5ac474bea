"""Takes the inputs of an array from its hosts, one at a time, and records them together with all outputs."""

import platform
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import trio

from odx_target import __version__
from odx_target.environment import Buffer
from odx_target.native.choice import NATIVE
from odx_target.target.access.targets import target_configs
from odx_target.target.config.settings import Portal
from odx_target.target.inputs.edge import Admit, ServedArray
from odx_target.target.inputs.input_clock import InputClock
from odx_target.target.inputs.live_connection import LiveConnection
from odx_target.target.inputs.seeded_entropy import SEED_BYTES, SeededEntropy
from odx_target.target.inputs.task_order import ordered_tasks
from odx_target.target.listening_sockets import Listening, bind_portals
from odx_target.target.schedules.commands import ProcessCommands
from odx_target.target.session_file.frame_writer import FrameWriter
from odx_target.target.session_file.frames import NO_CONNECTION, Frame, FrameFlag, FrameKind, document
from odx_target.target.session_file.settings_codec import encode_settings, without_commands

CLOCK_INTERVAL_S = 0.02
"""Interval at which a recorder looks if a timer of the array is due. Timers of a recorded array may be late by this time."""

MAX_QUEUED_BYTES = 8 << 20
"""Amount of recorded bytes that may wait for the file. While more bytes wait, the array takes no inputs."""

FINISH_TIMEOUT_S = 1.0
"""Maximum time in which hosts can receive the last output of an array that stops."""


def is_new_pool(pool_dir: Path | None) -> bool:
    """True if a pool will be made: in memory, or in a directory that is empty or does not exist."""
    if pool_dir is None:
        return True
    try:
        return not any(pool_dir.iterdir())
    except FileNotFoundError:
        return True
    except OSError:  # opening the pool will explain it
        return False


@contextmanager
def opened_recorder(path: Path, clock: InputClock, max_bytes: int, *, is_new_pool: bool) -> Iterator["SessionRecorder"]:
    """Record the session of an array to a file while the body runs. Raises OSError if the file cannot be opened.

    `is_new_pool` is True if the pool was empty at first.
    """
    writer = FrameWriter(path, max_bytes)
    try:
        with ordered_tasks():
            yield SessionRecorder(clock, writer, SeededEntropy(secrets.token_bytes(SEED_BYTES)), is_new_pool=is_new_pool)
    finally:
        writer.close()


class SessionRecorder:
    """An edge that takes inputs from hosts and operators and writes them to a file.

    `entropy` is the source of random bytes of the array. `is_new_pool` is True if the pool was empty at first. The owner closes
    the writer after the array has stopped.
    """

    def __init__(self, clock: InputClock, writer: FrameWriter, entropy: SeededEntropy, *, is_new_pool: bool) -> None:
        self.clock = clock
        self.entropy = entropy
        self.commands = ProcessCommands()
        self._writer = writer
        self._is_new_pool = is_new_pool
        self._has_started = False
        self._numbers = count(NO_CONNECTION + 1)
        self._connections: set[LiveConnection] = set()
        self._nursery: trio.Nursery
        clock.on_time = self._time_passed
        writer.on_end = self._end

    async def bind(self, portals: Sequence[Portal], former: Sequence[Portal] = ()) -> list[Listening]:
        """Return listening sockets for all portals, see `bind_portals`. Raises OSError."""
        return await bind_portals(portals, former)

    def started(self, array: ServedArray, nursery: trio.Nursery) -> None:
        """Record the settings of the array, and begin to take inputs."""
        self._nursery = nursery
        kind = FrameKind.STARTED if self._has_started else FrameKind.SETTINGS
        self._has_started = True
        self.record(kind, content=document(self._description(array)))
        nursery.start_soon(self._feed_clock)

    def accepted(self, connected: socket.socket, accepted_at: Portal, admit: Admit) -> None:
        """Serve a connection. Its bytes pass as inputs."""
        self._nursery.start_soon(self._serve, connected, accepted_at, admit)

    async def operation(self, name: str, given: Mapping[str, object]) -> None:
        """Record an operation. Programs that it names are not recorded."""
        if self._writer.is_on:
            fields = given.get("fields")
            kept = {**given, "fields": without_commands(fields)} if isinstance(fields, Mapping) else given
            await self._input(FrameKind.OPERATION, {"operation": name, "arguments": without_commands(kept)})

    async def content(self, values: Mapping[str, object], data: Buffer) -> None:
        """Record a change of the content of a LUN."""
        if self._writer.is_on:
            await self._input(FrameKind.CONTENT, values, data)

    async def stopping(self) -> None:
        """Record that the array stops, to start again."""
        await self._input(FrameKind.STOPPING, {})

    async def stopped(self) -> None:
        """Wait for the last output, but not for long."""
        with trio.move_on_after(FINISH_TIMEOUT_S):
            for connection in list(self._connections):
                await connection.ended.wait()

    def note(self, text: str) -> None:
        """Record a text about the session."""
        self.record(FrameKind.NOTE, content=document({"text": text}))

    def record(
        self,
        kind: FrameKind,
        connection: int = NO_CONNECTION,
        content: bytes = b"",
        flags: FrameFlag = FrameFlag.NONE,
    ) -> None:
        """Record a frame with the present times."""
        times = self.clock.array.shift_s, self.clock.connections.shift_s
        self._writer.write(Frame(kind, connection, *times, content, flags))

    def input(self, kind: FrameKind, connection: int, content: bytes, *, is_settled: bool) -> None:
        """Feed the clock, and record an input of a host."""
        self.clock.feed()
        self.record(kind, connection, content, FrameFlag.NONE if is_settled else FrameFlag.BUSY)

    async def keep_up(self) -> None:
        """Wait until the file has taken most of the recorded bytes."""
        if self._writer.queued_bytes > MAX_QUEUED_BYTES:
            await trio.to_thread.run_sync(self._writer.flush)

    async def _input(self, kind: FrameKind, values: Mapping[str, object], data: Buffer = b"") -> None:
        async with self.clock.gate.turn() as is_settled:
            self.input(kind, NO_CONNECTION, document(dict(values), data), is_settled=is_settled)

    async def _serve(self, connected: socket.socket, accepted_at: Portal, admit: Admit) -> None:
        try:
            peer, local = connected.getpeername()[:2], connected.getsockname()[:2]
        except OSError:  # the peer has already closed the connection
            connected.close()
            return
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = LiveConnection(next(self._numbers), connected, self)
        self._connections.add(connection)
        try:
            async with self.clock.gate.turn() as is_settled:
                values = {"peer": peer, "local": local, "portal": [accepted_at.host, accepted_at.port]}
                self.input(FrameKind.CONNECTED, connection.number, document(values), is_settled=is_settled)
                admit(connection.open(peer, local), accepted_at)
            await connection.run()
        except OSError:  # there are no descriptors left
            self.record(FrameKind.CLOSED, connection.number)
        finally:
            connected.close()
            connection.ended.set()
            self._connections.discard(connection)

    async def _feed_clock(self) -> None:
        while True:
            await trio.sleep(CLOCK_INTERVAL_S)
            if self.clock.is_due():
                async with self.clock.gate.turn() as is_settled:
                    self.clock.feed()
                    self._time_passed(is_settled)

    def _time_passed(self, is_settled: bool) -> None:
        self.record(FrameKind.TIME, flags=FrameFlag.NONE if is_settled else FrameFlag.BUSY)

    def _end(self) -> None:
        self.clock.gate.is_open = True

    def _description(self, array: ServedArray) -> dict[str, Any]:
        """Return versions, settings, clock and seed. Secrets are left out."""
        units = sorted(array.logical_units.items())
        return {
            "versions": {
                "odx-target": __version__,
                "python": platform.python_version(),
                "trio": trio.__version__,
                "native": NATIVE is not None,
            },
            "settings": encode_settings(array.config),
            "portals": [[portal.host, portal.port] for portal in array.portals],
            "luns": [
                {"number": number, "name": unit.volume.name, "blocks": unit.capacity_blocks, "block_bytes": unit.block_bytes}
                for number, unit in units
            ],
            "is_new_pool": self._is_new_pool,
            "is_pool_in_memory": array.config.pool_dir is None,
            "has_chap": any(each.chap_users or each.target_chap for each in target_configs(array.config)),
            "clock": {
                "mode": self.clock.mode.value,
                "origin_s": self.clock.origin_s,
                "wall_origin_s": self.clock.wall_origin_s,
            },
            "seed": self.entropy.seed.hex(),
        }
