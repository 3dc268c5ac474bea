"""The kinds of access of commands. They decide if a reservation conflicts with a command.

`reservations/conflicts` has the table for persistent reservations (SPC-4 table 65, SBC-3 table 13). For a reservation by
RESERVE, see SPC-2 5.5.1 and annex B.
"""

from enum import Enum, auto


class Access(Enum):
    """The kinds of access of commands. A nexus that the reservation admits may send commands of all kinds."""

    ALWAYS_ALLOWED = auto()
    """The command never conflicts with any reservation."""
    ALLOWED = auto()
    """The command never conflicts with a persistent reservation. It conflicts with a reservation that RESERVE has made."""
    READS = auto()
    """The command conflicts with persistent reservations of the Exclusive Access types, and with RESERVE."""
    WRITES = auto()
    """The command conflicts with all reservations."""
