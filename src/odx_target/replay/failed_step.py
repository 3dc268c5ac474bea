"""The step of a replay at which something failed: a refused command, a rejected PDU, a refused login, an injected fault."""

from collections.abc import Sequence

from odx_target.iscsi.pdu.headers import LoginResponse, Reject, ScsiDataIn, ScsiResponse, TaskManagementFunctionResponse
from odx_target.iscsi.pdu.opcodes import LoginStatus
from odx_target.replay.decoded_connection import DecodedPdu
from odx_target.target.trace.frames import Piece


def has_failed(piece: Piece) -> bool:
    """True if a PDU of the array reports a failure."""
    pdu = piece.pdu
    if isinstance(pdu, ScsiResponse):
        return bool(pdu.status or pdu.response)
    if isinstance(pdu, ScsiDataIn):
        return bool(pdu.has_status and pdu.status)
    if isinstance(pdu, LoginResponse):
        return pdu.status >= LoginStatus.INITIATOR_ERROR
    if isinstance(pdu, TaskManagementFunctionResponse):
        return bool(pdu.response)
    return pdu is None or isinstance(pdu, Reject)


def last_failure(answers: Sequence[Sequence[DecodedPdu]]) -> int | None:
    """Return the position of the last step whose answers report a failure, or None."""
    failed = [position for position, pdus in enumerate(answers) if any(has_failed(pdu.piece) for pdu in pdus)]
    return failed[-1] if failed else None
