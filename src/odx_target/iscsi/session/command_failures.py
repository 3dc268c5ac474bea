"""Status and sense data of commands whose data cannot be accepted (RFC 7143 11.4.7.2).

Errors that an initiator makes when it sends data, and the consequences:

data that is not allowed               the command ends with ABORTED COMMAND, UNEXPECTED UNSOLICITED DATA
a burst longer or shorter than asked   the command ends with ABORTED COMMAND, INCORRECT AMOUNT OF DATA
DataSN out of order                    the command ends with ABORTED COMMAND, PROTOCOL SERVICE CRC ERROR, because data
                                       was lost before (7.9); there is no Reject
a data digest error                    see `digest_errors`
buffer offset out of order             Reject PROTOCOL ERROR, and the connection ends, as for R2Ts answered out of order
data for an unknown task or tag        ignored: the data may have been sent before the initiator learned of an abort
"""

from typing import NamedTuple

from odx_target.iscsi.session.scsi_answers import CHECK_CONDITION, TASK_SET_FULL, WRONG_WAY, fixed_sense


class Failure(NamedTuple):
    """The answer to a command whose data cannot be accepted."""

    sense: bytes
    status: int = CHECK_CONDITION


UNEXPECTED_UNSOLICITED_DATA = Failure(fixed_sense(0x0B, 0x0C, 0x0C))
INCORRECT_AMOUNT_OF_DATA = Failure(fixed_sense(0x0B, 0x0C, 0x0D))
PROTOCOL_SERVICE_CRC_ERROR = Failure(fixed_sense(0x0B, 0x47, 0x05))
WRONG_DIRECTION = Failure(WRONG_WAY)
NO_MEMORY = Failure(b"", TASK_SET_FULL)
