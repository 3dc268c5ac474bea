"""The reactions of the multipath module to the end of a command, before the class driver gets the result. The reactions apply
only to disks with several paths.
"""

from dataclasses import dataclass
from enum import Enum

from odx_target.initiator.sense import Sense, SenseKey


class Reaction(Enum):
    ASK_GROUPS = "REPORT TARGET PORT GROUPS, and again"
    SAME_PATH = "again on the same path"
    FAIL_OVER = "again on another path"


@dataclass(frozen=True, slots=True)
class MultipathRow:
    key: SenseKey
    asc: int
    ascq: int
    reaction: Reaction


ROWS: tuple[MultipathRow, ...] = (
    MultipathRow(SenseKey.UNIT_ATTENTION, 0x2A, 0x06, Reaction.ASK_GROUPS),
    MultipathRow(SenseKey.UNIT_ATTENTION, 0x2A, 0x04, Reaction.SAME_PATH),
    MultipathRow(SenseKey.NOT_READY, 0x04, 0x0A, Reaction.SAME_PATH),
    MultipathRow(SenseKey.ILLEGAL_REQUEST, 0x25, 0x00, Reaction.FAIL_OVER),
)
"""The sense data that the multipath module handles. The module reports all other ends of commands to the class driver."""


def reaction_to(sense: Sense | None) -> Reaction | None:
    """Return the reaction of the multipath module to sense data, or None if the module does not handle the sense data."""
    if sense is None:
        return None
    return next((row.reaction for row in ROWS if (row.key, (row.asc, row.ascq)) == (sense.key, sense.code)), None)
