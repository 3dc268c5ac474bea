"""Random sessions are recorded and replayed: all answers are equal, and a changed recording is noticed."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import trio
from hypothesis import given, note, settings
from hypothesis import strategies as st

from odx_target.configured_pool import open_pool
from odx_target.initiator import cdb
from odx_target.initiator.copying.token_commands import (
    BlockRange,
    populate_token_list,
    read_rod_token_information,
    write_using_token_list,
)
from odx_target.initiator.errors import CommandTimedOut, InitiatorError
from odx_target.initiator.session.session import InitiatorSession
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.replay.array_replay import replay_recording
from odx_target.target.array import Array
from odx_target.target.config.settings import Config, LunConfig, Portal
from odx_target.target.control.arguments import ManagementError
from odx_target.target.control.operations import perform
from odx_target.target.session_file.frame_reader import Recording, read_recording
from odx_target.target.session_file.frames import FrameFlag, FrameKind
from tests.replay.recorded import assert_equal, recorded_array
from tests.target.running import OPTIONS, session_with

BLOCKS = 64
CONFIG = Config(
    luns=(LunConfig("a", BLOCKS << 9), LunConfig("b", BLOCKS << 12, 4096)), portals=(Portal(port=0),), polling=False
)
BLOCK_BYTES = (512, 4096)
TIMEOUT_S = 0.3
OPTIONS_OF_HOSTS = [
    replace(OPTIONS, isid=bytes(6)),
    replace(
        OPTIONS, isid=bytes([0, 0, 0, 0, 0, 1]), header_digest=True, data_digest=True, immediate_data=False, initial_r2t=True
    ),
]
RULES = (
    "command=read probability=0.5 status=busy",
    "command=write every=3 sense=no-additional-sense-information",
    "command=write-using-token first=1 sense=token-expired",
    "command=read delay=1 times=1",
    "pdu=scsi-response nth=3 drop",
    "pdu=scsi-command nth=4 cut=20",
)
LUN_FUNCTIONS = (TaskManagementFunction.ABORT_TASK_SET, TaskManagementFunction.LOGICAL_UNIT_RESET)

luns, lbas, counts = st.integers(0, 1), st.integers(0, BLOCKS - 8), st.integers(1, 8)
Action: TypeAlias = tuple[Any, ...]
commands = st.one_of(
    st.tuples(st.just("read"), luns, lbas, counts),
    st.tuples(st.just("write"), luns, lbas, counts, st.integers(0, 255)),
    st.tuples(st.just("unmap"), luns, lbas, counts),
    st.tuples(st.just("flush"), luns),
    st.tuples(st.just("populate"), luns, lbas, counts),
    st.tuples(st.just("spend"), luns, lbas),
)
actions = st.one_of(
    commands,
    st.tuples(st.just("together"), st.lists(commands, min_size=2, max_size=6)),
    st.tuples(st.just("advance"), st.sampled_from([0.5, 2, 61])),
    st.tuples(st.just("fault"), st.sampled_from(RULES)),
    st.tuples(st.just("clear")),
    st.tuples(st.just("manage"), luns, st.sampled_from(LUN_FUNCTIONS)),
    st.tuples(st.just("snapshot"), luns),
    st.tuples(st.just("reconnect"), st.integers(0, 1)),
)


class RandomHost:
    """A host that performs actions. Their results do not matter: they are in the recording."""

    def __init__(self, array: Array) -> None:
        self._array = array
        self._session: InitiatorSession
        self._tokens: list[bytes] = []
        self._identifier = 0

    async def run(self, planned: list[Action]) -> None:
        """Perform all actions. A new session begins after a lost connection, and at the action `reconnect`."""
        rest, number = list(planned), 0
        while rest:
            with suppress(InitiatorError):
                async with session_with(self._array, OPTIONS_OF_HOSTS[number]) as self._session:
                    while rest:
                        action = rest.pop(0)
                        if action[0] == "reconnect":
                            number = action[1]
                            break
                        with suppress(CommandTimedOut, ManagementError):
                            await getattr(self, f"_{action[0]}")(*action[1:])

    async def _execute(self, lun: int, command: bytes, data: bytes = b"", data_in_bytes: int = 0) -> bytes:
        result = await self._session.execute(lun, command, data, data_in_bytes, timeout_s=TIMEOUT_S)
        return bytes(result.data_in) if result.status == 0 else b""

    async def _read(self, lun: int, lba: int, count: int) -> None:
        await self._execute(lun, cdb.read_16(lba, count), data_in_bytes=count * BLOCK_BYTES[lun])

    async def _write(self, lun: int, lba: int, count: int, value: int) -> None:
        await self._execute(lun, cdb.write_16(lba, count), bytes([value]) * (count * BLOCK_BYTES[lun]))

    async def _unmap(self, lun: int, lba: int, count: int) -> None:
        parameters = bytes.fromhex("0016001000000000") + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(4)
        await self._execute(lun, bytes.fromhex("42000000000000001800"), parameters)

    async def _flush(self, lun: int) -> None:
        await self._execute(lun, cdb.synchronize_cache_10())

    async def _populate(self, lun: int, lba: int, count: int) -> None:
        self._identifier += 1
        identifier = self._identifier
        parameters = populate_token_list([BlockRange(lba, count)])
        await self._execute(lun, cdb.populate_token(identifier, len(parameters)), parameters)
        command = cdb.receive_rod_token_information(identifier, 1024)
        if answer := await self._execute(lun, command, data_in_bytes=1024):
            self._tokens += read_rod_token_information(answer).tokens

    async def _spend(self, lun: int, lba: int) -> None:
        self._identifier += 1
        parameters = write_using_token_list(self._tokens[-1] if self._tokens else bytes(512), [BlockRange(lba, 1)])
        await self._execute(lun, cdb.write_using_token(self._identifier, len(parameters)), parameters)

    async def _together(self, commands: list[Action]) -> None:
        async def alone(command: Action) -> None:
            with suppress(InitiatorError):
                await getattr(self, f"_{command[0]}")(*command[1:])

        async with trio.open_nursery() as nursery:
            for command in commands:
                nursery.start_soon(alone, command)

    async def _advance(self, seconds: float) -> None:
        assert self._array.clock is not None
        await self._array.clock.advance(seconds)

    async def _fault(self, rule: str) -> None:
        await perform(self._array, "fault-add", {"rule": rule})

    async def _clear(self) -> None:
        await perform(self._array, "fault-clear", {})

    async def _manage(self, lun: int, function: TaskManagementFunction) -> None:
        with trio.move_on_after(TIMEOUT_S):
            await self._session.task_management(function, lun)

    async def _snapshot(self, lun: int) -> None:
        self._identifier += 1
        await perform(self._array, "snapshot-create", {"snapshots": [f"{'ab'[lun]}@s{self._identifier}"]})


async def recorded(planned: list[Action]) -> Recording:
    """Perform actions on a recorded array, and return the recording."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        async with recorded_array(path, CONFIG) as array:
            await RandomHost(array).run(planned)
        recording = read_recording(path)
        return replace(recording, frames=tuple(recording.frames))  # The file is deleted now.


def run(planned: list[Action], change: Callable[[Recording], Recording] | None = None) -> None:
    """Record a session, replay it, and change it if a change is given: the replay must then differ."""

    async def record_and_replay() -> None:
        recording = await recorded(planned)
        assert recording.problem is None
        is_exact = not any(frame.flags & FrameFlag.BUSY for frame in recording.frames)
        result = await replay_recording(recording, open_pool)
        if is_exact:  # Under load, a thread of the test's machine may take longer than an input waits.
            assert_equal(result)
            assert result.warnings == []
        if change is not None:
            changed = change(recording)
            note(f"changed {len(changed.frames)} frames")
            assert (await replay_recording(changed, open_pool)).difference is not None

    trio.run(record_and_replay)


@settings(max_examples=20, deadline=None)
@given(st.lists(actions, max_size=12))
def test_a_random_session_is_replayed_to_the_same_byte(planned: list[Action]) -> None:
    run(planned)


@settings(max_examples=10, deadline=None)
@given(st.lists(commands, min_size=1, max_size=5), st.data())
def test_a_changed_answer_is_noticed(planned: list[Action], data: st.DataObject) -> None:
    def change(recording: Recording) -> Recording:
        frames = list(recording.frames)
        end = next(number for number, frame in enumerate(frames) if frame.kind is FrameKind.STOPPING)
        sent = [number for number, frame in enumerate(frames[:end]) if frame.kind is FrameKind.SENT and frame.content]
        chosen = data.draw(st.sampled_from(sent))
        content = bytearray(frames[chosen].content)
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        frames[chosen] = replace(frames[chosen], content=bytes(content))
        return Recording(tuple(frames))

    run(planned, change)
