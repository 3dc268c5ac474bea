"""Kinds of access of commands, which decide if a reservation conflicts with a command (SPC-4 table 65, SBC-3 table 13)."""

from enum import Enum, auto


class Access(Enum):
    """Kinds of access of commands. All three kinds are allowed for a nexus that the reservation admits."""

    ALLOWED = auto()
    """The command never conflicts with a reservation."""
    READS = auto()
    """The command conflicts with reservations of the Exclusive Access types."""
    WRITES = auto()
    """The command conflicts with reservations of all types."""
