"""The output of a target: a list of buffers with PDUs. The writer fills in the sequence numbers of the PDUs.

StatSN goes up by one with every PDU that carries status; other PDUs show the next StatSN. ExpCmdSN and MaxCmdSN have the values
that are current when the PDU is added.
"""

from collections.abc import Sequence
from typing import TypeAlias

from odx_target.environment import Buffer
from odx_target.iscsi import limits
from odx_target.iscsi.pdu.framing import append_pdu
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.iscsi.pdu.responses import (
    AsynchronousMessage,
    LoginResponse,
    LogoutResponse,
    NopIn,
    Reject,
    TaskManagementFunctionResponse,
    TextResponse,
)
from odx_target.iscsi.pdu.scsi_responses import ReadyToTransfer, ScsiResponse
from odx_target.iscsi.session.command_window import SERIAL_MASK, CommandWindow

Numbered: TypeAlias = (
    AsynchronousMessage
    | LoginResponse
    | LogoutResponse
    | NopIn
    | ReadyToTransfer
    | Reject
    | ScsiResponse
    | TaskManagementFunctionResponse
    | TextResponse
)


ANSWER_OBJECT_BYTES = 256
"""Memory that the Python objects of a PDU take, in addition to its data."""


class PduWriter:
    """The sending side of a connection. `output` has the buffers to send next.

    `takes_more` becomes False when the unsent answers reach MAX_UNSENT_ANSWER_BYTES. This limit is needed because an initiator
    can cause many answers and may never read them. Data-In and SCSI Responses are not counted.
    """

    __slots__ = (
        "_answer_bytes",
        "_last_transfer_tag",
        "data_digest",
        "header_digest",
        "output",
        "stat_sn",
        "takes_more",
        "window",
    )

    def __init__(self, window: CommandWindow) -> None:
        self.window = window
        self.output: list[Buffer] = []
        self.stat_sn = 0
        self.header_digest = False
        self.data_digest = False
        self._last_transfer_tag = 0
        self._answer_bytes = 0
        self.takes_more = True

    def send(self, pdu: Numbered, data: Sequence[Buffer] = (), *, status: bool = True) -> None:
        """Fill in the sequence numbers of a PDU, and add it to the output. If `status` is False, the PDU does not use up a
        StatSN.
        """
        window = self.window
        pdu.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn = self.stat_sn, window.exp_cmd_sn, window.max_cmd_sn
        if status:
            self.stat_sn = (self.stat_sn + 1) & SERIAL_MASK
        pdu.data_segment_length = sum(map(len, data))
        self._answer_bytes += ANSWER_OBJECT_BYTES + pdu.data_segment_length
        if self._answer_bytes >= limits.MAX_UNSENT_ANSWER_BYTES:
            self.takes_more = False
        self.append(pdu.encode_header(), data)

    def take_output(self) -> list[Buffer]:
        """Return the buffers that the caller must send, and set `takes_more` to True."""
        output, self.output = self.output, []
        self._answer_bytes = 0
        self.takes_more = True
        return output

    def append(self, header: bytes, data: Sequence[Buffer]) -> None:
        """Add a PDU whose header is complete."""
        append_pdu(self.output, header, data, header_digest=self.header_digest, data_digest=self.data_digest)

    def reject(self, reason: RejectReason, bad_header: Buffer) -> None:
        """Answer a PDU with Reject, which carries the header of the PDU (RFC 7143 11.17)."""
        self.send(Reject(reason=reason), [bytes(bad_header)])

    def new_transfer_tag(self) -> int:
        """Return a target transfer tag that is not in use. Tags are assigned in ascending order; 0xFFFFFFFF is
        never assigned.
        """
        self._last_transfer_tag = (self._last_transfer_tag + 1) % SERIAL_MASK
        return self._last_transfer_tag
