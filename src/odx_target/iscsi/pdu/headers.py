"""iSCSI PDU headers as data: one class per PDU, named as RFC 7143 11 names it, fields in its order.

`decode_header` makes an object of 48 bytes, `encode_header` makes 48 bytes of an object. Both ends of a connection use
them. Segments that follow a header (AHS, digests, data, padding) are `framing`'s business; here are only their lengths.
A LUN attribute holds the whole 8-byte field as one integer; `decode_lun` makes a plain LUN number of it, and `encode_lun` the
reverse.
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
    ReadyToTransfer,
    Reject,
    ScsiDataIn,
    ScsiResponse,
    TaskManagementFunctionResponse,
    TextResponse,
)

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
    """A header names an operation that RFC 7143 does not have."""


def decode_header(header: Buffer) -> Pdu:
    """The PDU whose 48-byte header is at the start of `header`.

    Reserved bits are ignored. Raises UnknownOpcode, and ValueError for fewer than 48 bytes.
    """
    if len(header) < HEADER_BYTES:
        raise ValueError(f"{len(header)} bytes are no iSCSI header of {HEADER_BYTES}")
    kind = PDU_CLASSES.get(header[0] & 0x3F)
    if kind is None:
        raise UnknownOpcode(f"iSCSI has no operation code {header[0] & 0x3F:#04x}")
    return kind.decode(header)
