"""The outcomes that initiators must see for injected faults."""

from odx_target.target.faults.names import SENSE, STATUSES

EXPECTED = {
    **{f"sense={name}": f"{each.key:X}/{each.asc:02X}/{each.ascq:02X}" for name, each in SENSE.items()},
    **{f"status={name}": "good" if not status else f"status {status:02X}h" for name, status in STATUSES.items()},
    "error=pool-full": "7/27/07",
    "error=pool-busy": "status 08h",
    "error=out-of-resources": "status 08h",
    "error=damaged-block": "3/11/00",
    "error=unreadable": "B/11/00",
    "error=unwritable": "B/0C/00",
    "error=refused": "7/27/00",
    "delay=1ms": "good",
    "transfer=50%": "good",
    "tokens=expire": "good",
}
"""Outcomes of a READ(10) by the words of the fault."""

SEEN_BY_LIBISCSI = {**EXPECTED, "status=condition-met": "good"}
"""The same outcomes for libiscsi, which takes CONDITION MET for GOOD."""
