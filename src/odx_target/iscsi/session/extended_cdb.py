"""The additional header segments (AHS) of a SCSI Command: CDBs that are too long for its header (RFC 7143 11.2.2)."""

from odx_target.iscsi import limits
from odx_target.iscsi.pdu.framing import AHS_BIDIRECTIONAL_READ_LENGTH, AHS_EXTENDED_CDB, additional_headers
from odx_target.iscsi.pdu.opcodes import RejectReason
from odx_target.iscsi.session.events import PduRefused

CDB_FIELD_BYTES = 16
"""Number of bytes of a CDB in the header of a SCSI Command (RFC 7143 11.3.5)."""
READ_LENGTH_BYTES = 4
"""Size of the content of a Bidirectional Read Expected Data Transfer Length AHS (RFC 7143 11.2.2.4)."""
_GROUPS_OF_SHORT_CDBS = frozenset((0, 1, 2, 4, 5))
"""The groups of operation codes whose CDBs have 6 to 16 bytes (SPC-4 4.3.4)."""


def extended_cdb(operation_code: int, additional: memoryview) -> bytes:
    """Return the bytes of a CDB that are in additional header segments.

    Raises PduRefused for a segment of a reserved type or of a wrong length, for a second segment of the same type, and for a
    CDB that has at most 16 bytes or is longer than the limit.
    """
    contents: dict[int, bytes] = {}
    try:
        for kind, content in additional_headers(additional):
            if kind not in (AHS_EXTENDED_CDB, AHS_BIDIRECTIONAL_READ_LENGTH):
                raise _refused(f"additional header segment of the reserved type {kind}")
            if kind in contents:
                raise _refused(f"two additional header segments of type {kind}")
            contents[kind] = content
    except ValueError as error:
        raise _refused(str(error)) from error
    if len(contents.get(AHS_BIDIRECTIONAL_READ_LENGTH, bytes(READ_LENGTH_BYTES))) != READ_LENGTH_BYTES:
        raise _refused("additional header segment with a read length that has not four bytes")
    rest = contents.get(AHS_EXTENDED_CDB)
    if rest is None:
        return b""
    if not rest or operation_code >> 5 in _GROUPS_OF_SHORT_CDBS:
        raise _refused(f"extended CDB for a CDB of at most {CDB_FIELD_BYTES} bytes")
    if len(rest) + CDB_FIELD_BYTES > limits.MAX_CDB_BYTES:
        raise _refused(f"CDB of {len(rest) + CDB_FIELD_BYTES} bytes")
    return rest


def _refused(detail: str) -> PduRefused:
    return PduRefused(RejectReason.INVALID_PDU_FIELD, detail)
