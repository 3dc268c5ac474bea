"""The short lane for writes of a group. It executes them as `ShortLane` does, but their replies are held.

Reads, and writes that must be durable, go the general way, because they need more from the group than to wait.
"""

from collections.abc import Callable

from odx_target.iscsi.pdu.header import decode_lun
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.session.connection import SendReply
from odx_target.iscsi.session.lane_state import LaneState
from odx_target.iscsi.session.session_memory import Share
from odx_target.iscsi.session.writer import PduWriter
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.traffic import CommandKind
from odx_target.scsi.unit.group_gate import GroupGate
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.server.batch_tally import BatchTally
from odx_target.target.server.holding.held_writes import HeldWrites
from odx_target.target.server.response_sender import ResponseSender
from odx_target.target.server.short_lane import ShortLane

_LUN = slice(8, 16)
"""Place of the LUN in a SCSI Command PDU."""

_ENOUGH_BYTES = 1
"""The lane stops after this amount of read data. It reads nothing."""


class HoldingLane(ShortLane):
    """The short lane for the groups of one session, whose state is `session`. `hold` keeps the replies of writes, and
    `hold_failed` that of a write which an exception has ended. `tally` has the time at which the present batch began.
    """

    def __init__(
        self,
        session: LaneState,
        nexus: Nexus,
        device_server: DeviceServer,
        sender: ResponseSender,
        tally: BatchTally,
        read_memory: Share,
        hold: Callable[[HeldWrites], None],
        hold_failed: SendReply,
    ) -> None:
        self._session = session
        self._batch = tally
        self._hold = hold
        self._kept = PduWriter(session.window)
        state = session._replace(writer=self._kept)
        counts = BatchTally(lambda: 0.0)
        super().__init__(state, nexus, device_server, sender, counts, hold_failed, read_memory)

    def execute(self, view: memoryview, at: int) -> int:
        """Execute usual writes to one logical unit of a group, from the position `at` on. Returns the position after them."""
        if len(view) - at < HEADER_BYTES:
            return at
        lun_field = int.from_bytes(view[at:][_LUN], "big")
        unit = self._nexus.logical_units.get(decode_lun(lun_field))
        if unit is None or unit.group is None:
            return at
        kept, session = self._kept, self._session
        kept.header_digest, kept.data_digest = session.writer.header_digest, session.writer.data_digest
        max_cmd_sn = session.window.max_cmd_sn
        end, _ = self._execute_usual(self, view, at, _ENOUGH_BYTES)
        session.window.max_cmd_sn = max_cmd_sn  # The commands keep their places until they are answered.
        headers, kept.output = kept.output, []
        size_bytes = self._take_size()
        if headers:
            gates = unit.group.alone
            self._hold(HeldWrites(self._nexus, unit, gates, lun_field, headers, size_bytes, self._batch.began_s))
        return end

    def _take_size(self) -> int:
        """Return the size of the data that was written, and count it no more. It is counted when the replies are sent."""
        tally = self._tally
        size_bytes = tally.sizes[CommandKind.WRITE]
        for kind in CommandKind:
            tally.counts[kind] = tally.sizes[kind] = 0
        return size_bytes

    def _end_failed(self, pdu: memoryview, unit: LogicalUnit, error: Exception) -> None:
        size_bytes = self._tally.sizes[CommandKind.WRITE]
        super()._end_failed(pdu, unit, error)
        self._tally.sizes[CommandKind.WRITE] = size_bytes  # The failed write is counted when its own reply is sent.

    def _takes(self, group: GroupGate | None) -> bool:
        return group is not None and group.is_open()

    def _max_read_bytes(self, unit: LogicalUnit) -> int:  # noqa: ARG002 - a read is not usual, whatever the unit
        return 0
