"""Conversion of an error of the PDU decoder to a breach of the protocol, and of the reason in a Reject PDU to text."""

from odx_target.initiator.errors import Breach
from odx_target.iscsi.pdu.framing import FrameFault, FramingError
from odx_target.iscsi.pdu.headers import UnknownOpcode
from odx_target.iscsi.pdu.opcodes import RejectReason


def breach_of(error: ValueError) -> Breach:
    """Return the rule of the protocol that a PDU breaks. `error` is the error that the PDU decoder raised for this PDU."""
    if isinstance(error, UnknownOpcode):
        return Breach.UNKNOWN_OPCODE
    if isinstance(error, FramingError):
        return Breach.HEADER_DIGEST if error.fault is FrameFault.HEADER_DIGEST else Breach.SEGMENT_TOO_LONG
    return Breach.INVALID_PDU


def reject_text(reason: int) -> str:
    """Return the reason of a Reject as text (RFC 7143 11.17.1)."""
    try:
        return RejectReason(reason).name.lower().replace("_", " ")
    except ValueError:
        return f"reason {reason:02X}h"
