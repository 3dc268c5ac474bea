"""CDBs that are too long for the header of a SCSI Command (RFC 7143 11.2.2.3)."""

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.framing import AHS_EXTENDED_CDB, additional_headers
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.iscsi.session.events import PduRefused


def extended_cdb(additional: memoryview) -> bytes:
    """Return the bytes of the CDB that are in additional header segments (AHS). Raises PduRefused."""
    rest = b""
    try:
        for kind, content in additional_headers(additional):
            if kind == AHS_EXTENDED_CDB:
                rest += content
    except ValueError as error:
        raise PduRefused(RejectReason.INVALID_PDU_FIELD, str(error)) from error
    if len(rest) + 16 > limits.MAX_CDB_BYTES:
        raise PduRefused(RejectReason.INVALID_PDU_FIELD, f"CDB of {len(rest) + 16} bytes")
    return rest
