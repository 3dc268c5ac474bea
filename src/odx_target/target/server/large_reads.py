"""Large reads of the short lane: READ commands whose data does not fit into one Data-In PDU, or needs memory of its own.

The data is sent from the mapped segments without a copy (see `native/block_views.c`). If its blocks are scattered, or their
segments are not mapped, it is copied. The general way copies all data, because it may also go to a recorder, a fault rule or a
digest, and a view must only be read by the kernel. So these reads go the general way if the native module is not in use, or if
the session has digests.

The conditions of a usual command are those of `short_lane`, except for the size of the data. The reply is made as for all other
commands.
"""

from collections.abc import Callable
from contextlib import suppress

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.header import FINAL, READ, decode_lun
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode
from odx_target.iscsi.pdu.requests import SCSI_COMMAND
from odx_target.iscsi.session.connection import SendReply
from odx_target.iscsi.session.events import CommandReady
from odx_target.iscsi.session.lane_state import LaneState
from odx_target.iscsi.session.session_memory import Share
from odx_target.native.choice import BlockReader
from odx_target.scsi.cdb.transfer import TRANSFER_10, TRANSFER_16
from odx_target.scsi.limits import SMALL_READ_BYTES, STEP_BYTES
from odx_target.scsi.reply import Status
from odx_target.scsi.traffic import CommandKind
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.api import BLOCK_BYTES
from odx_target.target.server.batch_tally import BatchTally
from odx_target.target.server.response_sender import ResponseSender

_READ_10, _READ_16 = 0x28, 0x88
_SIMPLE = 1
_KINDS = (FINAL | READ, FINAL | READ | _SIMPLE)
"""Byte 1 of a usual read. Its task attribute is untagged or simple."""

MAX_COPIED_BYTES = STEP_BYTES
"""Maximum size of a read whose data is copied. The general way divides the copy of a larger read into steps."""

_OTHER_BYTES = {_READ_10: (1, 6, 9), _READ_16: (1, 14, 15)}
"""Bytes of a CDB that are 0 in a usual read: byte 1, the group number and CONTROL."""


class LargeReads:
    """Executes large reads of one session. `send_reply` sends the reply to a command. `memory` is the memory of the session for
    reads.
    """

    def __init__(
        self,
        state: LaneState,
        sender: ResponseSender,
        tally: BatchTally,
        send_reply: SendReply,
        memory: Share,
    ) -> None:
        self._state = state
        self._sender = sender
        self._tally = tally
        self._send_reply = send_reply
        self._memory = memory

    def execute(self, view: memoryview, at: int, usual_unit: Callable[[int], LogicalUnit | None]) -> int:
        """Execute the command at a position of `view` if it is a usual large read. Returns the number of bytes of its data. The
        result is 0 if the command must go the general way. `usual_unit` returns the logical unit of a LUN if its commands are
        usual, and counts the next commands for it.
        """
        writer, window = self._state.writer, self._state.window
        if len(view) - at < HEADER_BYTES or writer.header_digest or writer.data_digest:
            return 0
        opcode, flags, lengths, lun_field, tag, expected_bytes, cmd_sn, _, cdb = SCSI_COMMAND.unpack_from(view, at)
        size_bytes = int(expected_bytes)
        if opcode != Opcode.SCSI_COMMAND or flags not in _KINDS or lengths or cdb[0] not in _OTHER_BYTES:
            return 0
        if cmd_sn != window.exp_cmd_sn or tag in self._state.active or tag == NO_TAG or not self._is_cut_at_blocks(size_bytes):
            return 0
        unit = usual_unit(lun_field)
        data = None if unit is None else self._read(unit, cdb, size_bytes)
        if data is None:
            return 0
        command = CommandReady(decode_lun(lun_field), lun_field, cdb, flags & 7, tag, size_bytes, True, False, False, cmd_sn)
        self._state.active[tag] = command
        window.advance()
        self._tally.counts[CommandKind.READ] += 1
        self._tally.sizes[CommandKind.READ] += size_bytes
        self._send_reply(command, Status.GOOD, data, size_bytes, b"")
        return size_bytes

    def _is_cut_at_blocks(self, size_bytes: int) -> bool:
        """True if each Data-In PDU of a read of this size has whole blocks. The data of smaller PDUs would be copied."""
        agreed = self._state.parameters
        cuts = agreed.max_send_data_segment_length | agreed.max_burst_length | size_bytes
        return size_bytes > 0 and cuts % BLOCK_BYTES == 0

    def _read(self, unit: LogicalUnit, cdb: bytes, size_bytes: int) -> list[Buffer] | None:
        """Return the data, and take memory for it. Returns None if the read is not usual."""
        _, lba, count = (TRANSFER_10 if cdb[0] == _READ_10 else TRANSFER_16).unpack_from(cdb)
        others = [cdb[index] for index in _OTHER_BYTES[cdb[0]]]
        reads = unit.blocks.volume.native_reads
        if any(others) or count * unit.block_bytes != size_bytes or reads is None:
            return None
        if count > unit.max_transfer_blocks or lba + count > unit.capacity_blocks:
            return None
        claimed_bytes = size_bytes if size_bytes > SMALL_READ_BYTES else 0
        if claimed_bytes and not self._memory.take(claimed_bytes):
            return None
        reader, block_map = reads
        with suppress(MemoryError):
            data = _data(reader, block_map, lba * unit.block_bytes, size_bytes)
            if data is not None:
                if claimed_bytes:
                    self._sender.hold(self._memory, claimed_bytes)
                return data
        if claimed_bytes:
            self._memory.give_back(claimed_bytes)
        return None


def _data(reader: BlockReader, block_map: object, offset_bytes: int, size_bytes: int) -> list[Buffer] | None:
    """Return views or a copy of a range. Returns None if some blocks are not usual, or if a copy would take too long."""
    views = reader.view_now(block_map, offset_bytes, size_bytes)
    if views is not None or size_bytes > MAX_COPIED_BYTES:
        return None if views is None else [*views]
    block, skip_bytes = divmod(offset_bytes, BLOCK_BYTES)
    content = reader.read_now(block_map, block, -(-(skip_bytes + size_bytes) // BLOCK_BYTES))
    return None if content is None else [memoryview(content)[skip_bytes : skip_bytes + size_bytes]]
