"""Replies to usual writes that wait for another array. The short lane has executed these writes, one after the other.

Such replies differ only in their task tags. So they take one object together, and are sent together. If anything happens that
may end one of them, they become replies of their own, as the general way makes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.header import decode_lun
from odx_target.iscsi.session.command_window import SERIAL_MASK
from odx_target.iscsi.session.events import CommandReady
from odx_target.iscsi.session.lane_state import LaneState
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.tasks.task import Task
from odx_target.scsi.unit.group_gate import GroupGate
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.server.holding.held_replies import NOT_COMMITTED, HeldReply
from odx_target.target.server.short_lane import RESPONSE, pack_response

WRITE_16 = bytes([0x8A]) + bytes(15)
"""The CDB of a write of any length. Only its operation code is used after the write."""

_tag_of = Struct(">16xI").unpack_from


@dataclass(slots=True, eq=False)
class HeldWrites:
    """The replies to consecutive writes of one logical unit. `headers` has the headers that the lane has made for them, of
    which only the task tags are used. `size_bytes` is the size of all data, and `began_s` the time at which the lane has begun.

    `osn` is the OSN that the pool had committed after the writes.
    """

    nexus: Nexus
    unit: LogicalUnit
    gates: tuple[GroupGate, ...]
    lun_field: int
    headers: list[Buffer]
    size_bytes: int
    began_s: float
    osn: int = NOT_COMMITTED

    def __len__(self) -> int:
        return len(self.headers)

    def send(self, state: LaneState) -> None:
        """Add the replies to the output of their session, with the present numbers."""
        window, writer = state.window, state.writer
        has_digest = writer.header_digest
        for header in self.headers:
            window.max_cmd_sn = max_cmd_sn = window.max_cmd_sn + 1 & SERIAL_MASK
            (tag,) = _tag_of(header)
            reply = pack_response(RESPONSE, tag, writer.stat_sn, window.exp_cmd_sn, max_cmd_sn)
            writer.stat_sn = writer.stat_sn + 1 & SERIAL_MASK
            if has_digest:
                writer.append(reply, ())
            else:
                writer.output.append(reply)

    def divided(self, state: LaneState) -> Iterator[HeldReply]:
        """Yield a held reply for each write, whose command is an active task of the session from then on.

        Each of them gets the same part of the size, because only their sum is counted.
        """
        lun, each_bytes = decode_lun(self.lun_field), self.size_bytes // len(self.headers)
        rest_bytes = self.size_bytes - each_bytes * len(self.headers)
        for header in self.headers:
            (tag,) = _tag_of(header)
            size_bytes, rest_bytes = each_bytes + rest_bytes, 0
            command = CommandReady(lun, self.lun_field, WRITE_16, 0, tag, size_bytes, False, True, False, 0)
            state.active[tag] = command
            task = Task(self.nexus, self.unit, WRITE_16, lun=lun, gates=self.gates)
            yield HeldReply(command, task, Reply(transfer_bytes=size_bytes), self.gates, self.began_s, 0, self.osn)
