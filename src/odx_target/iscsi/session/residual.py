"""The residual count of a SCSI command (RFC 7143 11.4.5).

With the U bit, the residual count is the number of expected bytes that were not moved. With the O bit, the residual count is
the number of bytes that the command would have moved in addition to the expected bytes.
"""

from odx_target.iscsi.pdu.header import OVERFLOW, UNDERFLOW
from odx_target.iscsi.session.command_window import SERIAL_MASK


def residual(expected: int, moved: int, wanted: int) -> tuple[int, int]:
    """Return the residual flags and count. `expected` is the expected data transfer length. `moved` is the number of bytes that
    were moved. `wanted` is the number of bytes that the command asks to move.
    """
    if wanted > expected:
        return OVERFLOW, min(wanted - expected, SERIAL_MASK)
    if moved < expected:
        return UNDERFLOW, expected - moved
    return 0, 0
