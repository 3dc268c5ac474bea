"""iSCSI PDU headers as data: one class per PDU, with the names and the order of fields of RFC 7143 11.

`decode_header` makes an object from 48 bytes, and `encode_header` makes 48 bytes from an object. Both ends of a connection use
these functions. A header object has the lengths of the segments that follow the header, but not the segments. The module
`framing` cuts and adds these segments: AHS, digests, data, padding. A LUN attribute holds the whole 8-byte field as one
integer. `decode_lun` converts the field to a LUN number, and `encode_lun` converts a LUN number to the field.
"""

from typing import TypeAlias, get_args

from odx_target.environment import Buffer
from odx_target.iscsi.pdu.header import LUN_NOT_SINGLE_LEVEL, decode_lun, encode_by_format, encode_lun
from odx_target.iscsi.pdu.layout import HEADER_BYTES
from odx_target.iscsi.pdu.requests import (
    LoginRequest,
    LogoutRequest,
    NopOut,
    ScsiCommand,
    ScsiDataOut,
    SnackRequest,
    TaskManagementFunctionRequest,
    TextRequest,
)
from odx_target.iscsi.pdu.responses import (
    AsynchronousMessage,
    LoginResponse,
    LogoutResponse,
    NopIn,
    Reject,
    TaskManagementFunctionResponse,
    TextResponse,
)
from odx_target.iscsi.pdu.scsi_responses import ReadyToTransfer, ScsiDataIn, ScsiResponse

__all__ = [
    "HEADER_BYTES",
    "LUN_NOT_SINGLE_LEVEL",
    "PDU_CLASSES",
    "AsynchronousMessage",
    "Buffer",
    "LoginRequest",
    "LoginResponse",
    "LogoutRequest",
    "LogoutResponse",
    "NopIn",
    "NopOut",
    "Pdu",
    "ReadyToTransfer",
    "Reject",
    "ScsiCommand",
    "ScsiDataIn",
    "ScsiDataOut",
    "ScsiResponse",
    "SnackRequest",
    "TaskManagementFunctionRequest",
    "TaskManagementFunctionResponse",
    "TextRequest",
    "TextResponse",
    "UnknownOpcode",
    "decode_header",
    "decode_lun",
    "encode_by_format",
    "encode_lun",
]

Pdu: TypeAlias = (
    NopOut
    | ScsiCommand
    | TaskManagementFunctionRequest
    | LoginRequest
    | TextRequest
    | ScsiDataOut
    | LogoutRequest
    | SnackRequest
    | NopIn
    | ScsiResponse
    | TaskManagementFunctionResponse
    | LoginResponse
    | TextResponse
    | ScsiDataIn
    | LogoutResponse
    | ReadyToTransfer
    | AsynchronousMessage
    | Reject
)

PDU_CLASSES: dict[int, type[Pdu]] = {kind.opcode: kind for kind in get_args(Pdu)}


class UnknownOpcode(ValueError):
    """RFC 7143 does not define the operation code of a header."""


def decode_header(header: Buffer) -> Pdu:
    """Return the PDU whose 48-byte header is at the start of `header`.

    Reserved bits are ignored. Raises UnknownOpcode, and ValueError for fewer than 48 bytes.
    """
    if len(header) < HEADER_BYTES:
        raise ValueError(f"{len(header)} bytes are no iSCSI header of {HEADER_BYTES}")
    kind = PDU_CLASSES.get(header[0] & 0x3F)
    if kind is None:
        raise UnknownOpcode(f"iSCSI has no operation code {header[0] & 0x3F:#04x}")
    return kind.decode(header)
