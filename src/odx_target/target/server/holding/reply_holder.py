"""Holds the replies of one connection to commands on logical units of groups, and sends them when they are due."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.session.connection import TargetConnection
from odx_target.iscsi.session.events import CommandReady
from odx_target.iscsi.session.lane_state import LaneState
from odx_target.iscsi.session.session_memory import Share
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.traffic import CommandKind
from odx_target.target.server.batch_tally import BatchTally
from odx_target.target.server.holding.held_replies import HeldReplies, HeldReply
from odx_target.target.server.holding.held_writes import HeldWrites
from odx_target.target.server.holding.holding_lane import HoldingLane
from odx_target.target.server.response_sender import ResponseSender
from odx_target.target.server.short_lane import ShortLane


class Report(Protocol):
    """Function that logs an event, unless too many events of this kind have been logged."""

    def __call__(self, level: str, event: str, **fields: object) -> None: ...


class ReplyHolder:
    """The held replies of the connection of a protocol. `send_now` commits the pool and sends without waiting.

    `state` and `read_memory` are None while there is no session.
    """

    def __init__(
        self,
        protocol: TargetConnection,
        sender: ResponseSender,
        tally: BatchTally,
        send_now: Callable[[], None],
        report: Report,
    ) -> None:
        self.state: LaneState | None = None
        self.read_memory: Share | None = None
        self._nexus: Nexus | None = None
        self._protocol = protocol
        self._sender = sender
        self._tally = tally
        self._report = report
        self._held = HeldReplies(self._send, self._send_writes, self._divide, send_now, self._note_lost)

    def join(self, lane: ShortLane, state: LaneState, nexus: Nexus, device_server: DeviceServer, read_memory: Share) -> None:
        """Make the lane of a new session execute writes whose replies are held."""
        self.state, self._nexus = state, nexus
        holds = self._hold_writes, self._hold_failed
        holding = HoldingLane(state, nexus, device_server, self._sender, self._tally, read_memory, *holds)
        lane.execute_in_group = holding.execute

    def hold(self, command: CommandReady, task: Task, reply: Reply, began_s: float) -> None:
        """Keep a reply until other arrays have the changes of the command too. Its data-out is not needed any more."""
        command.data_out = ()
        self._protocol.release(command)
        size_bytes, task.read_memory_bytes = task.read_memory_bytes, 0
        self._held.hold(HeldReply(command, task, reply, task.gates, began_s, size_bytes))
        self._sender.on_commit = self._release

    def _hold_writes(self, writes: HeldWrites) -> None:
        self._held.hold_together(writes)
        self._sender.on_commit = self._release

    def _hold_failed(
        self, command: CommandReady, status: int, data_in: Sequence[Buffer], transfer_bytes: int, sense: bytes
    ) -> None:
        """Keep the reply to a write that an exception has ended."""
        assert self._nexus is not None
        unit = self._nexus.logical_units[command.lun]
        gates = () if unit.group is None else unit.group.alone
        task = Task(self._nexus, unit, command.cdb, lun=command.lun, gates=gates)
        self.hold(command, task, Reply(status, data_in, transfer_bytes, sense), self._tally.began_s)

    def before_general_way(self, view: memoryview) -> None:
        """Prepare for a PDU that goes the general way, at the start of `view`. It may end commands whose replies are held."""
        if self._held.has_together and _has_whole_pdu(view):
            self._held.divide_all()

    def has(self, lun: int, tag: int) -> bool:
        """True if the reply to a command with this LUN and initiator task tag is held."""
        return self._held.has(lun, tag)

    def close(self) -> None:
        """Drop all replies, because the connection has ended."""
        self._held.close()

    def take_apart(self) -> None:
        """Break the reference cycles of the held replies. No method may be called afterwards."""
        vars(self._held).clear()
        vars(self).clear()

    def _release(self, committed_osn: int) -> None:
        self._held.release(committed_osn)
        if not self._held:
            self._sender.on_commit = None

    def _note_lost(self, group: str, count: int) -> None:
        event = "commands end with NOT READY, although their changes may have been made, because the group is not served here"
        self._report("warning", event, group=group, count=count)

    def _divide(self, writes: HeldWrites) -> Iterable[HeldReply]:
        assert self.state is not None
        return writes.divided(self.state)

    def _send_writes(self, writes: HeldWrites) -> None:
        if self.state is not None and not self._protocol.closed:
            writes.send(self.state)
            self._tally.count_held(writes.unit, CommandKind.WRITE, len(writes), writes.size_bytes, writes.began_s)

    def _send(self, held: HeldReply) -> None:
        """Send a reply that was held. The memory of its data is given back when the data has been sent."""
        command, reply = held.command, held.reply
        is_answered = not command.aborted
        if is_answered:
            self._protocol.send_reply(command, reply.status, reply.data_in, reply.transfer_bytes, reply.sense)
            self._tally.count_later(held.task.logical_unit, command.cdb[0], reply.transfer_bytes, held.began_s)
        if held.read_memory_bytes and self.read_memory is not None:
            if is_answered and reply.data_in:
                self._sender.hold(self.read_memory, held.read_memory_bytes)
            else:
                self.read_memory.give_back(held.read_memory_bytes)


def _has_whole_pdu(view: memoryview) -> bool:
    """True if a PDU may be whole at the start of a view, so that the protocol acts on it. Digests and padding do not count."""
    if len(view) < HEADER_BYTES:
        return False
    additional_bytes, data_bytes = 4 * view[4], int.from_bytes(view[5:8], "big")
    return len(view) >= HEADER_BYTES + additional_bytes + data_bytes
