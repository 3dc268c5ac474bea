"""The short lane: it executes usual reads and writes in one loop, from the header of the command to the header of its reply.

Other commands go the general way: through the protocol, the executor and the device server (see `docs/a-command.md`). Each of
these parts checks everything that may be unusual. The lane is used only if no earlier PDU of the session waits, and no trace
or injected fault needs the commands. It then executes commands as long as each of them is a READ or WRITE with a
CDB of 10 or 16 bytes and these properties:

    The command is next in the order of CmdSN, its task tag is not in use, and all reserved and optional bits are 0.
    The digests of its PDU are right, if the session uses digests.
    The logical unit has no unit attention, no reservation and no other task, is not stopped, and is active at the target port.
    No other array has the same logical unit.
    The range lies within the capacity, and the expected data transfer length is the size of the range.
    The data of a read fits into one Data-In PDU, and the data of a write is in the PDU of the command.
    A write need not be durable before the reply, or it has FUA and the pool flushes at once.
    The logical unit of a write is not write protected.

The lane stops before the first other command, and before a command that would have to wait. It changes nothing for this
command, which then goes the general way. Both ways give the same replies and the same counters, which a test verifies.

If an exception ends a command, the lane sends the reply that the device server gives for this exception. It does not execute
the command a second time.

`ShortLane.execute_usual` is the loop. If the native module is in use, `native/short_lane.c` does the same instead, and
`large_reads` executes reads that fill several PDUs. The rest of this module is called once for many commands.
"""

from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct
from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.framing import DIGEST_BYTES, FrameReader, FramingError
from odx_target.iscsi.pdu.header import FINAL, HAS_STATUS, READ, WRITE, decode_lun
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode
from odx_target.iscsi.pdu.requests import SCSI_COMMAND
from odx_target.iscsi.session.command_window import SERIAL_MASK
from odx_target.iscsi.session.connection import SendReply
from odx_target.iscsi.session.events import CommandReady
from odx_target.iscsi.session.lane_state import LaneState
from odx_target.iscsi.session.session_memory import Share
from odx_target.native.choice import NATIVE
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.limits import SMALL_READ_BYTES
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Status
from odx_target.scsi.traffic import KIND_OF_OPERATION_CODE
from odx_target.scsi.unit.group_gate import GroupGate
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.target.server.batch_tally import BatchTally
from odx_target.target.server.large_reads import LargeReads
from odx_target.target.server.response_sender import EARLY_SEND_BYTES, ResponseSender

_CODES_10 = (0x28, 0x2A)
_CODES_16 = (0x88, 0x8A)
"""Operation codes of READ(10) and WRITE(10), and of READ(16) and WRITE(16)."""

_WRITE_BIT = 0x02
"""Bit of the operation code that distinguishes a WRITE from a READ of the same length."""

_OPERATION_CODE = HEADER_BYTES - 16
"""Place of the operation code in a SCSI Command PDU."""

_HEADER = ">H2xIQIII4xx"
unpack_10 = Struct(_HEADER + "BIBHB6x").unpack_from
"""Decode a SCSI Command PDU with a CDB of 10 bytes. The fields of the header are bytes 0 and 1 as one number, the lengths of
the AHS and of the data as one number, LUN, initiator task tag, expected data transfer length and CmdSN. The fields of the CDB
are byte 1, LBA, group number, number of blocks and CONTROL."""

unpack_16 = Struct(_HEADER + "BQIBB").unpack_from
"""Decode a SCSI Command PDU with a CDB of 16 bytes. The fields are those of `unpack_10`, but the number of blocks comes before
the group number."""

_FUA = 0x08
"""Bit of byte 1 of a CDB. A read with FUA is not usual."""

_SIMPLE = 1
_COMMAND = Opcode.SCSI_COMMAND << 8 | FINAL
_READS = (_COMMAND | READ, _COMMAND | READ | _SIMPLE)
_WRITES = (_COMMAND | WRITE, _COMMAND | WRITE | _SIMPLE)
"""Bytes 0 and 1 of a usual command. Its task attribute is untagged or simple."""

_DATA_IN = Opcode.SCSI_DATA_IN << 24 | (FINAL | HAS_STATUS) << 16 | Status.GOOD
pack_data_in = Struct(">IIQIIIII12x").pack
"""Encode the header of a Data-In PDU that has all data of a command and its status. The fields are bytes 0 to 3 as one number,
length of the data, LUN, initiator task tag, target transfer tag, StatSN, ExpCmdSN and MaxCmdSN. All other fields are 0."""

RESPONSE = Opcode.SCSI_RESPONSE << 24 | FINAL << 16 | Status.GOOD
pack_response = Struct(">I12xI4xIII12x").pack
"""Encode a SCSI Response without data. The fields are bytes 0 to 3 as one number, initiator task tag, StatSN, ExpCmdSN and
MaxCmdSN. All other fields are 0."""


class _Usual(NamedTuple):
    """A LUN and its logical unit, the maximum sizes of its usual reads and writes, and the functions that execute them.

    `write_fua` writes as `write` does, and makes the next commit flush. If one of both would have to wait, it changes
    nothing and returns False.
    """

    lun_field: int
    unit: LogicalUnit
    capacity_blocks: int
    block_bytes: int
    max_read_bytes: int
    max_write_bytes: int
    read: Callable[[int, int], list[Buffer] | None]
    write: Callable[[int, Sequence[Buffer]], bool]
    write_fua: Callable[[int, Sequence[Buffer]], bool]


def _write_fua(unit: LogicalUnit, lba: int, data: Sequence[Buffer]) -> bool:
    if not unit.flushes_at_once or not unit.blocks.write_now(lba, data):
        return False
    unit.pool.flush_at_commit()
    return True


def _begins_with_read(view: memoryview) -> bool:
    return len(view) >= HEADER_BYTES and view[_OPERATION_CODE] in (_CODES_10[0], _CODES_16[0])


class ShortLane:
    """The short lane of one session.

    `is_paused` is True if the lane has stopped because too much output is unsent. The caller must then send output before any
    more commands are executed. `send_reply` sends the reply to a command, and `read_memory` is the memory for
    large reads.
    """

    def __init__(
        self,
        state: LaneState,
        nexus: Nexus,
        device_server: DeviceServer,
        sender: ResponseSender,
        tally: BatchTally,
        send_reply: SendReply,
        read_memory: Share,
    ) -> None:
        self.is_paused = False
        self._state = state
        self._nexus = nexus
        self._device_server = device_server
        self._sender = sender
        self._tally = tally
        self._send_reply = send_reply
        self._lun_field = self._lun = 0  # of the last call of `_usual_unit`; LUN 0 has the field 0
        self._large_reads = None if NATIVE is None else LargeReads(state, sender, tally, send_reply, read_memory)
        self.execute_in_group: Callable[[memoryview, int], int] | None = None
        """Function that executes the usual writes of a logical unit of a group, from a position of a view on, and returns the
        position after them.
        """
        self._execute_usual = NATIVE.execute_usual if NATIVE is not None else ShortLane.execute_usual

    def run(self, view: memoryview, unsent_bytes: int = 0) -> int:
        """Execute usual commands from the start of `view` on. Returns the number of bytes of their PDUs. `unsent_bytes` is the
        size of the read data in the present output. Raises OSError and PoolFailed if read data cannot be sent.
        """
        self.is_paused = False
        at = 0
        if unsent_bytes >= EARLY_SEND_BYTES:
            self.is_paused = not self._sender.send_early(unsent_bytes)
            unsent_bytes = 0
        while not self.is_paused and not self._is_anything_unusual():
            start = at
            at, read_bytes = self._execute_usual(self, view, at, EARLY_SEND_BYTES)
            if at == start and self._large_reads is not None and _begins_with_read(view[at:]):
                read_bytes = self._large_reads.execute(view, at, self._usual_unit)
                at += HEADER_BYTES if read_bytes else 0
            if at == start and self.execute_in_group is not None:
                at = self.execute_in_group(view, at)
            unsent_bytes += read_bytes
            if unsent_bytes >= EARLY_SEND_BYTES:
                if not self._sender.send_early(unsent_bytes):
                    self.is_paused = True
                    break
                unsent_bytes = 0
            if at == start or len(view) - at < HEADER_BYTES:
                break
        return at

    def _is_anything_unusual(self) -> bool:
        state = self._state
        return bool(state.window.held or state.window.is_closed or state.events or not state.writer.takes_more)

    def _usual_unit(self, lun_field: int) -> LogicalUnit | None:
        """Return the logical unit of a LUN, and count the next commands for it. Return None if there is no logical unit, or if
        its commands are not usual.
        """
        if lun_field != self._lun_field:
            self._lun_field, self._lun = lun_field, decode_lun(lun_field)
        lun, nexus = self._lun, self._nexus
        unit = nexus.logical_units.get(lun)
        if unit is None or unit.tasks.members or not unit.is_ready or unit.is_reserved or nexus.unit_attentions.get(lun):
            return None
        if not self._takes(unit.group):
            return None
        is_restricted = unit.restricted is not None and nexus.target_port.target_port_group in unit.restricted
        if is_restricted and unit.group is None:  # The port groups of a group have numbers of their own.
            return None
        server = self._device_server
        if not server.commands.has_usual_transfers:
            return None
        if (server.before_command is not None or server.after_command is not None) and server.watches_transfers(
            self._nexus, lun
        ):
            return None
        if self._tally.unit is not unit:
            self._tally.turn_to(unit)
        return unit

    def _takes(self, group: GroupGate | None) -> bool:
        """True if the commands of a logical unit of a group, or of no group, may be executed."""
        return group is None

    def _max_read_bytes(self, unit: LogicalUnit) -> int:
        """Return the maximum size of a usual read on the LUN that `_usual_unit` has found."""
        return min(self._state.max_read_bytes, SMALL_READ_BYTES, unit.max_transfer_blocks * unit.block_bytes)

    def _max_write_bytes(self, unit: LogicalUnit) -> int:
        """Return the maximum size of a usual write on the LUN that `_usual_unit` has found. A write is not usual if it is
        refused, or must be durable before it ends.
        """
        if not unit.write_cache_enabled or unit.write_protected or self._lun in self._nexus.read_only_luns:
            return 0
        return min(self._state.max_write_bytes, unit.max_transfer_blocks * unit.block_bytes)

    def _usual(self, lun_field: int) -> _Usual | None:
        if (unit := self._usual_unit(lun_field)) is None:
            return None
        blocks, write_fua = unit.blocks, partial(_write_fua, unit)
        sizes = unit.capacity_blocks, unit.block_bytes, self._max_read_bytes(unit), self._max_write_bytes(unit)
        return _Usual(lun_field, unit, *sizes, blocks.read_now, blocks.write_now, write_fua)

    def execute_usual(self, view: memoryview, at: int, enough_bytes: int) -> tuple[int, int]:
        """Execute usual commands of one logical unit, from the position `at` on, until there are `enough_bytes` of read data.
        Returns the position after these commands, and the number of bytes of read data.
        """
        window, writer, active = self._state.window, self._state.writer, self._state.active
        open_places = window.max_cmd_sn - window.exp_cmd_sn & SERIAL_MASK
        output, counts, sizes, lun_field, read_bytes = writer.output, self._tally.counts, self._tally.sizes, -1, 0
        before_bytes, after_bytes, has_digests = self._sizes_around_data()
        closed_at = window.max_cmd_sn + 1 & SERIAL_MASK  # Commands whose replies are held give no place back.
        while len(view) - at >= before_bytes and read_bytes < enough_bytes and window.exp_cmd_sn != closed_at:
            code = view[at + _OPERATION_CODE]
            if code in _CODES_16:
                kind, lengths, lun, tag, expected, cmd_sn, byte_1, lba, count, group, control = unpack_16(view, at)
            elif code in _CODES_10:
                kind, lengths, lun, tag, expected, cmd_sn, byte_1, lba, group, count, control = unpack_10(view, at)
            else:
                break
            if lun != lun_field:
                if lun_field >= 0 or (usual := self._usual(lun)) is None:
                    break
                lun_field, unit, capacity_blocks, block_bytes, max_read_bytes, max_write_bytes, read, write, write_fua = usual
            size_bytes = count * block_bytes
            start, is_write = at + before_bytes, code & _WRITE_BIT
            fua = byte_1 & _FUA if is_write else 0
            end = start + size_bytes + after_bytes if is_write else start
            if (
                (cmd_sn != window.exp_cmd_sn or tag in active or tag == NO_TAG or byte_1 & ~fua | group | control)
                or (lba + count > capacity_blocks or size_bytes != expected or not size_bytes or end > len(view))
                or (lengths != (size_bytes if is_write else 0) or kind not in (_WRITES if is_write else _READS))
                or size_bytes > (max_write_bytes if is_write else max_read_bytes)
                or (has_digests and not self._has_right_digests(view[at:end]))
            ):
                break
            next_cmd_sn = cmd_sn + 1 & SERIAL_MASK
            max_cmd_sn = next_cmd_sn + open_places & SERIAL_MASK
            try:
                if is_write:
                    is_done = (write_fua if fua else write)(lba, (view[start : start + size_bytes],))
                    data: Sequence[Buffer] | None = () if is_done else None
                    header = pack_response(RESPONSE, tag, writer.stat_sn, next_cmd_sn, max_cmd_sn)
                else:
                    data = read(lba, count)
                    header = pack_data_in(_DATA_IN, size_bytes, lun, tag, NO_TAG, writer.stat_sn, next_cmd_sn, max_cmd_sn)
                if data is None:
                    break
                if has_digests:
                    writer.append(header, data)
                elif is_write:
                    output.append(header)
                else:
                    output += (header, *data)  # In one step, because an exception must not leave a header without its data.
            except Exception as error:
                self._end_failed(view[at:end], unit, error)
                return end, read_bytes
            window.exp_cmd_sn, window.max_cmd_sn, writer.stat_sn = next_cmd_sn, max_cmd_sn, writer.stat_sn + 1 & SERIAL_MASK
            command_kind = KIND_OF_OPERATION_CODE[code]
            counts[command_kind] += 1
            sizes[command_kind] += size_bytes
            at, read_bytes = end, read_bytes + (0 if is_write else size_bytes)
        return at, read_bytes

    def _sizes_around_data(self) -> tuple[int, int, bool]:
        """Return the number of bytes before and after the data of a PDU, and True if the session has digests."""
        writer = self._state.writer
        before_bytes = HEADER_BYTES + (DIGEST_BYTES if writer.header_digest else 0)
        after_bytes = DIGEST_BYTES if writer.data_digest else 0
        return before_bytes, after_bytes, writer.header_digest or writer.data_digest

    def _has_right_digests(self, pdu: memoryview) -> bool:
        reader = FrameReader(len(pdu))
        reader.header_digest, reader.data_digest = self._state.writer.header_digest, self._state.writer.data_digest
        try:
            frame = reader.cut(pdu)
        except FramingError:
            return False
        return frame is not None and frame[3]

    def _end_failed(self, pdu: memoryview, unit: LogicalUnit, error: Exception) -> None:
        """Reply to a usual command that an exception has ended. `pdu` is its PDU."""
        _, flags, _, lun_field, tag, size_bytes, cmd_sn, _, cdb = SCSI_COMMAND.unpack_from(pdu)
        lun, writes = decode_lun(lun_field), flags & WRITE != 0
        command = CommandReady(lun, lun_field, cdb, flags & 7, tag, size_bytes, not writes, writes, False, cmd_sn)
        self._state.active[tag] = command
        self._state.window.advance()
        start, _, _ = self._sizes_around_data()
        data_out = (pdu[start : start + size_bytes],) if writes else ()
        reply = self._device_server.reply_to_failed(error, self._nexus, unit, cdb, data_out, lun)
        command_kind = KIND_OF_OPERATION_CODE[cdb[0]]
        self._tally.counts[command_kind] += 1
        self._tally.sizes[command_kind] += reply.transfer_bytes
        self._send_reply(command, reply.status, reply.data_in, reply.transfer_bytes, reply.sense)
