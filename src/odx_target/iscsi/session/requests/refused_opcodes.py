"""Refusals of PDUs that are not allowed in full feature phase, or not allowed in this type of session."""

from odx_target.iscsi.pdu.headers import PDU_CLASSES
from odx_target.iscsi.pdu.opcodes import Opcode, RejectReason
from odx_target.iscsi.session.events import PduRefused


def refusal_of(opcode: int, *, discovery: bool) -> PduRefused:
    """Return the refusal of a PDU by its operation code; `discovery` is True in a discovery session."""
    if opcode == Opcode.SNACK_REQUEST:
        return PduRefused(RejectReason.SNACK_REJECT, "SNACK at error recovery level 0")
    if opcode == Opcode.LOGIN_REQUEST:
        return PduRefused(RejectReason.PROTOCOL_ERROR, "Login Request in full feature phase", fatal=True)
    kind = PDU_CLASSES.get(opcode)
    if kind is None:
        return PduRefused(RejectReason.COMMAND_NOT_SUPPORTED, f"unknown operation code {opcode:#04x}")
    if opcode >= Opcode.NOP_IN:
        return PduRefused(RejectReason.PROTOCOL_ERROR, f"{kind.__name__} is only sent by targets", fatal=True)
    where = "discovery" if discovery else "normal"
    return PduRefused(RejectReason.COMMAND_NOT_SUPPORTED, f"{kind.__name__} in a {where} session")
