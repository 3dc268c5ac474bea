"""The kinds of access that decide if a reservation conflicts with a command (SPC-4 table 65, SBC-3 table 13)."""

from enum import Enum, auto


class Access(Enum):
    """The kinds of access of commands. A nexus that the reservation admits may send commands of all three kinds."""

    ALLOWED = auto()
    """The command never conflicts with a reservation."""
    READS = auto()
    """The command conflicts with reservations of the Exclusive Access types."""
    WRITES = auto()
    """The command conflicts with reservations of all types."""
