"""What a target sends: PDUs with their numbers filled in, as a list of buffers.

StatSN goes up by one with every PDU that carries status; others show the next one. ExpCmdSN and MaxCmdSN are those of the
moment the PDU is made.
"""

from collections.abc import Sequence
from typing import TypeAlias

from odx_target.target.iscsi.command_window import SERIAL_MASK, CommandWindow
from odx_target.target.iscsi.framing import append_pdu
from odx_target.target.iscsi.header import Buffer
from odx_target.target.iscsi.opcodes import RejectReason
from odx_target.target.iscsi.response_pdus import (
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


class PduWriter:
    """The sending side of a connection. `output` is what is to be sent next."""

    __slots__ = ("_last_transfer_tag", "data_digest", "header_digest", "output", "stat_sn", "window")

    def __init__(self, window: CommandWindow) -> None:
        self.window = window
        self.output: list[Buffer] = []
        self.stat_sn = 0
        self.header_digest = False
        self.data_digest = False
        self._last_transfer_tag = 0

    def send(self, pdu: Numbered, data: Sequence[Buffer] = (), *, status: bool = True) -> None:
        """Number a PDU and add it to the output. Without `status` it does not use up a StatSN."""
        window = self.window
        pdu.stat_sn, pdu.exp_cmd_sn, pdu.max_cmd_sn = self.stat_sn, window.exp_cmd_sn, window.max_cmd_sn
        if status:
            self.stat_sn = (self.stat_sn + 1) & SERIAL_MASK
        pdu.data_segment_length = sum(map(len, data))
        self.append(pdu.encode_header(), data)

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
