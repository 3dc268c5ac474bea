"""The rule that FirstBurstLength is at most MaxBurstLength (RFC 7143 13.14).

The two keys may be offered in any order. So the answer to FirstBurstLength is limited by the present MaxBurstLength. If
MaxBurstLength is lower at the end of the negotiation, FirstBurstLength is lowered, or the login fails.
"""

from odx_target.iscsi.negotiation.keys import Parameters
from odx_target.iscsi.negotiation.rules import NegotiationError


def wished_first_burst_length(wish_bytes: int, parameters: Parameters) -> int:
    """Return the largest FirstBurstLength that may be answered now. `wish_bytes` is the wish of this side."""
    return min(wish_bytes, parameters.max_burst_length)


def settle_first_burst_length(parameters: Parameters, *, was_negotiated: bool) -> None:
    """Lower FirstBurstLength to MaxBurstLength at the end of the negotiation if it is above.

    Raises NegotiationError if both sides had agreed on the FirstBurstLength before.
    """
    if parameters.first_burst_length <= parameters.max_burst_length:
        return
    if was_negotiated:
        raise NegotiationError("MaxBurstLength came out below the FirstBurstLength that was agreed on before")
    parameters.first_burst_length = parameters.max_burst_length
