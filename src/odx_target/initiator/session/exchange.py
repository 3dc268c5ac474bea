"""One SCSI command under way: its data in both directions, and its end (RFC 7143 11.3 to 11.8)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from odx_target.environment import Buffer
from odx_target.initiator.errors import Breach, ProtocolViolation
from odx_target.initiator.result import CommandResult
from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.pdu.headers import ReadyToTransfer, ScsiCommand, ScsiDataIn, ScsiDataOut, ScsiResponse, encode_lun
from odx_target.iscsi.pdu.opcodes import NO_TAG

MAX_SENSE_BYTES = 252
"""Maximum length of sense data (SPC-4 4.5.1)."""

Emit = Callable[[ScsiCommand | ScsiDataOut, Buffer], None]


@dataclass(slots=True, eq=False)
class CommandExchange:
    """A command from its request to its status.

    `data_out` is the data to send, and `data_in` is the buffer for expected data. A command moves data in one direction, so at
    least one of these buffers is empty.
    """

    lun: int
    cdb: bytes
    data_out: memoryview
    data_in: bytearray
    attribute: int
    initiator_task_tag: int = 0
    cmd_sn: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    """Number of bytes at the start of `data_out` that have been sent."""
    _r2t_sn: int = 0
    _lun_field: int = field(init=False)

    def __post_init__(self) -> None:
        self._lun_field = encode_lun(self.lun)

    def start(self, parameters: Parameters, emit: Emit) -> None:
        """Send the request with all data that needs no R2T."""
        size_bytes = len(self.data_out)
        immediate_bytes, unsolicited_bytes = self._unasked(parameters, size_bytes)
        self.sent_bytes = immediate_bytes + unsolicited_bytes
        command = ScsiCommand(
            final=unsolicited_bytes == 0,
            read=bool(self.data_in),
            write=bool(size_bytes),
            attribute=self.attribute,
            data_segment_length=immediate_bytes,
            lun=self._lun_field,
            initiator_task_tag=self.initiator_task_tag,
            expected_data_transfer_length=size_bytes or len(self.data_in),
            cmd_sn=self.cmd_sn,
            cdb=self.cdb.ljust(16, b"\0"),
        )
        emit(command, self.data_out[:immediate_bytes])
        if unsolicited_bytes:
            self._send_data(parameters, emit, NO_TAG, immediate_bytes, unsolicited_bytes)

    def _unasked(self, parameters: Parameters, size_bytes: int) -> tuple[int, int]:
        """Return the number of bytes to send as immediate data, and the number of bytes to send as unsolicited Data-Out
        PDUs.
        """
        first_burst = min(size_bytes, parameters.first_burst_length, parameters.max_burst_length)
        immediate = min(first_burst, parameters.max_send_data_segment_length) if parameters.immediate_data else 0
        return immediate, 0 if parameters.initial_r2t else first_burst - immediate

    def _send_data(self, parameters: Parameters, emit: Emit, transfer_tag: int, offset: int, size_bytes: int) -> None:
        """Send one sequence of Data-Out PDUs."""
        for data_sn, (start, end) in enumerate(_pieces(offset, size_bytes, parameters.max_send_data_segment_length)):
            data_out = ScsiDataOut(
                final=end == offset + size_bytes,
                data_segment_length=end - start,
                lun=self._lun_field,
                initiator_task_tag=self.initiator_task_tag,
                target_transfer_tag=transfer_tag,
                data_sn=data_sn,
                buffer_offset=start,
            )
            emit(data_out, self.data_out[start:end])

    def ready_to_transfer(self, request: ReadyToTransfer, parameters: Parameters, emit: Emit) -> None:
        """Send the data that the target requests. Raises ProtocolViolation."""
        offset, size_bytes = request.buffer_offset, request.desired_data_transfer_length
        if not 0 < size_bytes <= parameters.max_burst_length or offset + size_bytes > len(self.data_out):
            raise ProtocolViolation(
                f"the target asked for {size_bytes} bytes at {offset} of a transfer of {len(self.data_out)} bytes",
                Breach.INVALID_R2T,
            )
        if request.r2t_sn != self._r2t_sn:
            raise ProtocolViolation(f"R2TSN {request.r2t_sn} came where {self._r2t_sn} was due", Breach.INVALID_R2T)
        self._r2t_sn += 1
        self.sent_bytes = max(self.sent_bytes, offset + size_bytes)
        self._send_data(parameters, emit, request.target_transfer_tag, offset, size_bytes)

    def take_data(self, header: ScsiDataIn, data: memoryview) -> CommandResult | None:
        """Store received data. Return the result of the command if the PDU has the status. Raises ProtocolViolation."""
        start, end = header.buffer_offset, header.buffer_offset + len(data)
        if start != self.received_bytes or end > len(self.data_in):
            raise ProtocolViolation(
                f"data at {start} to {end} came where {self.received_bytes} was due, of {len(self.data_in)} bytes expected",
                Breach.TOO_MUCH_DATA if end > len(self.data_in) else Breach.DATA_IN_ORDER,
            )
        self.data_in[start:end] = data
        self.received_bytes = end
        if not header.has_status:
            return None
        residual = header.residual_count if header.underflow else -header.residual_count if header.overflow else 0
        return self._result(header.status, b"", residual)

    def take_response(self, header: ScsiResponse, data: memoryview) -> CommandResult:
        """Return the result of the command. Raises ProtocolViolation if the sense data is longer than the data segment."""
        if header.response:
            message = f"the target could not carry out a command (SCSI Response code {header.response:02X}h)"
            raise ProtocolViolation(message, Breach.NOT_CARRIED_OUT)
        sense = b""
        if len(data) >= 2:
            sense_bytes = int.from_bytes(data[:2], "big")
            if sense_bytes > len(data) - 2:
                raise ProtocolViolation(f"{sense_bytes} bytes of sense in a segment of {len(data)} bytes")
            sense = bytes(data[2 : 2 + min(sense_bytes, MAX_SENSE_BYTES)])
        residual = header.residual_count if header.underflow else -header.residual_count if header.overflow else 0
        return self._result(header.status, sense, residual)

    def _result(self, status: int, sense: bytes, residual_bytes: int) -> CommandResult:
        """Return the result with the received data. Raises ProtocolViolation if the residual count does not fit the received
        length.
        """
        claimed_bytes = len(self.data_in) - max(residual_bytes, 0)
        if status == 0 and self.data_in and self.received_bytes != claimed_bytes:
            message = f"the target sent {self.received_bytes} bytes of data and claims {claimed_bytes}"
            raise ProtocolViolation(message, Breach.RESIDUAL)
        data_in = self.data_in if self.received_bytes == len(self.data_in) else self.data_in[: self.received_bytes]
        return CommandResult(status, data_in, sense, residual_bytes)


def joined(data_out: Buffer | Sequence[Buffer]) -> memoryview:
    """Return the data to send as one buffer. The data is copied only if there are several buffers."""
    if isinstance(data_out, bytes | bytearray | memoryview):
        return memoryview(data_out).cast("B")
    if len(data_out) == 1:
        return memoryview(data_out[0]).cast("B")
    return memoryview(b"".join(data_out))


def _pieces(offset: int, size_bytes: int, piece_bytes: int) -> Iterator[tuple[int, int]]:
    end = offset + size_bytes
    return ((start, min(start + piece_bytes, end)) for start in range(offset, end, piece_bytes))
