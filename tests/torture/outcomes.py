"""Outcomes of commands that a full pool, a failing disk or an operator allows."""

FULL = {"busy", "7/27/07"}
"""Outcomes that a pool without room allows: BUSY, and SPACE ALLOCATION FAILED WRITE PROTECT."""

FAULTS = {"4/03/00", "B/0C/00", "B/11/00", "B/55/03", "7/27/00"}
"""Outcomes that a failing disk allows: WRITE FAULT, WRITE ERROR, UNRECOVERED READ ERROR, INSUFFICIENT RESOURCES and WRITE
PROTECTED."""


SANITIZING, SANITIZE_FAILED = "2/04/1B", "3/31/03"
"""Outcomes while a logical unit is sanitized, and after a failure of the operation."""

WRITE_PROTECTED = "7/27/00"
DISTURBED = {"aborted", WRITE_PROTECTED, "B/0D/04", "A/0D/04"}
"""Outcomes of commands that were aborted, or whose LUN was removed or became read-only."""
