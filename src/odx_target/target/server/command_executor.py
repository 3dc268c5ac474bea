"""The executor of one connection.

The executor handles the events of the iSCSI protocol in order, and passes commands to the device server.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, TypeVarTuple

from odx_target.iscsi.pdu.opcodes import TaskManagementResponse as Response
from odx_target.iscsi.session.connection import TargetConnection
from odx_target.iscsi.session.events import (
    CommandAccepted,
    CommandEnded,
    CommandReady,
    Event,
    PduRejected,
    SessionClosed,
    SessionOpened,
    TaskManagement,
)
from odx_target.iscsi.session.session_registry import Session
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import UNANSWERED, Reply
from odx_target.scsi.tasks.outcome import Outcome, Pending
from odx_target.scsi.tasks.place import Place
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.traffic import KIND_OF_OPERATION_CODE
from odx_target.target.server.batch_tally import BatchTally
from odx_target.target.server.holding.reply_holder import ReplyHolder, Report
from odx_target.target.server.memory_claims import SessionReadMemory
from odx_target.target.server.memory_division import SessionShares
from odx_target.target.server.response_sender import EARLY_SEND_BYTES, ResponseSender
from odx_target.target.server.short_lane import ShortLane
from odx_target.target.server.task_management import WHOLE_TARGET, TargetReset, perform_task_management
from odx_target.turns import Turns

Ts = TypeVarTuple("Ts")


class StartSoon(Protocol):
    """Function that starts a task of the connection. The function returns False if the connection has ended."""

    def __call__(self, function: Callable[[*Ts], Awaitable[object]], *arguments: *Ts) -> bool: ...


class CommandExecutor:
    """Executes the commands of one connection.

    `send` sends the output of the protocol. `memory` is set when a session begins. `tally` counts the commands; the connection
    sets the time at which each batch begins. `clock` returns the present time in seconds. `send_now` commits the pool and sends
    without waiting.
    """

    def __init__(
        self,
        protocol: TargetConnection,
        sender: ResponseSender,
        device_server: DeviceServer,
        turns: Turns,
        nexus_of: Callable[[Session], Nexus],
        start_soon: StartSoon,
        send: Callable[[], Awaitable[None]],
        report: Report,
        clock: Callable[[], float],
        send_now: Callable[[], None],
    ) -> None:
        self._protocol = protocol
        self._sender = sender
        self._device_server = device_server
        self._turns = turns
        self._nexus_of = nexus_of
        self._start_soon = start_soon
        self._send = send
        self._report = report
        self.tally = BatchTally(clock)
        self._nexus: Nexus | None = None
        self.unhandled: deque[Event] = deque()
        """The events that have not been handled yet."""
        self._places: dict[CommandReady, Place] = {}
        """The place in the task set of each command whose data-out has not arrived."""
        self.memory: SessionShares | None = None
        self.lane: ShortLane | None = None
        """The short lane of the session, or None if there is no session or if all its commands must go the general way."""
        self._target_reset = TargetReset(device_server, turns)
        self.holder = ReplyHolder(protocol, sender, self.tally, send_now, report)

    @property
    def has_unhandled(self) -> bool:
        """True if some events have not been handled yet.

        These events wait until the peer has received more output, or until the next turn of the event loop.
        """
        return bool(self.unhandled)

    @property
    def is_resetting(self) -> bool:
        """True if some logical units must still be reset in later turns."""
        return self._target_reset.is_running

    def handle_events(self) -> None:  # noqa: C901 - a call of a function for each command would cost 1 % of the command
        """Handle the events of the protocol.

        Return early if the peer has too much unread output, or if no steps of the turn remain. If an event ends the connection,
        this method is called again while it runs.
        """
        execute = self._device_server.execute
        send_reply = self._protocol.send_reply
        early_bytes = 0
        unhandled = self.unhandled
        places = self._places
        tally = self.tally
        counts, sizes = tally.counts, tally.sizes
        unhandled.extend(self._protocol.take_events())
        while unhandled:
            event = unhandled.popleft()
            if type(event) is CommandReady:
                if event.aborted:
                    self._give_place_back(event)
                    continue
                assert self._nexus is not None
                if places and event in places:
                    task, outcome = self._execute_accepted(event)
                    if task.aborted:  # by another nexus, after the last data arrived
                        self._protocol.abandon(event)
                        continue
                else:
                    task, outcome = execute(
                        self._nexus, event.lun, event.cdb, event.data_out, event.attribute, event.initiator_task_tag
                    )
                if task.gates and type(outcome) is Reply:
                    self.holder.hold(event, task, outcome, tally.began_s)
                elif type(outcome) is Reply:
                    if task.logical_unit is not tally.unit:
                        tally.turn_to(task.logical_unit)
                    kind = KIND_OF_OPERATION_CODE[event.cdb[0]]
                    transfer_bytes = outcome.transfer_bytes
                    counts[kind] += 1
                    sizes[kind] += transfer_bytes
                    data_in = outcome.data_in
                    send_reply(event, outcome.status, data_in, transfer_bytes, outcome.sense)
                    if task.read_memory_bytes:
                        self._hold_until_sent(task)
                    elif not data_in or (early_bytes := early_bytes + transfer_bytes) < EARLY_SEND_BYTES:
                        continue
                    if not self._sender.send_early(early_bytes):
                        return
                    early_bytes = 0
                else:
                    assert not isinstance(outcome, Reply)
                    self._execute_later(event, task, outcome)
                    if self._turns.left <= 0 and not self._protocol.closed:
                        return
            else:
                if not self._handle_rare_event(event):
                    unhandled.appendleft(event)
                    return
                send_reply = self._protocol.send_reply  # A new session has another function.

    def _accept(self, command: CommandReady) -> None:
        """Take a place in the task set for a command.

        Do nothing if the data-out of the command has already arrived, or if the command has ended.
        """
        has_data = bool(self.unhandled) and self.unhandled[0] is command
        if has_data or command.aborted or self._nexus is None:
            return
        place = self._device_server.accept(
            self._nexus,
            command.lun,
            command.cdb,
            command.attribute,
            command.initiator_task_tag,
            partial(_awaits_memory, command),
        )
        if place is not None:
            self._places[command] = place

    def _execute_accepted(self, command: CommandReady) -> tuple[Task, Outcome]:
        place = self._places.pop(command)
        return self._device_server.execute_accepted(place, command.data_out, holds_memory=command.collected_bytes > 0)

    def _give_place_back(self, command: CommandReady) -> None:
        place = self._places.pop(command, None)
        if place is not None:
            place.give_back()

    def _hold_until_sent(self, task: Task) -> None:
        """Keep the claimed memory of a read until the peer has received the data."""
        assert self.memory is not None
        self._sender.hold(self.memory.read, task.read_memory_bytes)

    def _execute_later(self, command: CommandReady, task: Task, pending: Pending) -> None:
        """Start a task for a command that has to wait, and claim memory for its data-out."""
        if not self._protocol.keep(command, task.data_out_bytes):
            pending.abandon()
            self._give_back(task)
            self._protocol.refuse(command)
        elif not self._start_soon(self._complete, command, task, pending, self.tally.began_s):
            pending.abandon()
            self._give_back(task)
            self._protocol.release(command)

    async def _complete(self, command: CommandReady, task: Task, pending: Pending, began_s: float) -> None:
        try:
            try:
                reply = await pending.run()
            finally:
                self._protocol.release(command)
            if task.aborted or reply is UNANSWERED:
                self._protocol.abandon(command)
            elif task.gates:
                self.holder.hold(command, task, reply, began_s)
                del reply
                await self._send()
                return
            else:
                self._protocol.send_reply(command, reply.status, reply.data_in, reply.transfer_bytes, reply.sense)
            size_bytes = reply.transfer_bytes
            del reply
            await self._send()
            if not task.aborted:
                self.tally.count_later(task.logical_unit, command.cdb[0], size_bytes, began_s)
        finally:
            self._give_back(task)

    def _give_back(self, task: Task) -> None:
        size_bytes, task.read_memory_bytes = task.read_memory_bytes, 0
        if size_bytes and self.memory is not None:
            self.memory.read.give_back(size_bytes)

    def _handle_rare_event(self, event: Event) -> bool:
        """Handle any event but CommandReady. Return False if the event must be handled again in the next turn."""
        if isinstance(event, CommandAccepted):
            self._accept(event.command)
        elif isinstance(event, CommandEnded):
            self._give_place_back(event.command)
        elif isinstance(event, SessionOpened):
            self._begin(event.session)
        elif isinstance(event, TaskManagement):
            return self._manage_tasks(event)
        elif isinstance(event, SessionClosed):
            self.lose_nexus()
        elif isinstance(event, PduRejected):
            self._report("warning", "PDU rejected", reason=event.reason.name, detail=event.detail)
        return True

    def _manage_tasks(self, request: TaskManagement) -> bool:
        """Perform a task management function. Return False if it must be continued in the next turn.

        Until then, the later events of the connection wait. So a reset affects no later command of this nexus.
        """
        if request.function in WHOLE_TARGET and not self._target_reset.has_ended(self._nexus):
            return False
        if self._nexus is not None:
            response = perform_task_management(self._device_server, self._nexus, request)
            if response is Response.TASK_DOES_NOT_EXIST and self.holder.has(request.lun, request.referenced_task_tag):
                response = Response.FUNCTION_COMPLETE  # The command has ended, but the host never gets the reply.
            self._protocol.send_task_management_response(request, response)
        return True

    def _begin(self, session: Session) -> None:
        assert self.memory is not None
        self._nexus = self._nexus_of(session)
        self._nexus.end_undelivered = self._end_undelivered
        self._nexus.end_unexecuted = self._end_unexecuted
        self._nexus.read_memory = SessionReadMemory(self.memory.read)
        self._device_server.attach(self._nexus)
        self.holder.read_memory = self.memory.read
        state = self._protocol.lane_state()
        if state is not None:
            send_reply, memory = self._protocol.send_reply, self.memory.read
            self.lane = ShortLane(state, self._nexus, self._device_server, self._sender, self.tally, send_reply, memory)
            self.holder.join(self.lane, state, self._nexus, self._device_server, memory)
        self._report("info", "logged in", initiator=self._nexus.initiator_name)

    def _end_undelivered(self, lun: int) -> bool:
        """Abort the tasks of a LUN that wait for data-out, because another nexus requests it. True if any was aborted."""
        ended = self._protocol.abort_collecting(lun)
        if ended:
            self._start_soon(self._send)
        return ended

    def _end_unexecuted(self, lun: int) -> None:
        """Abort the received commands of a LUN that are not executed yet, because the LUN gets another logical unit or none."""
        for event in self.unhandled:
            if type(event) is CommandReady and event.lun == lun and not event.aborted:
                self._protocol.abandon(event)
        self._protocol.abort_held(lun)
        self._start_soon(self._send)

    def close(self) -> None:
        """Discard all events that have not been handled. No command is executed after this call."""
        self.lose_nexus()
        self.holder.close()
        self.unhandled.clear()

    def lose_nexus(self) -> None:
        """End the nexus and all its tasks, because the session has ended. A second call does nothing."""
        if self._nexus is not None:
            self._device_server.detach(self._nexus)
            self._nexus.end_unexecuted = self._nexus.connection = None
            self._nexus = self.lane = None
        for command in list(self._places):
            self._give_place_back(command)


def _awaits_memory(command: CommandReady) -> bool:
    return command.awaits_memory
