"""The values that the target wants for the keys of a session (RFC 7143 13)."""

from odx_target.iscsi import limits
from odx_target.iscsi.negotiation.keys import Value

WISHES: dict[str, Value | tuple[str, ...]] = {
    "MaxConnections": 1,
    "ImmediateData": True,
    "InitialR2T": False,  # the result function is OR, so the initiator decides
    "MaxBurstLength": limits.MAX_BURST_BYTES,
    "FirstBurstLength": limits.MAX_FIRST_BURST_BYTES,
    "MaxOutstandingR2T": limits.MAX_OUTSTANDING_R2T,
    "DataPDUInOrder": True,
    "DataSequenceInOrder": True,
    "ErrorRecoveryLevel": 0,
    "DefaultTime2Wait": 0,  # no state is kept after a connection is lost, so there is nothing to wait for
    "DefaultTime2Retain": 0,  # no state is kept after a connection is lost
    "TaskReporting": ("RFC3720",),
    "iSCSIProtocolLevel": 1,  # RFC 7144 defines level 2, with task management functions that this target does not have
}
"""The target's wishes for keys whose result depends on both sides. For digests the initiator's order of preference decides."""
