"""The inputs of a recorded array: its sockets, the order of its tasks, the gate, and the end of a recording."""

import random
import socket
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from odx_target.initiator import cdb
from odx_target.replay.array_replay import ReplayFailed
from odx_target.target import lun_contents
from odx_target.target.clock.mode import ClockMode
from odx_target.target.config.chap import ChapUser
from odx_target.target.control.operations import ManagementError, perform
from odx_target.target.inputs.edge_socket import EdgeSocket
from odx_target.target.inputs.input_clock import InputClock
from odx_target.target.inputs.live_connection import MAX_INPUT_BYTES, MAX_UNREAD_BYTES, LiveConnection
from odx_target.target.inputs.task_order import ordered_tasks
from odx_target.target.session_file.frame_reader import read_recording
from odx_target.target.session_file.frames import MAX_FRAME_BYTES, FrameFlag, FrameKind
from odx_target.target.session_file.recording_limits import MIN_RECORDING_BYTES
from tests.replay.recorded import CONFIG, assert_equal, recorded_array, replayed
from tests.target.running import OPTIONS, is_good, session_with, settled

TASKS = 200


def test_a_delivery_is_received_as_it_was_delivered() -> None:
    sent: list[tuple[bytes, bool]] = []
    closed: list[int] = []
    with EdgeSocket(("host", 1), ("array", 2), lambda *each: sent.append(each), lambda: closed.append(1)) as edge:
        room = bytearray(4)
        with pytest.raises(BlockingIOError):
            edge.recv_into(room)
        edge.deliver(b"abcdef")
        edge.deliver(b"gh")
        edge.end()
        received = []
        while size := edge.recv_into(room):
            received.append(bytes(room[:size]))
        assert received == [b"abcd", b"ef", b"gh"]
        assert edge.sendmsg([b"1", memoryview(b"23")]) == 3
        edge.shutdown(socket.SHUT_WR)
        assert (edge.getpeername(), edge.getsockname()) == (("host", 1), ("array", 2))
    edge.close()
    assert (sent, closed) == ([(b"123", False), (b"", True)], [1])


class NoFile:
    """A recorder that keeps nothing."""

    def __init__(self) -> None:
        self.clock = InputClock(ClockMode.SHIFTED)

    def input(self, kind: FrameKind, connection: int, content: bytes, *, is_settled: bool) -> None: ...

    def record(self, kind: FrameKind, connection: int, content: bytes = b"", flags: FrameFlag = FrameFlag.NONE) -> None: ...

    async def keep_up(self) -> None: ...


async def test_a_host_waits_while_the_array_receives_nothing() -> None:
    """Without a limit, a host that sends for ever would fill the memory."""
    host, accepted = socket.socketpair()
    data = random.Random(1).randbytes(2 * (MAX_UNREAD_BYTES + MAX_INPUT_BYTES))
    rest, received, room = memoryview(data), bytearray(), bytearray(MAX_INPUT_BYTES)
    host.setblocking(False)
    accepted.setblocking(False)
    with host, accepted:
        async with trio.open_nursery() as nursery:
            connection = LiveConnection(1, accepted, NoFile())
            with connection.open(("host", 1), ("array", 2)) as edge:
                nursery.start_soon(connection.run)
                for _ in range(100):
                    with suppress(BlockingIOError):
                        rest = rest[host.send(rest) :]
                    await wait_all_tasks_blocked()
                assert rest
                assert MAX_UNREAD_BYTES < edge.unread_bytes <= MAX_UNREAD_BYTES + MAX_INPUT_BYTES
                while len(received) < len(data):
                    with suppress(BlockingIOError):
                        rest = rest[host.send(rest) :]
                    with suppress(BlockingIOError):
                        received += room[: edge.recv_into(room)]
                    await wait_all_tasks_blocked()
                assert received == data
                assert edge.unread_bytes == 0
                nursery.cancel_scope.cancel()


async def test_a_socket_is_readable_while_something_was_delivered() -> None:
    with EdgeSocket(("host", 1), ("array", 2), lambda *_: None, lambda: None) as edge:
        edge.deliver(b"ab")
        for _ in range(2):
            await trio.lowlevel.wait_readable(edge)
            assert edge.recv_into(bytearray(1)) == 1
        with trio.move_on_after(0) as scope:
            await trio.lowlevel.wait_readable(edge)
        assert scope.cancelled_caught


async def order_of_tasks() -> list[int]:
    found: list[int] = []

    async def note(number: int) -> None:
        await trio.lowlevel.checkpoint()
        found.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(TASKS):
            nursery.start_soon(note, number)
    return found


async def test_tasks_run_in_the_order_in_which_they_became_ready() -> None:
    """Fails if trio chooses the order of tasks in another way."""
    with ordered_tasks():
        await trio.lowlevel.checkpoint()
        orders = [await order_of_tasks() for _ in range(5)]
    assert orders == [orders[0]] * 5


def test_other_event_loops_keep_their_own_order() -> None:
    others: list[bool] = []

    async def look() -> None:
        from trio._core import _run

        numbers = {_run._r.random() for _ in range(20)}
        others.append(len(numbers) > 1)

    with ordered_tasks():
        thread = threading.Thread(target=trio.run, args=(look,))
        thread.start()
        thread.join()
    trio.run(look)
    assert others == [True, True]


async def test_results_of_threads_come_in_the_order_of_their_starts() -> None:
    watch = InputClock(ClockMode.SHIFTED).threads
    ended: list[int] = []

    async def wait(number: int, turns: int) -> None:
        async def thread() -> None:
            for _ in range(turns):
                await trio.lowlevel.checkpoint()

        await watch.in_order(thread())
        ended.append(number)

    async with trio.open_nursery() as nursery:
        for number, turns in enumerate([9, 1, 5]):
            nursery.start_soon(wait, number, turns)
            await trio.lowlevel.checkpoint()
    assert (watch.count, ended) == (0, [0, 1, 2])


async def test_an_input_waits_for_the_work_before_it_but_not_for_ever() -> None:
    gate = InputClock(ClockMode.SHIFTED).gate
    async with gate.turn() as is_settled:
        assert is_settled

    async def spin() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(spin)
        assert not await gate.settle(0.001)
        nursery.cancel_scope.cancel()


async def test_after_the_limit_the_array_continues(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    with capture_logs() as logs:
        async with recorded_array(path, max_bytes=MIN_RECORDING_BYTES) as array, session_with(array) as session:
            await settled(session)
            for lba in range(40):
                assert is_good(await session.execute(0, cdb.write_16(lba, 8), bytes(4096)))
    assert [entry["event"] for entry in logs].count("the session is no longer recorded; the array continues") == 1
    assert path.stat().st_size <= MIN_RECORDING_BYTES
    assert read_recording(path).problem is None
    assert_equal(await replayed(path))


async def test_a_long_change_of_a_lun_is_several_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame has a maximum size, and a reader takes a longer one as damage."""
    assert lun_contents.MAX_CHANGE_BYTES < MAX_FRAME_BYTES
    monkeypatch.setattr(lun_contents, "MAX_CHANGE_BYTES", 1000)
    path, data = tmp_path / "recording", bytes(range(250)) * 10
    async with recorded_array(path) as array:
        await lun_contents.write(array, "a", 100, data)
        assert await lun_contents.read(array, "a", 100, len(data)) == data
    changes = [frame for frame in read_recording(path).frames if frame.kind is FrameKind.CONTENT]
    assert [len(frame.data()) for frame in changes] == [1000, 1000, 500]
    assert b"".join(frame.data() for frame in changes) == data
    assert_equal(await replayed(path))


async def test_a_recording_has_no_secret(tmp_path: Path) -> None:
    path, secret = tmp_path / "recording", "secret-of-the-host"
    config = replace(CONFIG, chap_users=(ChapUser("host", secret.encode()),))
    async with recorded_array(path, config) as array:
        options = replace(OPTIONS, user="host", secret=secret)
        async with session_with(array, options) as session:
            await settled(session)
    assert secret.encode() not in path.read_bytes()
    assert FrameKind.RECEIVED in {frame.kind for frame in read_recording(path).frames}
    with pytest.raises(ReplayFailed, match="has CHAP users"):
        await replayed(path)


async def test_an_unknown_operation_is_not_recorded(tmp_path: Path) -> None:
    """Its arguments may be secrets, such as the key of a path under a misspelt name."""
    path, key = tmp_path / "recording", "key-of-a-path"
    async with recorded_array(path) as array:
        with pytest.raises(ManagementError, match="there is no operation 'add_path'"):
            await perform(array, "add_path", {"key": key})
    assert key.encode() not in path.read_bytes()


async def test_a_host_that_is_cut_off_is_an_input(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    async with recorded_array(path) as array:
        stream = await trio.open_tcp_stream(array.portals[0].host, array.portals[0].port)
        await stream.send_all(b"this is not iSCSI" * 10)
        await trio.aclose_forcefully(stream)
        async with session_with(array) as session:
            await settled(session)
    assert FrameKind.PEER_CLOSED in {frame.kind for frame in read_recording(path).frames}
    assert_equal(await replayed(path))
