"""The values that the target wants for the keys of a session (RFC 7143 13)."""

from odx_target.iscsi import limits
from odx_target.iscsi.negotiation.keys import Value

WISHES: dict[str, Value | tuple[str, ...]] = {
    "MaxConnections": 1,
    "ImmediateData": True,
    "InitialR2T": False,  # the result function is OR, so this leaves it to the initiator
    "MaxBurstLength": limits.MAX_BURST_BYTES,
    "FirstBurstLength": limits.MAX_FIRST_BURST_BYTES,
    "MaxOutstandingR2T": limits.MAX_OUTSTANDING_R2T,
    "DataPDUInOrder": True,
    "DataSequenceInOrder": True,
    "ErrorRecoveryLevel": 0,
    "DefaultTime2Wait": 0,  # a lost connection leaves nothing to wait for
    "DefaultTime2Retain": 0,  # nothing is kept of it either
    "TaskReporting": ("RFC3720",),
    "iSCSIProtocolLevel": 1,  # RFC 7144 defines 2, with task management functions that are not here
}
"""Wishes for keys whose result depends on both sides. Digests follow the initiator's order of preference."""
