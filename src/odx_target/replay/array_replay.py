"""Replays a recording against an array in this process, and compares its answers byte for byte."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import trio

from odx_target.replay.answer_streams import AnswerDifference, AnswerStreams, StreamEnd
from odx_target.replay.recorded_settings import RecordedSettings, read_settings, with_secrets
from odx_target.replay.replay_edge import ReplayEdge
from odx_target.replay.store_changes import StoreCounters, changes, counters_of
from odx_target.target import lun_contents
from odx_target.target.array import Array, OpenPool
from odx_target.target.config.settings import Config, Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from odx_target.target.faults.rules import FaultRules
from odx_target.target.inputs.input_clock import InputClock
from odx_target.target.inputs.seeded_entropy import SeededEntropy
from odx_target.target.inputs.task_order import ordered_tasks
from odx_target.target.session_file.frame_reader import Recording
from odx_target.target.session_file.frames import Frame, FrameFlag, FrameKind, RecordingDamaged

MAX_SETTLE_S = 60.0
"""Maximum real time of the work that one input causes in a replay."""

OUTPUTS = frozenset({FrameKind.SENT, FrameKind.CLOSED})
"""Frames with answers of the array."""
INFORMATION = frozenset({FrameKind.SETTINGS, FrameKind.STARTED, FrameKind.NOTE, FrameKind.ENDED})
"""Frames that are neither inputs nor answers."""


@dataclass(slots=True)
class Step:
    """An input of a recording, and the outputs that followed it. `number` is the number of its frame."""

    number: int
    frame: Frame
    recorded: list[Frame] = field(default_factory=list)
    replayed: list[tuple[int, bytes]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    """Work of the store, in words."""


class ReplayResult(NamedTuple):
    """The steps of a replay up to its end or to the first difference, the difference, and warnings about its limits."""

    steps: list[Step]
    difference: AnswerDifference | None
    warnings: list[str]


class ReplayFailed(RuntimeError):
    """A recording cannot be replayed. The message is one line."""


async def replay_recording(
    recording: Recording,
    open_pool: OpenPool,
    *,
    pool_dir: Path | None = None,
    secrets: Config | None = None,
) -> ReplayResult:
    """Replay a recording against an array in this process.

    `open_pool` opens the same pool again if the recorded array has restarted. The pool is in memory, unless `pool_dir` names
    the directory of a pool. `secrets` are settings with the CHAP users and secrets of the recorded array, which a recording
    does not have. Raises ReplayFailed and RecordingDamaged, and the exceptions of `Array`.
    """
    first = read_settings(recording.settings)
    if first.has_chap and secrets is None:
        raise ReplayFailed(
            "the recorded array has CHAP users, and a recording has no secrets: give its configuration file with --config, or "
            "its CHAP user with --chap-user and --chap-secret-file"
        )
    replayed = _Replay(first, open_pool, pool_dir, secrets)
    with ordered_tasks():
        return await replayed.run(recording)


class _Replay:
    """One replay."""

    def __init__(self, first: RecordedSettings, open_pool: OpenPool, pool_dir: Path | None, secrets: Config | None) -> None:
        self._open_pool = open_pool
        self._secrets = secrets
        self._pool_dir = pool_dir
        self._stored: StoreCounters
        self._clock = InputClock(first.clock_mode, lambda: first.wall_origin_s, origin_s=first.origin_s)
        self._entropy = SeededEntropy(first.seed)
        self._answers = AnswerStreams()
        self._edge = ReplayEdge(self._sent, self._closed)
        self._steps: list[Step] = []
        self._warnings: list[str] = []
        self._is_exact = True
        self._is_compared = True
        self._faults: FaultRules | None = None

    async def run(self, recording: Recording) -> ReplayResult:
        """Replay all parts of the recording: from each start of the array to the next."""
        difference: AnswerDifference | None = None
        for part in _parts(recording.frames):
            settings = read_settings(part[0][1])
            self._edge.addresses = settings.portals
            async with self._array(settings) as array, trio.open_nursery() as nursery:
                self._is_compared = True
                self._stored = counters_of(array.pool)
                difference = await self._play(array, part[1:], nursery)
                self._is_compared = False
                self._edge.end_all()
                nursery.cancel_scope.cancel()
            self._faults = array.faults
            if difference is not None:
                break
        return ReplayResult(self._steps, difference, self._warnings)

    def _array(self, settings: RecordedSettings) -> Array:
        config = replace(settings.config, pool_dir=self._pool_dir)
        if settings.has_chap and self._secrets is not None:
            config = with_secrets(config, self._secrets)
        return Array(
            config,
            open_pool=self._open_pool,
            entropy=self._entropy,
            clock=self._clock,
            edge=self._edge,
            faults=self._faults,
        )

    async def _play(self, array: Array, frames: Sequence[tuple[int, Frame]], nursery: trio.Nursery) -> AnswerDifference | None:
        """Replay frames up to the next stop of the array. Return the first difference."""
        for number, frame in frames:
            if frame.kind in OUTPUTS:
                end = StreamEnd.CLOSED if frame.kind is FrameKind.CLOSED else StreamEnd.of(frame.flags)
                self._answers.recorded(frame.connection, frame.content, end)
                if self._steps:
                    self._steps[-1].recorded.append(frame)
            elif frame.kind is FrameKind.NOTE:
                if self._steps:
                    self._steps[-1].notes.append(str(frame.document().get("text", "")))
            elif frame.kind not in INFORMATION:
                if (difference := await self._end_step(array, frame)) is not None:
                    return difference
                self._steps.append(Step(number, frame))
                if frame.kind is FrameKind.STOPPING:
                    return None
                self._begin_step(array, frame, nursery)
        return await self._end_step(array, None)

    async def _end_step(self, array: Array, following: Frame | None) -> AnswerDifference | None:
        """Wait until the array has done everything, and compare its answers."""
        if not await self._clock.gate.settle(MAX_SETTLE_S):
            raise ReplayFailed(f"the array still works {MAX_SETTLE_S:.0f} seconds after an input")
        stored, self._stored = self._stored, counters_of(array.pool)
        if self._steps:
            self._steps[-1].stored += changes(stored, self._stored)
        is_busy = following is not None and bool(following.flags & FrameFlag.BUSY)
        if is_busy and self._is_exact:
            self._is_exact = False
            self._warnings.append(
                "the array still worked when an input came, so the order of later answers may differ by chance"
            )
        # The file may have been cut before the last answers.
        return self._answers.compare(recorded_may_lag=is_busy or following is None, replayed_may_lag=is_busy)

    def _begin_step(self, array: Array, frame: Frame, nursery: trio.Nursery) -> None:
        """Make an input."""
        self._clock.move(frame.array_s, frame.connections_s)
        connected = self._edge.sockets.get(frame.connection)
        if frame.kind is FrameKind.CONNECTED:
            values = frame.document()
            peer, local, portal = (_address(values, name) for name in ("peer", "local", "portal"))
            array.admit(self._edge.connect(frame.connection, peer, local), Portal(*portal))
        elif frame.kind is FrameKind.RECEIVED:
            self._answers.received(frame.connection, frame.content)
            if connected is not None:
                connected.deliver(frame.content)
        elif frame.kind is FrameKind.PEER_CLOSED and connected is not None:
            connected.end()
        elif frame.kind is FrameKind.OPERATION:
            nursery.start_soon(self._perform, array, frame.document())
        elif frame.kind is FrameKind.CONTENT:
            nursery.start_soon(_change, array, frame.document(), frame.data())

    async def _perform(self, array: Array, values: dict[str, Any]) -> None:
        name, arguments = str(values.get("operation")), values.get("arguments")
        try:
            await perform(array, name, arguments if isinstance(arguments, dict) else {})
        except ManagementError as error:  # It may have failed when it was recorded, too.
            self._warnings.append(f"the operation {name[:40]!r} fails: {error}")

    def _sent(self, connection: int, data: bytes, is_last: bool) -> None:
        if self._is_compared:
            self._answers.replayed(connection, data, StreamEnd.LAST_OUTPUT if is_last else StreamEnd.OPEN)
            if self._steps and data:
                self._steps[-1].replayed.append((connection, data))

    def _closed(self, connection: int) -> None:
        self._edge.sockets.pop(connection, None)
        if self._is_compared:
            self._answers.replayed(connection, b"", StreamEnd.CLOSED)


def _parts(frames: Sequence[Frame]) -> Iterator[list[tuple[int, Frame]]]:
    """Yield the frames from each start of the array to the next, with their numbers."""
    part: list[tuple[int, Frame]] = []
    for number, frame in enumerate(frames):
        if frame.kind is FrameKind.STARTED:
            yield part
            part = []
        part.append((number, frame))
    yield part


async def _change(array: Array, values: dict[str, Any], data: bytes) -> None:
    change = _change_of(array, values, data)
    with suppress(ValueError):  # It may have failed when it was recorded, too.
        await change()


def _change_of(array: Array, values: dict[str, Any], data: bytes) -> Callable[[], Awaitable[None]]:
    """Return the function that makes a recorded change of the content of a LUN. Raises RecordingDamaged."""
    lun, offset, seed, size = (values.get(name) for name in ("lun", "offset", "seed", "size"))
    if isinstance(lun, str) and type(offset) is int:
        if values.get("change") == "write":
            return partial(lun_contents.write, array, lun, offset, data)
        if type(seed) is int and (size is None or type(size) is int):
            return partial(lun_contents.fill, array, lun, None if values.get("is_random") else data, seed, offset, size)
    raise RecordingDamaged("a change of a LUN cannot be used")


def _address(values: dict[str, Any], name: str) -> tuple[str, int]:
    found = values.get(name)
    if not (isinstance(found, list) and len(found) == 2 and isinstance(found[0], str) and type(found[1]) is int):
        raise RecordingDamaged(f"the recorded connection has no usable {name} address")
    return found[0], found[1]
