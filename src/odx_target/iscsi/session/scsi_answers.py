"""Answers to SCSI commands: Data-In PDUs with the status in the last PDU, or a SCSI Response (RFC 7143 11.4, 11.7).

Data is cut into segments of at most the initiator's MaxRecvDataSegmentLength. Segments form sequences of at most
MaxBurstLength, and the last PDU of a sequence has the F bit. GOOD status is in the last Data-In; every other status needs a
SCSI Response. `residual` computes the residual count. The target never sends more bytes than the initiator expects.

The R and W bits of a command can contradict its operation. A command that writes may wrongly have the R bit, or have neither
bit although it expects data. Such a command writes no data and does not end with GOOD. If a command that reads has the W bit,
no data is sent. The command ends with GOOD, and the residual count is the number of bytes that were not sent.

Data is not copied, except for small segments: the output has slices of the caller's buffers.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from odx_target.environment import Buffer
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.pdu.framing import PADDING
from odx_target.iscsi.pdu.header import FINAL, HAS_STATUS
from odx_target.iscsi.pdu.opcodes import NO_TAG, Opcode
from odx_target.iscsi.pdu.scsi_responses import SCSI_DATA_IN, SCSI_RESPONSE
from odx_target.iscsi.session.command_window import SERIAL_MASK
from odx_target.iscsi.session.events import CommandReady
from odx_target.iscsi.session.residual import residual
from odx_target.iscsi.session.writer import PduWriter

GOOD = 0x00
CHECK_CONDITION = 0x02
BUSY = 0x08
TASK_SET_FULL = 0x28
JOINED_BYTES = 1024
"""Maximum size of a segment whose data is copied. Small segments are copied, because a view of a small segment would take as
much memory as a copy. Initiators may ask for segments of 512 bytes."""
MAX_SENSE_BYTES = 252
"""Maximum length of sense data (SPC-4 4.5.1)."""
_DATA_IN = int(Opcode.SCSI_DATA_IN)
_RESPONSE = int(Opcode.SCSI_RESPONSE)

Segment: TypeAlias = tuple[int, int, list[Buffer], bool]
"""Offset, length and buffers of a segment, and True if a sequence ends with this segment."""


def fixed_sense(sense_key: int, additional_sense_code: int, qualifier: int) -> bytes:
    """Return fixed-format sense data for an error of the transport (RFC 7143 11.4.7.2)."""
    return bytes((0x70, 0, sense_key, 0, 0, 0, 0, 10, 0, 0, 0, 0, additional_sense_code, qualifier, 0, 0, 0, 0))


WRONG_WAY = fixed_sense(0x05, 0x0E, 0x03)
"""Sense data of INVALID FIELD IN COMMAND INFORMATION UNIT."""


def cut_segments(data: Sequence[Buffer], size: int, max_segment: int, max_burst: int) -> Iterator[Segment]:
    """Cut the first `size` bytes of `data` into segments. The parts of `data` count as one sequence of bytes."""
    buffers = iter(data)
    current = memoryview(b"")
    offset = 0
    while offset < size:
        burst_left = max_burst - offset % max_burst
        length = min(max_segment, burst_left, size - offset)
        parts: list[Buffer] = []
        missing = length
        while missing:
            if not len(current):
                current = memoryview(next(buffers))
                continue
            parts.append(current[:missing])
            current = current[missing:]
            missing -= len(parts[-1])
        yield offset, length, parts, length == burst_left or offset + length == size
        offset += length


class ReplySender:
    """Sends the answers to the commands of one connection."""

    __slots__ = ("_parameters", "_writer")

    def __init__(self, writer: PduWriter, parameters: Parameters) -> None:
        self._writer = writer
        self._parameters = parameters

    def send(self, command: CommandReady, status: int, data_in: Sequence[Buffer], transfer_bytes: int, sense: bytes) -> None:
        """Answer a command. `transfer_bytes` is the number of bytes that its CDB asks to read or write."""
        if not (data_in and command.reads):
            self._send_without_data(command, status, data_in, transfer_bytes, sense)
            return
        size = len(data_in[0]) if len(data_in) == 1 else sum(map(len, data_in))
        parameters = self._parameters
        if (
            status != GOOD
            or not 0 < size == transfer_bytes == command.expected_data_transfer_length
            or size > parameters.max_send_data_segment_length
            or size > parameters.max_burst_length
        ):
            self._send_data(command, status, data_in, size, transfer_bytes, sense)
            return
        # This is the usual read: all expected data and the status GOOD fit into one PDU.
        writer = self._writer
        window = writer.window
        stat_sn = writer.stat_sn
        writer.stat_sn = (stat_sn + 1) & SERIAL_MASK
        header = SCSI_DATA_IN.pack(
            _DATA_IN,
            FINAL | HAS_STATUS,
            GOOD,
            size,
            command.lun_field,
            command.initiator_task_tag,
            NO_TAG,
            stat_sn,
            window.exp_cmd_sn,
            window.max_cmd_sn,
            0,
            0,
            0,
        )
        if writer.header_digest or writer.data_digest:
            writer.append(header, data_in)
            return
        output = writer.output
        output.append(header)
        output.extend(data_in)
        if size & 3:
            output.append(PADDING[size & 3])

    def _send_without_data(
        self, command: CommandReady, status: int, data_in: Sequence[Buffer], transfer_bytes: int, sense: bytes
    ) -> None:
        """Answer a command that writes, or that moves no data."""
        expected = command.expected_data_transfer_length
        if data_in:  # a command that reads was sent as one that writes: no data may be sent
            transfer_bytes, expected = max(transfer_bytes, sum(map(len, data_in))), 0
        elif expected and transfer_bytes and status == GOOD and not command.writes:  # no data was written
            status, sense, transfer_bytes = CHECK_CONDITION, WRONG_WAY, 0
        moved = min(transfer_bytes, expected) if command.writes else 0
        self._send_response(command, status, *residual(expected, moved, transfer_bytes), sense, command.count_r2t)

    def _send_data(
        self,
        command: CommandReady,
        status: int,
        data_in: Sequence[Buffer],
        size: int,
        transfer_bytes: int,
        sense: bytes,
    ) -> None:
        expected = command.expected_data_transfer_length
        moved = min(size, expected)
        if moved < size:  # slices would keep all of the data in memory until the initiator has received its part
            data_in = [b"".join(data_in)[:moved]]
        flags, count = residual(expected, moved, max(size, transfer_bytes))
        parameters = self._parameters
        data_sn = 0
        segments = cut_segments(data_in, moved, parameters.max_send_data_segment_length, parameters.max_burst_length)
        for offset, length, parts, final in segments:
            with_status = status == GOOD and offset + length == moved
            self._append_data_in(command, data_sn, offset, length, parts, final, with_status, (flags, count))
            data_sn += 1
        if status != GOOD or not moved:
            self._send_response(command, status, flags, count, sense, data_sn)

    def _append_data_in(
        self,
        command: CommandReady,
        data_sn: int,
        offset: int,
        length: int,
        parts: Sequence[Buffer],
        final: bool,
        with_status: bool,
        residual_fields: tuple[int, int],
    ) -> None:
        writer = self._writer
        flags, count = residual_fields if with_status else (0, 0)
        header = SCSI_DATA_IN.pack(
            _DATA_IN,
            final << 7 | with_status | flags,
            GOOD,
            length,
            command.lun_field,
            command.initiator_task_tag,
            NO_TAG,
            writer.stat_sn if with_status else 0,
            writer.window.exp_cmd_sn,
            writer.window.max_cmd_sn,
            data_sn,
            offset,
            count,
        )
        if with_status:
            writer.stat_sn = (writer.stat_sn + 1) & SERIAL_MASK
        if length <= JOINED_BYTES:
            parts = (b"".join(parts),)
        writer.append(header, parts)

    def _send_response(
        self, command: CommandReady, status: int, flags: int, residual_count: int, sense: bytes, exp_data_sn: int
    ) -> None:
        writer = self._writer
        window = writer.window
        data: Sequence[Buffer] = ()
        size = 0
        if sense:
            sense = sense[:MAX_SENSE_BYTES]
            size = len(sense) + 2
            data = (len(sense).to_bytes(2) + sense,)
        header = SCSI_RESPONSE.pack(
            _RESPONSE,
            FINAL | flags,
            0,
            status,
            size,
            command.initiator_task_tag,
            0,
            writer.stat_sn,
            window.exp_cmd_sn,
            window.max_cmd_sn,
            exp_data_sn,
            0,
            residual_count,
        )
        writer.stat_sn = (writer.stat_sn + 1) & SERIAL_MASK
        writer.append(header, data)
