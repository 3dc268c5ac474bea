"""The answer to a PDU whose digest is wrong (RFC 7143 7.8).

header digest               the connection ends, since the lengths in the header cannot be trusted
data digest of a Data-Out   Reject DATA DIGEST ERROR; when its open bursts have ended, the command ends with CHECK CONDITION,
                            ABORTED COMMAND, PROTOCOL SERVICE CRC ERROR
data digest of other PDUs   Reject DATA DIGEST ERROR; the PDU is not executed, and its CmdSN is still missing
"""

from odx_target.iscsi.pdu.framing import FramingError
from odx_target.iscsi.pdu.opcodes import Opcode, RejectReason
from odx_target.iscsi.session.close_reason import CloseCode, CloseReason
from odx_target.iscsi.session.command_failures import PROTOCOL_SERVICE_CRC_ERROR
from odx_target.iscsi.session.data_out import DataOutCollector
from odx_target.iscsi.session.events import PduRefused


def close_reason_of_header_digest(error: FramingError) -> CloseReason:
    """Return the reason for closing a connection whose stream has a wrong header digest."""
    return CloseReason(CloseCode.HEADER_DIGEST, str(error))


def refuse_data_digest(view: memoryview, at: int, collector: DataOutCollector) -> PduRefused:
    """Return the refusal of a PDU whose data digest is wrong. If the PDU is a Data-Out, fail its command.

    The header of the PDU starts at position `at` of `view`. Raises PduRefused if a Data-Out also breaks another rule.
    """
    if view[at] & 0x3F == Opcode.SCSI_DATA_OUT:
        collector.lose(view, at, PROTOCOL_SERVICE_CRC_ERROR)
    return PduRefused(RejectReason.DATA_DIGEST_ERROR, "data digest does not match")
