"""The answer to a Logout Request (RFC 7143 11.14, 11.15)."""

from odx_target.iscsi.pdu.opcodes import LogoutReason, LogoutStatus, RejectReason
from odx_target.iscsi.pdu.requests import LogoutRequest
from odx_target.iscsi.session.events import PduRefused
from odx_target.iscsi.session.session_registry import Session

LOGOUT_ANSWERS: dict[int, LogoutStatus] = {
    LogoutReason.CLOSE_SESSION: LogoutStatus.CLOSED,
    LogoutReason.CLOSE_CONNECTION: LogoutStatus.CLOSED,
    LogoutReason.REMOVE_CONNECTION_FOR_RECOVERY: LogoutStatus.RECOVERY_NOT_SUPPORTED,
}


def logout_status(request: LogoutRequest, session: Session) -> LogoutStatus:
    """Return the response code for a Logout Request. If the code is CLOSED, the caller must end the connection. Raises
    PduRefused.
    """
    if request.reason not in LOGOUT_ANSWERS:
        raise PduRefused(RejectReason.INVALID_PDU_FIELD, f"logout reason {request.reason}")
    if session.is_discovery and request.reason != LogoutReason.CLOSE_SESSION:
        raise PduRefused(RejectReason.COMMAND_NOT_SUPPORTED, "a discovery session is left as a whole (RFC 7143 4.3)")
    if request.reason == LogoutReason.CLOSE_CONNECTION and request.connection_id != session.connection_id:
        return LogoutStatus.CID_NOT_FOUND
    return LOGOUT_ANSWERS[request.reason]
