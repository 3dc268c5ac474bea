"""An iSCSI session over a trio stream. The session does the I/O for `connection`.

A session runs two tasks in its own nursery. One task receives PDUs and wakes the callers that wait for answers; the other task
sends PDUs. The two tasks end with the session. When the connection fails, all waiting requests and all later requests fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from odx_target.environment import Buffer
from odx_target.initiator.errors import (
    CommandTimedOut,
    ConnectionLost,
    InitiatorError,
    LoginFailed,
    LoginTimedOut,
    NoAnswer,
    ProtocolViolation,
)
from odx_target.initiator.result import CommandResult
from odx_target.initiator.session.connection import SIMPLE, InitiatorConnection
from odx_target.initiator.session.connection_events import ConnectionEnding, Finished, LogoutRequested, Outcome
from odx_target.initiator.session.discovered import DiscoveredTarget, targets_of
from odx_target.initiator.session.options import SessionOptions
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.pdu.opcodes import NO_TAG, TaskManagementFunction, TaskManagementResponse

RECEIVE_BYTES = 1 << 20
JOIN_BYTES = 16 << 10
"""Buffers up to this size are joined before they are sent, because copying a small buffer is cheaper than a system call."""


@dataclass(eq=False, slots=True)
class _Waiter:
    done: trio.Event
    outcome: Outcome = None


@dataclass(frozen=True, slots=True)
class RemoteLogicalUnit:
    """An `Executor`, which sends the commands for one LUN of a session."""

    session: "InitiatorSession"
    lun: int

    async def execute(self, cdb: bytes, data_out: Sequence[Buffer] = (), data_in_bytes: int = 0) -> CommandResult:
        return await self.session.execute(self.lun, cdb, data_out, data_in_bytes)


class InitiatorSession:
    """A session that `open_session` has logged in. Several tasks may send requests at the same time."""

    def __init__(self, stream: trio.abc.Stream, connection: InitiatorConnection, options: SessionOptions) -> None:
        self._stream = stream
        self._connection = connection
        self._options = options
        self._waiters: dict[int, _Waiter] = {}
        self._output_ready = trio.Event()
        self._failure: InitiatorError | None = None
        self._ended = trio.Event()
        self._logout_requested = False
        # The shield keeps both tasks running after a cancellation, because the session still has to log out.
        self._running = trio.CancelScope(shield=True)

    @property
    def parameters(self) -> Parameters:
        """The parameters that both ends agreed on in the login."""
        return self._connection.parameters

    @property
    def is_usable(self) -> bool:
        """True if new requests are accepted: the connection is not lost, and the target has not asked for a logout."""
        return self._failure is None and not self._logout_requested

    @property
    def failure(self) -> InitiatorError | None:
        """The error that ended the connection; None while the connection works."""
        return self._failure

    @property
    def is_asked_to_log_out(self) -> bool:
        """True if the target has requested a logout (RFC 7143 11.9.1)."""
        return self._logout_requested

    def logical_unit(self, lun: int) -> RemoteLogicalUnit:
        """Return an Executor for one LUN."""
        return RemoteLogicalUnit(self, lun)

    async def execute(
        self,
        lun: int,
        cdb: bytes,
        data_out: Buffer | Sequence[Buffer] = b"",
        data_in_bytes: int = 0,
        attribute: int = SIMPLE,
        timeout_s: float | None = None,
    ) -> CommandResult:
        """Send a SCSI command and wait for its end.

        After a timeout the command is aborted, and CommandTimedOut is raised. The method may also raise ConnectionLost,
        ProtocolViolation or Rejected.
        """
        self._check()
        tag = self._connection.command(lun, cdb, data_out, data_in_bytes, attribute)
        limit_s = self._options.command_timeout_s if timeout_s is None else timeout_s
        try:
            with trio.move_on_after(limit_s):
                outcome = await self._outcome(tag)
                assert isinstance(outcome, CommandResult)
                return outcome
        except trio.Cancelled:
            self._connection.withdraw(tag)
            raise
        await self._give_up(lun, tag)
        raise CommandTimedOut(f"no answer to command {cdb[0]:02X}h of LUN {lun} in {limit_s:g} s; it was aborted")

    async def task_management(self, function: TaskManagementFunction, lun: int = 0, referenced_task_tag: int = NO_TAG) -> int:
        """Send a task management function, and return the response code (RFC 7143 11.6.1). Raises ConnectionLost."""
        self._check()
        tag = self._connection.task_management(function, lun, referenced_task_tag)
        with trio.move_on_after(self._options.command_timeout_s):
            outcome = await self._outcome(tag)
            assert isinstance(outcome, int)
            return outcome
        raise self._fail(NoAnswer(f"no answer to {function.name.replace('_', ' ')}"))

    async def ping(self, data: bytes = b"") -> bytes:
        """Send a NOP-Out, and return the data that the target sends back. Raises ConnectionLost."""
        self._check()
        tag = self._connection.ping(data)
        with trio.move_on_after(self._options.command_timeout_s):
            outcome = await self._outcome(tag)
            assert isinstance(outcome, bytes)
            return outcome
        raise self._fail(NoAnswer("no answer to a ping"))

    async def send_targets(self) -> list[DiscoveredTarget]:
        """Return the targets that the portal reports (RFC 7143 appendix C). Raises ConnectionLost, BadAnswer."""
        self._check()
        tag = self._connection.text([("SendTargets", "All")])
        with trio.move_on_after(self._options.login_timeout_s):
            outcome = await self._outcome(tag)
            assert isinstance(outcome, list)
            return targets_of(outcome)
        raise self._fail(NoAnswer("no answer to SendTargets"))

    async def log_in(self) -> None:
        """Log in. Only `open_session` may call this method. Raises LoginFailed, ConnectionLost."""
        tag, place = self._connection.log_in(), self._connection.place
        with trio.move_on_after(self._options.login_timeout_s):
            try:
                await self._outcome(tag)
            except ConnectionLost as lost:
                raise LoginFailed(f"{place}: {lost} in the middle of the login") from lost
            return
        raise self._fail(LoginTimedOut(f"{place}: no end of the login in {self._options.login_timeout_s:g} s"))

    async def log_out(self) -> None:
        """Log out if the connection still works. Waits for at most `logout_timeout_s`."""
        if self._failure is not None or not self._connection.logged_in:
            return
        with trio.move_on_after(self._options.logout_timeout_s, shield=True):
            try:
                await self._outcome(self._connection.log_out())
            except InitiatorError:
                return  # the session has ended in another way

    async def _give_up(self, lun: int, tag: int) -> None:
        """Abort a command that got no answer. If the abort fails or gets no answer, the connection is lost."""
        if self._connection.withdraw(tag):
            return
        response = await self.task_management(TaskManagementFunction.ABORT_TASK, lun, tag)
        if response not in {TaskManagementResponse.FUNCTION_COMPLETE, TaskManagementResponse.TASK_DOES_NOT_EXIST}:
            raise self._fail(ConnectionLost(f"a command without answer could not be aborted (response {response})"))
        self._connection.forget(tag)

    async def _outcome(self, tag: int) -> Outcome:
        waiter = self._waiters[tag] = _Waiter(trio.Event())
        self._wake_sender()
        try:
            await waiter.done.wait()
        finally:
            del self._waiters[tag]
        if isinstance(waiter.outcome, InitiatorError):
            raise waiter.outcome
        return waiter.outcome

    def _check(self) -> None:
        if self._failure is not None:
            raise ConnectionLost(str(self._failure))
        if self._logout_requested:
            raise ConnectionLost("the target asked for a logout")

    def _fail(self, failure: InitiatorError) -> InitiatorError:
        """Mark the connection as failed and wake all callers that wait."""
        if self._failure is None:
            self._failure = failure
            for waiter in self._waiters.values():
                if not waiter.done.is_set():
                    waiter.outcome = failure
                    waiter.done.set()
            self._output_ready.set()
            self._ended.set()
        return failure

    def _wake_sender(self) -> None:
        if self._connection.has_output:
            self._output_ready.set()

    # The two tasks

    async def run(self) -> None:
        """Send and receive until `stop` is called. Only `open_session` may call this method."""
        with self._running:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.receive_all)
                nursery.start_soon(self.send_all)

    def stop(self) -> None:
        """End the two tasks of the session. Only `open_session` may call this method."""
        self._running.cancel()

    async def send_all(self) -> None:
        while True:
            await self._output_ready.wait()
            self._output_ready = trio.Event()
            try:
                for buffer in _joined(self._connection.take_output()):
                    await self._stream.send_all(buffer)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._fail(ConnectionLost("the connection broke"))
                return

    async def receive_all(self) -> None:
        rest = b""
        while self._failure is None:
            try:
                received = await self._stream.receive_some(RECEIVE_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                received = b""
            if not received:
                self._fail(ConnectionLost("the target closed the connection"))
                return
            data = rest + received if rest else bytes(received)
            try:
                taken = self._connection.receive(memoryview(data))
            except ProtocolViolation as violation:
                self._dispatch()
                self._fail(violation)
                return
            rest = data[taken:]
            self._dispatch()
            self._wake_sender()

    def _dispatch(self) -> None:
        events = self._connection.events
        for event in events:
            if isinstance(event, Finished):
                waiter = self._waiters.get(event.initiator_task_tag)
                if waiter is not None:
                    waiter.outcome = event.outcome
                    waiter.done.set()
            elif isinstance(event, LogoutRequested):
                self._logout_requested = True
            elif isinstance(event, ConnectionEnding):
                self._fail(ConnectionLost(event.reason))
        events.clear()


def _joined(buffers: Sequence[Buffer]) -> list[Buffer]:
    """Return the same bytes in fewer buffers. Consecutive small buffers are joined."""
    joined: list[Buffer] = []
    small: list[Buffer] = []
    for buffer in buffers:
        if len(buffer) <= JOIN_BYTES:
            small.append(buffer)
            continue
        if small:
            joined.append(b"".join(small))
            small = []
        joined.append(buffer)
    if small:
        joined.append(b"".join(small))
    return joined
