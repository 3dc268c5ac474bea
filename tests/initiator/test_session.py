"""The I/O of a session on in-memory streams: callers are woken by their answers, and none waits forever. Time is virtual."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing

from odx_target.initiator.errors import (
    CommandTimedOut,
    ConnectFailed,
    ConnectionLost,
    LoginFailed,
    ProtocolViolation,
)
from odx_target.initiator.result import CommandResult, Job
from odx_target.initiator.session.connecting import Connect
from odx_target.initiator.session.discovered import DiscoveredTarget
from odx_target.initiator.session.opening import discover, open_session
from odx_target.initiator.session.together import run_together
from odx_target.initiator.url import Portal as Address
from odx_target.iscsi.pdu.headers import (
    AsynchronousMessage,
    LoginRequest,
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    ScsiCommand,
    ScsiDataIn,
    ScsiResponse,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    TextRequest,
    TextResponse,
)
from odx_target.iscsi.pdu.opcodes import TaskManagementFunction
from odx_target.iscsi.pdu.text import encode_pairs
from tests.initiator.naive_portal import DEFAULT_KEYS, DISCOVERY_KEYS, OPTIONS, TARGET, Portal, keys_of

ADDRESS = Address("192.0.2.1")
SILENT = None


@dataclass
class Peer:
    """A portal with a memory stream. It answers by itself, except for the PDU classes for which `on` has an answer."""

    on: dict[type, Callable[["Peer", Any, bytes], bytes | None]] = field(default_factory=dict)
    portal: Portal = field(default_factory=Portal)
    seen: list[Any] = field(default_factory=list)
    discovery: bool = False
    stream: Any = None

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        async with stream:
            while received := await stream.receive_some():
                for pdu, data in self.portal.take([received]):
                    self.seen.append(pdu)
                    answer = self.on.get(type(pdu), Peer.obey)(self, pdu, data)
                    if answer == b"":
                        return
                    if answer:
                        await stream.send_all(answer)

    def obey(self, pdu: Any, data: bytes) -> bytes | None:
        tag = pdu.initiator_task_tag
        match pdu:
            case LoginRequest():
                self.discovery |= keys_of(data).get("SessionType") == "Discovery"
                operational = DISCOVERY_KEYS if self.discovery else DEFAULT_KEYS
                return self.portal.login_response(pdu, operational if pdu.current_stage else {"AuthMethod": "None"})
            case ScsiCommand():
                self.portal.exp_cmd_sn += 1
                size_bytes = pdu.expected_data_transfer_length if pdu.read else 0
                if size_bytes:
                    return self.portal.encode(ScsiDataIn(initiator_task_tag=tag, has_status=True), pdu.cdb[:1] * size_bytes)
                return self.portal.encode(ScsiResponse(initiator_task_tag=tag))
            case NopOut():
                return self.portal.encode(NopIn(initiator_task_tag=tag), data)
            case LogoutRequest():
                return self.portal.encode(LogoutResponse(initiator_task_tag=tag))
            case TaskManagementFunctionRequest():
                return self.portal.encode(TaskManagementFunctionResponse(initiator_task_tag=tag))
            case TextRequest():
                pairs = [("TargetName", "iqn.a"), ("TargetAddress", "h:1,1"), ("TargetName", "iqn.b")]
                return self.portal.encode(TextResponse(initiator_task_tag=tag), encode_pairs(pairs))
        raise AssertionError(f"unexpected {pdu}")


def silence(peer: Peer, pdu: Any, data: bytes) -> None:
    return None


def hang_up(peer: Peer, pdu: Any, data: bytes) -> bytes:
    return b""


def connecting(nursery: trio.Nursery, peer: Peer) -> Connect:
    async def connect(address: Address) -> trio.abc.Stream:
        assert address == ADDRESS
        near, far = trio.testing.memory_stream_pair()
        nursery.start_soon(peer.serve, far)
        return near

    return connect


async def with_session(peer: Peer, work: Callable[[Any], Any]) -> Any:
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        stack.callback(nursery.cancel_scope.cancel)
        error: Exception | None = None
        try:
            async with open_session(ADDRESS, TARGET, OPTIONS, connecting(nursery, peer)) as session:
                return await work(session)
        except Exception as caught:
            error = caught
    assert error is not None
    raise error


async def test_a_session_logs_in_works_and_logs_out() -> None:
    peer = Peer()

    async def work(session: Any) -> None:
        assert session.parameters.max_burst_length == 65536
        result = await session.execute(0, b"\x12" + bytes(5), data_in_bytes=4)
        assert result == CommandResult(0, b"\x12" * 4)
        assert await session.logical_unit(1).execute(bytes(6)) == CommandResult(0)
        assert await session.ping(b"x") == b"x"
        assert await session.task_management(TaskManagementFunction.TARGET_WARM_RESET) == 0

    await with_session(peer, work)
    assert isinstance(peer.seen[-1], LogoutRequest)
    assert [pdu.lun >> 48 for pdu in peer.seen if isinstance(pdu, ScsiCommand)] == [0, 1]


async def test_many_commands_at_once() -> None:
    peer = Peer()
    peer.portal.window = 3
    results: list[Any] = []

    async def work(session: Any) -> None:
        def job(index: int) -> Job:
            async def run() -> None:
                results.append(await session.execute(0, bytes([index]) + bytes(5), data_in_bytes=index))

            return run

        await run_together([job(index) for index in range(1, 60)])

    await with_session(peer, work)
    assert sorted(bytes(result.data_in) for result in results) == [bytes([index]) * index for index in range(1, 60)]


async def test_discovery() -> None:
    async with trio.open_nursery() as nursery:
        found = await discover(ADDRESS, OPTIONS, connecting(nursery, Peer()))
        nursery.cancel_scope.cancel()
    assert found == [DiscoveredTarget("iqn.a", ("h:1,1",)), DiscoveredTarget("iqn.b", ())]


async def test_a_command_without_answer_is_aborted(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer({ScsiCommand: silence})

    async def work(session: Any) -> None:
        with pytest.raises(CommandTimedOut, match="no answer to command 83h of LUN 2 in 5 s"):
            await session.execute(2, b"\x83" + bytes(15), timeout_s=5)
        peer.on.clear()
        assert await session.execute(2, bytes(6)) == CommandResult(0)  # the session is still usable

    await with_session(peer, work)
    command, abort = peer.seen[2:4]
    assert (abort.function, abort.referenced_task_tag, abort.lun) == (1, command.initiator_task_tag, 2 << 48)


async def test_a_command_that_never_left_needs_no_abort(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer()
    peer.portal.window = 0

    async def work(session: Any) -> None:
        with pytest.raises(CommandTimedOut):
            await session.execute(0, bytes(6))
        with trio.move_on_after(1):
            await session.execute(0, bytes(6))

    await with_session(peer, work)
    assert not [pdu for pdu in peer.seen if isinstance(pdu, ScsiCommand | TaskManagementFunctionRequest)]


async def test_an_abort_without_answer_is_the_end_of_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    peer = Peer({ScsiCommand: silence, TaskManagementFunctionRequest: silence})

    async def work(session: Any) -> None:
        with pytest.raises(ConnectionLost, match="no answer to ABORT TASK"):
            await session.execute(0, bytes(6))
        with pytest.raises(ConnectionLost):
            await session.execute(0, bytes(6))

    await with_session(peer, work)
    assert not [pdu for pdu in peer.seen if isinstance(pdu, LogoutRequest)]


async def test_an_abort_that_is_refused_is_the_end_too(autojump_clock: trio.testing.MockClock) -> None:
    def refuse(peer: Peer, pdu: Any, data: bytes) -> bytes:
        return peer.portal.encode(TaskManagementFunctionResponse(initiator_task_tag=pdu.initiator_task_tag, response=5))

    peer = Peer({ScsiCommand: silence, TaskManagementFunctionRequest: refuse})
    with pytest.raises(ConnectionLost, match="could not be aborted"):
        await with_session(peer, lambda session: session.execute(0, bytes(6)))


@pytest.mark.parametrize("kind", [ScsiCommand, NopOut, TaskManagementFunctionRequest, TextRequest])
async def test_a_closed_connection_wakes_everybody(kind: type) -> None:
    peer = Peer({kind: hang_up})
    requests = {
        ScsiCommand: lambda session: session.execute(0, bytes(6)),
        NopOut: lambda session: session.ping(),
        TaskManagementFunctionRequest: lambda session: session.task_management(TaskManagementFunction.TARGET_COLD_RESET),
        TextRequest: lambda session: session.send_targets(),
    }

    async def work(session: Any) -> None:
        await run_together([lambda: requests[kind](session)] * 5)

    with pytest.raises(ConnectionLost, match="the target closed the connection"):
        await with_session(peer, work)


async def test_what_no_target_may_do_ends_the_session() -> None:
    peer = Peer({ScsiCommand: lambda peer, pdu, data: peer.portal.encode(ScsiResponse(initiator_task_tag=0x999))})
    with pytest.raises(ProtocolViolation, match="no command under way"):
        await with_session(peer, lambda session: session.execute(0, bytes(6)))


async def test_a_target_that_drops_the_connection_says_so() -> None:
    peer = Peer({ScsiCommand: lambda peer, pdu, data: peer.portal.encode(AsynchronousMessage(async_event=2))})
    with pytest.raises(ConnectionLost, match="announced"):
        await with_session(peer, lambda session: session.execute(0, bytes(6)))


async def test_a_target_may_ask_to_be_left() -> None:
    def ask(peer: Peer, pdu: Any, data: bytes) -> bytes:
        return peer.portal.encode(AsynchronousMessage(async_event=1, parameter3=3)) + (Peer.obey(peer, pdu, data) or b"")

    async def work(session: Any) -> None:
        await session.execute(0, bytes(6))
        with pytest.raises(ConnectionLost, match="asked for a logout"):
            await session.execute(0, bytes(6))

    peer = Peer({ScsiCommand: ask})
    await with_session(peer, work)
    assert isinstance(peer.seen[-1], LogoutRequest)


async def test_a_refused_login() -> None:
    def refuse(peer: Peer, pdu: Any, data: bytes) -> bytes:
        return peer.portal.login_response(pdu, {}, status=0x0203, transit=False, next_stage=0)

    with pytest.raises(LoginFailed, match="not found"):
        await with_session(Peer({LoginRequest: refuse}), lambda session: session.ping())


async def test_a_connection_that_closes_in_the_login() -> None:
    with pytest.raises(LoginFailed, match="closed the connection in the middle of the login"):
        await with_session(Peer({LoginRequest: hang_up}), lambda session: session.ping())


async def test_a_login_without_answer(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(LoginFailed, match="no end of the login in 15 s"):
        await with_session(Peer({LoginRequest: silence}), lambda session: session.ping())


async def test_a_logout_without_answer_is_not_waited_for_long(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    await with_session(Peer({LogoutRequest: silence}), lambda session: session.ping())
    assert trio.current_time() - began == pytest.approx(OPTIONS.logout_timeout_s)


@pytest.mark.parametrize("kind", [NopOut, TextRequest, TaskManagementFunctionRequest])
async def test_a_request_without_answer_is_the_end(autojump_clock: trio.testing.MockClock, kind: type) -> None:
    requests = {
        NopOut: lambda session: session.ping(),
        TaskManagementFunctionRequest: lambda session: session.task_management(TaskManagementFunction.TARGET_COLD_RESET),
        TextRequest: lambda session: session.send_targets(),
    }
    with pytest.raises(ConnectionLost, match="no answer to"):
        await with_session(Peer({kind: silence}), requests[kind])


async def test_an_error_of_the_caller_keeps_its_face() -> None:
    async def work(session: Any) -> None:
        raise ConnectionRefusedError("mine")

    with pytest.raises(ConnectionRefusedError, match="mine"):
        await with_session(Peer(), work)


async def test_an_interrupt_is_not_lost() -> None:
    peer = Peer()
    seen: list[BaseException] = []
    async with trio.open_nursery() as nursery:
        try:
            async with open_session(ADDRESS, TARGET, OPTIONS, connecting(nursery, peer)):
                raise KeyboardInterrupt
        except* KeyboardInterrupt as group:
            seen.extend(group.exceptions)
        nursery.cancel_scope.cancel()
    assert [type(error) for error in seen] == [KeyboardInterrupt]
    assert isinstance(peer.seen[-1], LogoutRequest)


async def test_a_portal_that_cannot_be_reached() -> None:
    with pytest.raises(ConnectFailed, match="connection refused"):
        async with open_session(Address("127.0.0.1", 1), TARGET, OPTIONS):
            raise AssertionError


async def test_a_portal_that_does_not_answer(autojump_clock: trio.testing.MockClock) -> None:
    async def connect(address: Address) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(ConnectFailed, match=r"192\.0\.2\.1:3260: no connection in 10 s"):
        async with open_session(ADDRESS, TARGET, OPTIONS, connect):
            raise AssertionError
