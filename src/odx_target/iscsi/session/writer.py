"""The output of a target: PDUs with their numbers filled in, as a list of buffers.

StatSN goes up by one with every PDU that carries status; others show the next one. ExpCmdSN and MaxCmdSN are those of the
moment the PDU is made.
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
    ReadyToTransfer,
    Reject,
    ScsiResponse,
    TaskManagementFunctionResponse,
    TextResponse,
)
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
"""The memory of a PDU's Python objects, in addition to its data."""


class PduWriter:
    """The sending side of a connection. `output` is what is to be sent next.

    `takes_more` is False once the answers to send reach MAX_UNSENT_ANSWER_BYTES, not counting Data-In and SCSI Responses:
    an initiator can cause answers at no cost, and may never read them.
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
        """Number a PDU and add it to the output. Without `status` it does not use up a StatSN."""
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
        """Return the buffers to send, for the caller to send; then there is room for more."""
        output, self.output = self.output, []
        self._answer_bytes = 0
        self.takes_more = True
        return output

    def append(self, header: bytes, data: Sequence[Buffer]) -> None:
        """Add a PDU whose header is complete."""
        append_pdu(self.output, header, data, header_digest=self.header_digest, data_digest=self.data_digest)

    def reject(self, reason: RejectReason, bad_header: Buffer) -> None:
        """Answer a PDU with Reject, its header attached (RFC 7143 11.17)."""
        self.send(Reject(reason=reason), [bytes(bad_header)])

    def new_transfer_tag(self) -> int:
        """A target transfer tag that is not in use: they come in turn, and 0xFFFFFFFF is never one."""
        self._last_transfer_tag = (self._last_transfer_tag + 1) % SERIAL_MASK
        return self._last_transfer_tag
